"""Domains: which threads run in which part of the schedule, and the schedule itself (manual, section 6.4)."""

from functools import partial

from capkernel.abi import labels
from capkernel.kernel import scheduler
from capkernel.kernel.caps import DomainCap, ThreadCap
from capkernel.kernel.errors import illegal_operation, invalid_argument, range_error
from capkernel.kernel.invocations.call import Call, Invocation
from capkernel.kernel.objects import Slot
from capkernel.kernel.state import DOMAIN_MAX_DURATION, State
from capkernel.kernel.thread import set_domain

END_MARKER = (0, 0)


def decode_domain(state: State, call: Call, slot: Slot, cap: DomainCap) -> Invocation:
    """All DomainSet methods."""
    match call.label:
        case labels.DOMAIN_SET_SET:
            return _decode_set(state, call)
        case labels.DOMAIN_SCHEDULE_CONFIGURE:
            return _decode_configure(state, call)
        case labels.DOMAIN_SCHEDULE_SET_START:
            return _decode_set_start(state, call)
        case _:
            raise illegal_operation()


def _decode_set(state: State, call: Call) -> Invocation:
    call.require(1)
    domain = call.arg(0)
    if domain >= state.config.num_domains:
        raise invalid_argument(0)
    call.require(1, caps=1)
    cap = call.cap(0)
    if not isinstance(cap, ThreadCap):
        raise invalid_argument(1)
    return partial(set_domain, state, cap.tcb, domain)


def _decode_configure(state: State, call: Call) -> Invocation:
    """ScheduleConfigure: index, domain, duration in ticks; (0, 0) is an end marker, which the start cannot be."""
    call.require(3)
    index, domain, duration = call.args(3)
    last = len(state.domain_schedule) - 2
    if index > last:
        raise range_error(0, last)
    if domain >= state.config.num_domains:
        raise range_error(0, state.config.num_domains - 1)
    if duration > DOMAIN_MAX_DURATION:
        raise invalid_argument(2)
    if duration == 0 and domain != 0:
        raise invalid_argument(1)
    if duration == 0 and index == state.domain_start:
        raise invalid_argument(2)
    return partial(perform_configure, state, index, domain, duration)


def perform_configure(state: State, index: int, domain: int, duration: int) -> None:
    """Set one entry of the schedule; it counts from the next time the entry is reached."""
    state.domain_schedule[index] = (domain, duration)


def _decode_set_start(state: State, call: Call) -> Invocation:
    call.require(1)
    index = call.arg(0)
    if index >= len(state.domain_schedule):
        raise range_error(0, len(state.domain_schedule) - 1)
    if state.domain_schedule[index] == END_MARKER:
        raise invalid_argument(0)
    return partial(perform_set_start, state, index)


def perform_set_start(state: State, index: int) -> None:
    """Go to a new start of the schedule at once."""
    state.domain_start = index
    state.domain_time = 0
    state.domain_index = len(state.domain_schedule) - 2
    scheduler.reschedule_required(state)
