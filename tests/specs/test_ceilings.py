"""Live authority stays below the ceiling: what ``check`` says of a description holds of all that comes of it."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capkernel.system.authority import AuthorityGraph, authority_of
from capkernel.system.ceiling import Ceiling, read_ceiling
from capkernel.system.closure import Closure
from capkernel.tools.demo.stage import Stage, find_system
from capkernel.tools.inject import Fault, Kind
from capkernel.tools.tour_systems import Booted
from hwmodel.virtio import virtio_rng
from specs.ceilings import CeilingSampler, foreseen

TRADING = Path(__file__).parent / "trading"
EXAMPLE = Path(__file__).parents[2] / "examples" / "ceiling"
NAMES = ("ann", "ben", "cat")
HEAD = """<system>
    <memory_region name="purse" size="0x1000" />
    <protection_domain name="keeper" priority="50">
        <program_image path="keeper.elf" />
    </protection_domain>
"""


@st.composite
def markets(draw: st.DrawFn) -> str:
    """A description: three traders, each with caps to some of the others, and a keeper who ends and rebuilds them."""
    lines = [HEAD]
    for name in NAMES:
        purse = draw(st.sampled_from(("", '<map mr="purse" vaddr="0x3000000" perms="r" />')))
        lines.append(
            f'    <protection_domain name="{name}" priority="100" budget="100" period="300">'
            f'<program_image path="trader.elf" />{purse}</protection_domain>'
        )
        lines.append(f'    <?capkernel grant pd="{name}" kind="cnode" of="{name}" slot="266"?>')
        lines.append(f'    <?capkernel grant pd="{name}" kind="endpoint" of="{name}" slot="267" rights="WGP"?>')
        for slot in range(268, 268 + draw(st.integers(1, 4))):
            lines.append(f"    <?capkernel grant pd=\"{name}\" slot=\"{slot}\" {draw(GOODS)}?>")
    for index, name in enumerate(NAMES):
        lines.append(f'    <?capkernel grant pd="keeper" kind="lifecycle" of="{name}" slot="{300 + index}"?>')
        lines.append(f'    <?capkernel grant pd="keeper" kind="endpoint" of="{name}" slot="{303 + index}" rights="W"?>')
    return "\n".join([*lines, "</system>\n"])


SOMEBODY = st.sampled_from(NAMES)
GOODS = st.one_of(
    st.builds('kind="endpoint" of="{}" rights="{}"'.format, SOMEBODY, st.sampled_from(("WG", "WGP", "RWG"))),
    st.builds('kind="notification" of="{}" rights="{}"'.format, SOMEBODY, st.sampled_from(("W", "RW"))),
    st.builds('kind="frame" of="purse" rights="{}"'.format, st.sampled_from(("R", "RW"))),
    st.sampled_from(('kind="untyped" size_bits="12"', 'kind="reply"', 'kind="vspace"')),
)


def watched(
    path: Path, ceiling: str | None, every: int, ms: int, programs: Mapping[str, str] | None = None
) -> CeilingSampler:
    """Run a description, held against a ceiling: the one that is given, or what follows from the description."""
    booted = Booted(path, programs=programs)
    graph = graph_of(booted)
    bound = foreseen(graph) if ceiling is None else read_ceiling(ceiling, graph)
    sampler = CeilingSampler(booted.system, graph, bound, every)
    booted.boot()
    booted.run(time_us=ms * 1000)
    return sampler


def graph_of(booted: Booted) -> AuthorityGraph:
    """What its description gives."""
    return authority_of(booted.system.system, booted.system.extensions.grants)


def market(directory: Path, text: str, seed: int) -> Path:
    """The files of a market."""
    for name in ("trader", "keeper"):
        program = (TRADING / f"{name}.py").read_text().replace("SEED = 0", f"SEED = {seed}")
        (directory / f"{name}.py").write_text(program)
    path = directory / "market.system"
    path.write_text(text)
    return path


def check_trading(text: str, seed: int, directory: Path, *, every: int, ms: int) -> None:
    """No trade, end or rebuild leads above what ``check`` foresees."""
    sampler = watched(market(directory, text, seed), None, every, ms)
    assert sampler.violations == [], f"{text}\nseed {seed}"


@pytest.mark.slow
@settings(max_examples=3, deadline=None)
@given(text=markets(), seed=st.integers(0, 999))
def test_delegation_restart_and_revocation_stay_below_what_is_foreseen(text, seed, tmp_path_factory) -> None:
    check_trading(text, seed, tmp_path_factory.mktemp("market"), every=13, ms=4)


@pytest.mark.campaign
@settings(max_examples=100, deadline=None)
@given(text=markets(), seed=st.integers(0, 10**6))
def test_delegation_restart_and_revocation_stay_below_what_is_foreseen_at_every_entry(
    text, seed, tmp_path_factory
) -> None:
    check_trading(text, seed, tmp_path_factory.mktemp("market"), every=1, ms=20)


def test_traders_come_to_more_than_they_were_given(tmp_path: Path) -> None:
    """What the property above is about does happen: held against what is given alone, a market soon rises above it."""
    text = HEAD + "\n".join(
        f'''<protection_domain name="{name}" priority="100" budget="100" period="300">
        <program_image path="trader.elf" /></protection_domain>
        <?capkernel grant pd="{name}" kind="cnode" of="{name}" slot="266"?>
        <?capkernel grant pd="{name}" kind="endpoint" of="{name}" slot="267" rights="WGP"?>
        <?capkernel grant pd="{name}" kind="endpoint" of="{other}" slot="268" rights="WG"?>
        <?capkernel grant pd="keeper" kind="lifecycle" of="{name}" slot="{300 + index}"?>
        <?capkernel grant pd="keeper" kind="endpoint" of="{name}" slot="{303 + index}" rights="W"?>'''
        for index, (name, other) in enumerate(zip(NAMES, NAMES[1:] + NAMES[:1], strict=True))
    )
    booted = Booted(market(tmp_path, f"{text}\n</system>", seed=1))
    graph = graph_of(booted)
    given_alone = Closure(graph, lambda giver, right, object_: False).facts
    bound = Ceiling({}, frozenset((f.subject.full_name, f.right, f.object.full_name) for f in given_alone), {})
    sampler = CeilingSampler(booted.system, graph, bound, 20)
    booted.boot()
    booted.run(time_us=10_000)
    assert "which no policy gives it" in sampler.violations[0]


def test_a_trusted_domain_that_passes_on_too_much_is_found() -> None:
    path, ceiling = EXAMPLE / "ceiling.system", (EXAMPLE / "ceiling.toml").read_text()
    assert watched(path, ceiling, 3, 10).violations == []
    (violation,) = watched(path, ceiling, 3, 10, programs={"desk": "corrupt.elf"}).violations
    assert "pd:visitor has call over pd:treasury, which no policy gives it" in violation


@pytest.mark.slow
def test_services_that_die_leave_authority_below_the_ceiling() -> None:
    """The broker of the system of policies and a service behind it are killed while they hand out and take back."""
    ceiling = (find_system("policies").parent / "policies_ceiling.toml").read_text()
    faults = (Fault("broker", 90, Kind.CRASH), Fault("files", 90, Kind.CRASH))
    stage = Stage("policies", faults=faults, devices={"virtio1": virtio_rng(seed=1)})
    graph = graph_of(stage.booted)
    sampler = CeilingSampler(stage.system, graph, read_ceiling(ceiling, graph), 151)
    stage.run(time_us=60_000)
    assert sampler.violations == []
    assert sampler.policy() is not None
    assert len(stage.injector.activated) == len(faults)
