"""An initial task that does what it is told: one invocation after the other, as ordinary system calls."""

from capkernel.abi import bootinfo as bi
from capkernel.abi import errors as err
from capkernel.abi import labels
from capkernel.abi import message as msg
from capkernel.abi import registers as reg
from capkernel.abi import syscalls as sc
from capkernel.abi.words import WORD_BITS, WORD_MASK
from capkernel.kernel.boot import RootImage, boot
from capkernel.kernel.caps import CNodeCap
from capkernel.kernel.config import KernelConfig
from capkernel.kernel.objects import TCB, Cap, CNode
from capkernel.kernel.vspace import ipc_buffer
from capkernel.runtime.loop import Loop
from capkernel.runtime.scripted import ScriptedGlue
from hwmodel.board import Board
from hwmodel.cpu.scripted import Insn
from hwmodel.machine import Machine

ASK = 0


class RefusedError(Exception):
    """An invocation failed."""

    def __init__(self, name: str, code: int, words: list[int]) -> None:
        known = err.ERROR_NAMES[code] if code < len(err.ERROR_NAMES) else f"answer {code}"
        super().__init__(f"{name}: {known} {words}")


class NoBufferError(RefusedError):
    """The initial task has lost its IPC buffer, without which it cannot pass caps."""

    def __init__(self, name: str) -> None:
        Exception.__init__(self, f"{name}: the initial task has no IPC buffer any more")


class Driver:
    """A booted kernel whose initial thread asks the driver for each system call."""

    def __init__(self, config: KernelConfig, board: Board, image: RootImage, ram_size: int | None = None) -> None:
        self.machine = Machine(board) if ram_size is None else Machine(board, ram_size=ram_size)
        self.state = boot(config, self.machine, image)
        entry = image.entry
        code = {entry: Insn("host", ASK), entry + 4: Insn("ecall"), entry + 8: Insn("goto", entry)}
        self.entry = entry
        self.loop = Loop(self.state, self.machine, ScriptedGlue(self.machine, code), on_host=self._on_host)
        self.root: TCB = self.state.current
        cap = self.root.cspace_slot.cap
        assert isinstance(cap, CNodeCap)
        self.cnode: CNode = cap.cnode
        self.own = bi.CAP_INIT_CNODE
        """The own slot with the cap to the task's own CNode."""
        self.tcb = bi.CAP_INIT_TCB
        """The own slot with the cap to the task's own TCB."""
        self._pending: dict[int, int] | None = None

    def _on_host(self, thread: TCB, what: int) -> bool:
        if thread is not self.root:
            return False
        if self._pending is None:
            thread.registers[reg.NEXT_IP] = thread.registers[reg.FAULT_IP] = self.entry
            return False
        for register, word in self._pending.items():
            thread.registers[register] = word & WORD_MASK
        self._pending = None
        return True

    def try_call(self, cptr: int, name: str, words: list[int], caps: list[int]) -> tuple[int, list[int]]:
        """Invoke by name; returns the error code and the first message words. Raises NoBufferError."""
        info = msg.message_info(labels.BY_NAME[name].label, len(words), len(caps))
        padded = words + [0] * (msg.N_MSG_REGISTERS - len(words))
        registers = {reg.CAP_REGISTER: cptr, reg.MSG_INFO_REGISTER: info, reg.SYSCALL_REGISTER: sc.CALL & WORD_MASK}
        registers |= dict(zip(reg.MSG_REGISTERS, padded, strict=False))
        buffer = ipc_buffer(self.root, for_writing=True)
        if not buffer and (caps or len(words) > msg.N_MSG_REGISTERS):
            raise NoBufferError(name)
        for index, word in enumerate(words[msg.N_MSG_REGISTERS :], msg.N_MSG_REGISTERS):
            self.machine.write_word(buffer + 8 + 8 * index, word & WORD_MASK)
        for index, cap in enumerate(caps):
            self.machine.write_word(buffer + msg.BUFFER_CAPS + 8 * index, cap)
        self._pending = registers
        self.loop.run()
        answer = self.root.registers[reg.MSG_INFO_REGISTER]
        return msg.info_label(answer), [self.root.registers[r] for r in reg.MSG_REGISTERS[: msg.info_length(answer)]]

    def call(self, cptr: int, name: str, words: list[int], caps: list[int]) -> list[int]:
        """Invoke by name. Raises RefusedError."""
        code, found = self.try_call(cptr, name, words, caps)
        if code:
            raise RefusedError(name, code, found)
        return found

    def cap_at(self, slot: int) -> Cap:
        """What is in one of the task's own slots."""
        return self.cnode.slot(slot).cap

    def copy(self, source: int, dest: int, rights: int, data: int | None = None) -> None:
        """Copy, or with ``data`` mint, from own slot to own slot."""
        words = [dest, WORD_BITS, source, WORD_BITS, rights]
        name = "CNode_Copy" if data is None else "CNode_Mint"
        self.call(self.own, name, words if data is None else [*words, data], [self.own])

    def move(self, source: int, dest: int) -> None:
        """Move a cap from own slot to own slot; if it is the task's own, it goes on with that."""
        self.call(self.own, "CNode_Move", [dest, WORD_BITS, source, WORD_BITS], [self.own])
        self.own = dest if self.own == source else self.own
        self.tcb = dest if self.tcb == source else self.tcb

    def delete(self, slot: int) -> None:
        """Empty one of the task's own slots."""
        self.call(self.own, "CNode_Delete", [slot, WORD_BITS], [])
