"""The state in which a recorded program starts: a root thread, workers, and a test CNode (FORMAT.md, section 3).

Everything is made by the root thread's own system calls after an ordinary boot. Its first page holds the code that
all threads run: a loop that asks the driver what to do, and every instruction that a recording can ask for.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from capkernel.abi import bootinfo as bi
from capkernel.abi import labels
from capkernel.abi import message as msg
from capkernel.abi import objects as obj
from capkernel.abi import registers as reg
from capkernel.abi import rights as rt
from capkernel.abi import syscalls as sc
from capkernel.abi.words import WORD_BITS, WORD_MASK
from capkernel.kernel.boot import RootImage, boot
from capkernel.kernel.caps import CNodeCap, FrameCap
from capkernel.kernel.config import KernelConfig
from capkernel.kernel.objects import TCB, CNode
from capkernel.kernel.vspace import ipc_buffer
from capkernel.runtime.loop import Costs, Loop
from capkernel.runtime.platform import PRESETS
from capkernel.runtime.scripted import ScriptedGlue
from capkernel.tools.conform.names import INSTRUCTION
from hwmodel.board import GIB, MIB, QEMU_VIRT_RISCV64, Board
from hwmodel.cpu.scripted import Insn
from hwmodel.machine import Machine

CODE = 0x10000000
ROOT_LOOP, WORKER_LOOP, SPIN, INSTRUCTIONS = CODE, CODE + 0x100, CODE + 0x200, CODE + 0x400
IDLE = WORKER_LOOP + 4
HOST_ROOT, HOST_PREPARE, HOST_WOKEN, HOST_DONE, HOST_SPUN = range(5)

INSN_PC = {name: INSTRUCTIONS + 16 * n for n, name in enumerate(INSTRUCTION)}
TP = 0x7470_0000
"""Worker k's thread pointer is ``TP + k``: reserved, so that the driver knows who speaks."""

TEST_BITS, C0_BITS, TEST_SLOTS = 6, 4, 64
PRIVATE = 1 << 12
"""Cap address of slot 0 of the root task's own CNode, once it lives in the recordings' CSpace."""
C0_GUARD_SIZE = 48
ROOT_PRIORITY, MAX_PRIORITY = 100, 255
TEN_SECONDS_US = 10_000_000
RAM_TOP = 0xC0000000
"""What lies above is RAM to the machine but device memory to the kernel."""
HIDDEN_BITS, PARENT_BITS = 23, 24
BOARD = QEMU_VIRT_RISCV64.with_ram(1 * GIB + 256 * MIB)


def _code() -> dict[int, Insn]:
    code = {
        ROOT_LOOP: Insn("host", HOST_ROOT), ROOT_LOOP + 4: Insn("ecall"), ROOT_LOOP + 8: Insn("goto", ROOT_LOOP),
        WORKER_LOOP: Insn("host", HOST_PREPARE), IDLE: Insn("ecall"), IDLE + 4: Insn("host", HOST_WOKEN),
        IDLE + 8: Insn("goto", WORKER_LOOP), SPIN: Insn("compute"), SPIN + 4: Insn("host", HOST_SPUN),
    }  # fmt: skip
    for name, insn in INSTRUCTION.items():
        code[INSN_PC[name]] = insn
        code[INSN_PC[name] + 4] = Insn("host", HOST_DONE)
    return code


CODE_TABLE: Mapping[int, Insn] = _code()


@dataclass
class Worker:
    """A thread that executes single commands. ``control`` is the root's cap to its private notification."""

    index: int
    tcb: TCB
    control: int


@dataclass
class Result:
    """What a Call on an object answered."""

    label: int
    words: list[int]


