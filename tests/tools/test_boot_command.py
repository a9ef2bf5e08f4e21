"""``capkernel boot``: root tasks of machine code. Most are assembled here; those in C need a RISC-V compiler."""

import json
import struct
import sys

import pytest
from typer.testing import CliRunner

pytest.importorskip("unicorn", reason="machine code needs the extra [riscv]")

import typer

from capkernel.abi import bootinfo as bi
from capkernel.runtime.machine_code import MachineCodeSystem
from capkernel.system.elf import read_program
from capkernel.tools.boot.baseline import BaselineError, read_baseline, results
from capkernel.tools.boot.command import boot
from hwmodel.board import BOARDS
from hwmodel.cpu.riscv import emulator
from hwmodel.devicetree import device_tree
from tests.system.elffiles import BASE, FUNC, Segment, Symbol, elf_file

A0, A1, A7, T0 = 10, 11, 17, 5
ECALL, SELF_JUMP, ILLEGAL = 0x73, 0x6F, 0xFFFF_FFFF
PUT_CHAR, HALT = -12, -14


def addi(rd, rs, imm):
    return (imm & 0xFFF) << 20 | rs << 15 | rd << 7 | 0x13


def say(text):
    """Print, a character a system call."""
    words = [addi(A7, 0, PUT_CHAR)]
    for character in text:
        words += [addi(A0, 0, ord(character)), ECALL]
    return words


HALTED = [addi(A7, 0, HALT), ECALL]
SUSPENDED = [addi(A7, 0, -1), addi(A0, 0, 1), 0x0000_C5B7, ECALL]
"""lui a1, 12: the label of TCB_Suspend; invoke the own TCB."""


def program(*words, **elf):
    return elf_file([Segment(BASE, struct.pack(f"<{len(words)}I", *words))], [Symbol("start", BASE, 400, FUNC)], **elf)


@pytest.fixture
def run(tmp_path):
    app = typer.Typer()
    app.command()(boot)

    def run(words, *options):
        path = tmp_path / "root.elf"
        path.write_bytes(words if isinstance(words, bytes) else program(*words))
        return CliRunner().invoke(app, [str(path), "--ram", "64M", *options])

    return run


def test_a_program_prints_and_the_system_ends_when_nothing_can_happen(run):
    done = run([*say("hi\n"), *SUSPENDED])
    assert (done.exit_code, done.stdout) == (0, "hi\n")
    assert "-- idle after" in done.stderr
    assert "4 kernel entries, 11 instructions" in done.stderr


def test_it_stops_as_soon_as_the_awaited_text_is_printed(run):
    done = run([*say("one two three"), SELF_JUMP], "--until", "two")
    assert (done.exit_code, done.stdout) == (0, "one two")


def test_a_text_that_never_comes_is_a_failure(run):
    done = run([*say("one"), *HALTED], "--until", "two")
    assert done.exit_code == 1
    assert "'two' was not printed" in done.stderr


def test_it_stops_after_exactly_so_many_instructions(run):
    done = run([addi(T0, T0, 1), 0xFFDF_F06F], "--instructions", "12345", "--json")
    report = json.loads(done.stdout)
    assert (report["stopped"], report["instructions"]) == ("instructions", 12345)
    assert "-- stopped by --instructions after" in run([SELF_JUMP], "--instructions", "5").stderr


def test_two_runs_are_the_same_run_with_and_without_the_shim(run):
    words = [*say("same"), addi(T0, T0, 1), 0xFFDF_F06F]
    told = [
        json.loads(run(words, "--instructions", "100000", "--json", *more).stdout) for more in ([], [], ["--no-shim"])
    ]
    assert told[0] == told[1] == told[2]


def test_a_thread_that_faults_is_shown_with_pc_symbol_registers_and_reason(run):
    done = run([addi(T0, 0, 7), 0x0000_3503])
    assert "rootserver (TCB@" in done.stderr
    assert f"stopped at pc {BASE + 4:#x} <start+0x4>" in done.stderr
    assert "t0 0x0000000000000007" in done.stderr
    assert "was refused: VMFault; it has no fault handler and stopped" in done.stderr
    assert "missing:" in done.stderr


