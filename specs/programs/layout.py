"""The world in which a program starts: a kernel, a root thread that never blocks for long, workers, a test CNode.

Everything is made by the root thread's own system calls after an ordinary boot. All threads share one CSpace: an
address below 64 is a slot of the test CNode (named in ``SLOTS``), ``OWN + n`` is slot n of the root task's own CNode.
"""

from dataclasses import dataclass, field, replace
from typing import Any

from capkernel.abi import bootinfo as bi
from capkernel.abi import labels, rights
from capkernel.abi import message as msg
from capkernel.abi import objects as obj
from capkernel.abi import registers as reg
from capkernel.abi import syscalls as sc
from capkernel.abi.iospace import IO_PAGE_TABLE_MAP, OBJECT_IO_PAGE_TABLE, PAGE_MAP_IO
from capkernel.abi.words import WORD_MASK
from capkernel.kernel.boot import RootImage, boot
from capkernel.kernel.caps import CNodeCap, FrameCap, ThreadCap
from capkernel.kernel.config import KernelConfig
from capkernel.kernel.objects import TCB
from capkernel.kernel.state import State
from capkernel.kernel.vspace import ipc_buffer
from capkernel.runtime.checkpoint import Checkpoint
from capkernel.runtime.loop import Loop
from capkernel.runtime.platform import configure
from capkernel.runtime.scripted import ScriptedGlue
from hwmodel.board import MIB, find_board
from hwmodel.cpu.scripted import Insn
from hwmodel.cpu.trap import STOP_ECALL
from hwmodel.machine import Machine
from specs.invariants.authority import Policy
from specs.programs.model import GARBAGE, Layout, Worker

CODE = 0x10000
ASK = CODE
"""Where every thread comes back to for its next step."""
INSTRUCTIONS = {
    "ecall": Insn("ecall"), "compute": Insn("compute"), "exec": Insn("jump"), "ebreak": Insn("trap", 3),
    "illegal": Insn("trap", 2), "fadd": Insn("fp", name="fadd"), "amoadd": Insn("amoadd", 8), "lrd": Insn("lr", 8),
    **{f"ld{size}": Insn("load", size) for size in (1, 2, 4, 8)},
    **{f"st{size}": Insn("store", size) for size in (1, 2, 4, 8)},
}  # fmt: skip
INSN_PC = {name: CODE + 0x100 + 8 * n for n, name in enumerate(INSTRUCTIONS)}
BUFFERS = 0x40000
"""Where IPC buffers are said to be: worker k's at ``BUFFERS + 0x1000 * k``; not mapped."""
OWN = 1 << 12
TEST_BITS, C0_BITS, ROOT_BITS, GUARD_48 = 6, 4, 12, 48
IRQ_LINE = 5
DMA_REQUEST = 0x0018

SLOTS = {name: index for index, name in enumerate((
    "null", "cnode", "untyped", "untyped_page", "device_untyped", "ep0", "ep1", "ep0_badged", "ep1_badged",
    "ntfn0", "ntfn1", "ntfn0_badge1", "ntfn0_badge2", "reply0", "reply1", "reply2", "tcb_root",
    "tcb0", "tcb1", "tcb2", "tcb3", "sc_root", "sc0", "sc1", "sc2", "sc3", "sc_spare", "sc_fresh",
    "sched_control", "domain", "asid_control", "asid_pool", "vspace_root", "vspace1", "table_low", "table_high",
    "table_root", "frame0", "frame1", "frame0_readonly", "mega_frame", "irq_control", "irq_handler",
    "cnode4", "cnode2", "iospace_master", "iospace", "io_table0", "io_table1", "io_table2", "tcb_fresh",
    "own_cnode", "frame_mapped", "cspace", "asid_pool1",
))}  # fmt: skip
"""Slots of the test CNode; the rest, up to 63, are empty."""
FREE = tuple(range(len(SLOTS), 64))
MAPPED_AT = 0x20000
"""Where ``frame_mapped`` is mapped in the root task's address space; ``frame0_readonly`` is in the page behind."""


def code() -> dict[int, Insn]:
    """The code page that all threads run."""
    table = {ASK: Insn("host"), ASK + 4: Insn("goto", ASK)}
    for name, insn in INSTRUCTIONS.items():
        table[INSN_PC[name]] = insn
        table[INSN_PC[name] + 4] = Insn("goto", ASK)
    return table


CODE_TABLE = code()


