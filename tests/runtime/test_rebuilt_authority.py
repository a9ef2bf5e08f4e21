"""Whichever domain of whatever system is destroyed and rebuilt: everybody holds just what he held after boot."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from capkernel.system.board import DEFAULT_BOARD, Board, find_board
from capkernel.system.grants import GrantKind
from capkernel.system.microkit import load
from capkernel.tools.tour_systems import Booted
from specs.invariants import check_all
from tests.runtime.lifecycles import SUPERVISOR, distribution, pd

EXAMPLES = Path(__file__).parents[2] / "examples"
FILES = sorted(path for path in EXAMPLES.rglob("*.system") if path.parent.name not in ("c", "mixed"))
FIRST = 300
REBUILDER = (
    SUPERVISOR
    + """
async def init(pd):
    for cap in range(CAP, CAP + COUNT):
        await again(pd, cap)
    await pd.compute(1_000_000)
"""
)
"""It has the highest priority, so that nobody else has run when it is done."""


def with_rebuilder(path: Path, place: Path) -> Path:
    """A description, with a supervisor of all its domains."""
    names = [found.name for found in load(path, search_path=[path.parent], board=board_of(path)).protection_domains]
    grants = "".join(
        f'<?capkernel grant pd="rebuilder" kind="lifecycle" of="{name}" slot="{FIRST + index}"?>'
        for index, name in enumerate(names)
    )
    text = path.read_text()
    end = text.rindex("</system>")
    (place / "with.system").write_text(text[:end] + pd("rebuilder", 254) + grants + text[end:])
    (place / "rebuilder.py").write_text(REBUILDER.replace("COUNT", str(len(names))))
    return place / "with.system"


def board_of(path: Path) -> Board:
    return find_board("virt_iommu") if "io_address_space" in path.read_text() else DEFAULT_BOARD


def holds_the_same(path: Path, places: list[Path]) -> None:
    """Boot, then rebuild one domain after the other; the order is that of the description."""
    booted = Booted(path, search_path=places, board=board_of(path))
    booted.boot()
    system = booted.system
    fresh, lives = distribution(booted), dict(system.threads)
    while [name for name, thread in lives.items() if system.threads.get(name) in (thread, None)] != ["rebuilder"]:
        assert system.loop.run(max_entries=1) == "entries", booted.output.text
    again = distribution(booted)
    assert again == fresh, [(key, fresh.get(key), again.get(key)) for key in fresh | again if fresh[key] != again[key]]
    assert check_all(system.state, system.machine) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_in_every_example(tmp_path: Path, path: Path) -> None:
    holds_the_same(with_rebuilder(path, tmp_path), [tmp_path, path.parent])


@st.composite
def systems(draw: st.DrawFn) -> str:
    """Domains in families, regions, interrupts, channels, shared caps, devices' spaces, and grants of every kind."""
    count = draw(st.integers(1, 4))
    names = [f"pd{index}" for index in range(count)]
    regions = ["ram", "device"]
    text = (
        '<memory_region name="ram" size="0x2000"/><memory_region name="device" size="0x1000" phys_addr="0x10100000"/>'
        '<io_address_space name="space" peripheral_id="0:3.0" domain_id="3">'
        '<iomap mr="ram" iovaddr="0x40000000" perms="rw"/></io_address_space>'
    )
    if draw(st.booleans()):
        text += f'<?capkernel owner io_address_space="space" pd="{draw(st.sampled_from(names))}"?>'
    inner: dict[str, str] = dict.fromkeys(names, "")
    attributes: dict[str, dict[str, str]] = {name: {} for name in names}
    for index, name in enumerate(names):
        for region in draw(st.lists(st.sampled_from(regions), max_size=2, unique=True)):
            perms = draw(st.sampled_from(["r", "rw", "rx"]))
            inner[name] += f'<map mr="{region}" vaddr="{0x4000000 * (1 + regions.index(region)):#x}" perms="{perms}"/>'
        if draw(st.booleans()):
            inner[name] += (
                f'<irq irq="{10 + index}" id="{index}" trigger="{draw(st.sampled_from(["edge", "level"]))}"/>'
            )
        shared = draw(st.lists(st.tuples(st.sampled_from(["tcb", "sc", "vspace"]), st.sampled_from(names)), max_size=3))
        caps = "".join(f'<cap_{kind} slot="{4 + n}" pd="{of}"/>' for n, (kind, of) in enumerate(shared))
        inner[name] += f"<cspace>{caps}</cspace>" if caps else ""
        if draw(st.booleans()):
            attributes[name] = {"budget": "500", "period": "2000"}
        if draw(st.booleans()):
            attributes[name] |= {"passive": "true"}
        if draw(st.booleans()):
            attributes[name] |= {"fpu": "false"}
    parents: dict[str, str] = {}
    for index in range(count - 1, -1, -1):
        name = names[index]
        parent = draw(st.sampled_from([*names[:index], ""]))
        own = attributes[name] | ({"id": str(20 + index)} if parent else {})
        element = pd(name, 10 + 10 * (count - index), inner[name], **own).replace(f"{name}.elf", "idle.elf")
        if parent:
            parents[name] = parent
            inner[parent] += element
        else:
            text += element
    for low, high in draw(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=3, unique=True)):
        if low < high < count:
            ends = f'<end pd="{names[low]}" id="{40 + high}"/><end pd="{names[high]}" id="{50 + low}" pp="true"/>'
            text += f"<channel>{ends}</channel>"
    return text + draw(grants(names, parents))


@st.composite
def grants(draw: st.DrawFn, names: list[str], parents: dict[str, str]) -> str:
    text, handled = "", set(parents)
    for slot in range(400, 400 + draw(st.integers(0, 6))):
        holder, kind, of = draw(st.sampled_from(names)), draw(st.sampled_from(GrantKind)), draw(st.sampled_from(names))
        more: dict[str, Any] = {}
        match kind:
            case GrantKind.ENDPOINT | GrantKind.NOTIFICATION:
                more = {"of": of, "badge": draw(st.sampled_from([0, 77]))}
            case GrantKind.CNODE:
                more = {"of": of}
            case GrantKind.FRAME:
                more = {"of": "ram"}
            case GrantKind.UNTYPED | GrantKind.SLOTS:
                more = {"size_bits": draw(st.integers(4, 12))}
            case GrantKind.TIME:
                more = {"budget": draw(st.integers(100, 1000)), "period": 1000}
            case GrantKind.LIFECYCLE:
                more = {"of": of}
                if of not in handled and of != holder:
                    more |= {"faults": slot - 300}
                    handled.add(of)
        if kind is GrantKind.SLOTS:
            more["at"] = slot - 380
        words = "".join(f' {name}="{value}"' for name, value in more.items())
        text += f'<?capkernel grant pd="{holder}" kind="{kind.value}" slot="{slot}"{words}?>'
    return text


@given(systems())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_in_any_system(tmp_path: Path, text: str) -> None:
    (tmp_path / "any.system").write_text(f"<system>{text}</system>")
    (tmp_path / "idle.py").write_text("async def init(pd): pass\n")
    holds_the_same(with_rebuilder(tmp_path / "any.system", tmp_path), [tmp_path])
