"""The coroutine CPU by itself and under the kernel: what each step does, and what a fault leaves behind."""

from collections.abc import Callable
from typing import Any

import pytest

from capkernel.abi import objects as obj
from capkernel.abi import registers as reg
from capkernel.abi import syscalls as sc
from capkernel.abi.words import WORD_MASK
from capkernel.runtime.loop import Costs
from capkernel.runtime.python_system import PythonSystem
from capkernel.user import faults, stubs
from capkernel.user import operations as ops
from capkernel.user.bootstrap import Environment, Start, root_environment
from capkernel.user.syscalls import Message, Syscalls
from capkernel.user.threads import ThreadSpec, start_thread
from capkernel.user.vspaces import VSpace
from hwmodel.cpu import program

BUFFER = 0x2000_0000
DATA = 0x3000_0000
ROOT_ONLY = Costs()


def run_root(root: Callable[[Environment], Any], *others: Any, entries: int = 20_000, **options: Any) -> PythonSystem:
    """Run a root task and other programs until it tells the host something or all is quiet."""

    async def main(start: Start) -> None:
        await root(await root_environment(start))
        await ops.tell_host(0)

    system = PythonSystem([main, *others], **options)
    system.run(max_entries=entries)
    return system


def spec_of(env: Environment, index: int, **options: Any) -> ThreadSpec:
    return ThreadSpec(entry=env.start.values[index], buffer=BUFFER + 0x1000 * index, **options)


async def wait_for_fault(env: Environment, endpoint: int, reply: int) -> faults.Fault:
    message = await env.sys.recv(endpoint, reply)
    return faults.decode_fault(message.label, message.words)


def test_user_side_and_cpu_number_operations_alike() -> None:
    for name in ("LOAD", "STORE", "READ", "WRITE", "AMO", "COMPUTE", "CLOCK", "TELL"):
        assert getattr(ops, name) == getattr(program, name)


def test_memory_operations_go_through_the_mmu() -> None:
    seen = []

    async def root(env: Environment) -> None:
        vspace = VSpace(env.memory, env.vspace)
        await vspace.map_new(DATA, 0x3000)
        await ops.store(DATA + 8, 0x1122334455667788)
        seen.append(await ops.load(DATA + 9, 2))
        await ops.write(DATA + 0xFFC, bytes(range(16)))
        seen.append(await ops.read(DATA + 0xFFC, 16))
        seen.append(await ops.amo("add", DATA + 8, 1))
        seen.append(await ops.load(DATA + 8))

    assert not run_root(root).crashes
    assert seen == [0x6677, bytes(range(16)), 0x1122334455667788, 0x1122334455667789]


def test_a_pager_maps_what_is_missing_and_the_access_is_made_again() -> None:
    seen: list[Any] = []

    async def root(env: Environment) -> None:
        endpoint, reply = await env.memory.alloc(obj.ENDPOINT), await env.memory.alloc(obj.REPLY)
        await start_thread(env, spec_of(env, 1, fault_ep=endpoint))
        vspace = VSpace(env.memory, env.vspace)
        for page in range(3):
            fault = await wait_for_fault(env, endpoint, reply)
            seen.append((fault.name, fault["address"], fault["status"]))
            await vspace.map_new(DATA + 0x1000 * page, 0x1000)
            await env.sys.send(reply)
        await env.sys.recv(endpoint, reply)

    async def faulty(start: Start) -> None:
        await ops.store(DATA, 5)
        seen.append(await ops.load(DATA))
        await ops.write(DATA + 0xFF0, b"x" * 0x1020)
        seen.append(await ops.read(DATA + 0xFF0, 0x1020))

    run_root(root, faulty)
    assert seen == [
        ("VMFault", DATA, 7), 5, ("VMFault", DATA + 0x1000, 7), ("VMFault", DATA + 0x2000, 7), b"x" * 0x1020,
    ]  # fmt: skip


