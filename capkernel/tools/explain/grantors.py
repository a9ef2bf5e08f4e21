"""Who could help: threads that hold a cap from which the missing one can be derived, or that can restore a state."""

from collections.abc import Callable, Iterator
from typing import Any

from attrs import frozen

from capkernel.abi import objects as obj
from capkernel.abi import rights as rt
from capkernel.abi.objects import PAGE_BITS
from capkernel.kernel.caps import (
    CNodeCap,
    EndpointCap,
    FrameCap,
    NotificationCap,
    PageTableCap,
    SchedControlCap,
    ThreadCap,
    UntypedCap,
    badge_of,
    region_of,
    same_object_as,
)
from capkernel.kernel.fault_delivery import is_valid_handler
from capkernel.kernel.objects import TCB, Cap, CNode, Slot
from capkernel.kernel.state import State
from capkernel.kernel.vspace import vspace_root
from capkernel.tools.explain import missing as m
from capkernel.tools.explain.census import Holding, holdings, place_of, slot_at, threads
from capkernel.tools.explain.describe import in_words, kind_name, thread_name

Test = Callable[[TCB, Cap], str]
"""What a thread could do with a cap that it holds, towards what is missing; empty: nothing."""

PER_THREAD = 4
"""So many caps of one thread are told; more would not tell more."""


@frozen
class Grantor:
    """A thread that could help: with which cap, in which slot, at which of its cap addresses, and how."""

    thread: str
    paddr: int
    place: m.Place
    address: int | None
    cap: str
    how: str

    def __str__(self) -> str:
        at = f" at {self.address:#x}" if self.address is not None else ""
        return f"{self.thread} could {self.how}: it holds {self.cap} in {self.place}{at}"


def grantors(state: State, missing: m.Missing) -> tuple[Grantor, ...]:
    """The threads that could give what is missing, with the caps that let them."""
    test = _test_for(state, missing)
    if test is None:
        return ()
    return tuple(grantor for thread in threads(state) for grantor in _of_thread(thread, test))


def _of_thread(thread: TCB, test: Test) -> Iterator[Grantor]:
    count = 0
    for holding in holdings(thread):
        how = test(thread, holding.slot.cap)
        if how:
            yield _grantor(thread, holding, how)
            count += 1
            if count == PER_THREAD:
                return


def _grantor(thread: TCB, holding: Holding, how: str) -> Grantor:
    slot = holding.slot
    return Grantor(thread_name(thread), thread.paddr, place_of(slot), holding.address, in_words(slot.cap), how)


def _test_for(state: State, missing: m.Missing) -> Test | None:
    """What to look for, by the kind of what is missing; None if nobody needs to grant anything."""
    match missing:
        case m.Right():
            return _more_rights(state, missing)
        case m.CapOfKind():
            return _a_cap(state, missing)
        case m.EmptySlot() | m.Guard() | m.NoChildren():
            return _reaches(missing.place)
        case m.OnlyCap():
            return _reaches(missing.others[0]) if missing.others else None
        case m.SecondCap():
            return _another(state, missing.place)
        case m.Memory():
            return lambda _, cap: "retype" if _is_memory(cap, missing.size_bits) else ""
        case m.ObjectState():
            return lambda _, cap: missing.remedy if _is_for(cap, missing) else ""
        case m.Authority():
            return lambda _, cap: "lend its authority" if _has_mcp(cap, missing.wanted) else ""
        case m.OtherCaller():
            return lambda thread, cap: "do it" if _other(thread, cap, missing.paddr) else ""
        case m.Table():
            return lambda _, cap: "map a page table" if _is_table(cap) else ""
        case m.Mapped():
            return lambda _, cap: "map it" if _is_frame(cap, missing) else ""
        case m.Unmapped():
            return lambda _, cap: "unmap it" if _maps(cap, missing) else ""
        case m.Time():
            return lambda _, cap: "give more time" if isinstance(cap, SchedControlCap) else ""
        case _:
            return None


def _more_rights(state: State, missing: m.Right) -> Test | None:
    held = slot_at(state, missing.place)
    if held is None:
        return None

    def test(_: TCB, cap: Cap) -> str:
        if not same_object_as(held.cap, cap) or getattr(cap, "rights", 0) & missing.wanted != missing.wanted:
            return ""
        return "copy its cap" if badge_of(cap) == badge_of(held.cap) else "mint its cap" if not badge_of(cap) else ""

    return test


_MADE_BY_RETYPE = {
    "TCB": obj.TCB_BITS, "Endpoint": obj.ENDPOINT_BITS, "Notification": obj.NOTIFICATION_BITS, "Reply": obj.REPLY_BITS,
    "CNode": obj.SLOT_BITS + 1, "SchedContext": obj.MIN_SCHED_CONTEXT_BITS, "Frame": PAGE_BITS,
    "PageTable": obj.PAGE_TABLE_BITS, "Untyped": obj.MIN_UNTYPED_BITS,
}  # fmt: skip