NO_PROGRAM = [addi(T0, 0, 7), 0x0000_3503]
"""It reads address 0."""


def test_a_root_task_that_dies_of_a_fault_is_a_failure(run):
    done = run(NO_PROGRAM)
    assert done.exit_code == 1
    assert "the root task died of a fault that nobody handles\n-- idle after" in done.stderr
    done = run(NO_PROGRAM, "--json", "--explain")
    report = json.loads(done.stdout)
    assert (done.exit_code, report["succeeded"], report["root_task_died"]) == (1, False, True)


def test_one_that_died_before_the_last_instruction_to_run_is_a_failure_too(run):
    assert run(NO_PROGRAM, "--instructions", "1").exit_code == 0
    assert run(NO_PROGRAM, "--instructions", "1000").exit_code == 1


def test_what_was_awaited_counts_for_more_than_how_the_root_task_ended(run):
    assert run([*say("done"), *NO_PROGRAM], "--until", "done").exit_code == 0
    assert run([*say("done"), *NO_PROGRAM], "--until", "gone").exit_code == 1


def test_a_root_task_that_suspends_itself_did_not_die(run):
    report = json.loads(run([*SUSPENDED], "--json").stdout)
    assert (report["succeeded"], report["root_task_died"]) == (True, False)


def test_the_trace_is_a_line_for_each_kernel_entry(run, tmp_path):
    done = run([*say("ab"), *HALTED], "--trace", str(tmp_path / "t"))
    entries = [json.loads(line) for line in (tmp_path / "t").read_text().splitlines()]
    assert done.exit_code == 0
    assert [(entry["kind"], entry["a0"]) for entry in entries] == [("ecall", 97), ("ecall", 98), ("ecall", 98)]


def test_statistics_name_what_the_kernel_was_entered_for(run):
    report = json.loads(run([*say("abc"), *SUSPENDED], "--stats", "--json").stdout)["statistics"]
    assert report["entries"] == {"DebugPutChar": 3, "TCB_Suspend": 1}
    assert report["instructions"] == 11
    assert report["seconds"] >= report["user_seconds"] >= 0
    assert "user instructions" in run([*say("abc"), *SUSPENDED], "--stats").stderr


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--preset", "nonsense"], "there is no preset 'nonsense'"),
        (["--board", "nonsense"], "no board is named 'nonsense'"),
        (["--ram", "lots"], "--ram is a size"),
        (["--ram", "5"], "--ram is a size"),
        (["--until", ""], "--until is a text"),
        (["--check", "sample:0"], "--check is none, all or sample:N"),
        (["--baseline", "/nonexistent"], "No such file"),
        (["--trace", "/nonexistent/x"], "the trace cannot be written"),
    ],
)
def test_wrong_usage_is_said_and_nothing_runs(run, options, complaint):
    done = run(say("x"), *options)
    assert done.exit_code == 2
    assert complaint in " ".join(done.stderr.replace("│", " ").split())
    assert done.stdout == ""


def test_without_the_emulator_it_says_what_to_install(run, monkeypatch):
    emulator.layout.cache_clear()
    monkeypatch.setitem(sys.modules, "unicorn", None)
    done = run(say("x"))
    assert done.exit_code == 1
    assert "capkernel boot: machine code needs the emulator unicorn" in done.stderr


def test_what_is_no_program_is_refused_with_the_reason(run):
    done = run(b"\x7fELF junk")
    assert done.exit_code == 1
    assert "cannot be booted" in done.stderr


def test_a_machine_that_the_host_has_no_room_for_is_refused(run):
    done = run(say("x"), "--ram", "99999G")
    assert done.exit_code == 1
    assert "no room for" in done.stderr


