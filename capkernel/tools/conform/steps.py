"""Carrying out the records of a step-by-step program, and what is observed after each."""

from dataclasses import dataclass, field
from typing import Any

from capkernel.abi import message as msg
from capkernel.abi import registers as reg
from capkernel.abi import syscalls as sc
from capkernel.abi.errors import ERROR_NAMES
from capkernel.abi.labels import BY_NAME
from capkernel.abi.words import WORD_MASK
from capkernel.kernel.caps import KIND
from capkernel.kernel.objects import TCB
from capkernel.kernel.vspace import ipc_buffer
from capkernel.tools.conform.names import CAP_LETTER, MASKED_RESULTS, RECEIVING, REGISTER, SYSCALL
from capkernel.tools.conform.world import (
    HOST_WOKEN,
    IDLE,
    INSN_PC,
    TEST_SLOTS,
    TP,
    WORKER_LOOP,
    Worker,
    World,
)

Record = dict[str, Any]
_MESSAGE_WORDS = 4


def value_of(symbol: Any) -> int:
    """The word that a symbolic value stands for (FORMAT2, section 1.3)."""
    if isinstance(symbol, list):
        if symbol[0] == "tp":
            return TP + int(symbol[1])
        name, offset = symbol[1], symbol[2]
        return (IDLE if name == "idle" else INSN_PC[name]) + int(offset)
    return int(symbol) & WORD_MASK


@dataclass
class _Command:
    """What a worker is to do, and what it had in its registers when it began."""

    record: Record
    started: bool = False
    before: list[int] = field(default_factory=list)


