"""Systems of Python programs and machine code: how they run beside each other."""

import subprocess
import sys
from pathlib import Path

import pytest

from capkernel.kernel.caps import PageTableCap
from capkernel.kernel.objects import TCB
from capkernel.runtime import described
from capkernel.runtime.coroutine import CoroutineGlue
from capkernel.runtime.mixed import MixedGlue
from capkernel.runtime.programs import MachineCode
from capkernel.system.elf import read_program
from capkernel.tools.tour_systems import Booted, Run
from capkernel.user.pdimage import PDValues
from hwmodel.mmu import FETCH, LOAD, STORE
from hwmodel.sv39 import walk
from tests.crosscompiler import needs_compiler
from tests.runtime.pdelf import (
    BSS,
    DATA,
    EXAMPLES,
    FLOATING,
    JUMP_TO_A0,
    SAY_AND_WAIT,
    STORE_TO_CODE,
    build_examples,
    load_immediate,
    pd_elf,
)  # fmt: skip
from tests.system.elffiles import BASE, OBJECT, Symbol

pytest.importorskip("unicorn", reason="machine code needs unicorn: pip install 'capkernel[riscv]'")

PAIR = """<system>
<memory_region name="mem" size="0x1000"/>
<protection_domain name="native" priority="100" {words}><program_image path="native.elf"/>{more}</protection_domain>
<protection_domain name="python" priority="50"><program_image path="python.elf"/></protection_domain>
</system>"""
PYTHON = "async def init(pd): await pd.print('?')\n"
HELLO = "async def init(pd): await pd.print('hello')\n"


def booted(place: Path, program: bytes, *, words: str = "", more: str = "", seed: int = 0) -> Booted:
    (place / "pair.system").write_text(PAIR.format(words=words, more=more))
    (place / "native.elf").write_bytes(program)
    (place / "native.py").write_text("raise SystemExit('the ELF file is there')\n")
    (place / "python.py").write_text(PYTHON)
    return Booted(place / "pair.system", seed=seed)


def root_of(thread: TCB) -> int:
    """The physical address of a thread's root table."""
    cap = thread.vspace_slot.cap
    assert isinstance(cap, PageTableCap)
    return cap.paddr


def test_machine_code_and_python_run_in_one_system(tmp_path: Path) -> None:
    run = booted(tmp_path, pd_elf()).run()
    assert (run.output, run.stopped, run.faults, run.crashes) == ("!?", "idle", (), ())


def test_the_same_seed_gives_the_same_trace(tmp_path: Path) -> None:
    first, second, other = (booted(tmp_path, pd_elf(), seed=seed).run().trace_hash for seed in (7, 7, 8))
    assert first == second != other


def test_pages_have_the_rights_of_their_segment(tmp_path: Path) -> None:
    system = booted(tmp_path, pd_elf())
    system.boot()
    thread = system.system.threads["native"]
    root = root_of(thread)
    code, data = (walk(system.system.machine.memory, root, vaddr) for vaddr in (BASE, DATA))
    assert code is not None
    assert data is not None
    permissions = LOAD | STORE | FETCH
    assert (code.flags & permissions, data.flags & permissions) == (LOAD | FETCH, LOAD | STORE)


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ([*load_immediate(10, BASE), STORE_TO_CODE], f"VMFault: store at {BASE:#x}, pc 0x200008 in main+0x8"),
        ([*load_immediate(10, DATA), JUMP_TO_A0], f"VMFault: fetch at {DATA:#x}, pc {DATA:#x}"),
        ([0], f"UserException: illegal instruction, pc {BASE:#x} in main+0x0"),
    ],
)
def test_a_fault_is_reported_with_the_function(tmp_path: Path, code: list[int], fault: str) -> None:
    run = booted(tmp_path, pd_elf(code)).run()
    assert run.faults == (("native", fault),)
    assert run.output.endswith("?")


