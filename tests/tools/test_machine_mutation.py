"""Mistakes in machine code that runs: they are there for one thread, and count when their instruction is executed."""

import struct
from pathlib import Path

import pytest
from attrs import evolve

pytest.importorskip("unicorn", reason="NOT RUN: machine code needs the extra [riscv]")

from capkernel.abi.registers import SYSCALL_REGISTER
from capkernel.abi.syscalls import REPLY_RECV, SEND
from capkernel.abi.words import WORD_MASK
from capkernel.kernel.objects import TCB
from capkernel.runtime.mixed import MixedGlue
from capkernel.runtime.programs import MachineCode
from capkernel.tools.demo.stage import Stage
from capkernel.tools.inject import Fault, Kind
from capkernel.tools.instruction_mutation import SHORT_NOP
from capkernel.tools.machine_mutation import PATIENCE, Instruction, MachineMutant, MachineText
from capkernel.tools.mapped import read_mapped
from capkernel.tools.tour_systems import Booted
from hwmodel.cpu.rv64 import NEXT_PC
from hwmodel.cpu.trap import INTERRUPTED, Trap
from tests.crosscompiler import needs_compiler
from tests.runtime.pdelf import ECALL, build_examples, load_immediate, pd_elf, syscall
from tests.system.elffiles import BASE, SPIN

SYSTEM = """<system>
<protection_domain name="native" priority="100"><program_image path="native.elf"/></protection_domain>
</system>"""
COUNT_DOWN, BRANCH_BACK, NOT_EXECUTED = 0xFFF40413, 0xFE0414E3, 0x00000013
"""addi s0, s0, -1; bnez s0, -24; nop"""
ROUNDS = 3
SAY = [*load_immediate(17, -12), *load_immediate(10, ord("a")), ECALL]
CODE = [*load_immediate(8, ROUNDS), *SAY, COUNT_DOWN, BRANCH_BACK, *syscall(-7, 1, 4), NOT_EXECUTED]
"""Say a letter three times, wait for what never comes."""


class Native:
    """A system of one program of machine code, right before it begins."""

    def __init__(self, place: Path, code: list[int]) -> None:
        (place / "native.system").write_text(SYSTEM)
        (place / "native.elf").write_bytes(pd_elf(code))
        self.booted = Booted(place / "native.system")
        self.booted.boot()
        self.system = self.booted.system
        self.thread: TCB = self.system.threads["native"]
        program = self.system.programs["native"][0]
        assert isinstance(program, MachineCode)
        assert isinstance(self.system.cpu, MixedGlue)
        self.text = MachineText(program.elf)
        self.glue = self.system.cpu
        self.is_endless = False

    def mutant(self, drawn: list[tuple[Instruction, Instruction]]) -> MachineMutant:
        """Put mistakes into the program, and run it with them from now on."""
        mutant = MachineMutant.of(self.system.machine, self.glue, self.thread, drawn)
        run = self.system.loop.cpu.run

        def spoilt(thread: TCB) -> Trap:
            if thread is not self.thread:
                return run(thread)
            trap, self.is_endless = mutant.run(lambda: run(thread))
            return trap

        self.system.loop.cpu = type("Spoilt", (), {"run": staticmethod(spoilt)})()
        return mutant

    def code(self) -> bytes:
        found = read_mapped(self.system.machine, self.thread, BASE, 4 * len(CODE))
        assert found is not None
        return found


def test_the_text_is_what_the_functions_have_and_nothing_else(tmp_path: Path) -> None:
    text = Native(tmp_path, CODE).text
    assert [each.word for each in text.instructions] == [word & 0xFFFFFFFF for word in CODE]
    assert [each.vaddr for each in text.instructions] == list(range(BASE, BASE + 4 * len(CODE), 4))


def test_a_mistake_counts_when_its_instruction_is_executed_and_no_sooner(tmp_path: Path) -> None:
    right = Native(tmp_path, CODE).booted.run()
    native = Native(tmp_path, CODE)
    mutant = native.mutant([(each, each) for each in native.text.instructions])
    assert not mutant.made
    native.system.loop.run(max_entries=1)
    before_the_first_call = 2 + len(SAY)
    assert mutant.made == {BASE + 4 * n for n in range(before_the_first_call)}
    run = native.booted.run()
    assert run.output == right.output == "a" * ROUNDS
    assert mutant.made == {BASE + 4 * n for n in range(len(CODE) - 1)}
    assert native.code()[: 4 * len(CODE) - 4] == struct.pack(f"<{len(CODE) - 1}I", *CODE[:-1])


def test_a_mistake_has_its_effect_once_it_is_met_and_ends_when_it_is_undone(tmp_path: Path) -> None:
    native = Native(tmp_path, CODE)
    letter = native.text.instructions[5]
    mutant = native.mutant([(letter, evolve(letter, word=letter.word ^ 3 << 20))])
    native.system.loop.run(max_entries=1)
    assert native.booted.output.text == "b"
    mutant.undo()
    assert native.booted.run().output == "baa"
    assert native.code() == struct.pack(f"<{len(CODE)}I", *CODE)


def test_code_that_was_translated_already_is_translated_again_when_it_is_spoilt_and_when_it_is_put_back(
    tmp_path: Path,
) -> None:
    native = Native(tmp_path, CODE)
    native.system.loop.run(max_entries=1)
    letter = native.text.instructions[5]
    mutant = native.mutant([(letter, evolve(letter, word=letter.word ^ 3 << 20))])
    native.system.loop.run(max_entries=1)
    mutant.undo()
    assert native.booted.run().output == "aba"
    assert mutant.made == {letter.vaddr}


