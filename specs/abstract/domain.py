"""Domain invocations: which threads share a turn, and the schedule of the turns (manual, section 6.4)."""

from functools import partial

from capkernel.abi import errors as err
from capkernel.abi import labels
from specs.abstract.caps import DomainCap, ThreadCap
from specs.abstract.invocation import Call, Invocation, require
from specs.abstract.scheduler import reschedule_required
from specs.abstract.state import MAX_DURATION, State, SyscallError, get_cap
from specs.abstract.thread import set_domain


def decode_domain_invocation(s: State, call: Call, cap: DomainCap) -> Invocation:
    """All methods of the domain cap. Raises SyscallError."""
    match call.label:
        case labels.DOMAIN_SET_SET:
            return _decode_set(s, call)
        case labels.DOMAIN_SCHEDULE_CONFIGURE:
            return _decode_schedule_configure(s, call)
        case labels.DOMAIN_SCHEDULE_SET_START:
            return _decode_set_start(s, call)
        case _:
            raise SyscallError(err.ILLEGAL_OPERATION)


def _decode_set(s: State, call: Call) -> Invocation:
    require(call, 1)
    if call.arg(0) >= s.config.num_domains:
        raise SyscallError(err.INVALID_ARGUMENT, 0)
    require(call, 1, 1)
    cap = get_cap(s, call.extra_caps[0])
    if not isinstance(cap, ThreadCap):
        raise SyscallError(err.INVALID_ARGUMENT, 1)
    return partial(set_domain, s, cap.ptr, call.arg(0))


def _decode_schedule_configure(s: State, call: Call) -> Invocation:
    """One entry; of duration 0 it marks the end. The last entry always does, so it cannot be set."""
    require(call, 3)
    index, domain, duration = call.arg(0), call.arg(1), call.arg(2)
    if index > len(s.domain_list) - 2:
        raise SyscallError(err.RANGE_ERROR, 0, len(s.domain_list) - 2)
    if domain >= s.config.num_domains:
        raise SyscallError(err.RANGE_ERROR, 0, s.config.num_domains - 1)
    if duration > MAX_DURATION:
        raise SyscallError(err.INVALID_ARGUMENT, 2)
    if duration == 0 and domain:
        raise SyscallError(err.INVALID_ARGUMENT, 1)
    if duration == 0 and index == s.domain_start:
        raise SyscallError(err.INVALID_ARGUMENT, 2)
    return partial(_schedule_configure, s, index, domain, duration)


def _schedule_configure(s: State, index: int, domain: int, duration: int) -> None:
    entries = list(s.domain_list)
    entries[index] = domain, duration
    s.domain_list = tuple(entries)


def _decode_set_start(s: State, call: Call) -> Invocation:
    require(call, 1)
    index = call.arg(0)
    if index >= len(s.domain_list):
        raise SyscallError(err.RANGE_ERROR, 0, len(s.domain_list) - 1)
    if s.domain_list[index] == (0, 0):
        raise SyscallError(err.INVALID_ARGUMENT, 0)
    return partial(_set_start, s, index)


def _set_start(s: State, index: int) -> None:
    """The present turn is over; the next entry is an end marker, and so the new start is next."""
    s.domain_start = index
    s.domain_time = 0
    s.domain_index = len(s.domain_list) - 2
    reschedule_required(s)