def test_a_crash_is_recorded_and_delivered_as_a_breakpoint() -> None:
    told: list[faults.Fault] = []

    async def root(env: Environment) -> None:
        endpoint, reply = await env.memory.alloc(obj.ENDPOINT), await env.memory.alloc(obj.REPLY)
        for index in (1, 2):
            await start_thread(env, spec_of(env, index, fault_ep=endpoint))
            told.append(await wait_for_fault(env, endpoint, reply))

    async def divide(start: Start) -> None:
        await ops.compute(1)
        raise ZeroDivisionError("by nothing")

    async def come_back(start: Start) -> None:
        await ops.compute(1)

    system = run_root(root, divide, come_back)
    assert [(fault.name, fault["number"]) for fault in told] == [("UserException", 3)] * 2
    assert "ZeroDivisionError: by nothing" in system.crashes[0].report
    assert "returned" in system.crashes[1].report


@pytest.mark.parametrize(
    ("yielded", "complaint"),
    [
        ((sc.CALL, 0, 0, 0, 0, 0, 0, 0, 0), "a word"),
        ((sc.YIELD & WORD_MASK, 1 << 64, 0, 0, 0, 0, 0, 0, 0), "64 bits"),
        ((sc.YIELD & WORD_MASK, "x", 0, 0, 0, 0, 0, 0, 0), "flat tuples"),
        ((sc.YIELD & WORD_MASK,), "flat tuples"),
        (None, "flat tuples"),
        ((ops.LOAD, 0x1000, 3), "1, 2, 4 or 8"),
        ((ops.STORE, -1, 8, 0), "no word"),
        ((ops.AMO, 0x1000, 8, 1, "sub"), "no atomic operation"),
        ((ops.READ, 0x1000), "a tuple of 3"),
        ((ops.WRITE, 0x1000, "text"), "bytes are written"),
        ((-5000,), "starts no operation"),
    ],
)
def test_a_program_hears_at_once_that_what_it_yielded_is_wrong(yielded: Any, complaint: str) -> None:
    heard = []

    def main(start: Start) -> Any:
        try:
            yield yielded
        except program.OperationError as error:
            heard.append(str(error))
        yield (ops.TELL, 1)

    system = PythonSystem([main])
    assert system.run(max_entries=100) == "host"
    assert complaint in heard[0]


def test_resume_makes_an_interrupted_system_call_again_with_the_registers_as_they_are() -> None:
    got = []

    async def root(env: Environment) -> None:
        first, second = await env.memory.alloc_many(obj.ENDPOINT, 2)
        reply = await env.memory.alloc(obj.REPLY)
        thread = await start_thread(env, spec_of(env, 1, arguments=(first, second), priority=255))
        await stubs.tcb_suspend(env.sys, thread.tcb)
        registers = list(await stubs.tcb_read_registers(env.sys, thread.tcb, flags=0, count=32))
        cptr = reg.USER_CONTEXT.index(reg.A0)
        assert registers[cptr] == first
        registers[cptr] = second
        await stubs.tcb_write_registers(env.sys, thread.tcb, flags=1, registers=registers)
        got.append((await env.sys.recv(second, reply)).label)
        await env.sys.send(reply, Message(8))
        await env.sys.yield_()

    async def client(start: Start) -> None:
        got.append((await Syscalls(start.tp).call(start.arguments[0], Message(7))).label)
        await Syscalls(0).wait(start.arguments[0])

    run_root(root, client)
    assert got == [7, 8]


def test_a_handler_may_skip_an_unknown_system_call() -> None:
    got = []

    async def root(env: Environment) -> None:
        endpoint, reply = await env.memory.alloc(obj.ENDPOINT), await env.memory.alloc(obj.REPLY)
        await start_thread(env, spec_of(env, 1, fault_ep=endpoint))
        fault = await wait_for_fault(env, endpoint, reply)
        assert fault["syscall"] == 0xC1
        answer = Message(0, (fault["ip"] + 4, fault["sp"], fault["ra"], 99))
        await env.sys.reply_recv(endpoint, reply, answer)

    async def caller(start: Start) -> None:
        got.append((await ops.ecall(0xC1, 5))[0])

    run_root(root, caller)
    assert got == [99]


