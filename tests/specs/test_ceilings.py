"""Live authority stays below the ceiling: what ``check`` says of a description holds of all that comes of it."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capkernel.system.authority import AuthorityGraph
from capkernel.system.ceiling import Ceiling, read_ceiling
from capkernel.system.closure import Closure
from capkernel.system.takegrant import MAP_FOR
from capkernel.tools.demo.stage import Stage
from capkernel.tools.tour_systems import Booted
from hwmodel.cpu.trap import Trap
from specs.ceilings import CeilingSampler, foreseen, live_policy
from specs.invariants.authority import above, authority_graph
from specs.invariants.view import View
from specs.live_authority import LiveAuthority
from tests.scenarios.watching import graph_of

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
            lines.append(f'    <?capkernel grant pd="{name}" slot="{slot}" {draw(GOODS)}?>')
    for index, name in enumerate(NAMES):
        lines.append(f'    <?capkernel grant pd="keeper" kind="lifecycle" of="{name}" slot="{300 + index}"?>')
        lines.append(f'    <?capkernel grant pd="keeper" kind="endpoint" of="{name}" slot="{303 + index}" rights="W"?>')
    return "\n".join([*lines, "</system>\n"])


RING = "\n".join([HEAD, *(
    f'''<protection_domain name="{name}" priority="100" budget="100" period="300">
    <program_image path="trader.elf" /></protection_domain>
    <?capkernel grant pd="{name}" kind="cnode" of="{name}" slot="266"?>
    <?capkernel grant pd="{name}" kind="endpoint" of="{name}" slot="267" rights="WGP"?>
    <?capkernel grant pd="{name}" kind="endpoint" of="{other}" slot="268" rights="WG"?>
    <?capkernel grant pd="keeper" kind="lifecycle" of="{name}" slot="{300 + index}"?>
    <?capkernel grant pd="keeper" kind="endpoint" of="{name}" slot="{303 + index}" rights="W"?>'''
    for index, (name, other) in enumerate(zip(NAMES, NAMES[1:] + NAMES[:1], strict=True))
), "</system>"])  # fmt: skip
"""A market in which each has a cap to the next."""
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


def given_alone(graph: AuthorityGraph) -> Ceiling:
    """A ceiling that is too low: what a description gives, if nobody ever passes anything on."""
    facts = Closure(graph, lambda giver, right, object_: False).facts
    return Ceiling({}, frozenset((f.subject.full_name, f.right, f.object.full_name) for f in facts), {})


def market(directory: Path, text: str, seed: int) -> Path:
    """The files of a market."""
    for name in ("trader", "keeper"):
        program = (TRADING / f"{name}.py").read_text().replace("SEED = 0", f"SEED = {seed}")
        (directory / f"{name}.py").write_text(program)
    path = directory / "market.system"
    path.write_text(text)
    return path


def check_trading(text: str, seed: int, directory: Path, *, every: int, ms: int) -> None:
    """No trade, end or rebuild leads above what ``check`` foresees, at any kernel entry."""
    sampler = watched(market(directory, text, seed), None, every, ms)
    assert sampler.violations == [], f"{text}\nseed {seed}"
    assert sampler.judged > 100 * ms


@pytest.mark.slow
@settings(max_examples=4, deadline=None)
@given(text=markets(), seed=st.integers(0, 999))
def test_delegation_restart_and_revocation_stay_below_what_is_foreseen(text, seed, tmp_path_factory) -> None:
    check_trading(text, seed, tmp_path_factory.mktemp("market"), every=101, ms=2)


@pytest.mark.campaign
@settings(max_examples=100, deadline=None)
@given(text=markets(), seed=st.integers(0, 10**6))
def test_delegation_restart_and_revocation_stay_below_what_is_foreseen_with_all_invariants_at_every_entry(
    text, seed, tmp_path_factory
) -> None:
    check_trading(text, seed, tmp_path_factory.mktemp("market"), every=1, ms=20)


class Compared:
    """Looks at live authority after every kernel entry, and recomputes it from scratch."""

    def __init__(self, booted: Booted, bound: Ceiling) -> None:
        self.system = booted.system
        self.policy = live_policy(self.system, graph_of(booted), bound)
        self.live = LiveAuthority(self.system.loop.state, self.system.machine, self.policy)
        self.above = 0
        self.system.loop.observers.append(self)

    def __call__(self, trap: Trap) -> None:
        """One kernel entry is over."""
        problems = self.live.look()
        view = View(self.system.loop.state, self.system.machine, policy=self.policy)
        graph = authority_graph(view, self.policy)
        assert self.live.graph() == graph
        assert set(problems) == set(above(graph, self.policy))
        self.above += bool(problems)


def check_comparison(text: str, seed: int, directory: Path, ms: float) -> Compared:
    """What is made anew only where something changed is what it is from scratch; whatever is above the ceiling, too."""
    booted = Booted(market(directory, text, seed))
    booted.boot()
    compared = Compared(booted, given_alone(graph_of(booted)))
    booted.run(time_us=int(ms * 1000))
    assert compared.live.looks > 100 * ms
    return compared


@pytest.mark.slow
@settings(max_examples=2, deadline=None)
@given(text=markets(), seed=st.integers(0, 999))
def test_live_authority_is_what_it_is_from_scratch(text, seed, tmp_path_factory) -> None:
    check_comparison(text, seed, tmp_path_factory.mktemp("market"), ms=0.5)


@pytest.mark.campaign
@settings(max_examples=100, deadline=None)
@given(text=markets(), seed=st.integers(0, 10**6))
def test_live_authority_is_what_it_is_from_scratch_at_length(text, seed, tmp_path_factory) -> None:
    check_comparison(text, seed, tmp_path_factory.mktemp("market"), ms=20)


def test_what_lies_above_a_ceiling_is_seen_at_the_same_entries_as_from_scratch(tmp_path: Path) -> None:
    compared = check_comparison(RING, 1, tmp_path, ms=0.4)
    assert 0 < compared.above < compared.live.looks


@pytest.mark.slow
def test_who_may_be_given_memory_may_be_given_what_is_made_of_it() -> None:
    """The pages that a memory server makes for others lie below what follows from its description."""
    booted = Stage("bank").booted
    booted.boot()
    sampler = CeilingSampler(booted.system, graph_of(booted), foreseen(graph_of(booted)), 101)
    booted.run(time_us=6_000)
    assert sampler.violations == []
    assert sampler.judged > 100


def test_traders_come_to_more_than_they_were_given(tmp_path: Path) -> None:
    """What the properties above are about does happen: held against what is given alone, a market rises above it."""
    booted = Booted(market(tmp_path, RING, seed=1))
    graph = graph_of(booted)
    sampler = CeilingSampler(booted.system, graph, given_alone(graph), 20)
    booted.boot()
    booted.run(time_us=10_000)
    assert "which no policy gives it" in sampler.violations[0]


LENDING = """<system>
    <memory_region name="purse" size="0x1000" />
    <protection_domain name="ann" priority="100"><program_image path="ann.elf" /></protection_domain>
    <protection_domain name="ben" priority="120"><program_image path="ben.elf" /></protection_domain>
    <?capkernel grant pd="ann" kind="vspace" slot="266"?>
    <?capkernel grant pd="ann" kind="endpoint" of="ben" slot="267" rights="WG"?>
    <?capkernel grant pd="ben" kind="endpoint" of="ben" slot="266" rights="R"?>
    <?capkernel grant pd="ben" kind="slots" at="5" slot="267"?>
    <?capkernel grant pd="ben" kind="frame" of="purse" slot="268"?>
