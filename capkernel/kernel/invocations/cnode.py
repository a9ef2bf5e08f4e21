"""CNodes: copying, minting, moving and destroying caps (manual, section 3.1.2)."""

from functools import partial

from capkernel.abi import errors as err
from capkernel.abi import labels
from capkernel.abi import rights as rt
from capkernel.kernel import deletion, endpoint, slots
from capkernel.kernel.budget import preemption_point
from capkernel.kernel.caps import CNodeCap, EndpointCap, mask_cap_rights, update_cap_data
from capkernel.kernel.cspace import lookup_cnode_slot
from capkernel.kernel.errors import failed_lookup, illegal_operation, truncated_message
from capkernel.kernel.invocations.call import Call, Invocation
from capkernel.kernel.objects import NULL, Cap, Slot
from capkernel.kernel.state import State

_WORDS = {labels.CNODE_COPY: 5, labels.CNODE_MINT: 6, labels.CNODE_MOVE: 4, labels.CNODE_MUTATE: 5}


def decode_cnode(state: State, call: Call, slot: Slot, cap: CNodeCap) -> Invocation:
    """All CNode methods: the target slot is ``index``, ``depth`` below the invoked CNode."""
    label = call.label
    if not labels.CNODE_REVOKE <= label <= labels.CNODE_ROTATE:
        raise illegal_operation()
    call.require(2)
    index, depth = call.args(2)
    dest = lookup_cnode_slot(cap, index, depth)
    match label:
        case labels.CNODE_REVOKE:
            return partial(deletion.revoke, state, dest)
        case labels.CNODE_DELETE:
            return partial(deletion.delete, state, dest)
        case labels.CNODE_CANCEL_BADGED_SENDS:
            return _decode_cancel_badged_sends(state, dest)
        case labels.CNODE_ROTATE:
            return _decode_rotate(call, dest)
        case _:
            return _decode_insert(call, dest)


def _source_slot(root: Cap, index: int, depth: int) -> Slot:
    return lookup_cnode_slot(root, index, depth, is_source=True)


def _decode_insert(call: Call, dest: Slot) -> Invocation:
    """Copy, Mint, Move, Mutate: the source is looked up after the destination was found empty."""
    call.require(4, caps=1)
    slots.ensure_empty(dest)
    depth = call.arg(3)
    source = _source_slot(call.cap(0), call.arg(2), depth)
    if source.cap is NULL:
        raise failed_lookup(err.MISSING_CAPABILITY, depth, is_source=True)
    if call.length < _WORDS[call.label]:
        raise truncated_message()
    new = _new_cap(call, source)
    if new is NULL:
        raise illegal_operation()
    moves = call.label in (labels.CNODE_MOVE, labels.CNODE_MUTATE)
    return partial(slots.move if moves else slots.insert_derived, new, source, dest)


def _new_cap(call: Call, source: Slot) -> Cap:
    match call.label:
        case labels.CNODE_COPY:
            return slots.derive_cap(source, mask_cap_rights(call.arg(4), source.cap))
        case labels.CNODE_MINT:
            masked = mask_cap_rights(call.arg(4), source.cap)
            return slots.derive_cap(source, update_cap_data(masked, call.arg(5), preserve=False))
        case labels.CNODE_MOVE:
            return source.cap
        case _:
            return update_cap_data(source.cap, call.arg(4), preserve=True)


def _decode_rotate(call: Call, dest: Slot) -> Invocation:
    """Rotate: the pivot's cap goes to dest, the source's to pivot; with dest equal to source it is a swap."""
    call.require(8, caps=2)
    words = call.args(8)
    source = _source_slot(call.cap(1), words[6], words[7])
    pivot = _source_slot(call.cap(0), words[3], words[4])
    if pivot is source or pivot is dest:
        raise illegal_operation()
    if source is not dest:
        slots.ensure_empty(dest)
    if source.cap is NULL:
        raise failed_lookup(err.MISSING_CAPABILITY, words[7], is_source=True)
    if pivot.cap is NULL:
        raise failed_lookup(err.MISSING_CAPABILITY, words[4])
    source_cap = update_cap_data(source.cap, words[5], preserve=True)
    pivot_cap = update_cap_data(pivot.cap, words[2], preserve=True)
    if source_cap is NULL or pivot_cap is NULL:
        raise illegal_operation()
    return partial(perform_rotate, source_cap, source, pivot_cap, pivot, dest)


def perform_rotate(source_cap: Cap, source: Slot, pivot_cap: Cap, pivot: Slot, dest: Slot) -> None:
    """Carry out a decoded Rotate (invokeCNodeRotate)."""
    if source is dest:
        slots.swap(source_cap, source, pivot_cap, pivot)
    else:
        slots.move(pivot_cap, pivot, dest)
        slots.move(source_cap, source, pivot)


def _decode_cancel_badged_sends(state: State, dest: Slot) -> Invocation:
    cap = dest.cap
    if not isinstance(cap, EndpointCap) or cap.rights != rt.ALL:
        raise illegal_operation()
    return partial(perform_cancel_badged_sends, state, cap)


def perform_cancel_badged_sends(state: State, cap: EndpointCap) -> None:
    """Senders through caps of this badge start over; an unbadged cap means nobody."""
    if cap.badge:
        pause = preemption_point if state.config.fix_atomic_cancel else None
        endpoint.cancel_badged_sends(state, cap.endpoint, cap.badge, pause)