@dataclass
class World:
    """A booted kernel with the recordings' CSpace.

    ``hidden`` is the own slot of the untyped from which hidden objects are made, ``offset`` what must be added to an
    own slot to address it; ``pending`` is the root thread's next command, ``fallback`` what
    it does when there is none (nothing: the run ends).
    """

    machine: Machine
    loop: Loop
    root: TCB
    config: KernelConfig
    info: bi.BootInfo = field(init=False)
    test: CNode = field(init=False)
    workers: list[Worker] = field(default_factory=list)
    root_untyped: int = 0
    device_untyped: int = 0
    free_slot: int = 0
    offset: int = 0
    hidden: int = 0
    c0_slot: int = 0
    test_slot: int = 0
    on_worker: Callable[[int, TCB], bool] | None = None
    pending: Callable[[], None] | None = None
    fallback: Callable[[], None] | None = None

    def on_host(self, thread: TCB, what: int) -> bool:
        """The driver's side of the ``host`` instruction."""
        if what == HOST_ROOT:
            command, self.pending = self.pending or self.fallback, None
            if command is None:
                # Nothing to do: stay in front of the question, so that it is asked again next time.
                thread.registers[reg.NEXT_IP] = thread.registers[reg.FAULT_IP] = ROOT_LOOP
                return False
            command()
            return True
        if what == HOST_PREPARE:
            worker = self.workers[thread.registers[reg.TP] - TP]
            thread.registers[reg.CAP_REGISTER] = worker.control
            thread.registers[reg.SYSCALL_REGISTER] = sc.WAIT & WORD_MASK
            return True
        return self.on_worker is None or self.on_worker(what, thread)

    def run(self) -> None:
        """Run until the root thread asks for its next command, or nobody can run."""
        self.loop.run()

    def set_message(self, thread: TCB, words: list[int], caps: list[int], recv: tuple[int, int, int]) -> None:
        """Put message words, cap addresses and the receive path where user code would put them."""
        for register, word in zip(reg.MSG_REGISTERS, words, strict=False):
            thread.registers[register] = word & WORD_MASK
        buffer = ipc_buffer(thread, for_writing=True)
        if not buffer:
            return
        for index in range(msg.N_MSG_REGISTERS, min(len(words), msg.MSG_MAX_LENGTH)):
            self.machine.write_word(buffer + 8 + 8 * index, words[index] & WORD_MASK)
        for index, cap in enumerate(caps):
            self.machine.write_word(buffer + msg.BUFFER_CAPS + 8 * index, cap)
        for offset, word in zip((0, 8, 16), recv, strict=True):
            self.machine.write_word(buffer + msg.BUFFER_RECEIVE_CNODE + offset, word)

    def words_of(self, thread: TCB, length: int) -> list[int]:
        """The message words that the thread now finds in its registers and buffer."""
        words = [thread.registers[r] for r in reg.MSG_REGISTERS[:length]]
        buffer = ipc_buffer(thread, for_writing=False)
        if buffer:
            words += [
                self.machine.read_word(buffer + 8 + 8 * n)
                for n in range(msg.N_MSG_REGISTERS, min(length, msg.MSG_MAX_LENGTH))
            ]
        return words

    def root_syscall(self, number: int, registers: dict[int, int], words: list[int], caps: list[int]) -> None:
        """One system call by the root thread; returns when it asks for the next, or is blocked."""

        def command() -> None:
            for register, word in registers.items():
                self.root.registers[register] = word & WORD_MASK
            self.root.registers[reg.SYSCALL_REGISTER] = number & WORD_MASK
            self.set_message(self.root, words, caps, (0, 0, 0))

        self.pending = command
        self.run()

    def call(
        self, cptr: int, label: int, words: list[int], caps: list[int], *, length: int | None = None,
        ncaps: int | None = None,
    ) -> Result:  # fmt: skip
        """Invoke a kernel object as the root thread."""
        info = msg.message_info(
            label, (len(words) if length is None else length) & 127, len(caps) if ncaps is None else ncaps
        )
        padded = words + [0] * (msg.N_MSG_REGISTERS - len(words))
        self.root_syscall(sc.CALL, {reg.CAP_REGISTER: cptr, reg.MSG_INFO_REGISTER: info}, padded, caps)
        answer = self.root.registers[reg.MSG_INFO_REGISTER]
        return Result(msg.info_label(answer), self.words_of(self.root, msg.info_length(answer)))

    def make(self, cptr: int, label: int, words: list[int], caps: list[int]) -> list[int]:
        """An invocation of the set-up, which must succeed."""
        result = self.call(cptr, label, words, caps)
        if result.label:
            raise AssertionError(f"setting up: label {label} on {cptr:#x} failed with {result.label} {result.words}")
        return result.words

    def slot(self) -> int:
        """A fresh slot of the root task's own CNode."""
        self.free_slot += 1
        return self.free_slot - 1

    def own(self, slot: int) -> int:
        """The cap address of one of the root task's own slots."""
        return self.offset + slot

    def retype(self, untyped: int, object_type: int, bits: int, node: int, offset: int, count: int = 1) -> None:
        """Make objects into the CNode at cap address ``node``."""
        self.make(untyped, labels.UNTYPED_RETYPE, [object_type, bits, 0, 0, offset, count], [node])

    def new(self, object_type: int, bits: int = 0) -> int:
        """Make a hidden object; returns its own slot."""
        slot = self.slot()
        self.retype(self.own(self.hidden), object_type, bits, self.own(bi.CAP_INIT_CNODE), slot)
        return slot

    def copy(self, node: int, index: int, depth: int, source: int, data: int | None = None) -> None:
        """Copy, or with ``data`` mint, the cap in own slot ``source`` into a slot of the CNode at ``node``."""
        words = [index, depth, source, WORD_BITS, rt.ALL]
        label = labels.CNODE_COPY if data is None else labels.CNODE_MINT
        self.make(node, label, words if data is None else [*words, data], [self.own(bi.CAP_INIT_CNODE)])

    def test_copy(self, slot: int, source: int) -> None:
        """Copy an own cap into the test CNode."""
        self.copy(self.own(self.test_slot), slot, TEST_BITS, source)


