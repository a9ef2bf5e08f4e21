"""Retype, Copy and Delete, Revoke, look-up and snapshots; a system call is one ``handle_syscall``."""

from collections.abc import Callable
from functools import partial

from bench.timing import Figure, least
from capkernel.abi import bootinfo as bi
from capkernel.abi import labels
from capkernel.abi import objects as obj
from capkernel.abi import registers as reg
from capkernel.abi import syscalls as sc
from capkernel.abi.message import message_info
from capkernel.kernel import deletion, slots, syscall
from capkernel.kernel.boot import boot
from capkernel.kernel.caps import CNodeCap, EndpointCap, FrameCap, UntypedCap
from capkernel.kernel.cspace import lookup_slot
from capkernel.kernel.objects import CNode, Endpoint, Slot
from capkernel.kernel.state import State
from capkernel.kernel.vspace import ipc_buffer
from capkernel.runtime.platform import PRESETS, configure
from capkernel.runtime.snapshot import restore, save
from hwmodel.board import QEMU_VIRT_RISCV64
from hwmodel.machine import Machine


class Bench:
    """A booted kernel, whose root thread makes the system calls."""

    def __init__(self) -> None:
        self.machine = Machine(QEMU_VIRT_RISCV64)
        self.state: State = boot(configure(PRESETS["microkit"], QEMU_VIRT_RISCV64), self.machine)
        self.root = self.state.current
        cap = self.root.cspace_slot.cap
        assert isinstance(cap, CNodeCap)
        self.cnode: CNode = cap.cnode
        self.buffer = ipc_buffer(self.root, for_writing=True)
        info = bi.BootInfo.decode(self.machine.read_bytes(self._frame(bi.CAP_BOOTINFO_FRAME), bi.BOOTINFO_SIZE))
        self.first = info.empty[0]
        biggest = max((d.size_bits, n) for n, d in enumerate(info.untyped_list) if not d.is_device and d.size_bits < 28)
        self.untyped = info.untyped[0] + biggest[1]

    def _frame(self, slot: int) -> int:
        cap = self.cnode.slot(slot).cap
        assert isinstance(cap, FrameCap)
        return cap.paddr

    def call(self, cptr: int, label: int, words: tuple[int, ...], caps: tuple[int, ...] = ()) -> int:
        """A Call by the root thread; returns the error code."""
        x = self.root.registers
        x[reg.A7], x[reg.A0], x[reg.A1] = sc.CALL, cptr, message_info(label, len(words), len(caps))
        for index, word in enumerate(words):
            if index < 4:
                x[reg.MSG_REGISTERS[index]] = word
            else:
                self.machine.write_word(self.buffer + 8 + 8 * index, word)
        for index, cap in enumerate(caps):
            self.machine.write_word(self.buffer + 976 + 8 * index, cap)
        syscall.handle_syscall(self.state, sc.CALL)
        return x[reg.A1] >> 12

    def retype(self, object_type: int, count: int) -> None:
        """Make ``count`` objects in the first free slots, 256 at a time."""
        for start in range(0, count, 256):
            words = (object_type, 0, 0, 0, self.first + start, min(256, count - start))
            assert self.call(self.untyped, labels.UNTYPED_RETYPE, words, (bi.CAP_INIT_CNODE,)) == 0

    def revoke_all(self) -> None:
        """Destroy whatever was made of the untyped."""
        while self.call(bi.CAP_INIT_CNODE, labels.CNODE_REVOKE, (self.untyped, 64)) or slots.has_children(
            self.cnode.slot(self.untyped)
        ):
            pass


def _derived(count: int, *, chained: bool) -> tuple[State, Slot]:
    """A slot with ``count`` caps derived from it, side by side or each from the one before."""
    bench = Bench()
    node = CNode(0, 20)
    top = node.slot(0)
    slots.insert_root(UntypedCap(0, 30, False, 0), top)
    source = node.slot(1)
    slots.insert_original(EndpointCap(Endpoint(64), 0, 15), top, source)
    parent = source
    for index in range(2, count + 2):
        slots.insert_derived(source.cap, parent, node.slot(index))
        parent = node.slot(index) if chained else source
    bench.state.config = PRESETS["microkit"]
    return bench.state, source


def revocation(count: int, *, chained: bool) -> Callable[[], None]:
    """What revokes a slot with so many caps derived from it."""
    return partial(deletion.revoke, *_derived(count, chained=chained))


def revoke(count: int, *, chained: bool) -> float:
    """Microseconds a cap."""
    made: list[Callable[[], None]] = []

    def prepare() -> None:
        made[:] = [revocation(count, chained=chained)]

    def work() -> None:
        made[0]()

    return least(work, count, prepare)


def figures() -> list[Figure]:
    """All figures of this module."""
    bench = Bench()
    loop_floor = least(lambda: [Endpoint(n) for n in range(1000)], 1000)
    retype = least(lambda: bench.retype(obj.ENDPOINT, 1000), 1000, bench.revoke_all)
    bench.revoke_all()
    bench.retype(obj.ENDPOINT, 1)
    copy_words = (bench.first + 1, 64, bench.first, 64, 15)
    delete_words = (bench.first + 1, 64)

    def copy_delete() -> None:
        for _ in range(500):
            bench.call(bi.CAP_INIT_CNODE, labels.CNODE_COPY, copy_words, (bi.CAP_INIT_CNODE,))
            bench.call(bi.CAP_INIT_CNODE, labels.CNODE_DELETE, delete_words)

    empty = least(_repeat(lambda: bench.call(0, 0, ()), 500), 500)
    flat, chain = revoke(10_000, chained=False), revoke(10_000, chained=True)
    look_up = least(_repeat(lambda: lookup_slot(bench.root, bench.first), 2000), 2000)
    bench.revoke_all()
    bench.retype(obj.ENDPOINT, 1000)
    saved = save(bench.state)
    return [
        Figure("Retype of 1,000 endpoints", "object", retype, loop_floor, "making the Python object", most=1),
        Figure("Copy + Delete", "pair", least(copy_delete, 500), empty, "a Call that is refused", None),
        Figure("look-up, one level", "look-up", look_up),
        Figure("Revoke of 10,000, flat", "cap", flat, most=0.3),
        Figure("Revoke of 10,000, chained", "cap", chain, flat, "flat", 1.3),
        Figure("Revoke of 100,000, flat", "cap", revoke(100_000, chained=False), flat, "10,000", 1.3),
        Figure("Revoke of 1,000,000, flat", "cap", revoke(1_000_000, chained=False), flat, "10,000", 1.3),
        Figure("Revoke of 1,000,000, chained", "cap", revoke(1_000_000, chained=True), chain, "10,000", 1.3),
        Figure("snapshot, 1,000 objects", "object", least(lambda: save(bench.state), 1000)),
        Figure("restore, 1,000 objects", "object", least(lambda: restore(saved), 1000)),
    ]


def _repeat(work: Callable[[], object], count: int) -> Callable[[], None]:
    def repeated() -> None:
        for _ in range(count):
            work()

    return repeated
