"""Making up programs: every invocation and system call with well-formed, nearly right and random arguments.

All decisions are asked of a ``Chooser``, so that the same grammar serves Hypothesis (which shrinks what it finds) and
a plain random generator (which is faster). Nothing here knows what any bug looks like.
"""

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol, TypeVar

from capkernel.abi import iospace as io
from capkernel.abi import labels
from capkernel.abi import syscalls as sc
from capkernel.abi.labels import BY_LABEL, InvocationSpec
from capkernel.abi.words import WORD_MASK
from specs.programs.layout import ASK, BUFFERS, FREE, INSN_PC, IRQ_LINE, MAPPED_AT, SLOTS, TEST_BITS
from specs.programs.model import Access, Compute, Dma, Interrupt, Layout, Program, Step, Syscall, Worker
from specs.programs.partitions import LAYOUT as PARTITIONED
from specs.sight import Place, Sight

T = TypeVar("T")


class Chooser(Protocol):
    """Whoever decides."""

    def of(self, options: Sequence[T]) -> T:
        """One of the options."""

    def number(self, low: int, high: int) -> int:
        """A number from ``low`` to ``high``."""


class RandomChooser:
    """Decides by a pseudo-random generator."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def of(self, options: Sequence[T]) -> T:
        """One of the options."""
        return options[int(self.random.random() * len(options))]

    def number(self, low: int, high: int) -> int:
        """A number from ``low`` to ``high``."""
        return self.random.randint(low, high)


def _slots(*names: str) -> tuple[int, ...]:
    return tuple(SLOTS[name] for name in names)


CNODES = _slots("cnode", "cnode", "cnode", "cnode", "cnode", "cnode4", "cnode2", "own_cnode")
ENDPOINTS = _slots("ep0", "ep1", "ep0_badged", "ep1_badged")
NOTIFICATIONS = _slots("ntfn0", "ntfn1", "ntfn0_badge1", "ntfn0_badge2")
REPLIES = _slots("reply0", "reply1", "reply2")
THREADS = _slots("tcb0", "tcb1", "tcb2", "tcb3", "tcb_fresh", "tcb_root")
SCHED_CONTEXTS = _slots("sc0", "sc1", "sc2", "sc3", "sc_spare", "sc_fresh", "sc_root")
FRAMES = _slots("frame0", "frame1", "frame0_readonly", "mega_frame", "frame_mapped")
TABLES = _slots("table_low", "table_low", "table_high", "table_high", "table_root", "vspace1")
UNUSED_TABLES = _slots("table_low", "table_high")
VSPACES = _slots("vspace_root", "vspace_root", "vspace_root", "vspace1", "vspace1", "table_root")
UNTYPEDS = _slots("untyped", "untyped", "untyped_page", "device_untyped")
IO_TABLES = _slots("io_table0", "io_table1", "io_table2")
NULLS = _slots("null")

INVOKED: dict[int, tuple[int, ...]] = {
    2: UNTYPEDS, 12: THREADS, 10: CNODES, 14: _slots("irq_control"), 16: _slots("irq_handler"),
    20: _slots("domain"), 24: _slots("sched_control"), 22: SCHED_CONTEXTS, 3: TABLES, 1: FRAMES,
    11: _slots("asid_control"), 13: _slots("asid_pool", "asid_pool1"), io.CAP_IO_PAGE_TABLE: IO_TABLES,
}  # fmt: skip
"""Where to find a cap of a kind (``abi.objects.CAP_``)."""

CAPS: dict[str, tuple[int, ...]] = {
    "root": CNODES, "src_root": CNODES, "pivot_root": CNODES, "source": THREADS, "authority": THREADS,
    "thread": THREADS, "cspace_root": _slots("cspace", "cspace", "cspace", "cnode"), "vspace_root": VSPACES,
    "bufferFrame": FRAMES, "sched_context": SCHED_CONTEXTS + NULLS, "schedcontext": SCHED_CONTEXTS,
    "fault_ep": ENDPOINTS + NULLS, "timeout_fault_ep": ENDPOINTS + NULLS, "notification": NOTIFICATIONS,
    "cap": THREADS + NOTIFICATIONS, "vspace": VSPACES, "untyped": _slots("untyped_page", "untyped_page", "untyped"),
    "iospace": _slots("iospace", "iospace", "iospace_master"),
}  # fmt: skip
"""Where to find an extra cap, by its name in the table of invocations."""

VICTIMS = (
    ENDPOINTS, NOTIFICATIONS, REPLIES, THREADS, THREADS, SCHED_CONTEXTS, FRAMES, FRAMES, TABLES, VSPACES, UNTYPEDS,
    _slots("untyped"), CNODES, IO_TABLES, _slots("iospace", "irq_handler", "irq_control"),
    _slots("asid_pool1", "asid_pool1", "asid_pool1", "asid_pool1", "asid_control"),
    _slots("asid_pool1", "vspace1", "untyped_page", "untyped"),
)  # fmt: skip
"""What caps there are to copy, move and destroy."""
PAGES = (
    *(MAPPED_AT,) * 2, 0x21000, *(0x22000,) * 3, *(0x30000,) * 3, 0x31000, 0x31000, 0x200000, 0x201000, 0x4000_0000,
    0x4020_0000, 0x10000,
)  # fmt: skip
EDGES = (0, 1, 2, 3, 7, 63, 64, 255, 256, 4095, 4096, (1 << 38) - 4096, 1 << 38, 0x3FFFFFF000, 1 << 63, WORD_MASK)
ANY_SLOT = tuple(range(64))
BADGES = (0, 1, 2, 3, 0x55, 1 << 63, 1 << 16 | 0x18)
_SMALL = (0, 1, 2, 3)
WORDS: dict[str, tuple[int, ...]] = {
    "type": (0, 1, 2, 3, 4, 5, 6, 8, 9, 10, io.OBJECT_IO_PAGE_TABLE),
    "size_bits": (0, 1, 2, 4, 5, 7, 8, 10, 11, 12, 15),
    "node_index": NULLS, "node_depth": (0, 0, 0, TEST_BITS), "node_offset": (*FREE, 0, 1),
    "num_objects": (1, 1, 1, 2, 3), "flags": tuple(range(16)), "count": (1, 2, 4, 20, 32, 34), "clear": _SMALL,
    "set": _SMALL, "cspace_root_data": (0, 0, 48, 6), "vspace_root_data": (0, 0, 0, 1),
    "buffer": (0, BUFFERS, BUFFERS + 0x400, BUFFERS + 0x1C00, BUFFERS + 8), "tls_base": (0, 0x1000),
    "priority": (0, 1, 50, 100, 110, 120, 200), "mcp": (0, 1, 100, 255, 255),
    "rights": (0, 1, 2, 3, 3, 7, 8, 15, 15), "badge": BADGES, "dest_badge": BADGES, "pivot_badge": BADGES,
    "depth": (TEST_BITS,) * 5 + (1, 2, 64), "src_depth": (TEST_BITS,) * 5 + (1, 2, 64),
    "pivot_depth": (TEST_BITS,) * 5 + (1, 2, 64), "dest_depth": (TEST_BITS,) * 5 + (1, 2, 64),
    "irq": (IRQ_LINE, 1, 6, 7, 96, 97), "trigger": (0, 1), "domain": (0, 1, 1, 2), "duration": (0, 500, 5_000, 20_000),
    "budget": (20, 50, 500, 1_000, 5_000, 1 << 32), "period": (20, 500, 1_000, 5_000, 10_000, 1 << 33),
    "extra_refills": (0, 1, 3, 8),
    "vaddr": PAGES, "attr": (0, 1), "ioaddr": (0, 0x1000, 0x20_0000, 0x4000_0000),
}  # fmt: skip
"""Words that make sense, by their name in the table of invocations."""
_FILLS = frozenset((labels.IRQ_CONTROL_GET, labels.IRQ_CONTROL_GET_TRIGGER, labels.ASID_CONTROL_MAKE_POOL))
"""Invocations whose plain ``index`` names an empty slot."""
_DOMAIN_SCHEDULE = frozenset((labels.DOMAIN_SCHEDULE_CONFIGURE, labels.DOMAIN_SCHEDULE_SET_START))
_DEPTHS = {SLOTS["cnode4"]: 2, SLOTS["cnode2"]: 1, SLOTS["own_cnode"]: 64}
"""How deep the slots of a CNode lie, where it is not the test CNode."""
_DEPTH_OF = {"depth": "", "dest_depth": "", "src_depth": "src_root", "pivot_depth": "pivot_root"}
"""The extra cap below which a depth counts; none means the invoked CNode, or the root for other kinds."""
_NODE_OF = {"index": "", "dest_index": "", "src_index": "src_root", "pivot_index": "pivot_root"}
"""The same for indices."""


_DESTROYERS = tuple(
    tuple(BY_LABEL[label] for label in group)
    for group in (
        (), (labels.CNODE_DELETE,), (labels.CNODE_DELETE, labels.CNODE_REVOKE), (labels.CNODE_REVOKE,) * 2,
        (labels.SCHED_CONTEXT_UNBIND, labels.CNODE_DELETE), (labels.SCHED_CONTEXT_UNBIND, labels.TCB_SUSPEND),
    )
)  # fmt: skip
"""What nearly every program should do to something: destroy it, or take away what it needs."""


_OFTEN: dict[int, int] = {
    labels.UNTYPED_RETYPE: 6, labels.CNODE_COPY: 2, labels.CNODE_MINT: 3, labels.CNODE_DELETE: 2,
    labels.CNODE_REVOKE: 2,
    labels.PAGE_MAP: 4, labels.PAGE_TABLE_MAP: 2, labels.PAGE_UNMAP: 2, io.PAGE_MAP_IO: 2,
    labels.SCHED_CONTEXT_BIND: 3, labels.SCHED_CONTEXT_UNBIND_OBJECT: 2, labels.SCHED_CONTEXT_YIELD_TO: 3,
    labels.SCHED_CONTROL_CONFIGURE_FLAGS: 2, labels.TCB_SET_PRIORITY: 2, labels.TCB_SET_SCHED_PARAMS: 2,
    labels.TCB_RESUME: 2, labels.TCB_SUSPEND: 2, labels.TCB_BIND_NOTIFICATION: 2,
}  # fmt: skip
"""Invocations that make, join and part things, on which what the others do depends: how much more often they come."""


def _weighted(specs: Sequence[InvocationSpec]) -> tuple[InvocationSpec, ...]:
    return tuple(spec for spec in specs for _ in range(_OFTEN.get(spec.label, 1)))


_ALL, ALL_WITH_IO = _weighted(labels.INVOCATIONS), _weighted(tuple(BY_LABEL.values()))


class Focus:
    """What one program is about: few invocations, objects and addresses, so that its steps meet each other.

    With ``sight`` its steps name caps where they are, not where they were at the start.
    """

    def __init__(
        self, choose: Chooser, layout: Layout, *, narrow: bool | None = None, sight: Sight | None = None
    ) -> None:
        self.choose = choose
        self.sight = sight
        specs = ALL_WITH_IO if layout.board == "virt_iommu" else _ALL
        self.narrow = choose.number(0, 3) > 0 if narrow is None else narrow
        count = choose.number(3, 12)
        few = tuple(choose.of(specs) for _ in range(count)) + choose.of(_DESTROYERS) * choose.of((1, 2, 4))
        self.specs = few if self.narrow else specs
        self.kinds = choose.of(KINDS)
        self._victims = tuple(choose.of(VICTIMS) for _ in range(3)) if self.narrow else VICTIMS
        self._kept: dict[int, Sequence[int]] = {}
        self.takes_caps = not layout.partitioned
        """Whether threads ask for caps. A server may grant some with its answer, for which no policy has a word yet."""
        self.last = 0
        """The label of the last invocation."""
        self.parted = False
        """Whether the last invocation took something away from somebody, who ought to meet others now."""

    def of(self, options: Sequence[int]) -> int:
        """One of the options; in a narrow program only ever one of the same two."""
        if not self.narrow or not self.choose.number(0, 15):
            return self.choose.of(options)
        kept = self._kept.get(id(options))
        if kept is None:
            kept = self._kept[id(options)] = self.choose.of(options), self.choose.of(options)
        return self.choose.of(kept)

    def is_their_turn(self, sight: Sight) -> bool:
        """Whether the next step is for those that wait.

        Often, after an invocation that took something from somebody, and while the running thread has the time of one
        that waits for its answer.
        """
        if not sight.is_waited_for():
            return False
        if self.parted:
            return self.choose.number(0, 3) > 0
        return not self.choose.number(0, 2 if sight.runs_on_lent_time() else 5)

    def victims(self) -> Sequence[int]:
        """Where caps of some kind are, to be copied, moved or destroyed; in a narrow program of few kinds."""
        return self.choose.of(self._victims if self.choose.number(0, 7) else VICTIMS)

    def cap(self, options: Sequence[int]) -> int:
        """Where a cap is of a kind that those slots hold at the start."""
        if self.sight is None:
            return self.of(options)
        index = self.of(options)
        if not self.sight.knows(index):
            index = self.choose.of([other for other in options if self.sight.knows(other)] or options)
        now = self.sight.like(index)
        return index if not now or index in now else self.choose.of(now)

    def unbound(self, index: int) -> int:
        """Like the cap in a slot, but with nothing bound to what it leads to, if there is such a one."""
        found = () if self.sight is None else self.sight.unbound(index)
        return self.choose.of(found) if found else index

    def slot_in(self, node: int, *, empty: bool) -> int | None:
        """An empty or a used slot of the CNode behind the cap in slot ``node``; None if that cannot be seen."""
        seen = None if self.sight is None else self.sight.inside(node)
        found = [] if seen is None else seen[empty]
        return self.choose.of(found) if found else None


def _word(choose: Chooser, focus: Focus, spec: InvocationSpec, name: str, cap: int, caps: dict[str, int]) -> int:
    if spec.label in _DOMAIN_SCHEDULE and name == "index":
        return choose.of(_SMALL)
    if name in ("index", "dest_index", "src_index", "pivot_index"):
        return _index(choose, focus, spec, name, caps.get(_NODE_OF[name] or "root", cap))
    if name == "node_offset" and choose.number(0, 3):
        found = focus.slot_in(caps["root"], empty=True)
        return focus.of(WORDS[name]) if found is None else found
    if name in _DEPTH_OF and choose.number(0, 15):
        node = caps.get(_DEPTH_OF[name] or "root", cap)
        seen = None if focus.sight is None else focus.sight.depth(node)
        return seen or _DEPTHS.get(node, TEST_BITS)
    return focus.of(WORDS[name])


def _site(choose: Chooser, focus: Focus, cap: int) -> Place | None:
    """Where to map what is behind a cap: where it is already, or where something else was."""
    if focus.sight is None or not choose.number(0, 2):
        return None
    place = focus.sight.place(cap)
    vacated = [] if place is not None else focus.sight.vacated()
    return choose.of(vacated) if vacated else place


def _index(choose: Chooser, focus: Focus, spec: InvocationSpec, name: str, node: int) -> int:
    """A slot of the CNode behind the cap in slot ``node``."""
    if spec.label == labels.CNODE_CANCEL_BADGED_SENDS and choose.number(0, 1):
        return focus.of(ENDPOINTS)
    fills = name == "dest_index" or spec.label in _FILLS
    if fills and choose.number(0, 5):
        found = focus.slot_in(node, empty=True) if choose.number(0, 3) else None
        return focus.of(FREE) if found is None else found
    missed = () if focus.sight is None else _missed(choose, focus.sight, spec, node)
    if missed and choose.number(0, 1):
        return choose.of(missed)
    found = focus.slot_in(node, empty=False) if not choose.number(0, 3) else None
    return _cap_of(choose, focus, focus.victims()) if found is None else found


def _missed(choose: Chooser, sight: Sight, spec: InvocationSpec, node: int) -> Sequence[int]:
    """Slots of caps whose revocation or deletion somebody notices."""
    if spec.label == labels.CNODE_REVOKE:
        return sight.parents(node)
    return sight.in_use() if spec.label == labels.CNODE_DELETE and not choose.number(0, 2) else ()


def any_word(choose: Chooser) -> int:
    """A word that need not mean anything."""
    kind = choose.number(0, 3)
    if kind == 0:
        return choose.of(EDGES)
    return choose.number(0, WORD_MASK) if kind == 1 else choose.number(0, 70)


def _cap_of(choose: Chooser, focus: Focus, options: Sequence[int]) -> int:
    """Mostly where such a cap was at the start; sometimes elsewhere, as caps move."""
    where = choose.number(0, 31)
    if where > 1:
        return focus.cap(options)
    return focus.of(FREE) if where else choose.of(ANY_SLOT)


_BINDS = {
    labels.SCHED_CONTEXT_BIND: ("cap",), labels.TCB_BIND_NOTIFICATION: ("notification",),
    labels.TCB_SET_SCHED_PARAMS: ("sched_context",),
}  # fmt: skip
"""Invocations that bind things, of which neither may be bound already: which extra cap is the other one."""
_PARTNERS = {SLOTS[f"sc{n}"]: _slots(f"tcb{n}", "ntfn0", "ntfn1") for n in range(4)}
"""What a scheduling context may be bound to at the start."""
_MAPS = frozenset((labels.PAGE_MAP, labels.PAGE_TABLE_MAP))
_UNMAPS = frozenset((labels.PAGE_UNMAP, labels.PAGE_TABLE_UNMAP))
_EMPTYING = frozenset((labels.CNODE_DELETE, labels.CNODE_REVOKE))
_UNDONE_BY = {
    labels.PAGE_MAP: labels.PAGE_UNMAP, labels.PAGE_TABLE_MAP: labels.PAGE_TABLE_UNMAP,
    labels.SCHED_CONTEXT_BIND: labels.SCHED_CONTEXT_UNBIND, labels.TCB_RESUME: labels.TCB_SUSPEND,
    labels.TCB_BIND_NOTIFICATION: labels.TCB_UNBIND_NOTIFICATION, labels.UNTYPED_RETYPE: labels.CNODE_REVOKE,
    labels.CNODE_COPY: labels.CNODE_DELETE, labels.CNODE_MINT: labels.CNODE_REVOKE,
    labels.ASID_CONTROL_MAKE_POOL: labels.CNODE_DELETE, labels.ASID_POOL_ASSIGN: labels.CNODE_DELETE,
    labels.TCB_SUSPEND: labels.TCB_RESUME, labels.SCHED_CONTEXT_UNBIND: labels.SCHED_CONTEXT_BIND,
    labels.PAGE_UNMAP: labels.PAGE_MAP, labels.PAGE_TABLE_UNMAP: labels.PAGE_TABLE_MAP,
}  # fmt: skip
"""Invocations, and what undoes them, or does them again: often the next."""
_PARTING = _UNMAPS | _EMPTYING | {
    labels.SCHED_CONTEXT_UNBIND, labels.SCHED_CONTEXT_UNBIND_OBJECT, labels.TCB_SUSPEND, labels.TCB_UNBIND_NOTIFICATION,
}  # fmt: skip
"""Invocations that take something away."""


def _with_effect(choose: Chooser, sight: Sight, spec: InvocationSpec, cap: int) -> int:
    """Often another cap of that kind, on which an invocation has more effect.

    A CNode in which there is something, a thread that waits (or its time), what is mapped.
    """
    if spec.label in _EMPTYING and sight.is_bare(cap) and choose.number(0, 3):
        cap = SLOTS["cnode"]
    waiting = sight.waiting(cap) if not choose.number(0, 2) else ()
    if waiting:
        cap = choose.of(waiting)
    mapped = sight.mapped(cap) if spec.label in _UNMAPS else ()
    return choose.of(mapped) if mapped and choose.number(0, 1) else cap


def invocation(choose: Chooser, focus: Focus, how: int | None = None) -> Syscall:
    """One invocation: well-formed, or (one time in six) nearly so, or random."""
    undone_by = _UNDONE_BY.get(focus.last)
    spec = choose.of(focus.specs) if undone_by is None or choose.number(0, 3) else BY_LABEL[undone_by]
    cap = _cap_of(choose, focus, INVOKED[spec.cap_type])
    named = {name: _cap_of(choose, focus, CAPS[name]) for name in spec.caps}
    if spec.label in _BINDS and choose.number(0, 3):
        cap = focus.unbound(cap)
        named |= {name: focus.unbound(named[name]) for name in spec.caps if name in _BINDS[spec.label]}
    if focus.sight is not None:
        cap = _with_effect(choose, focus.sight, spec, cap)
    site = _site(choose, focus, cap) if spec.label in _MAPS else None
    if site is not None and site[1]:
        named["vspace"] = choose.of(site[1])
    if spec.label == labels.ASID_POOL_ASSIGN and choose.number(0, 3):
        named["vspace"] = focus.cap(UNUSED_TABLES)
    partners = focus.sight.bound_to(cap) if focus.sight is not None else _PARTNERS.get(cap, ())
    if named and partners and spec.label not in _BINDS and choose.number(0, 1):
        named[next(iter(named))] = choose.of(partners)
    words = [
        site[0] if site is not None and name == "vaddr" else _word(choose, focus, spec, name, cap, named)
        for name in spec.words
    ]
    caps = list(named.values())
    if spec.label == labels.TCB_WRITE_REGISTERS:
        words += [choose.of((INSN_PC["ecall"], 0x10000, 0x123456, 0)), *([0x7070] * 20)]
        words[1] = min(words[1], len(words) - 2)
    focus.last = spec.label
    focus.parted = spec.label in _PARTING
    step = Syscall(sc.CALL, cap, spec.label, tuple(words), tuple(caps))
    quality = choose.number(0, 11) if how is None else how
    return step if quality > 1 else _spoilt(choose, step, thoroughly=quality == 0)


def _spoilt(choose: Chooser, step: Syscall, *, thoroughly: bool) -> Syscall:
    """A step with one thing wrong, or with nothing right."""
    words, caps = list(step.words), list(step.caps)
    if thoroughly:
        words = [any_word(choose) for _ in range(choose.number(0, 9))]
        caps = [choose.of((*ANY_SLOT, 0x1000, 0x1002, 0x99999)) for _ in range(choose.number(0, 3))]
        label = choose.of((*BY_LABEL, 0, 47, 99))
        cap = choose.of((*ANY_SLOT, 0x1000 + choose.number(0, 70), 0x2000, 0x99999))
        number = choose.of((sc.CALL, sc.SEND, sc.NBSEND, sc.REPLY_RECV, sc.NBSEND_RECV))
        length, ncaps = choose.of((None, None, 0, 127)), choose.of((None, None, 3))
        return Syscall(number, cap, label, tuple(words), tuple(caps), length, ncaps, step.reply, choose.of(ANY_SLOT))
    what = choose.number(0, 6)
    length = ncaps = None
    if what == 0 and words:
        words[choose.number(0, len(words) - 1)] = any_word(choose)
    elif what == 1 and caps:
        caps[choose.number(0, len(caps) - 1)] = choose.of(ANY_SLOT)
    elif what == 2 and words:
        length = len(words) - 1
    elif what == 3 and caps:
        ncaps = len(caps) - 1
    elif what == 4:
        return Syscall(choose.of((sc.SEND, sc.NBSEND)), step.cap, step.label, step.words, step.caps)
    elif what == 5:
        return replace(step, cap=choose.of(ANY_SLOT))
    else:
        return replace(step, cap=_astray(choose, step.cap), caps=tuple(_astray(choose, cap) for cap in step.caps))
    return Syscall(step.number, step.cap, step.label, tuple(words), tuple(caps), length, ncaps)


def _astray(choose: Chooser, address: int) -> int:
    """A cap address, perhaps with a bit set that leads away from where a cap is."""
    return address | 1 << choose.number(6, 63) if choose.number(0, 1) else address


_SENDS = (sc.CALL, sc.CALL, sc.SEND, sc.NBSEND)
_RECEIVES = (sc.RECV, sc.RECV, sc.NBRECV, sc.WAIT, sc.NBWAIT)
_BOTH = (sc.REPLY_RECV, sc.REPLY_RECV, sc.NBSEND_RECV, sc.NBSEND_WAIT)


def _turn(choose: Chooser, focus: Focus, sight: Sight, step: Syscall) -> Syscall:
    """Whose turn it is in a conversation: who owes an answer often gives it, who is waited for often comes."""
    owed, expected, offered = sight.owed(), sight.expected(), sight.offered()
    if owed and choose.number(0, 3):
        reply = choose.of(owed)
        number = choose.of((sc.REPLY_RECV, sc.REPLY_RECV, sc.SEND, sc.NBSEND_RECV))
        cap = reply if number == sc.SEND else choose.of(offered) if offered else focus.cap(ENDPOINTS)
        return replace(step, number=number, cap=cap, reply=reply, dest=reply)
    if expected and choose.number(0, 3):
        return replace(step, number=choose.of((sc.CALL, *_SENDS)), cap=choose.of(expected))
    if offered and choose.number(0, 1):
        return replace(step, number=choose.of((sc.RECV, sc.NBRECV, sc.REPLY_RECV)), cap=choose.of(offered))
    return replace(step, cap=focus.cap(NOTIFICATIONS)) if sight.strands(step.cap) and choose.number(0, 3) else step


def _waking(choose: Chooser, focus: Focus, sight: Sight) -> Step:
    """What brings somebody back: that one who was stopped goes on elsewhere, time to run on, a message, or waiting."""
    stopped, timeless, spare = sight.stopped(), sight.timeless(), sight.spare_time()
    if stopped and choose.number(0, 1):
        return Syscall(sc.CALL, choose.of(stopped), labels.TCB_WRITE_REGISTERS, (1, 1, ASK))
    if timeless and spare and choose.number(0, 1):
        return Syscall(sc.CALL, choose.of(spare), labels.SCHED_CONTEXT_BIND, caps=(choose.of(timeless),))
    return message(choose, focus) if choose.number(0, 2) else Compute(choose.of(TICKS))


def message(choose: Chooser, focus: Focus) -> Syscall:
    """A system call on an endpoint, notification or reply: send, receive, or both."""
    step = _any_message(choose, focus)
    return step if focus.sight is None else _turn(choose, focus, focus.sight, step)


def _any_message(choose: Chooser, focus: Focus) -> Syscall:
    words = tuple(choose.number(0, 1000) for _ in range(choose.of((0, 0, 1, 1, 2, 4, 4, 5, 9))))
    caps = tuple(_cap_of(choose, focus, focus.victims()) for _ in range(choose.of((*(0,) * 10, 1, 2, 3))))
    slot = choose.of((focus.of(FREE), choose.of(ANY_SLOT)))
    receive = choose.of(((0, 0, 0), (1, slot, TEST_BITS), (1, slot, TEST_BITS))) if focus.takes_caps else (0, 0, 0)
    length = None if choose.number(0, 11) else 127
    kind = choose.number(0, 2)
    cap = _cap_of(choose, focus, choose.of((ENDPOINTS, ENDPOINTS, NOTIFICATIONS)))
    if kind == 0:
        cap = choose.of((cap, cap, focus.of(REPLIES)))
        return Syscall(choose.of(_SENDS), cap, choose.number(0, 3), words, caps, length, receive=receive)
    reply = _cap_of(choose, focus, REPLIES)
    if kind == 1:
        return Syscall(choose.of(_RECEIVES), cap, reply=reply, receive=receive)
    dest = _cap_of(choose, focus, choose.of((ENDPOINTS, NOTIFICATIONS, REPLIES)))
    return Syscall(choose.of(_BOTH), cap, 0, words, caps, length, reply=reply, dest=dest, receive=receive)


OTHER_NUMBERS = (
    sc.YIELD, sc.YIELD, sc.DEBUG_CAP_IDENTIFY, sc.DEBUG_PUT_CHAR, sc.DEBUG_DUMP_SCHEDULER, sc.DEBUG_SNAPSHOT,
    0, 0xC1, -18, 1 << 62,
)  # fmt: skip
"""System calls that carry no message: Yield, debug calls, and numbers that mean nothing."""


def _other_syscall(choose: Chooser) -> Syscall:
    """Yield, a debug system call (but not the one that stops the machine), or one that does not exist."""
    number = choose.of(OTHER_NUMBERS)
    return Syscall(number, choose.of(ANY_SLOT))


ACCESSES = ("ld8", "ld8", "st8", "st8", "ld1", "st4", "exec", "ebreak", "illegal", "fadd", "amoadd", "lrd")
OFFSETS = (0, 0, 0, 8, 4, 1, 0xFF8)
TICKS = (1, 50, 400, 6_000, 60_000)
IO_ADDRESSES = (0x1000, *WORDS["ioaddr"])
LINES = (IRQ_LINE, IRQ_LINE, 1, 6)


def _access(choose: Chooser, focus: Focus) -> Access:
    address = focus.of(PAGES) + choose.of(OFFSETS) if choose.number(0, 7) else any_word(choose)
    return Access(choose.of(ACCESSES), address, choose.number(0, 255))


def noise(choose: Chooser) -> Syscall:
    """A system call with random words everywhere."""
    number = choose.of((*range(sc.YIELD, 0), sc.DEBUG_CAP_IDENTIFY, any_word(choose)))
    words = tuple(any_word(choose) for _ in range(choose.number(0, 12)))
    caps = tuple(any_word(choose) for _ in range(choose.number(0, 3)))
    label = choose.of((*BY_LABEL, any_word(choose) >> 12))
    length, ncaps = choose.of((None, 0, 4, 120, 127)), choose.of((None, 0, 3))
    receive = any_word(choose), any_word(choose), any_word(choose)
    target, reply, dest = any_word(choose), any_word(choose), any_word(choose)
    return Syscall(number, target, label, words, caps, length, ncaps, reply, dest, receive)


KINDS = (
    "iiiiiiiiimmmmoacctd", "iiiiiimmmmmmmmmmcct", "iiiiiiiiaaaaacddd", "iiiiiiiiiiiiiiiiadd", "iiiiimmmmmcccotta",
    "iiiiiiiiiimmmmmmmmc",
)  # fmt: skip
"""Mixtures of steps: invocation, message, other system call, access, computing, interrupt (t), DMA."""


def step(choose: Chooser, focus: Focus) -> Step:
    """One step of any kind."""
    if focus.sight is not None and focus.sight.alone() and choose.number(0, 1):
        return _waking(choose, focus, focus.sight)
    if focus.sight is not None and focus.is_their_turn(focus.sight):
        focus.parted = False
        return message(choose, focus)
    match choose.of(focus.kinds):
        case "i":
            return invocation(choose, focus)
        case "m":
            return message(choose, focus)
        case "o":
            return _other_syscall(choose)
        case "a":
            return _access(choose, focus)
        case "c":
            return Compute(choose.of(TICKS))
        case "d":
            return Dma(choose.of(IO_ADDRESSES), bool(choose.number(0, 1)))
        case _:
            return Interrupt(choose.of(LINES))


LAYOUTS = (
    Layout(),
    Layout(board="virt_iommu", workers=(
        Worker(priority=120), Worker(priority=120, budget=1_000, period=5_000, extra_refills=2, fault=6),
        Worker(priority=120, budget=500, period=10_000, sporadic=True, timeout=6),
        Worker(priority=120, passive=True, own_vspace=True, fault=7, serves=(SLOTS["ep1"], SLOTS["reply1"])),
    )),
    Layout(spaces_revocable=True, work_units_per_preemption=2, work_unit_ticks=300, schedule=(
        (0, 3_000), (1, 2_000),
    ), workers=(
        Worker(priority=120, domain=1, mcp=120), Worker(priority=110, mcp=100, fault=6, budget=1_000, period=4_000),
        Worker(priority=110, domain=1, budget=700, period=3_000, extra_refills=1, sporadic=True, timeout=5),
        Worker(
            priority=120, passive=True, own_vspace=True, fault=6, notification=9, serves=(SLOTS["ep0"], SLOTS["reply0"])
        ),
    )),
    PARTITIONED,
    Layout(spaces_revocable=True, threads_revocable=True, work_units_per_preemption=2, work_unit_ticks=100, workers=(
        Worker(priority=120, budget=100, period=700, extra_refills=4),
        Worker(priority=130, passive=True, own_vspace=True, serves=(SLOTS["ep0"], SLOTS["reply0"])),
        Worker(priority=130, mcp=50, budget=50, period=500, sporadic=True, timeout=6, notification=10),
        Worker(priority=120, passive=True, own_vspace=True, fault=5, serves=(SLOTS["ep1"], SLOTS["reply1"])),
    )),
    Layout(work_units_per_preemption=2, work_unit_ticks=400, lends=((SLOTS["sc_spare"], SLOTS["ntfn1"]),), workers=(
        Worker(priority=120, fault=5, budget=200, period=2_000, extra_refills=1),
        Worker(priority=100, passive=True, own_vspace=True, fault=5, serves=(SLOTS["ep0"], SLOTS["reply0"])),
        Worker(priority=120, passive=True, serves=(SLOTS["ntfn1"], 0)),
        Worker(priority=110, passive=True, fault=5, serves=(SLOTS["ep0"], SLOTS["reply1"])),
    )),
    Layout(threads_revocable=True, work_units_per_preemption=2, work_unit_ticks=400, workers=(
        Worker(priority=120, fault=5, budget=300, period=2_000, extra_refills=2),
        Worker(priority=130, passive=True, own_vspace=True, fault=6, serves=(SLOTS["ep0"], SLOTS["reply0"])),
        Worker(priority=110, budget=500, period=3_000, fault=6, timeout=5),
        Worker(priority=115, budget=1_000, period=3_000, fault=6),
    )),
    Layout(meeting_revocable=True, work_units_per_preemption=2, work_unit_ticks=40, workers=(
        Worker(priority=120, fault=5),
        Worker(priority=120, passive=True, own_vspace=True, serves=(SLOTS["ep0"], SLOTS["reply0"])),
        Worker(priority=120, fault=5, budget=500, period=2_000), Worker(priority=110, fault=5),
    )),
)  # fmt: skip
"""A few different worlds; building one costs little, and each is kept."""


def program(choose: Chooser, most_steps: int) -> Program:
    """A whole program of up to ``most_steps`` steps."""
    layout = choose.of(LAYOUTS)
    focus = Focus(choose, layout)
    return Program(layout, tuple(step(choose, focus) for _ in range(choose.number(1, most_steps))))