@dataclass
class World:
    """A built layout, and the point to go back to.

    ``threads`` are the workers' TCBs by index, and the root's as -1. ``guardian`` is the one of lowest priority.
    """

    layout: Layout
    config: KernelConfig
    machine: Machine
    state: State
    threads: dict[int, TCB] = field(default_factory=dict)
    saved: Checkpoint | None = None
    guardian: TCB | None = None
    policy: Policy | None = None

    def rewind(self) -> None:
        """Go back to the program's start."""
        assert self.saved is not None
        self.saved.restore(self.machine)
        self.state.machine = self.machine


def booted(layout: Layout, num_domains: int = 2, domain_schedule_length: int = 4) -> World:
    """A world in which nothing is but the root thread."""
    board = find_board(layout.board).with_ram(64 * MIB)
    machine = Machine(board)
    base = KernelConfig(
        root_cnode_bits=ROOT_BITS, num_domains=num_domains, device_top=0x1020_0000,
        domain_schedule_length=domain_schedule_length, work_units_per_preemption=layout.work_units_per_preemption,
    )  # fmt: skip
    departures: dict[str, Any] = dict.fromkeys(layout.fixes, True)
    config = replace(configure(base, board), **departures)
    state = boot(config, machine, RootImage(CODE, ((CODE, b"", 4096),)))
    return World(layout, config, machine, state)


