"""Memory and slots that outlive programs, and what the kernel would do for the few system calls of who gives way."""

import struct
from typing import Any

from capkernel.abi import labels
from capkernel.abi import message as msg
from capkernel.abi import syscalls as sc
from capkernel.abi.words import WORD_MASK
from capkernel.user import operations as ops
from capkernel.user.lifecycle import SERVER_DIED
from capkernel.user.loop import BASE_OUTPUT_NOTIFICATION_CAP, IPC_BUFFER, PD
from capkernel.user.messages import SharedRegion
from capkernel.user.pdimage import PDValues
from capkernel.user.syscalls import Message
from tests.servers.bench import Bench
from tests.servers.stepping import run_steps

STATE = 0x10_0000
SUPERVISOR, UPDATE = 1, 20


class Retired(Exception):
    """The program serves nothing more."""


class Crashed(Exception):
    """The program was killed at a step."""


class Lasting:
    """What outlives a program. ``caps`` are in CNodes, by CNode and slot; ``crash_at`` kills after so many steps."""

    def __init__(self, size: int = 0x4000) -> None:
        self.memory = bytearray(size)
        self.buffer = bytearray(0x1000)
        self.caps: dict[tuple[int, int], Any] = {}
        self.signals: list[int] = []
        self.said = ""
        self.crash_at: int | None = None

    @property
    def region(self) -> SharedRegion:
        return SharedRegion(STATE, len(self.memory))

    def pd(self, life: int, name: str = "server") -> PD:
        notifications = 1 << SUPERVISOR | 1 << UPDATE
        return PD(PDValues(name=name, notifications=notifications), life=life)

    def run(self, awaitable: Any) -> Any:
        """Run something to its end. Raises Retired, Crashed."""
        return run_steps(awaitable, self._step)

    def _step(self, kind: int, *arguments: Any) -> Any:
        if self.crash_at is not None:
            self.crash_at -= 1
            if self.crash_at < 0:
                raise Crashed
        if kind in (ops.LOAD, ops.STORE, ops.READ, ops.WRITE):
            memory, start = self._place(arguments[0])
            match kind:
                case ops.LOAD:
                    return int.from_bytes(memory[start : start + arguments[1]], "little")
                case ops.STORE:
                    memory[start : start + arguments[1]] = arguments[2].to_bytes(8, "little")[: arguments[1]]
                case ops.READ:
                    return bytes(memory[start : start + arguments[1]])
                case ops.WRITE:
                    memory[start : start + len(arguments[1])] = arguments[1]
            return None
        return self._system_call(kind, *arguments)

    def _place(self, vaddr: int) -> tuple[bytearray, int]:
        if vaddr >= IPC_BUFFER:
            return self.buffer, vaddr - IPC_BUFFER
        assert STATE <= vaddr < STATE + len(self.memory)
        return self.memory, vaddr - STATE

    def _system_call(self, number: int, dest: int, info: int = 0, *registers: int) -> Any:
        if number == sc.YIELD & WORD_MASK:
            raise Retired
        if number == sc.DEBUG_PUT_CHAR & WORD_MASK:
            self.said += chr(dest)
        elif number == sc.SEND & WORD_MASK:
            self.signals.append(dest - BASE_OUTPUT_NOTIFICATION_CAP)
        else:
            assert number == sc.CALL & WORD_MASK
            label, roots = info >> msg.LABEL_SHIFT, struct.unpack_from("<1Q", self.buffer, msg.BUFFER_CAPS)
            if label == labels.CNODE_MOVE:
                self.caps[dest, registers[0]] = self.caps.pop((roots[0], registers[2]))
            else:
                assert label == labels.CNODE_DELETE
                self.caps.pop((dest, registers[0]), None)
        return (0,) * 6


STATE_IN_RAM = 0x1_1000_0000
"""Where every board has memory."""
FIRST_LASTING = 1 << 58
"""Callers who wait behind such caps wait on when a program ends (``servers.system.waiting``)."""


class UpdateBench(Bench):
    """A driver that gives way to another for the same device, as clients on a bench see it."""

    said = ""

    def gives_way(self, channel: int = UPDATE) -> bool:
        """Ask it for its state; whether it retires. Who waits in a reply object that does not last learns that it
        died.
        """
        self.signals.clear()
        try:
            self.run(self.program.notified(self.pd, channel))
        except Retired:
            assert self.signals[-1] == channel
            self.ends()
            return True
        assert "cannot give way" in self.said
        return False

    def ends(self) -> None:
        """Its life is over."""
        for reply in [reply for reply in self._callers if reply < FIRST_LASTING]:
            self._callers.pop(reply)(Message(SERVER_DIED))
        self.machine.mask_irq(self.window.irq, True)

    def _step(self, kind: int, *arguments: Any) -> Any:
        ram = self.machine.board.ram
        is_ram = kind in (ops.LOAD, ops.STORE) and ram.base <= arguments[0] < ram.base + ram.size
        if is_ram and kind == ops.LOAD:
            return int.from_bytes(self.machine.read_bytes(*arguments), "little")
        if is_ram:
            self.machine.write_bytes(arguments[0], arguments[2].to_bytes(8, "little")[: arguments[1]])
        elif kind == ops.COMPUTE:
            # Its interrupts wait meanwhile: it works.
            self.machine.advance(arguments[0])
        else:
            return super()._step(kind, *arguments)
        return None

    def _system_call(self, number: int, dest: int, info: int = 0, *registers: int) -> Any:
        if number == sc.YIELD & WORD_MASK:
            raise Retired
        if number == sc.DEBUG_PUT_CHAR & WORD_MASK:
            self.said += chr(dest)
            return (0,) * 6
        if number == sc.SEND & WORD_MASK and dest >= FIRST_LASTING and dest not in self._callers:
            # Nobody waits behind that cap.
            return (0,) * 6
        return super()._system_call(number, dest, info, *registers)

    def _invocation(self, dest: int, message: Message) -> None:
        # Reply objects are made; here there are as many as are named.
        if message.label != labels.UNTYPED_RETYPE:
            super()._invocation(dest, message)
