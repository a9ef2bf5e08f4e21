"""Exporting the capability state of running systems, and building systems from specifications."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from capkernel.abi import labels
from capkernel.abi import objects as obj
from capkernel.kernel.boot import RootImage
from capkernel.runtime.platform import PRESETS, configure
from capkernel.runtime.python_system import ROOT_ENTRY, PythonSystem
from capkernel.system.capdl import Spec, parse, show
from capkernel.system.capdl.checks import impossible
from capkernel.system.capdl.model import make_object
from capkernel.tools.capdl.boot import boot_from, stopped
from capkernel.tools.capdl.build import BuildError
from capkernel.tools.capdl.command import capdl
from capkernel.tools.capdl.export import export
from capkernel.tools.capdl.places import fillers, place
from capkernel.tools.capdl.unsaid import UNSAID, unsaid
from capkernel.tools.conform.populate import start
from capkernel.tools.conform.recordings import read
from capkernel.tools.conform.steps import Stepper
from capkernel.tools.conform.world import create
from hwmodel.board import QEMU_VIRT_RISCV64
from hwmodel.cpu.program import PAGE_SIZE
from specs.structure import structure

TESTS = Path(__file__).parents[1]
DOCS = TESTS.parent / "docs"
GROUPS = ("capspace", "vspace", "tcb", "ipc", "faults", "memory")


def programs(group: str, limit: int) -> Iterator[Any]:
    for count, recorded in enumerate(read(TESTS / "golden" / f"{group}.jsonl.gz")):
        if count == limit:
            return
        yield recorded.program


def after(program: Any, operations: int | None = None) -> Spec:
    """The specification of the world in which a recorded program ends, or is after so many operations."""
    world = start(program)
    stepper = Stepper(world, program["group"])
    for record in program["ops"][:operations]:
        stepper.step(record)
    before = structure(world.loop.state)
    spec = export(world.loop.state)
    assert structure(world.loop.state) == before
    return spec


def check_round_trips(program: Any, operations: int | None = None) -> None:
    """Export, import, export; and boot from the export: the same caps, derivations and mappings."""
    spec = after(program, operations)
    text = show(spec)
    assert impossible(spec) == []
    again = parse(text)
    assert again == spec
    assert show(again) == text
    built = boot_from(again)
    assert show(stopped(built.export())) == show(stopped(spec)), program["id"]


@pytest.mark.parametrize("group", GROUPS)
def test_systems_of_recorded_programs(group: str) -> None:
    for program in programs(group, 12):
        check_round_trips(program)


@pytest.mark.slow
@pytest.mark.parametrize("group", GROUPS)
def test_systems_of_every_fortieth_recorded_program(group: str) -> None:
    for program in islice(programs(group, 1000), 0, None, 40):
        check_round_trips(program)


@pytest.mark.campaign
@pytest.mark.parametrize("group", GROUPS)
def test_systems_of_all_recorded_programs(group: str) -> None:
    for program in programs(group, 1000):
        check_round_trips(program)


_CAPSPACE = list(programs("capspace", 40)) + list(programs("vspace", 40))


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(_CAPSPACE), st.integers(0, 60))
def test_systems_in_the_middle_of_a_program(program: Any, operations: int) -> None:
    check_round_trips(program, operations)


def test_export_says_what_was_done() -> None:
    world = create()
    endpoint, badged = world.new(obj.ENDPOINT), world.slot()
    world.copy(world.own(2), badged, 64, endpoint, 0x77)
    table, frame = world.new(obj.PAGE_TABLE), world.new(obj.PAGE)
    vspace = world.own(3)
    world.make(world.own(table), labels.PAGE_TABLE_MAP, [0x40000000, 0], [vspace])
    lower = world.new(obj.PAGE_TABLE)
    world.make(world.own(lower), labels.PAGE_TABLE_MAP, [0x40000000, 0], [vspace])
    world.make(world.own(frame), labels.PAGE_MAP, [0x40003000, 2, 1], [vspace])
    spec = export(world.loop.state)
    (own,) = (name for name, thing in spec.objects.items() if name.startswith("boot_cnode") and thing.kind == "cnode")
    assert spec.slots[own, badged].badge == 0x77
    assert spec.cdt[own, badged] == (own, endpoint)
    assert spec.kind_of(spec.slots[spec.cdt[own, endpoint]].object) == "ut"
    held = spec.slots[own, frame]
    assert held.mapping == (spec.slots[own, lower].object, 3)
    assert spec.slots[held.mapping].rights == 2
    assert spec.covers[held.object] == spec.slots[own, world.hidden].object


def test_what_cannot_be_said_is_listed() -> None:
    program = next(programs("ipc", 1))
    world = start(program)
    stepper = Stepper(world, "ipc")
    for record in program["ops"]:
        stepper.step(record)
    found = unsaid(world.loop.state)
    assert {line.split(":")[0] for line in found} <= set(UNSAID)
    assert any(line.startswith("messages: TCB@") for line in found)
    assert any(line.startswith("watermark: ") for line in found)


def test_a_system_with_python_programs_and_domains() -> None:
    async def program(cpu: Any) -> None:
        return None

    system = PythonSystem([program, program])
    system.run()
    spec = export(system.state)
    assert spec.domains is not None
    text = show(spec)
    assert parse(text) == spec
    pages = tuple((entry, b"", PAGE_SIZE) for entry in (ROOT_ENTRY, ROOT_ENTRY + PAGE_SIZE))
    config = configure(PRESETS["demo"], system.machine.board)
    built = boot_from(spec, config, QEMU_VIRT_RISCV64, RootImage(ROOT_ENTRY, pages))
    assert show(_without_registers(built.export())) == show(_without_registers(spec))


EXAMPLES = TESTS.parent / "examples"


@pytest.mark.parametrize("name", ["hello", "hierarchy/hierarchy", "cap_sharing/cap_sharing", "fortress"])
def test_described_systems_are_built_from_their_exports(name: str, tmp_path: Path) -> None:
    app, system = typer.Typer(), EXAMPLES / f"{name}.system"
    app.command()(capdl)
    exported = CliRunner().invoke(app, ["export", str(system)])
    assert exported.exit_code == 0
    path = tmp_path / "system.cdl"
    path.write_text(exported.stdout)
    built = CliRunner().invoke(app, ["boot", str(path), "--like", str(system)])
    assert built.exit_code == 0, built.stderr
    one, other = (show(_without_registers(parse(run.stdout))) for run in (exported, built))
    assert one == other


def test_a_system_for_another_board_is_exported_there() -> None:
    app = typer.Typer()
    app.command()(capdl)
    system = str(EXAMPLES / "dma" / "dma.system")
    assert CliRunner().invoke(app, ["export", system]).exit_code == 1
    assert CliRunner().invoke(app, ["export", system, "--board", "virt_iommu"]).exit_code == 0
    unknown = CliRunner().invoke(app, ["export", system, "--board", "toaster"])
    assert unknown.exit_code == 2
    assert "virt_iommu" in unknown.stderr


def test_what_cannot_be_exported_is_said(tmp_path: Path) -> None:
    app, path = typer.Typer(), tmp_path / "a.system"
    app.command()(capdl)
    assert CliRunner().invoke(app, ["export", str(path)]).exit_code == 2
    path.write_text("<system><protection_domain /></system>")
    refused = CliRunner().invoke(app, ["export", str(path)])
    assert refused.exit_code == 1
    assert "a.system:1" in refused.stderr


def _without_registers(spec: Spec) -> Spec:
    """Where the initial task stands in its program is its own affair."""
    for name, thing in spec.objects.items():
        if thing.kind == "tcb":
            spec.objects[name] = make_object("tcb", **dict(thing.params) | {"ip": None, "sp": None, "resume": None})
    return spec


# Written by hand


def _example() -> str:
    text = (DOCS / "capdl.md").read_text(encoding="utf-8")
    return text.split("```capdl\n")[1].split("```")[0]


def test_the_example_of_the_documentation_is_built_as_it_says() -> None:
    spec = parse(_example(), "example.cdl")
    built = boot_from(spec)
    found = built.export()
    assert found.slots.keys() == spec.slots.keys()
    for ref, cap in spec.slots.items():
        made = found.slots[ref]
        wanted = (cap.object, cap.rights, cap.badge, cap.guard, cap.guard_size)
        assert (made.object, made.rights, made.badge, made.guard, made.guard_size) == wanted
    assert found.irqs == spec.irqs
    for name in ("client", "server"):
        assert found.objects[name].get("prio") == spec.objects[name].get("prio")
        assert found.objects[name].get("ip") == spec.objects[name].get("ip")
    assert found.objects["client_time"].get("budget") == 5000
    assert set(built.to_start) == {"client", "server"}


def test_starting_what_was_built() -> None:
    """The threads' code is zeros, so each faults at once; the client's fault waits at its handler."""
    built = boot_from(parse(_example()))
    built.start()
    assert built.loop.run() == "idle"
    found = built.export()
    assert found.objects["client"].get("resume") is True
    assert found.objects["server"].get("resume") is False


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("objects { c = cnode (4 bits) } caps { c { 1: irq_control 2: irq_control } }", "no second irq_control"),
        ("objects { u = ut (12 bits) { a b } a = frame (4k) b = frame (4k) c = cnode (4 bits) }", "no room"),
        ("objects { i = irq c = cnode (4 bits) } caps { c { 1: i } }", "no number in the irq maps"),
        ("objects { c = cnode (4 bits) } caps { c { 99: c } }", "no slot 0x63"),
        ("objects { c = cnode (4 bits) f = frame (4k, paddr: 0x1000) } caps { c { 1: f } }", "f"),
    ],
)
def test_what_cannot_be_built_is_refused(text: str, reason: str) -> None:
    with pytest.raises(BuildError, match=reason):
        boot_from(parse("arch riscv " + text))


@given(st.lists(st.integers(4, 9), max_size=8), st.randoms(use_true_random=False))
def test_objects_fit_wherever_they_can(sizes: list[int], random: Any) -> None:
    """What fits in one order around fixed objects is found: nothing overlaps, everything is aligned."""
    others = {f"o{n}": bits for n, bits in enumerate(sizes)}
    fixed = {"f": (0x4000 + 0x200, 9)}
    if sum(1 << bits for bits in sizes) > 0x1000 - 0x400:
        return
    found = place((0x4000, 12), fixed, others)
    spans = sorted((found[name], (others | {"f": 9})[name]) for name in found)
    for (address, bits), following in zip(spans, [*spans[1:], (0x5000, 0)], strict=True):
        assert address % (1 << bits) == 0
        assert address + (1 << bits) <= following[0]


@given(st.integers(0, 1 << 20), st.integers(0, 1 << 20))
def test_fillers_lead_from_one_address_to_the_other(start: int, length: int) -> None:
    at = start * 16
    for bits in fillers(start * 16, start * 16 + length * 16):
        assert at % (1 << bits) == 0
        at += 1 << bits
    assert at == start * 16 + length * 16


# The command


def _run(*arguments: str) -> Any:
    app = typer.Typer()
    app.command()(capdl)
    return CliRunner().invoke(app, list(arguments))


def test_the_command(tmp_path: Path) -> None:
    file = tmp_path / "a.cdl"
    file.write_text(_example(), encoding="utf-8")
    assert _run("check", str(file)).exit_code == 0
    printed = _run("print", str(file))
    assert parse(printed.stdout) == parse(_example())
    assert "cnode" in _run("boot", str(file)).stdout
    assert "watermark" in _run("check", str(file), "--unsaid").stdout


def test_the_command_refuses(tmp_path: Path) -> None:
    file = tmp_path / "a.cdl"
    file.write_text("arch riscv\nobjects { c = cnode (1 bits) }\ncaps { c { 7: c } }", encoding="utf-8")
    assert _run("check", str(file)).exit_code == 1
    assert _run("print", str(file)).exit_code == 0
    for words in (["check", "none.cdl"], ["export", "none.system"], ["boot", str(file), "--like", "none"]):
        missing = _run(*words)
        assert missing.exit_code == 2
        assert "capkernel capdl: " in missing.stderr
    assert _run("mend", str(file)).exit_code == 2


PAIR = """<system>
    <protection_domain name="a" priority="9"><program_image path="a.elf" /></protection_domain>
    <protection_domain name="b" priority="8"><program_image path="b.elf" /></protection_domain>
    <channel><end pd="a" id="0" /><end pd="b" id="0" /></channel>
</system>
"""


def test_an_export_is_built_like_its_system_and_says_so_where_it_is_not(tmp_path: Path) -> None:
    system, text = tmp_path / "pair.system", tmp_path / "pair.cdl"
    system.write_text(PAIR)
    for name in "ab":
        (tmp_path / f"{name}.py").write_text("async def init(pd): pass\n")
    text.write_text(_run("export", str(system)).stdout)
    assert _run("boot", str(text), "--like", str(system)).exit_code == 0
    alone = _run("boot", str(text))
    assert alone.exit_code == 1
    assert "`capdl boot FILE --like SYSTEM`" in alone.stderr
    assert "asid_pool_" not in alone.stderr.split(" cannot be built: ")[0]


def test_an_installed_system_is_exported_by_its_name_as_it_is_run() -> None:
    assert parse(_run("export", "edf", "--board", "virt_iommu").stdout).objects


def test_a_system_for_another_machine_says_which() -> None:
    refused = _run("export", "console")
    assert refused.exit_code == 1
    assert "--board virt_iommu or virt_sifive" in refused.stderr