class Builder:
    """The root thread at work."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.state = world.state
        self.machine = world.machine
        self.root = world.state.current
        self.loop = Loop(self.state, self.machine, ScriptedGlue(self.machine, CODE_TABLE))
        cspace = self.root.cspace_slot.cap
        assert isinstance(cspace, CNodeCap)
        self.own = cspace.cnode
        frame = self.own.slot(bi.CAP_BOOTINFO_FRAME).cap
        assert isinstance(frame, FrameCap)
        self.info = bi.BootInfo.decode(self.machine.read_bytes(frame.paddr, bi.BOOTINFO_SIZE))
        self.offset = 0
        self.free = self.info.empty[0]
        self.c0 = self.test = 0
        self.hidden = self._untyped(23)

    def _untyped(self, bits: int, *, device: bool = False) -> int:
        """Own slot of the first boot untyped of at least that size."""
        for index, desc in enumerate(self.info.untyped_list):
            if desc.is_device == device and desc.size_bits >= bits:
                return self.info.untyped[0] + index
        raise AssertionError(f"no boot untyped of 2**{bits} bytes")

    def start(self, label: int) -> None:
        """A last invocation on the root thread itself, which does not come back."""
        self.root.registers[reg.CAP_REGISTER] = bi.CAP_INIT_TCB
        self.root.registers[reg.MSG_INFO_REGISTER] = msg.message_info(label, 0)
        self.loop.enter(STOP_ECALL)

    def invoke(self, cptr: int, label: int, words: tuple[int, ...] = (), caps: tuple[int, ...] = ()) -> None:
        """One invocation, which must succeed."""
        registers = self.root.registers
        registers[reg.SYSCALL_REGISTER] = sc.CALL & WORD_MASK
        registers[reg.CAP_REGISTER] = cptr
        registers[reg.MSG_INFO_REGISTER] = msg.message_info(label, len(words), len(caps))
        for register, word in zip(reg.MSG_REGISTERS, words, strict=False):
            registers[register] = word
        buffer = ipc_buffer(self.root, for_writing=True)
        for index, word in enumerate(words[msg.N_MSG_REGISTERS :], msg.N_MSG_REGISTERS):
            self.machine.write_word(buffer + 8 + 8 * index, word)
        for index, cap in enumerate(caps):
            self.machine.write_word(buffer + msg.BUFFER_CAPS + 8 * index, cap)
        self.loop.enter(STOP_ECALL)
        answer = registers[reg.MSG_INFO_REGISTER]
        if msg.info_label(answer):
            raise AssertionError(f"setting up: label {label} on {cptr:#x} {words} {caps}: {msg.info_label(answer)}")

    def source(self, *, revocable: bool) -> int:
        """Cap address of the untyped of which to make something: the one that programs have a cap to, or the other."""
        return SLOTS["untyped"] if revocable else self.at(self.hidden)

    def at(self, own_slot: int) -> int:
        """The cap address of an own slot."""
        return self.offset + own_slot

    def new(self, kind: int, bits: int = 0) -> int:
        """Make an object into a fresh own slot."""
        slot, self.free = self.free, self.free + 1
        words = (kind, bits, 0, 0, slot, 1)
        self.invoke(self.at(self.hidden), labels.UNTYPED_RETYPE, words, (self.at(bi.CAP_INIT_CNODE),))
        return slot

    def make(self, name: str, kind: int, bits: int = 0, *, source: int = 0) -> int:
        """Make an object of the untyped at a cap address into a slot of the test CNode; returns the slot."""
        slot = SLOTS[name]
        untyped = source or self.at(self.hidden)
        self.invoke(untyped, labels.UNTYPED_RETYPE, (kind, bits, 0, 0, slot, 1), (self.at(self.test),))
        return slot

    def copy(self, name: str, source: int, *, mask: int = rights.ALL, badge: int | None = None) -> None:
        """Copy (mint) the cap at a cap address below OWN from the test CNode, above from the root task's own."""
        root, bits = (1, TEST_BITS) if source < OWN else (self.at(bi.CAP_INIT_CNODE), 64)
        words = (SLOTS[name], TEST_BITS, source & (OWN - 1), bits, mask)
        label = labels.CNODE_COPY if badge is None else labels.CNODE_MINT
        self.invoke(self.at(self.test), label, words if badge is None else (*words, badge), (root,))

    def build(self) -> None:
        """Everything, in order."""
        self._cspace()
        self._objects()
        self._spaces()
        self._devices()
        self._threads()
        self._let_go()

    def _cspace(self) -> None:
        self.c0, self.test = self.new(obj.CNODE, C0_BITS), self.new(obj.CNODE, TEST_BITS)
        own = bi.CAP_INIT_CNODE
        self.invoke(self.c0, labels.CNODE_MINT, (0, C0_BITS, self.test, 64, rights.ALL, TEST_BITS), (own,))
        self.invoke(self.c0, labels.CNODE_MINT, (1, C0_BITS, own, 64, rights.ALL, 0), (own,))
        self.invoke(self.test, labels.CNODE_COPY, (SLOTS["cnode"], TEST_BITS, self.test, 64, rights.ALL), (own,))
        null, self.free = self.free, self.free + 1
        self.invoke(bi.CAP_INIT_TCB, labels.TCB_SET_SPACE, (GUARD_48, 0), (null, self.c0, bi.CAP_INIT_VSPACE))
        self.offset = OWN
        self.copy("own_cnode", self.at(bi.CAP_INIT_CNODE))
        self.copy("cspace", self.at(self.c0))

    def _objects(self) -> None:
        self._use(self.make("untyped", obj.UNTYPED, 16))
        source = self.source(revocable=self.world.layout.meeting_revocable)
        self._use(self.make("untyped_page", obj.UNTYPED, 12))
        self.make("device_untyped", obj.UNTYPED, 13, source=self.at(self._untyped(13, device=True)))
        for name in ("ep0", "ep1"):
            self.make(name, obj.ENDPOINT, source=source)
        for name in ("ntfn0", "ntfn1"):
            self.make(name, obj.NOTIFICATION, source=source)
        for name in ("reply0", "reply1", "reply2"):
            self.make(name, obj.REPLY, source=source)
        self.copy("ep0_badged", SLOTS["ep0"], badge=0x11)
        self.copy("ep1_badged", SLOTS["ep1"], mask=rights.WRITE | rights.GRANT_REPLY, badge=0x22)
        self.copy("ntfn0_badge1", SLOTS["ntfn0"], badge=1)
        self.copy("ntfn0_badge2", SLOTS["ntfn0"], mask=rights.WRITE, badge=2)
        self.make("cnode4", obj.CNODE, 2)
        self.make("cnode2", obj.CNODE, 1)
        self.make("sc_spare", obj.SCHED_CONTEXT, 8)
        self.make("sc_fresh", obj.SCHED_CONTEXT, 7)
        self.make("tcb_fresh", obj.TCB)
        boot_caps = (("tcb_root", bi.CAP_INIT_TCB), ("domain", bi.CAP_DOMAIN), ("asid_control", bi.CAP_ASID_CONTROL),
                     ("asid_pool", bi.CAP_INIT_ASID_POOL), ("vspace_root", bi.CAP_INIT_VSPACE),
                     ("sc_root", bi.CAP_INIT_SCHED_CONTEXT), ("sched_control", self.info.sched_control[0]))  # fmt: skip
        for name, source in boot_caps:
            self.copy(name, self.at(source))

    def _use(self, untyped: int) -> None:
        """Leave something behind in an untyped: a page of it was written to, and is no more."""
        slot, self.free = self.free, self.free + 1
        own = self.at(bi.CAP_INIT_CNODE)
        self.invoke(untyped, labels.UNTYPED_RETYPE, (obj.PAGE, 0, 0, 0, slot, 1), (own,))
        cap = self.own.slot(slot).cap
        assert isinstance(cap, FrameCap)
        self.machine.write_bytes(cap.paddr, GARBAGE.to_bytes(8, "little") * (obj.PAGE_BYTES // 8))
        self.invoke(own, labels.CNODE_DELETE, (slot, 64))

    def _spaces(self) -> None:
        revocable = self.world.layout.spaces_revocable
        self.make("vspace1", obj.PAGE_TABLE, source=self.source(revocable=revocable))
        for name in ("table_low", "table_high", "table_root"):
            self.make(name, obj.PAGE_TABLE)
        for name in ("frame0", "frame1", "frame_mapped"):
            self.make(name, obj.PAGE)
        self.copy("frame0_readonly", SLOTS["frame0"], mask=rights.READ)
        self.make("mega_frame", obj.MEGA_PAGE)
        vspace = SLOTS["vspace1"]
        untyped = SLOTS["untyped_page"] if revocable else self.at(self.new(obj.UNTYPED, obj.ASID_POOL_BITS))
        where = (SLOTS["asid_pool1"], TEST_BITS)
        self.invoke(SLOTS["asid_control"], labels.ASID_CONTROL_MAKE_POOL, where, (untyped, self.at(self.test)))
        self.invoke(SLOTS["asid_pool1"], labels.ASID_POOL_ASSIGN, (), (vspace,))
        for _ in range(2):
            self.invoke(self.at(self.new(obj.PAGE_TABLE)), labels.PAGE_TABLE_MAP, (CODE, 0), (vspace,))
        page, self.free = self.free, self.free + 1
        image = self.info.user_image_frames[0]
        own = self.at(bi.CAP_INIT_CNODE)
        words = (page, 64, image, 64, rights.ALL)
        self.invoke(own, labels.CNODE_COPY, words, (own,))
        self.invoke(self.at(page), labels.PAGE_MAP, (CODE, 3, 0), (vspace,))
        self.invoke(SLOTS["frame_mapped"], labels.PAGE_MAP, (MAPPED_AT, 3, 0), (SLOTS["vspace_root"],))
        self.invoke(SLOTS["frame0_readonly"], labels.PAGE_MAP, (MAPPED_AT + 0x1000, 3, 0), (SLOTS["vspace_root"],))
        if not self.world.config.has_iommu:
            # Mapped with no rights at all: the cap says so, but there is no entry.
            self.invoke(SLOTS["frame1"], labels.PAGE_MAP, (MAPPED_AT + 0x2000, 0, 1), (SLOTS["vspace_root"],))

    def _devices(self) -> None:
        own, test = self.at(bi.CAP_INIT_CNODE), self.at(self.test)
        words = (SLOTS["irq_control"], TEST_BITS, bi.CAP_IRQ_CONTROL, 64)
        self.invoke(test, labels.CNODE_MOVE, words, (own,))
        words = (IRQ_LINE, 1, SLOTS["irq_handler"], TEST_BITS)
        self.invoke(SLOTS["irq_control"], labels.IRQ_CONTROL_GET_TRIGGER, words, (test,))
        self.invoke(SLOTS["irq_handler"], labels.IRQ_HANDLER_SET_NOTIFICATION, (), (SLOTS["ntfn0_badge1"],))
        if self.world.config.has_iommu:
            self.copy("iospace_master", self.at(bi.CAP_IO_SPACE))
            self.copy("iospace", self.at(bi.CAP_IO_SPACE), badge=1 << 16 | DMA_REQUEST)
            for _ in range(3):
                self.invoke(self.at(self.new(OBJECT_IO_PAGE_TABLE)), IO_PAGE_TABLE_MAP, (0,), (SLOTS["iospace"],))
            self.invoke(SLOTS["frame1"], PAGE_MAP_IO, (3, 0x1000), (SLOTS["iospace"],))
            for index in range(3):
                self.make(f"io_table{index}", OBJECT_IO_PAGE_TABLE)

    def _threads(self) -> None:
        self._configure_sc(SLOTS["sc_spare"], Worker(budget=1_000, period=8_000))
        for index, worker in enumerate(self.world.layout.workers):
            self._thread(index, worker)
        self.world.threads[-1] = self.root

    def _configure_sc(self, sched_context: int, worker: Worker) -> None:
        words = (worker.budget, worker.period, worker.extra_refills, 0x5C00 + sched_context, int(worker.sporadic))
        self.invoke(SLOTS["sched_control"], labels.SCHED_CONTROL_CONFIGURE_FLAGS, words, (sched_context,))

    def _thread(self, index: int, worker: Worker) -> None:
        source = self.source(revocable=self.world.layout.threads_revocable)
        tcb = self.make(f"tcb{index}", obj.TCB, source=source)
        sched_context = self.make(f"sc{index}", obj.SCHED_CONTEXT, 8)
        self._configure_sc(sched_context, worker)
        vspace = SLOTS["vspace1" if worker.own_vspace else "vspace_root"]
        address = BUFFERS + 0x1000 * index if worker.buffer else 0
        buffer = self.at(self.new(obj.PAGE)) if worker.buffer else SLOTS["null"]
        self.invoke(tcb, labels.TCB_CONFIGURE, (GUARD_48, 0, address), (self.at(self.c0), vspace, buffer))
        caps = (self.at(bi.CAP_INIT_TCB), sched_context, worker.fault)
        self.invoke(tcb, labels.TCB_SET_SCHED_PARAMS, (worker.mcp, worker.priority), caps)
        if worker.timeout:
            self.invoke(tcb, labels.TCB_SET_TIMEOUT_ENDPOINT, (), (worker.timeout,))
        if worker.notification:
            self.invoke(tcb, labels.TCB_BIND_NOTIFICATION, (), (worker.notification,))
        if worker.domain:
            self.invoke(SLOTS["domain"], labels.DOMAIN_SET_SET, (worker.domain,), (tcb,))
        thread = self.world.threads[index] = self._thread_at(tcb)
        thread.registers[reg.FAULT_IP] = thread.registers[reg.NEXT_IP] = ASK
        thread.name = f"worker{index}"
        if worker.serves[0]:
            self._receive(thread, tcb, *worker.serves)
        if worker.passive:
            self.invoke(sched_context, labels.SCHED_CONTEXT_UNBIND)

    def _receive(self, thread: TCB, tcb: int, endpoint: int, reply: int) -> None:
        """Let a new thread run until it waits for its first message."""
        root = SLOTS["tcb_root"]
        self.invoke(root, labels.TCB_SET_PRIORITY, (0,), (root,))
        self.invoke(tcb, labels.TCB_RESUME)
        registers = thread.registers
        registers[reg.SYSCALL_REGISTER] = sc.RECV & WORD_MASK
        registers[reg.CAP_REGISTER], registers[reg.REPLY_REGISTER] = endpoint, reply
        buffer = ipc_buffer(thread, for_writing=True)
        if buffer:
            for index, word in enumerate((SLOTS["cnode"], FREE[-1], TEST_BITS)):
                self.machine.write_word(buffer + msg.BUFFER_RECEIVE_CNODE + 8 * index, word)
        self.loop.enter(STOP_ECALL)
        self.invoke(root, labels.TCB_SET_PRIORITY, (255,), (root,))
        assert self.state.current is self.root

    def _thread_at(self, slot: int) -> TCB:
        """The thread behind a TCB cap in the test CNode."""
        node = self.own.slot(self.test).cap
        assert isinstance(node, CNodeCap)
        cap = node.cnode.slot(slot).cap
        assert isinstance(cap, ThreadCap)
        return cap.tcb

    def _let_go(self) -> None:
        for index, (domain, ticks) in enumerate(self.world.layout.schedule):
            self.invoke(SLOTS["domain"], labels.DOMAIN_SCHEDULE_CONFIGURE, (index, domain, ticks))
        for sched_context, notification in self.world.layout.lends:
            self.invoke(sched_context, labels.SCHED_CONTEXT_BIND, (), (notification,))
        for index, worker in enumerate(self.world.layout.workers):
            if not worker.serves[0]:
                self.invoke(SLOTS[f"tcb{index}"], labels.TCB_RESUME)
        self.root.registers[reg.FAULT_IP] = self.root.registers[reg.NEXT_IP] = ASK
        root = SLOTS["tcb_root"]
        self.invoke(root, labels.TCB_SET_PRIORITY, (self.world.layout.root_priority,), (root,))