def _rights(cap: Cap) -> int:
    return cap.rights if isinstance(cap, EndpointCap | NotificationCap | FrameCap) else 0


Fits = Callable[[State, Any], bool]

_FITS: dict[str, Fits] = {
    "that is readable, and is the thread's IPC buffer": lambda _, cap: bool(_rights(cap) & rt.READ),
    "that is assigned to an ASID": lambda _, cap: cap.is_mapped,
    "that is the root of a live address space": lambda state, cap: vspace_root(state, cap.asid) == cap.paddr,
    "that is not mapped": lambda _, cap: not cap.is_mapped,
    "with right R": lambda _, cap: bool(_rights(cap) & rt.READ),
    "with right W": lambda _, cap: bool(_rights(cap) & rt.WRITE),
    "with all rights": lambda _, cap: _rights(cap) == rt.ALL,
    "with rights W and G or P": lambda _, cap: is_valid_handler(cap),
    "without badge": lambda _, cap: badge_of(cap) == 0,
    "that is not device memory": lambda _, cap: not cap.is_device,
    f"of exactly 2**{obj.ASID_POOL_BITS} bytes of ordinary memory": lambda _, cap: (
        cap.size_bits == obj.ASID_POOL_BITS and not cap.is_device
    ),
    "of ordinary memory": lambda _, cap: not cap.is_device,
    "of 4 KiB": lambda _, cap: cap.size_bits == PAGE_BITS,
    "that is the master": lambda _, cap: cap.request_id == 0,
    "of one device": lambda _, cap: cap.request_id != 0,
}
"""What the words in ``CapOfKind.that`` ask of a cap of the right kind; other words are about the object."""


def _another_object(held: Slot | None) -> Fits:
    return lambda _, cap: held is None or not same_object_as(held.cap, cap)


def _a_cap(state: State, missing: m.CapOfKind) -> Test:
    anything, held = "any object" in missing.kinds, slot_at(state, missing.place)
    fits = _FITS.get(missing.that) or _another_object(held)
    least = min((_MADE_BY_RETYPE[kind] for kind in missing.kinds if kind in _MADE_BY_RETYPE), default=64)

    def test(_: TCB, cap: Cap) -> str:
        if anything or (kind_name(cap) in missing.kinds and fits(state, cap)):
            return "give a cap of this kind"
        return "make one by Retype" if _is_memory(cap, least) else ""

    return test


def _is_memory(cap: Cap, size_bits: int) -> bool:
    """Ordinary untyped memory with so much room left."""
    if not isinstance(cap, UntypedCap) or cap.is_device:
        return False
    return (1 << cap.size_bits) - cap.free_offset >= 1 << size_bits


def _reaches(place: m.Place) -> Test | None:
    if place.container != CNode.__name__:
        return None
    return lambda _, cap: "change that slot" if isinstance(cap, CNodeCap) and cap.cnode.paddr == place.paddr else ""


def _another(state: State, place: m.Place) -> Test | None:
    held = slot_at(state, place)
    region = None if held is None else region_of(held.cap)
    if region is None:
        return None
    return lambda _, cap: (
        "revoke the memory that it is made of"
        if isinstance(cap, UntypedCap) and cap.paddr <= region[0] < cap.paddr + (1 << cap.size_bits)
        else ""
    )


def _is_for(cap: Cap, missing: m.ObjectState) -> bool:
    """Whether the remedy can be invoked on this cap."""
    if missing.remedy == "Signal":
        return kind_name(cap) == "Notification" and (region_of(cap) or (0,))[0] == missing.paddr
    if missing.remedy == "SchedControl_ConfigureFlags":
        return isinstance(cap, SchedControlCap)
    if kind_name(cap) != missing.on:
        return False
    region = region_of(cap)
    return region is None or missing.on_paddr in (0, region[0])


def _has_mcp(cap: Cap, wanted: int) -> bool:
    return isinstance(cap, ThreadCap) and cap.tcb.mcp >= wanted


def _other(thread: TCB, cap: Cap, paddr: int) -> bool:
    return thread.paddr != paddr and isinstance(cap, ThreadCap) and cap.tcb.paddr == paddr


def _is_table(cap: Cap) -> bool:
    return (isinstance(cap, PageTableCap) and not cap.is_mapped) or _is_memory(cap, obj.PAGE_TABLE_BITS)


def _is_frame(cap: Cap, missing: m.Mapped) -> bool:
    """A frame that could be mapped there: the one that is, or any other, with the rights wanted."""
    if not isinstance(cap, FrameCap) or (missing.frame is not None and cap.paddr != missing.frame):
        return False
    wanted = (2 if "R" in missing.wanted else 0) | (1 if "W" in missing.wanted else 0)
    return cap.rights & wanted == wanted


def _maps(cap: Cap, missing: m.Unmapped) -> bool:
    return (
        isinstance(cap, FrameCap | PageTableCap)
        and cap.asid != 0
        and cap.vaddr >> missing.bits == missing.vaddr >> missing.bits
    )