class Stepper:
    """Runs one program's records in its world. ``buffers`` compares IPC buffers too (group faults)."""

    def __init__(self, world: World, group: str) -> None:
        self.world = world
        self.group = group
        self.commands: dict[int, _Command] = {}
        self.done: list[Record] = []
        world.on_worker = self._on_worker

    def step(self, record: Record) -> Record:
        """Carry out one record; returns what was observed, in the record's own form."""
        self.done = []
        match record["op"]:
            case "worker" | "insn":
                seen = self._command(record)
            case "root":
                seen = self._root(record)
            case _:
                seen = self._invoke(record)
        if "done" in record:
            seen["done"] = self.done
            seen["busy"] = sorted(self.commands)
            unstarted = sorted(k for k, command in self.commands.items() if not command.started)
            if unstarted:
                seen["unstarted"] = unstarted
        seen["map"] = self.map()
        return seen

    def map(self) -> str:
        """The test CNode, a letter a slot: what kind of cap it holds."""
        slots = self.world.test.slots
        return "".join(CAP_LETTER[KIND[type(slots[n].cap)]] if n in slots else "." for n in range(TEST_SLOTS))

    def _invoke(self, record: Record) -> Record:
        """An invocation by the root thread: words and caps are told apart by the table of invocations."""
        spec, args = BY_NAME[record["op"]], record["args"]
        words = [value_of(args[name]) for name in spec.words] + [value_of(v) for v in record.get("extra_mrs", [])]
        caps = [args[name] for name in spec.caps]
        result = self.world.call(
            record["svc"], spec.label, words, caps, length=record.get("len"), ncaps=record.get("ncaps")
        )
        seen: Record = {"err": ERROR_NAMES[result.label], "mrs": result.words}
        if result.label == 0 and record["op"] in MASKED_RESULTS and result.words:
            seen["mrs"] = [None]
        if result.label == 0 and record["op"] == "Page_GetAddress" and result.words:
            seen["mrs"], seen["paddr"] = [], self._relative(result.words[0])
        return seen

    def _relative(self, paddr: int) -> list[Any]:
        world = self.world
        if world.device_untyped and paddr >= world.device_untyped:
            return ["device", paddr - world.device_untyped]
        return ["root", paddr - world.root_untyped]

    def _registers(self, record: Record) -> tuple[int, dict[int, int]]:
        """The system call number and the registers of a commanded system call."""
        info = msg.message_info(record["label"], record["len"] & 127, len(record["caps"]))
        registers = {
            reg.CAP_REGISTER: record["cap"], reg.MSG_INFO_REGISTER: info, reg.REPLY_REGISTER: record.get("reply", 0),
        }  # fmt: skip
        number = SYSCALL[record["sys"]]
        if number == sc.NBSEND_WAIT:
            registers[reg.REPLY_REGISTER] = record["dest"]
        elif number == sc.NBSEND_RECV:
            registers[reg.NBSEND_DEST_REGISTER] = record["dest"]
        return number, registers

    def _root(self, record: Record) -> Record:
        number, registers = self._registers(record)
        self.world.root_syscall(number, registers, self._words(record), record["caps"])
        seen: Record = {}
        if "res" in record:
            seen["res"] = self._result(record, self.world.root)
        return seen

    def _words(self, record: Record) -> list[int]:
        """The message, padded with zeros to its length and at least to the registers."""
        words = [value_of(v) for v in record["mrs"]]
        return words + [0] * (max(_MESSAGE_WORDS, min(record["len"], msg.MSG_MAX_LENGTH)) - len(words))

    def _result(self, record: Record, thread: TCB) -> Record:
        """The raw result registers of a receiving system call."""
        registers = thread.registers
        info = registers[reg.MSG_INFO_REGISTER]
        length, extra = info & 127, msg.info_extra_caps(info)
        seen: Record = {
            "badge": registers[reg.BADGE_REGISTER], "label": msg.info_label(info), "len": length,
            "unwrapped": msg.info_caps_unwrapped(info), "extra": extra,
            "mrs": self.world.words_of(thread, length),
        }  # fmt: skip
        if extra and record["op"] != "root":
            seen["cb"] = self._badges(thread, extra, seen["unwrapped"])
        return seen

    def _badges(self, thread: TCB, extra: int, unwrapped: int) -> list[int | None]:

        buffer = ipc_buffer(thread, for_writing=False)
        read = self.world.machine.read_word
        return [read(buffer + msg.BUFFER_CAPS + 8 * n) if unwrapped >> n & 1 else None for n in range(extra)]

    # Workers

    def _command(self, record: Record) -> Record:
        """Store a command and wake the worker; it runs at once if it can."""
        worker = self.world.workers[record["w"]]
        self.commands[worker.index] = _Command(record)
        info = msg.message_info(0, 0)
        self.world.root_syscall(
            sc.NBSEND, {reg.CAP_REGISTER: worker.control, reg.MSG_INFO_REGISTER: info}, [0, 0, 0, 0], []
        )
        return {}

    def _on_worker(self, what: int, thread: TCB) -> bool:
        worker = self.world.workers[thread.registers[reg.TP] - TP]
        registers = worker.tcb.registers
        command = self.commands.get(worker.index)
        if what == HOST_WOKEN:
            if command is not None and not command.started:
                self._begin(worker, command)
        elif command is not None:
            del self.commands[worker.index]
            self.done.append(self._completed(worker, command))
            registers[reg.NEXT_IP] = WORKER_LOOP
        return True

    def _begin(self, worker: Worker, command: _Command) -> None:
        """Load the commanded registers and go to the commanded instruction."""
        record, registers = command.record, worker.tcb.registers
        command.started = True
        for index in range(1, reg.FAULT_IP):
            registers[index] = 0
        if record["op"] == "worker":
            number, values = self._registers(record)
            for register, word in values.items():
                registers[register] = word & WORD_MASK
            registers[reg.SYSCALL_REGISTER] = number & WORD_MASK
            recv = record.get("recv", (0, 0, 0))
            self.world.set_message(worker.tcb, self._words(record), record["caps"], recv)
            name = "ecall"
        else:
            for register_name, symbol in record["regs"].items():
                registers[REGISTER[register_name]] = value_of(symbol)
            if self.group == "faults":
                self._fill_buffer(worker.tcb, record.get("buf", []))
            name = record["insn"]
        registers[reg.TP] = TP + worker.index
        registers[reg.NEXT_IP] = INSN_PC[name]
        command.before = list(registers)

    def _fill_buffer(self, thread: TCB, words: list[Any]) -> None:
        """Root writes message words 0.. of the worker's buffer before a command (only if it gives any)."""
        if words:
            values = [0] * _MESSAGE_WORDS + [value_of(v) for v in words]
            saved = [thread.registers[r] for r in reg.MSG_REGISTERS]
            self.world.set_message(thread, values, [], (0, 0, 0))
            for register, word in zip(reg.MSG_REGISTERS, saved, strict=True):
                thread.registers[register] = word

    def _completed(self, worker: Worker, command: _Command) -> Record:
        record = command.record
        seen: Record = {"w": worker.index}
        if record["op"] == "worker":
            if record["sys"] in RECEIVING:
                seen |= self._result(record, worker.tcb)
            return seen
        registers = worker.tcb.registers
        diff = {name: registers[index] for name, index in REGISTER.items() if registers[index] != command.before[index]}
        if diff:
            seen["diff"] = diff
        if self.group == "faults" and record["insn"] == "ecall":
            length = min(registers[reg.MSG_INFO_REGISTER] & 127, msg.MSG_MAX_LENGTH)
            words = self.world.words_of(worker.tcb, length)[_MESSAGE_WORDS:]
            if words:
                seen["buf"] = words
        return seen
