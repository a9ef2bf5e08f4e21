"""The trace: the same in every process, the same on two CPU models, and different when anything differs."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import pytest

from capkernel.abi import bootinfo as bi
from capkernel.abi import labels
from capkernel.abi import message as msg
from capkernel.abi import objects as obj
from capkernel.abi import registers as reg
from capkernel.abi import syscalls as sc
from capkernel.abi.words import WORD_MASK
from capkernel.kernel.boot import RootImage, boot
from capkernel.runtime.coroutine import CoroutineGlue
from capkernel.runtime.loop import CPU, Costs, Loop
from capkernel.runtime.platform import PRESETS, configure
from capkernel.runtime.scripted import ScriptedGlue
from capkernel.runtime.trace import FIELDS, Trace
from hwmodel.board import QEMU_VIRT_RISCV64
from hwmodel.cpu.program import (
    COMPUTE,
    LOAD,
    PAGE_SIZE,
    SLOT_SIZE,
    STORE,
    VALUES_OFFSET,
    Operation,
    ProgramTable,
    Start,
    image,
)
from hwmodel.cpu.scripted import Insn
from hwmodel.machine import Machine

ENTRY = 0x10000
OTHER = ENTRY + PAGE_SIZE
BUFFER = ENTRY + 2 * PAGE_SIZE
"""Where the root task finds its IPC buffer: behind its image."""
ECALL_REGISTERS = (reg.A7, reg.A0, reg.A1, reg.A2, reg.A3, reg.A4, reg.A5, reg.A6, reg.T0)


def ecall(number: int, *registers: int) -> Operation:
    """A system call as the coroutine CPU takes it."""
    return (number & WORD_MASK, *registers, *(0,) * (8 - len(registers)))


def invoke(cptr: int, label: int, words: Sequence[int] = (), caps: Sequence[int] = ()) -> list[Operation]:
    """An invocation by a thread whose IPC buffer is at BUFFER."""
    stores = [(STORE, BUFFER + 8 + 8 * n, 8, word) for n, word in enumerate(words) if n >= 4]
    stores += [(STORE, BUFFER + msg.BUFFER_CAPS + 8 * n, 8, cap) for n, cap in enumerate(caps)]
    info = msg.message_info(label, len(words), len(caps))
    return [*stores, ecall(sc.CALL, cptr, info, *words[:4])]


def retype(untyped: int, kind: int, bits: int, slot: int) -> list[Operation]:
    return invoke(untyped, labels.UNTYPED_RETYPE, (kind, bits, 0, 0, slot, 1), (bi.CAP_INIT_CNODE,))


def server_and_client(info: bi.BootInfo, pause: int = 30_000) -> tuple[list[Operation], list[Operation]]:
    """A root task that starts a second thread and calls it, with work, a page fault and preemption between."""
    untyped = next(info.untyped[0] + n for n, u in enumerate(info.untyped_list) if not u.is_device and u.size_bits > 16)
    tcb, endpoint, reply, context = range(info.empty[0], info.empty[0] + 4)
    cnode, vspace = bi.CAP_INIT_CNODE, bi.CAP_INIT_VSPACE
    root = [*retype(untyped, obj.TCB, 0, tcb), *retype(untyped, obj.ENDPOINT, 0, endpoint)]
    root += [*retype(untyped, obj.REPLY, 0, reply), *retype(untyped, obj.SCHED_CONTEXT, 8, context)]
    root += invoke(info.sched_control[0], labels.SCHED_CONTROL_CONFIGURE_FLAGS, (1000, 1000, 0, 9, 0), (context,))
    root += invoke(tcb, labels.TCB_SET_SPACE, (0, 0), (0, cnode, vspace))
    root += invoke(tcb, labels.TCB_SET_PRIORITY, (255,), (bi.CAP_INIT_TCB,))
    root += invoke(context, labels.SCHED_CONTEXT_BIND, (), (tcb,))
    registers = [OTHER] + [0] * 31
    root += invoke(tcb, labels.TCB_WRITE_REGISTERS, (1, 32, *registers))
    root += [ecall(sc.YIELD), (COMPUTE, pause)]
    for n in range(3):
        root += [ecall(sc.CALL, endpoint, msg.message_info(n, 2), n, 5), (COMPUTE, 777)]
    root += [(LOAD, BUFFER + 8, 8), ecall(sc.NBSEND, 0xBAD), (LOAD, 0x777000, 4)]
    answer = ecall(sc.REPLY_RECV, endpoint, msg.message_info(4, 1), 99, 0, 0, 0, reply)
    other = [ecall(sc.RECV, endpoint, 0, 0, 0, 0, 0, reply), (COMPUTE, 25_000), answer, (COMPUTE, 10), answer, answer]
    return root, other


def to_code(entry: int, operations: Sequence[Operation]) -> dict[int, Insn]:
    """The operations as instructions of the scripted CPU, where the coroutine CPU has its own."""
    address = entry + VALUES_OFFSET
    code = {entry: Insn("goto", address)}
    for operation in operations:
        code[address], code[address + 4] = to_instructions(operation)
        address += SLOT_SIZE
    return code


def to_instructions(operation: Operation) -> tuple[Insn, Insn]:
    """What loads the registers, and what acts on them."""
    match operation:
        case int(kind), vaddr, int(size) if kind == LOAD:
            return Insn("set", values=((reg.A1, vaddr),)), Insn("load", size)
        case int(kind), vaddr, int(size), value if kind == STORE:
            return Insn("set", values=((reg.A1, vaddr), (reg.A0, value))), Insn("store", size)
        case int(kind), ticks if kind == COMPUTE:
            return Insn("set", values=((31, ticks),)), Insn("compute")
        case _:
            return Insn("set", values=tuple(zip(ECALL_REGISTERS, operation, strict=True))), Insn("ecall")


def run(kind: str, pause: int = 30_000, lines: io.StringIO | None = None) -> Trace:
    """Run the two programs on one of the CPU models."""
    machine = Machine(QEMU_VIRT_RISCV64, ram_size=1 << 30)
    table = ProgramTable()
    programs: list[list[Operation]] = [[], []]

    def make(index: int) -> Any:
        def program(start: Start) -> Any:
            for operation in programs[index]:  # noqa: UP028
                yield operation

        return program

    segments = tuple((v, image(table.add(make(n))), PAGE_SIZE) for n, v in enumerate((ENTRY, OTHER)))
    state = boot(configure(PRESETS["golden"], machine.board), machine, RootImage(ENTRY, segments))
    paddr = machine.mmu.resolve(BUFFER + PAGE_SIZE, 2)
    programs[:] = server_and_client(bi.BootInfo.decode(machine.read_bytes(paddr, bi.BOOTINFO_SIZE)), pause)
    code = to_code(ENTRY, programs[0]) | to_code(OTHER, programs[1])
    cpu: CPU = ScriptedGlue(machine, code) if kind == "scripted" else CoroutineGlue(machine, table, access_ticks=0)
    loop = Loop(state, machine, cpu, Costs(syscall=15, work_unit=2))
    trace = Trace(loop, lines)
    assert loop.run(max_entries=5_000) == "idle"
    return trace


def test_the_same_program_on_both_cpus_gives_the_same_kernel_trace() -> None:
    lines = {kind: io.StringIO() for kind in ("scripted", "coroutine")}
    traces = {kind: run(kind, lines=lines[kind]) for kind in lines}
    assert traces["scripted"].hash() == traces["coroutine"].hash()
    assert lines["scripted"].getvalue() == lines["coroutine"].getvalue()
    kinds = [json.loads(line)["kind"] for line in lines["coroutine"].getvalue().splitlines()]
    assert {"ecall", "interrupt", "page fault"} <= set(kinds)
    assert traces["coroutine"].count == len(kinds) > 20


def test_any_difference_in_time_changes_the_hash() -> None:
    assert run("coroutine").hash() != run("coroutine", pause=30_001).hash()


def test_the_lines_name_every_field() -> None:
    lines = io.StringIO()
    run("coroutine", lines=lines).hash()
    for line in lines.getvalue().splitlines():
        assert tuple(json.loads(line)) == FIELDS


PING_PONG = """
from capkernel.abi import objects as obj
from capkernel.runtime.python_system import PythonSystem
from capkernel.runtime.trace import Trace
from capkernel.user import operations as ops, stubs
from capkernel.user.bootstrap import root_environment
from capkernel.user.syscalls import Message, Syscalls
from capkernel.user.threads import ThreadSpec, start_thread