def test_a_jump_into_nowhere_is_an_illegal_instruction_and_into_nothing_a_fetch_fault() -> None:
    told = []

    async def root(env: Environment) -> None:
        endpoint, reply = await env.memory.alloc(obj.ENDPOINT), await env.memory.alloc(obj.REPLY)
        vspace = VSpace(env.memory, env.vspace)
        await vspace.map_new(DATA, 0x1000)
        for index, entry in enumerate((env.start.values[0] + 0x200, 0x5000_0000, DATA)):
            spec = ThreadSpec(entry=entry, buffer=BUFFER + 0x1000 * index, fault_ep=endpoint)
            await start_thread(env, spec)
            told.append(await wait_for_fault(env, endpoint, reply))

    run_root(root)
    assert [str(fault) for fault in told] == [
        "UserException: illegal instruction, pc 0x10200",
        "VMFault: fetch at 0x50000000, pc 0x50000000",
        "VMFault: fetch at 0x30000000, pc 0x30000000",
    ]


def test_a_thread_whose_code_is_unmapped_takes_a_fetch_fault() -> None:
    told = []

    async def root(env: Environment) -> None:
        endpoint, reply = await env.memory.alloc(obj.ENDPOINT), await env.memory.alloc(obj.REPLY)
        await start_thread(env, spec_of(env, 1, fault_ep=endpoint))
        await env.sys.yield_()
        await ops.compute(2_000_000)
        await stubs.page_unmap(env.sys, env.info.user_image_frames[0] + 1)
        told.append(await wait_for_fault(env, endpoint, reply))

    async def worker(start: Start) -> None:
        while True:
            await ops.compute(100)

    run_root(root, worker)
    assert (told[0].name, told[0]["is_fetch"]) == ("VMFault", 1)


def test_the_pc_stays_in_the_page_however_long_a_program_runs() -> None:
    pcs = set()

    async def root(env: Environment) -> None:
        for _ in range(2000):
            await env.sys.nbsend(0)

    async def main(start: Start) -> None:
        env = await root_environment(start)
        await root(env)
        await ops.tell_host(0)

    system = PythonSystem([main])
    system.loop.observers.append(lambda trap: pcs.add(system.state.current.registers[reg.NEXT_IP]))
    assert system.run(max_entries=3000) == "host"
    assert len(pcs) > 400
    assert all(0x10000 <= pc < 0x11000 for pc in pcs)


def test_programs_find_the_values_of_their_image_and_their_start_registers() -> None:
    seen = []

    async def root(env: Environment) -> None:
        await start_thread(env, spec_of(env, 1, arguments=(1, 2, 3), priority=255))
        await env.sys.yield_()

    async def other(start: Start) -> None:
        seen.append((start.values[-2:], start.arguments[:3], start.tp))
        await ops.ecall(sc.WAIT, 0)

    run_root(root, other, values=(42, 43))
    assert seen == [((42, 43), (1, 2, 3), BUFFER + 0x1000)]


def test_an_image_holds_as_many_values_as_fit_its_page() -> None:
    assert len(program.image(1, range(program.MAX_VALUES))) <= program.PAGE_SIZE - 4 * program.SLOT_SIZE
    with pytest.raises(ValueError, match="at most"):
        program.image(1, range(program.MAX_VALUES + 1))
    with pytest.raises(ValueError, match="value 1 of the image"):
        program.image(1, (0, 1 << 64))


def test_a_device_register_is_reached_through_a_mapped_device_frame() -> None:
    async def root(env: Environment) -> None:
        frame = await env.memory.alloc_at(0x1000_0000, obj.PAGE)
        await VSpace(env.memory, env.vspace).map(frame, DATA)
        for code in b"uart":
            await ops.store(DATA, code, 1)

    system = run_root(root)
    assert not system.crashes
    system.machine.advance(1_000_000)
    assert system.machine.uart_backend.text == "uart"


def test_whoever_is_restarted_after_an_interrupt_goes_on_where_it_was_interrupted() -> None:
    """Also if the interrupt comes in the very tick in which an operation ends."""

    async def root(env: Environment) -> None:
        while True:
            await ops.compute(10)
            await ops.load(env.sys.buffer)

    system = run_root(root, entries=1)
    seen = set()
    for _ in range(60):
        system.loop.run(until=system.machine.now() + 7)
        x = system.state.current.registers
        assert x[reg.FAULT_IP] == x[reg.NEXT_IP]
        seen.add(x[reg.NEXT_IP] % 8)
    assert seen == {0, 4}, "between operations and in the middle of one"
