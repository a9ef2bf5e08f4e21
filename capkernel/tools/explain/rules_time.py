"""Rules for scheduling contexts, scheduling control and domains (see ``case``)."""

from capkernel.abi import errors as err
from capkernel.abi.objects import max_refills
from capkernel.kernel.caps import NotificationCap, SchedContextCap, ThreadCap
from capkernel.kernel.invocations.domain import END_MARKER
from capkernel.kernel.objects import Blocked, SchedContext
from capkernel.kernel.refills import MIN_REFILLS
from capkernel.kernel.state import DOMAIN_MAX_DURATION
from capkernel.tools.explain.case import Case, Verdicts, not_released, state_of
from capkernel.tools.explain.describe import thread_name
from capkernel.tools.explain.missing import Argument, Authority
from capkernel.tools.explain.rules_tcb import both_unbound


def configure(case: Case) -> Verdicts:
    """SchedControl_ConfigureFlags."""
    yield from case.too_short()
    least, most = case.state.config.min_budget_us, case.state.config.max_period_us
    yield from case.outside("budget", least, most)
    yield from case.outside("period", least, most)
    yield from case.outside("budget", least, case.word("period"))
    slot = case.extra("schedcontext")
    yield from case.not_kind(slot, err.INVALID_CAPABILITY, "SchedContext")
    assert isinstance(slot.cap, SchedContextCap)
    yield from case.outside("extra_refills", 0, max_refills(slot.cap.size_bits) - MIN_REFILLS)


def _context(case: Case) -> SchedContext:
    assert isinstance(case.cap, SchedContextCap)
    return case.cap.sched_context


def bind(case: Case) -> Verdicts:
    """SchedContext_Bind."""
    yield from case.too_short()
    sc, slot = _context(case), case.extra("cap")
    yield from case.not_kind(slot, err.INVALID_CAPABILITY, "TCB", "Notification")
    if isinstance(slot.cap, ThreadCap):
        yield from both_unbound(slot.cap.tcb, sc)
        if isinstance(slot.cap.tcb.state, Blocked):
            yield from not_released(case.state, sc)
    elif isinstance(slot.cap, NotificationCap):
        notification = slot.cap.notification
        for bound in (sc, notification.sched_context):
            if bound is not None and bound.notification is not None:
                found = f"Notification@{bound.notification.paddr:#x}"
                what = state_of(bound, bound.paddr, "notification", found, "none", "SchedContext_UnbindObject")
                yield err.ILLEGAL_OPERATION, what


def unbind(case: Case) -> Verdicts:
    """SchedContext_Unbind."""
    owner = _context(case).tcb
    if owner is not None:
        yield from case.own(owner)


def unbind_object(case: Case) -> Verdicts:
    """SchedContext_UnbindObject."""
    yield from case.too_short()
    sc, slot = _context(case), case.extra("cap")
    yield from case.not_kind(slot, err.INVALID_CAPABILITY, "TCB", "Notification")
    if isinstance(slot.cap, ThreadCap):
        if sc.tcb is not slot.cap.tcb:
            wanted, found = thread_name(slot.cap.tcb), "none" if sc.tcb is None else thread_name(sc.tcb)
            yield err.ILLEGAL_OPERATION, state_of(sc, sc.paddr, "thread", found, wanted, "SchedContext_Bind")
        yield from case.own(slot.cap.tcb)
    elif isinstance(slot.cap, NotificationCap) and sc.notification is not slot.cap.notification:
        wanted = f"Notification@{slot.cap.notification.paddr:#x}"
        found = "none" if sc.notification is None else f"Notification@{sc.notification.paddr:#x}"
        what = state_of(sc, sc.paddr, "notification", found, wanted, "SchedContext_Bind")
        yield err.ILLEGAL_OPERATION, what


def yield_to(case: Case) -> Verdicts:
    """SchedContext_YieldTo."""
    sc, caller = _context(case), case.thread
    if sc.tcb is None:
        yield err.ILLEGAL_OPERATION, state_of(sc, sc.paddr, "thread", "none", "any", "SchedContext_Bind")
        return
    yield from case.own(sc.tcb)
    if sc.tcb.priority > caller.mcp:
        what = Authority(thread_name(caller), caller.paddr, caller.mcp, sc.tcb.priority)
        yield err.ILLEGAL_OPERATION, what


def set_domain(case: Case) -> Verdicts:
    """DomainSet_Set."""
    yield from case.too_short(1, 0)
    yield from case.outside("domain", 0, case.state.config.num_domains - 1, err.INVALID_ARGUMENT)
    yield from case.too_short()
    yield from case.not_kind(case.extra("thread"), err.INVALID_ARGUMENT, "TCB")


def schedule_configure(case: Case) -> Verdicts:
    """DomainSet_ScheduleConfigure."""
    yield from case.too_short()
    state = case.state
    yield from case.outside("index", 0, len(state.domain_schedule) - 2)
    yield from case.outside("domain", 0, state.config.num_domains - 1)
    yield from case.outside("duration", 0, DOMAIN_MAX_DURATION, err.INVALID_ARGUMENT)
    if case.word("duration") == 0:
        if case.word("domain") != 0:
            yield err.INVALID_ARGUMENT, Argument("duration", 0, 1, DOMAIN_MAX_DURATION)
        if case.word("index") == state.domain_start:
            yield err.INVALID_ARGUMENT, Argument("duration", 0, 1, DOMAIN_MAX_DURATION)


def schedule_set_start(case: Case) -> Verdicts:
    """DomainSet_ScheduleSetStart."""
    yield from case.too_short()
    schedule, index = case.state.domain_schedule, case.word("index")
    yield from case.outside("index", 0, len(schedule) - 1)
    if schedule[index] == END_MARKER:
        what = state_of(
            "domain schedule", index, "entry", "the end marker", "a domain with a duration",
            "DomainSet_ScheduleConfigure", "Domain",
        )  # fmt: skip
        yield err.INVALID_ARGUMENT, what