def test_what_is_not_what_was_drawn_from_is_left_alone(tmp_path: Path) -> None:
    native = Native(tmp_path, CODE)
    native.mutant([(evolve(each, word=each.word ^ 1 << 20), evolve(each, word=0)) for each in native.text.instructions])
    assert native.code() == struct.pack(f"<{len(CODE)}I", *CODE)


def test_an_instruction_that_became_longer_takes_the_next_along(tmp_path: Path) -> None:
    """c.nop twice, of which the first becomes the lower half of ``ori zero, …``."""
    native = Native(tmp_path, [SHORT_NOP << 16 | SHORT_NOP, *CODE])
    first, second = native.text.instructions[:2]
    mutant = native.mutant([(first, evolve(first, word=0x6013)), (second, evolve(second, word=0x0005))])
    assert native.booted.run().output == "a" * ROUNDS
    assert mutant.made == {first.vaddr}
    assert native.code()[:4] == struct.pack("<HH", 0x6013, 0x0005)


def test_who_computes_for_ever_is_given_up_after_so_many_instructions(tmp_path: Path) -> None:
    native = Native(tmp_path, [int.from_bytes(SPIN, "little")])
    mutant = MachineMutant.of(native.system.machine, native.glue, native.thread, [])
    assert native.system.loop.run(max_entries=1) == "entries"
    instructions, slices, is_endless = native.glue.riscv.cpu.instructions, 0, False
    while not is_endless:
        native.system.machine.stop_at = native.system.machine.now() + 1000
        trap, is_endless = mutant.run(lambda: native.glue.run(native.thread))
        assert trap.kind == INTERRUPTED
        slices += 1
    assert native.glue.riscv.cpu.instructions - instructions <= PATIENCE
    assert slices == PATIENCE // 100_000
    assert native.thread.registers[NEXT_PC] == BASE


def test_the_same_seed_makes_the_same_mistakes(tmp_path: Path) -> None:
    text = Native(tmp_path, CODE).text
    assert text.drawn(1, 5) == text.drawn(1, 5) != text.drawn(2, 5)
    assert len({was.vaddr for was, _ in text.drawn(1, 5)}) == 5
    assert len(text.drawn(1, 10_000)) == text.places == len(CODE)
    assert all(was.word != becomes.word for was, becomes in text.drawn(3, 10_000))


# The disk's driver in C


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_examples(tmp_path_factory.mktemp("pd")) / "drivers" / "virtio_blk.elf"


@needs_compiler
def test_a_spoilt_driver_ends_with_its_mistakes_and_the_next_is_what_was_compiled(driver: Path) -> None:
    faults = Fault("disk", 30, Kind.MUTATION, seed=2, count=10_000), Fault("disk", 20, Kind.CRASH, life=2)
    stage = Stage("storage", programs={"disk": str(driver)}, faults=faults)
    program = stage.system.programs["disk"][0]
    assert isinstance(program, MachineCode)
    text = program.elf.segments[0]
    contents: dict[int, set[bytes]] = {}

    def look(trap: Trap) -> None:
        thread = stage.system.threads.get("disk")
        if thread is not None:
            found = read_mapped(stage.system.machine, thread, text.vaddr, 0x1000)
            contents.setdefault(stage.injector.lives["disk"], set()).add(found or b"")

    stage.system.loop.observers.append(look)
    assert stage.run_until(lambda: bool(stage.words("report", 1)[0]), 3_000_000)
    stage.close()
    assert stage.words("report", 3)[1:] == (0, 0)
    assert [fault.kind for fault in stage.injector.activated].count(Kind.MUTATION)
    assert text.data[:0x1000] in contents[1]
    assert len(contents[1]) > 1
    assert contents[2] == contents[3] == {text.data[:0x1000]}


@needs_compiler
def test_a_bit_of_a_variable_in_c_is_inverted(driver: Path) -> None:
    faults = tuple(Fault("disk", 30, Kind.VARIABLE, seed=seed) for seed in range(3))
    stage = Stage("storage", programs={"disk": str(driver)}, faults=faults)
    program = stage.system.programs["disk"][0]
    assert isinstance(program, MachineCode)
    data = program.elf.segments[1]
    seen: list[bytes] = []

    def look(trap: Trap) -> None:
        thread = stage.system.threads.get("disk")
        if thread is not None and stage.injector.lives["disk"] == 1:
            found = read_mapped(stage.system.machine, thread, data.vaddr, data.memory_size)
            seen.append(found or b"")

    stage.system.loop.before.append(look)
    stage.run_until(lambda: len(stage.injector.activated) == len(faults), 3_000_000, 10)
    assert len(stage.injector.activated) == len(faults)
    assert len(set(seen)) > 1
    stage.close()


@needs_compiler
def test_who_lost_a_reply_finds_its_registers_as_they_were(driver: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fault = Fault("disk", 20, Kind.LOST_REPLY, or_later=True)
    stage = Stage("storage", programs={"disk": str(driver)}, faults=(fault,))
    assert isinstance(stage.system.cpu, MixedGlue)
    run, found = stage.system.cpu.riscv.run, []

    def watched(thread: TCB) -> Trap:
        if stage.injector.activated:
            found.append(thread.registers[SYSCALL_REGISTER])
        return run(thread)

    monkeypatch.setattr(stage.system.cpu.riscv, "run", watched)
    assert stage.run_until(lambda: bool(stage.words("report", 1)[0]), 3_000_000)
    assert stage.injector.activated == [fault]
    assert found[0] in {number & WORD_MASK for number in (SEND, REPLY_RECV)}
    assert stage.words("report", 3)[1:] == (0, 0)
    stage.close()