def create(config: KernelConfig | None = None, costs: Costs | None = None, board: Board = BOARD) -> World:
    """Boot, and give the root thread the recordings' CSpace with an empty test CNode but for slot 1."""
    machine = Machine(board)
    config = config or PRESETS["golden"]
    state = boot(config, machine, RootImage(CODE, ((CODE, b"", 4096),)))
    loop = Loop(state, machine, ScriptedGlue(machine, CODE_TABLE), costs)
    world = World(machine, loop, state.current, config)
    loop.on_host = world.on_host
    info = bi.BootInfo.decode(machine.read_bytes(_bootinfo_paddr(state.current), bi.BOOTINFO_SIZE))
    world.free_slot = info.empty[0]
    world.info = info
    world.hidden = info.untyped[0] + find_untyped(info, HIDDEN_BITS, device=False)
    _enter_cspace(world)
    return world


def _bootinfo_paddr(root: TCB) -> int:
    cspace = root.cspace_slot.cap
    assert isinstance(cspace, CNodeCap)
    frame = cspace.cnode.slot(bi.CAP_BOOTINFO_FRAME).cap
    assert isinstance(frame, FrameCap)
    return frame.paddr


def find_untyped(info: bi.BootInfo, bits: int, *, device: bool, base: int | None = None) -> int:
    """Index in the list of the first boot untyped of that size, or at that address."""
    for index, desc in enumerate(info.untyped_list):
        if desc.is_device == device and (desc.paddr == base if base is not None else desc.size_bits == bits):
            return index
    raise AssertionError(f"no boot untyped of 2**{bits} bytes")


def _enter_cspace(world: World) -> None:
    """C0[0] is the test CNode behind a guard, C0[1] the root task's own CNode."""
    world.c0_slot = world.new(obj.CNODE, C0_BITS)
    world.test_slot = world.new(obj.CNODE, TEST_BITS)
    cnode = world.root.cspace_slot.cap
    assert isinstance(cnode, CNodeCap)
    test_cap = cnode.cnode.slot(world.test_slot).cap
    assert isinstance(test_cap, CNodeCap)
    world.test = test_cap.cnode
    world.copy(world.c0_slot, 0, C0_BITS, world.test_slot, TEST_BITS)
    world.copy(world.c0_slot, 1, C0_BITS, bi.CAP_INIT_CNODE, 0)
    world.copy(world.test_slot, 1, TEST_BITS, world.test_slot)
    roots = [world.slot(), world.c0_slot, bi.CAP_INIT_VSPACE]
    world.make(bi.CAP_INIT_TCB, labels.TCB_SET_SPACE, [C0_GUARD_SIZE, 0], roots)
    world.offset = PRIVATE
