"""Systems whose supervisor stops, destroys and rebuilds others: their files, and what of them is compared."""

from collections.abc import Mapping
from pathlib import Path

from capkernel.kernel.caps import (
    CNodeCap,
    EndpointCap,
    FrameCap,
    IRQHandlerCap,
    NotificationCap,
    PageTableCap,
    ReplyCap,
    SchedContextCap,
    ThreadCap,
    UntypedCap,
)
from capkernel.kernel.objects import NULL, TCB, Cap, CNode
from capkernel.system.board import DEFAULT_BOARD, Board
from capkernel.tools.tour_systems import Booted

SUPERVISOR = """
from capkernel.user import lifecycle
from capkernel.user.lifecycle import LifecycleError, State
from capkernel.user.loop import PD
from capkernel.user.syscalls import Message

CAP = 300

async def again(pd, cap=CAP, program=None):
    await lifecycle.rebuild(pd.sys, cap, program)
    return await lifecycle.start(pd.sys, cap)

"""
"""What every supervisor begins with."""


def boot(place: Path, system: str, programs: Mapping[str, str], *, board: Board = DEFAULT_BOARD) -> Booted:
    """A system of these texts, booted up to where its domains have been started."""
    (place / "it.system").write_text(f"<system>{system}</system>")
    for name, text in programs.items():
        (place / f"{name}.py").write_text(text)
    booted = Booted(place / "it.system", board=board)
    booted.boot()
    return booted


def pd(name: str, priority: int, inside: str = "", **attributes: str) -> str:
    """A protection domain whose program has its name."""
    more = "".join(f' {key}="{value}"' for key, value in attributes.items())
    image = f'<program_image path="{name}.elf"/>'
    return f'<protection_domain name="{name}" priority="{priority}"{more}>{image}{inside}</protection_domain>'


def lifecycle(of: str, slot: int = 300, pd: str = "supervisor", more: str = "") -> str:
    """A lifecycle grant."""
    return f'<?capkernel grant pd="{pd}" kind="lifecycle" of="{of}" slot="{slot}" {more}?>'


Held = dict[tuple[str, ...], tuple[object, ...]]


def distribution(booted: Booted) -> Held:
    """Which caps each domain holds where, each object by the way in which it is first reached.

    A domain's spaces, time, mappings and bindings count as well. Physical addresses do, but not those of objects
    that are made anew.
    """
    return _Survey(booted).held


class _Survey:
    def __init__(self, booted: Booted) -> None:
        self.system = booted.system
        self.held: Held = {}
        self.names: dict[int, str] = {}
        for name, thread in sorted(self.system.threads.items()):
            self.names[id(thread)] = name
        for name, thread in sorted(self.system.threads.items()):
            self._thread(name, thread)

    def _thread(self, name: str, thread: TCB) -> None:
        root = thread.cspace_slot.cap
        assert isinstance(root, CNodeCap)
        for index, slot in enumerate(thread.slots.values()):
            self.held[name, "tcb", str(index)] = self._cap(slot.cap, f"{name} tcb {index}")
        self._cnode(name, root.cnode, ())
        sc = thread.sched_context
        time = None if sc is None else (self._name(sc, f"{name} sc"), sc.period, sc.refill_max, sc.badge)
        bound = thread.bound_notification
        self.held[name, "thread"] = (
            thread.priority, thread.mcp, thread.domain, thread.flags, thread.ipc_buffer, time,
            None if bound is None else self._name(bound, f"{name} notification"),
        )  # fmt: skip

    def _cnode(self, name: str, cnode: CNode, path: tuple[str, ...]) -> None:
        for index, slot in sorted(cnode.slots.items()):
            if slot.cap is NULL:
                continue
            here = (*path, str(index))
            known = id(getattr(slot.cap, "cnode", None)) in self.names
            self.held[name, *here] = self._cap(slot.cap, " ".join((name, *here)))
            if isinstance(slot.cap, CNodeCap) and not known:
                self._cnode(name, slot.cap.cnode, here)

    def _name(self, thing: object, here: str) -> str:
        return self.names.setdefault(id(thing), here)

    def _cap(self, cap: Cap, here: str) -> tuple[object, ...]:
        kind = type(cap).__name__
        match cap:
            case EndpointCap():
                return kind, self._name(cap.endpoint, here), cap.badge, cap.rights
            case NotificationCap():
                return kind, self._name(cap.notification, here), cap.badge, cap.rights
            case ReplyCap():
                return kind, self._name(cap.reply, here), cap.can_grant
            case CNodeCap():
                return kind, self._name(cap.cnode, here), cap.radix, cap.guard, cap.guard_size
            case ThreadCap():
                return kind, self._name(cap.tcb, here)
            case SchedContextCap():
                return kind, self._name(cap.sched_context, here)
            case PageTableCap():
                return kind, self._mapped(cap.paddr, 0), cap.is_mapped
            case FrameCap():
                return kind, cap.size_bits, cap.rights, cap.is_device, cap.vaddr, bool(cap.asid), cap.io
            case UntypedCap():
                return kind, cap.paddr, cap.size_bits
            case IRQHandlerCap():
                return kind, cap.irq
        return (kind,)

    def _mapped(self, table: int, vaddr: int, level: int = 2) -> tuple[object, ...]:
        """What an address space maps: addresses, rights, and of memory regions where they lie."""
        found: list[object] = []
        for index in range(512):
            entry = self.system.machine.read_word(table + 8 * index)
            here = vaddr + (index << 12 + 9 * level)
            if entry & 1 and entry & 0xE:
                found.append((here, level, entry & 0xFF))
            elif entry & 1:
                found += self._mapped((entry >> 10) << 12, here, level - 1)
        return tuple(found)