async def root(start):
    env = await root_environment(start)
    endpoint, reply = await env.memory.alloc(obj.ENDPOINT), await env.memory.alloc(obj.REPLY)
    for index in (1, 2, 3):
        buffer = 0x20000000 + 0x1000 * index
        time = {"budget": 1000, "period": 5000}
        spec = ThreadSpec(entry=start.values[index], buffer=buffer, arguments=(endpoint, reply), **time)
        await start_thread(env, spec)
    await stubs.tcb_suspend(env.sys, env.tcb)

async def server(start):
    sys, (endpoint, reply) = Syscalls(start.tp), start.arguments[:2]
    message = await sys.recv(endpoint, reply)
    while True:
        await ops.compute(50)
        message = await sys.reply_recv(endpoint, reply, Message(0, [word + 1 for word in message.words]))

async def client(start):
    sys = Syscalls(start.tp)
    words = [0] * 20
    while True:
        words = (await sys.call(start.arguments[0], Message(0, words))).words
        await ops.compute(70)

system = PythonSystem([root, server, client, client])
trace = Trace(system.loop)
system.run(until=2_000_000)
assert not system.crashes, system.crashes
print(trace.hash(), trace.count)
"""


@pytest.mark.parametrize("seed", ["1", "2"])
def test_the_same_system_gives_the_same_hash_in_every_process(seed: str) -> None:
    hashes = {_in_a_process("0"), _in_a_process(seed)}
    assert len(hashes) == 1
    assert int(hashes.pop().split()[1]) > 1_000


def _in_a_process(hash_seed: str) -> str:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    command = [sys.executable, "-c", PING_PONG]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