def test_the_fpu_can_be_withheld(tmp_path: Path) -> None:
    program = pd_elf([FLOATING, *SAY_AND_WAIT])
    assert booted(tmp_path, program).run().output == "!?"
    withheld = booted(tmp_path, program, words='fpu="false"').run()
    assert withheld.faults == (("native", f"UserException: illegal instruction, pc {BASE:#x} in main+0x0"),)


def test_symbols_are_set_in_the_file_and_beyond(tmp_path: Path) -> None:
    more = '<map mr="mem" vaddr="0x3000000" perms="rw" setvar_vaddr="mem_at"/>'
    program = pd_elf(more=[Symbol("mem_at", BSS + 0x300, 8, OBJECT)])
    system = booted(tmp_path, program, more=more, words='passive="true"')
    system.boot()
    memory, thread = system.system.machine.memory, system.system.threads["native"]
    page = walk(memory, root_of(thread), DATA)
    assert page is not None
    content = system.system.machine.read_bytes(page.paddr, page.size)
    assert content[:64] == b"native".ljust(64, b"\0")
    assert content[0x40] == 1
    assert int.from_bytes(content[0x400:0x408], "little") == 0x3000000


def test_what_a_domain_is_told_of_its_channels() -> None:
    elf = read_program(pd_elf())
    image = MachineCode(elf, elf).image(PDValues(name="x", irqs=1, notifications=6, pps=1 << 61), {})
    data = image.segments[1].data
    words = {offset: int.from_bytes(data[offset : offset + 8], "little") for offset in (0x80, 0x1C0, 0x200, 0x240)}
    assert words == {0x80: 1, 0x1C0: 6, 0x200: 1 << 61, 0x240: 0}
    assert len(data) <= image.segments[1].memory_size


@pytest.mark.parametrize("name", ["hierarchy/hierarchy", "passive_server/passive_server", "cap_sharing/cap_sharing"])
def test_a_python_program_does_the_same_beside_machine_code(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[Run] = []
    for glue in (CoroutineGlue, MixedGlue):
        monkeypatch.setattr(described, "_cpu", lambda machine, *rest, glue=glue, **options: glue(machine, rest[2]))
        runs.append(Booted(EXAMPLES / f"{name}.system").run())
    assert runs[0] == runs[1]


def test_the_emulator_is_not_asked_for_without_machine_code(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text(HELLO)
    (tmp_path / "one.system").write_text(
        '<system><protection_domain name="one"><program_image path="one.elf"/></protection_domain></system>'
    )
    code = (
        "import sys; from pathlib import Path; from capkernel.tools.tour_systems import Booted\n"
        f"assert Booted(Path({str(tmp_path / 'one.system')!r})).run().output == 'hello'\n"
        "assert 'unicorn' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# The examples in C


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_examples(tmp_path_factory.mktemp("pd"))


def run_twice(path: Path, *, search_path: list[Path], time_us: int | None = None) -> Run:
    """Run a system, and see that it does the same again."""
    first, second = (Booted(path, search_path=search_path).run(time_us=time_us) for _ in range(2))
    assert first == second
    return first


@needs_compiler
def test_clients_and_servers_in_two_languages(built: Path) -> None:
    run = run_twice(EXAMPLES / "mixed" / "mixed.system", search_path=[built])
    assert run.faults == run.crashes == ()
    assert run.output.splitlines()[2:] == [
        "asker: C, the squares are 1 4 9 16 25 36",
        "adder: Python, 1 to 100 make 5050; calls so far: 1",
    ]


@needs_compiler
def test_the_driver_in_c_takes_the_place_of_the_one_in_python(built: Path) -> None:
    fortress = EXAMPLES / "fortress.system"
    python, native = Booted(fortress).run(time_us=60_000), run_twice(fortress, search_path=[built], time_us=60_000)
    assert native.output == python.output != ""
    assert native.faults == native.crashes == ()
    assert native.trace_hash != python.trace_hash


@needs_compiler
@pytest.mark.campaign
def test_the_attacker_gets_no_further_beside_machine_code(built: Path) -> None:
    fortress = EXAMPLES / "fortress.system"
    assert Booted(fortress, search_path=[built]).run().output == Booted(fortress).run().output
