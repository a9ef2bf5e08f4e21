"""CNode invocations: copying, moving and destroying caps (manual, section 3.1.2)."""

from functools import partial

from capkernel.abi import errors as err
from capkernel.abi import labels
from capkernel.abi import rights as rt
from specs.abstract.caps import Cap, CNodeCap, EndpointCap, NullCap, mask_cap, update_cap_data
from specs.abstract.cdt import cap_insert, cap_move, cap_swap, derive_cap, ensure_empty
from specs.abstract.cspace import lookup_slot_for_cnode_op
from specs.abstract.finalise import cap_delete, cap_revoke
from specs.abstract.invocation import Call, Invocation, require
from specs.abstract.ipc import cancel_badged_sends
from specs.abstract.state import CSlot, State, SyscallError, get_cap

_LENGTH = {labels.CNODE_COPY: 5, labels.CNODE_MINT: 6, labels.CNODE_MOVE: 4, labels.CNODE_MUTATE: 5}


def decode_cnode_invocation(s: State, call: Call, cap: CNodeCap) -> Invocation:
    """All CNode methods name their target by index and depth below the invoked cap. Raises SyscallError."""
    if not labels.CNODE_REVOKE <= call.label <= labels.CNODE_ROTATE:
        raise SyscallError(err.ILLEGAL_OPERATION)
    require(call, 2)
    target = lookup_slot_for_cnode_op(s, False, cap, call.arg(0), call.arg(1))
    if call.label in _LENGTH:
        return _decode_insert_or_move(s, call, target)
    if call.label == labels.CNODE_REVOKE:
        return partial(cap_revoke, s, target)
    if call.label == labels.CNODE_DELETE:
        return partial(cap_delete, s, target)
    if call.label == labels.CNODE_ROTATE:
        return _decode_rotate(s, call, target)
    return _decode_cancel_badged_sends(s, get_cap(s, target))


def _decode_insert_or_move(s: State, call: Call, dest: CSlot) -> Invocation:
    require(call, 4, 1)
    ensure_empty(s, dest)
    depth = call.arg(3)
    src = lookup_slot_for_cnode_op(s, True, get_cap(s, call.extra_caps[0]), call.arg(2), depth)
    cap = get_cap(s, src)
    if isinstance(cap, NullCap):
        raise SyscallError(err.FAILED_LOOKUP, 1, err.MISSING_CAPABILITY, depth)
    require(call, _LENGTH[call.label])
    if call.label in (labels.CNODE_COPY, labels.CNODE_MINT):
        masked = mask_cap(call.arg(4), cap)
        wanted = masked if call.label == labels.CNODE_COPY else update_cap_data(False, call.arg(5), masked)
        new, insert = derive_cap(s, src, wanted), cap_insert
    else:
        new = cap if call.label == labels.CNODE_MOVE else update_cap_data(True, call.arg(4), cap)
        insert = cap_move
    if isinstance(new, NullCap):
        raise SyscallError(err.ILLEGAL_OPERATION)
    return partial(insert, s, new, src, dest)


def _decode_rotate(s: State, call: Call, dest: CSlot) -> Invocation:
    """The pivot's cap goes to ``dest``, the source's to the pivot."""
    require(call, 8, 2)
    src = lookup_slot_for_cnode_op(s, True, get_cap(s, call.extra_caps[1]), call.arg(6), call.arg(7))
    pivot = lookup_slot_for_cnode_op(s, True, get_cap(s, call.extra_caps[0]), call.arg(3), call.arg(4))
    if pivot in (src, dest):
        raise SyscallError(err.ILLEGAL_OPERATION)
    if src != dest:
        ensure_empty(s, dest)
    for slot, depth, is_source in ((src, call.arg(7), 1), (pivot, call.arg(4), 0)):
        if slot not in s.caps:
            raise SyscallError(err.FAILED_LOOKUP, is_source, err.MISSING_CAPABILITY, depth)
    src_cap = update_cap_data(True, call.arg(5), get_cap(s, src))
    pivot_cap = update_cap_data(True, call.arg(2), get_cap(s, pivot))
    if isinstance(src_cap, NullCap) or isinstance(pivot_cap, NullCap):
        raise SyscallError(err.ILLEGAL_OPERATION)
    return partial(invoke_cnode_rotate, s, src_cap, pivot_cap, src, pivot, dest)


def invoke_cnode_rotate(s: State, src_cap: Cap, pivot_cap: Cap, src: CSlot, pivot: CSlot, dest: CSlot) -> None:
    """With ``dest`` equal to ``src`` the two caps change places."""
    if src == dest:
        cap_swap(s, src_cap, src, pivot_cap, pivot)
    else:
        cap_move(s, pivot_cap, pivot, dest)
        cap_move(s, src_cap, src, pivot)


def _decode_cancel_badged_sends(s: State, cap: Cap) -> Invocation:
    if not isinstance(cap, EndpointCap) or cap.rights != rt.ALL:
        raise SyscallError(err.ILLEGAL_OPERATION)
    return partial(_invoke_cancel_badged_sends, s, cap)


def _invoke_cancel_badged_sends(s: State, cap: EndpointCap) -> None:
    if cap.badge:
        cancel_badged_sends(s, cap.ptr, cap.badge)