</system>"""
"""Ann can give ben a cap to her address space, and gets none of his; what he puts there she has all the same."""
ANN = """
from capkernel.user.syscalls import Message

async def init(pd):
    await pd.sys.send(267, Message(0, (), (266,)))
"""
BEN = """
from capkernel.abi import rights as rt
from capkernel.user import stubs
from capkernel.user.loop import REPLY_CAP

async def init(pd):
    await pd.sys.set_receive_slot(267, 1, 64)
    await pd.sys.recv(266, REPLY_CAP)
    await stubs.page_map(pd.sys, 268, vaddr=0x3F_0000, rights=rt.READ_WRITE, attr=1, vspace=5 << 58 | 1)
"""


def test_memory_that_is_mapped_for_another_is_foreseen(tmp_path: Path) -> None:
    path = tmp_path / "lending.system"
    path.write_text(LENDING)
    (tmp_path / "ann.py").write_text(ANN)
    (tmp_path / "ben.py").write_text(BEN)
    assert watched(path, None, 1, 1).violations == []
    foreseen_facts = Closure(graph_of(Booted(path))).facts
    mapped = {str(fact) for fact, derivation in foreseen_facts.items() if derivation.rule == MAP_FOR}
    assert mapped == {f"ann may {right} purse" for right in ("read", "write", "execute")}
    allowed = frozenset(
        (fact.subject.full_name, fact.right, fact.object.full_name)
        for fact, derivation in foreseen_facts.items() if derivation.rule != MAP_FOR
    )  # fmt: skip
    booted = Booted(path)
    sampler = CeilingSampler(booted.system, graph_of(booted), Ceiling({}, allowed, {}), 1)
    booted.boot()
    booted.run(time_us=1000)
    assert "pd:ann has read over region:purse, which no policy gives it" in sampler.violations[0]


def test_a_trusted_domain_that_passes_on_too_much_is_found() -> None:
    path, ceiling = EXAMPLE / "ceiling.system", (EXAMPLE / "ceiling.toml").read_text()
    assert watched(path, ceiling, 3, 10).violations == []
    (violation,) = watched(path, ceiling, 3, 10, programs={"desk": "corrupt.elf"}).violations
    assert "pd:visitor has call over pd:treasury, which no policy gives it" in violation