def test_an_interrupt_by_the_user_ends_with_the_report(run, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("capkernel.runtime.riscv.RiscvGlue.run", interrupt)
    done = run([SELF_JUMP])
    assert done.exit_code == 130
    assert "-- interrupted after" in done.stderr


def test_the_invariants_can_be_checked_while_it_runs(run):
    done = run([*say("abcd"), *SUSPENDED], "--check", "all")
    assert done.exit_code == 0
    assert "invariants: 5 states checked, 0 violations" in done.stderr


def test_a_program_that_does_not_fit_into_ram_is_refused(run):
    done = run(elf_file([Segment(BASE, struct.pack("<I", SELF_JUMP), 1 << 27)]))
    assert done.exit_code == 1
    assert "does not fit" in done.stderr


# What the root task is told


@pytest.mark.parametrize("board", BOARDS.values(), ids=lambda board: board.name)
def test_the_extra_boot_information_is_the_boards_device_tree(board):
    system = MachineCodeSystem(read_program(program(SELF_JUMP)), board=board, ram=1 << 26)
    pages = system.state.current.registers[A0] >> 12
    root = system.machine.mmu.tlb  # nothing was translated yet
    assert list(root.entries()) == []
    info_at, extra_at = pages << 12, (pages << 12) + 4096
    satp = system.machine.mmu.satp
    read = lambda vaddr, size: system.machine.read_bytes(system.machine.mmu.translate(satp, vaddr, 2), size)  # noqa: E731
    info = bi.BootInfo.decode(read(info_at, bi.BOOTINFO_SIZE))
    chunk, size = struct.unpack("<QQ", read(extra_at, 16))
    tree = device_tree(system.machine.board)
    assert (chunk, size) == (bi.FDT_CHUNK, info.extra_len) == (bi.FDT_CHUNK, 16 + len(tree))
    assert read(extra_at + 16, 200) == tree[:200]


def test_gigabytes_and_large_cnodes_cost_only_what_is_touched():
    """3 GiB of RAM and a root CNode of 2**17 slots."""
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    from capkernel.runtime.platform import PRESETS

    system = MachineCodeSystem(read_program(program(*say("x"), *HALTED)), config=PRESETS["microkit"])
    system.loop.run()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60 * 1024


# The baseline of sel4test

CONSOLE = """
Starting test 0: Test that there are tests
Starting test 1: SYSCALL0000
Starting test 2: BIND0001
Running test BIND0001 (Test something)
Test BIND0001 passed
Starting test 3: BIND0002
Running test BIND0002 (Test something else)
\tFailure: result == SUCCESS at line 296 of file x.c
Starting test 4: BIND0003
Running test BIND0003 (It never ends)
"""


def test_results_are_read_from_what_the_suite_prints():
    assert results(CONSOLE) == {
        "Test that there are tests": "pass", "SYSCALL0000": "pass", "BIND0001": "pass", "BIND0002": "fail",
        "BIND0003": "?",
    }  # fmt: skip


def test_the_table_shows_what_differs_from_the_record(run, tmp_path):
    record = tmp_path / "baseline.json"
    record.write_text(json.dumps({"tests": [{"name": "A", "result": "pass"}, {"name": "B", "result": "pass"}]}))
    good = "Starting test 0: A\nTest A passed\nStarting test 1: B\nTest B passed\n"
    done = run([*say(good), *HALTED], "--baseline", str(record))
    assert done.exit_code == 0
    assert "baseline: 2 tests, 2 passed, 2 as recorded, 0 differ" in done.stderr
    done = run([*say(good.replace("B passed", "B failed")), *HALTED], "--baseline", str(record))
    assert done.exit_code == 1
    assert "fail   <-- differs" in done.stderr


@pytest.mark.parametrize("content", ["", "[]", '{"tests": [{"name": "A"}]}', '{"tests": 5}'])
def test_a_file_that_is_no_record_says_what_is_wanted(tmp_path, content):
    path = tmp_path / "b.json"
    path.write_text(content)
    with pytest.raises(BaselineError, match="wanted is a JSON object"):
        read_baseline(path)
