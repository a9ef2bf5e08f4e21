"""One refused invocation, as the rules look at it; and the checks that many invocations share.

A rule is a generator ``rule(case) -> Iterator[(error code, Missing)]``: it makes the checks of its decoder in the
same order and yields what is missing where one fails. Only the first counts, since the kernel stops there; nothing
behind it is looked at.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from capkernel.abi import errors as err
from capkernel.abi.labels import BY_LABEL, InvocationSpec
from capkernel.abi.objects import PAGE_BITS
from capkernel.abi.words import WORD_BITS
from capkernel.kernel import vspace
from capkernel.kernel.caps import CNodeCap, PageTableCap
from capkernel.kernel.invocations.call import Call
from capkernel.kernel.objects import NULL, TCB, Cap, SchedContext, Slot
from capkernel.kernel.refills import is_active, is_released
from capkernel.kernel.state import State
from capkernel.tools.explain.census import place_of
from capkernel.tools.explain.describe import in_words, object_name, thread_name
from capkernel.tools.explain.missing import Argument, EmptySlot, Missing, ObjectState, OtherCaller, Words
from capkernel.tools.explain.walk import BAD_DEPTH, Walk, holds_nothing, is_kind, walk

Verdicts = Iterator[tuple[int, Missing]]
GUARD_SIZE_MASK = 63
"""Where a guard word holds the size of the guard."""


@dataclass
class Case:
    """An invocation of ``cap`` in ``slot``; ``walks`` collects the further slots that were looked up."""

    state: State
    thread: TCB
    call: Call
    slot: Slot
    cap: Cap
    spec: InvocationSpec
    walks: list[Walk] = field(default_factory=list)

    def word(self, name: str) -> int:
        """An argument by its name."""
        return self.call.arg(self.spec.words.index(name))

    def extra(self, name: str) -> Slot:
        """The slot of an extra cap by its name."""
        return self.call.extra_caps[self.spec.caps.index(name)]

    def too_short(self, words: int | None = None, caps: int | None = None) -> Verdicts:
        """The message must carry so much; by default all that the invocation takes."""
        words = len(self.spec.words) if words is None else words
        caps = len(self.spec.caps) if caps is None else caps
        if self.call.length < words or len(self.call.extra_caps) < caps:
            yield err.TRUNCATED_MESSAGE, self.longer(words, caps)

    def longer(self, words: int, caps: int) -> Missing:
        """The message is too short: of itself, or because only an IPC buffer can carry the rest."""
        if not self.call.buffer and (words > self.call.length or caps):
            buffer = self.thread.buffer_slot
            return holds_nothing(buffer, "Frame", that="that is readable, and is the thread's IPC buffer")
        return Words(words, caps, self.call.length, len(self.call.extra_caps))

    def outside(self, name: str, low: int, high: int, code: int = err.RANGE_ERROR) -> Verdicts:
        """An argument must lie in low .. high."""
        value = self.word(name)
        if not low <= value <= high:
            yield code, Argument(name, value, low, high)

    def not_kind(self, slot: Slot, code: int, *kinds: str, that: str = "") -> Verdicts:
        """A slot must hold a cap of one of these kinds."""
        if not is_kind(slot, *kinds):
            yield code, holds_nothing(slot, *kinds, that=that)

    def target(self, root: Slot, index: str, depth: str, what: str) -> Walk:
        """Walk to the slot that a CNode operation addresses."""
        found = walk(root, self.word(index), self.word(depth), what, exact=True, names=(index, depth))
        self.walks.append(found)
        return found

    def not_found(self, found: Walk) -> Verdicts:
        """A CNode address must lead to a slot."""
        if found.missing is not None:
            yield err.RANGE_ERROR if found.failure == BAD_DEPTH else err.FAILED_LOOKUP, found.missing

    def not_empty(self, slot: Slot | None) -> Verdicts:
        """A slot must be empty."""
        if slot is not None and slot.cap is not NULL:
            yield err.DELETE_FIRST, EmptySlot(place_of(slot), in_words(slot.cap))

    def own(self, tcb: TCB) -> Verdicts:
        """A thread must not do this to itself."""
        if tcb is self.thread:
            yield err.ILLEGAL_OPERATION, OtherCaller(thread_name(tcb), tcb.paddr)


def guard_too_long(name: str, data: int, cap: CNodeCap) -> Argument:
    """The size of a guard, which is in the low bits of its word, must leave room for the radix."""
    return Argument(name, data & GUARD_SIZE_MASK, 0, WORD_BITS - cap.radix, mask=GUARD_SIZE_MASK)


def specs_of(kind: str) -> tuple[str, ...]:
    """The invocations that a kind of cap has."""
    return tuple(spec.name for spec in BY_LABEL.values() if kind_of(spec) == kind)


_KIND_OF: dict[str, str] = {
    "Page": "Frame", "DomainSet": "Domain", "IOPageTable": "IOPageTable",
}  # fmt: skip


def kind_of(spec: InvocationSpec) -> str:
    """The kind of cap that an invocation is made on."""
    prefix = spec.name.split("_")[0]
    return _KIND_OF.get(prefix, prefix)


def state_of(
    thing: object, paddr: int, field_name: str, found: str, wanted: str, remedy: str, on: object | None = None
) -> ObjectState:
    """An object must be in another state; the remedy is on the object itself unless ``on`` says otherwise."""
    target = thing if on is None else on
    name = thing if isinstance(thing, str) else object_name(thing)
    on_name = target if isinstance(target, str) else object_name(target)
    on_paddr = paddr if on is None else int(getattr(on, "paddr", 0))
    return ObjectState(name, paddr, field_name, found, wanted, remedy, on_name, on_paddr)


def not_released(state: State, sc: SchedContext) -> Verdicts:
    """A blocked thread can only be given a scheduling context that could run it at once."""
    if is_released(state, sc):
        return
    if is_active(sc):
        wanted, remedy = f"usable now (it is tick {state.time})", "SchedControl_ConfigureFlags"
        found = f"not before tick {sc.refills[0].time}"
    else:
        found, wanted, remedy = "never configured", "configured", "SchedControl_ConfigureFlags"
    yield err.ILLEGAL_OPERATION, state_of(sc, sc.paddr, "budget", found, wanted, remedy)


def not_vspace(case: Case, slot: Slot) -> Verdicts:
    """A slot must hold the root table of an address space: InvalidCapability if it is none, or another one's."""
    cap = slot.cap
    if not isinstance(cap, PageTableCap) or not cap.is_mapped:
        yield err.INVALID_CAPABILITY, holds_nothing(slot, "PageTable", that="that is assigned to an ASID")


def not_live_root(case: Case, slot: Slot) -> Verdicts:
    """Its ASID must lead to this very table."""
    cap = slot.cap
    assert isinstance(cap, PageTableCap)
    root = vspace.vspace_root(case.state, cap.asid)
    if root != cap.paddr:
        code = err.INVALID_CAPABILITY if root else err.FAILED_LOOKUP
        yield code, holds_nothing(slot, "PageTable", that="that is the root of a live address space")


def table_bits(bits: int) -> int:
    """The size of an entry one level further down."""
    return max(PAGE_BITS, bits - vspace.INDEX_BITS)
