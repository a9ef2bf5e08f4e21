"""A booted kernel whose root thread makes single system calls at the test's word."""

from dataclasses import replace
from typing import Any

from capkernel.abi import bootinfo as bi
from capkernel.abi import message as msg
from capkernel.abi import objects as obj
from capkernel.abi import registers as reg
from capkernel.abi import syscalls as sc
from capkernel.abi.labels import BY_NAME
from capkernel.kernel import syscall
from capkernel.kernel.boot import RootImage, boot
from capkernel.kernel.caps import CNodeCap, FrameCap
from capkernel.kernel.objects import Cap
from capkernel.kernel.vspace import ipc_buffer
from capkernel.runtime.platform import PRESETS, configure
from hwmodel.backend import BufferBackend
from hwmodel.board import Board, find_board
from hwmodel.machine import Machine

CNODE = bi.CAP_INIT_CNODE


class Root:
    """The root thread of a fresh machine with so many bytes of RAM. ``config`` overrides the ``demo`` preset."""

    def __init__(
        self, board: str = "qemu_virt_riscv64", *, fdt: bytes = b"", ram: int = 1 << 30, **config: Any
    ) -> None:
        self.board: Board = find_board(board)
        self.console = BufferBackend()
        self.machine = Machine(self.board, ram_size=ram, console=self.console)
        settings = replace(configure(PRESETS["demo"], self.machine.board), **config)
        self.state = boot(settings, self.machine, RootImage(), fdt)
        self.thread = self.state.current
        root = self.thread.cspace_slot.cap
        assert isinstance(root, CNodeCap)
        self.cnode = root.cnode
        frame = self.cap(bi.CAP_BOOTINFO_FRAME)
        assert isinstance(frame, FrameCap)
        self.info = bi.BootInfo.decode(self.machine.read_bytes(frame.paddr, bi.BOOTINFO_SIZE))
        self.next_slot = self.info.empty[0]
        ram = [(u.size_bits, n) for n, u in enumerate(self.info.untyped_list) if not u.is_device]
        self.untyped = self.info.untyped[0] + min(entry for entry in ram if entry[0] >= 22)[1]  # Retype clears it

    @property
    def printed(self) -> str:
        """What the kernel wrote to its debug console."""
        return self.console.text

    def cap(self, slot: int) -> Cap:
        """The cap in a slot of the root CNode."""
        return self.cnode.slot(slot).cap

    def ecall(self, number: int, **registers: int) -> None:
        """Any system call; registers by name."""
        x = self.thread.registers
        for name, word in registers.items():
            x[reg.INDEX[name]] = word
        x[reg.A7] = number & (1 << 64) - 1
        syscall.handle_syscall(self.state, number)

    def call_later(self, cptr: int, name: str, words: tuple[int, ...], caps: tuple[int, ...]) -> None:
        """Put an invocation into registers and buffer; the system call is still to be made."""
        buffer = ipc_buffer(self.thread, for_writing=True)
        for index, word in enumerate(words[4:], 4):
            self.machine.write_word(buffer + 8 + 8 * index, word)
        for index, cap in enumerate(caps):
            self.machine.write_word(buffer + msg.BUFFER_CAPS + 8 * index, cap)
        short = dict(zip(("a2", "a3", "a4", "a5"), words, strict=False))
        info = msg.message_info(BY_NAME[name].label, len(words), len(caps))
        x = self.thread.registers
        for register, word in {"a0": cptr, "a1": info, **short}.items():
            x[reg.INDEX[register]] = word

    def call(self, cptr: int, name: str, *words: int, caps: tuple[int, ...] = ()) -> tuple[int, list[int]]:
        """An invocation by name; returns error code and answer words."""
        self.call_later(cptr, name, words, caps)
        self.ecall(sc.CALL)
        x = self.thread.registers
        length = msg.info_length(x[reg.A1])
        return msg.info_label(x[reg.A1]), [x[r] for r in reg.MSG_REGISTERS[:length]]

    def do(self, cptr: int, name: str, *words: int, caps: tuple[int, ...] = ()) -> list[int]:
        """An invocation that must succeed."""
        error, answer = self.call(cptr, name, *words, caps=caps)
        assert error == 0, (name, error, answer)
        return answer

    def slot(self) -> int:
        """A fresh slot."""
        self.next_slot += 1
        return self.next_slot - 1

    def make(self, object_type: int, size_bits: int = 0) -> int:
        """A new object; returns its slot."""
        slot = self.slot()
        self.do(self.untyped, "Untyped_Retype", object_type, size_bits, 0, 0, slot, 1, caps=(CNODE,))
        return slot

    def copy(self, source: int, rights: int = 15) -> int:
        """A copy of a cap, in a new slot."""
        slot = self.slot()
        self.do(CNODE, "CNode_Copy", slot, 64, source, 64, rights, caps=(CNODE,))
        return slot

    def copy_into(self, node: int, index: int, source: int) -> None:
        """Copy a cap into a slot of another, small CNode."""
        cap = self.cap(node)
        assert isinstance(cap, CNodeCap)
        self.do(node, "CNode_Copy", index, cap.radix, source, 64, 15, caps=(CNODE,))

    def mint(self, source: int, badge: int, rights: int = 15) -> tuple[int, int]:
        """Mint; returns the slot and the error code."""
        slot = self.slot()
        error, _ = self.call(CNODE, "CNode_Mint", slot, 64, source, 64, rights, badge, caps=(CNODE,))
        return slot, error

    def frame(self) -> tuple[int, int]:
        """A new page: its slot and physical address."""
        slot = self.make(obj.PAGE)
        return slot, self.do(slot, "Page_GetAddress")[0]
