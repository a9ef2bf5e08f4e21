"""What comes of address spaces and threads that another holds: memory is mapped, threads are configured and run."""

from pathlib import Path

import pytest

from capkernel.system.authority import AuthorityGraph, authority_of
from capkernel.system.ceiling import read_ceiling
from capkernel.system.closure import Closure, Query
from capkernel.system.extensions import load_extensions
from capkernel.system.microkit import load

SYSTEM = """<system>
    <memory_region name="page" size="0x1000" />
    <memory_region name="diary" size="0x1000" />
    <protection_domain name="mapper" priority="9"><program_image path="m.elf" />
        <cspace><cap_vspace slot="7" pd="task" /></cspace></protection_domain>
    <protection_domain name="task" priority="3"><program_image path="t.elf" />
        <map mr="diary" vaddr="0x1000" perms="r" /></protection_domain>
    <protection_domain name="parent" priority="8"><program_image path="p.elf" />
        <protection_domain name="child" priority="7" id="4"><program_image path="c.elf" /></protection_domain>
    </protection_domain>
    <protection_domain name="other" priority="1"><program_image path="o.elf" /></protection_domain>
{}</system>
"""
PASSED_ON = 'pd="mapper" kind="endpoint" of="other" rights="WG"', 'pd="other" kind="slots" at="5"'
FRAME, LOOK = 'kind="frame" of="page"', 'kind="frame" of="page" rights="R"'
TIME = 'kind="time" budget="100" period="100"'


def described(directory: Path, *grants: str) -> AuthorityGraph:
    lines = (f'    <?capkernel grant slot="{266 + slot}" {words}?>\n' for slot, words in enumerate(grants))
    path = directory / "t.system"
    path.write_text(SYSTEM.format("".join(lines)))
    system = load(path)
    return authority_of(system, load_extensions(path, system).grants)


@pytest.mark.parametrize(
    ("grants", "question", "rules"),
    [
        # Memory, or what it can be made of, in another's address space.
        ((), ("task", "page", "read"), None),
        ((f'pd="mapper" {FRAME}',), ("task", "page", "write"), ("given", "map for")),
        ((f'pd="mapper" {LOOK}',), ("task", "page", "read"), ("given", "map for")),
        ((f'pd="mapper" {LOOK}',), ("task", "page", "write"), None),
        (('pd="mapper" kind="untyped"',), ("task", "untyped:mapper slot 266", "write"), ("given", "map for")),
        ((*PASSED_ON, f'pd="other" {LOOK}'), ("task", "page", "read"), ("given", "grant", "map for")),
        ((f'pd="other" {FRAME}',), ("task", "page", "read"), None),
        ((f'pd="mapper" {LOOK}',), ("page", "task", "influence"), ("read",)),
        ((f'pd="mapper" {FRAME}',), ("task", "page", "influence"), ("write",)),
        # What a thread is configured with by whoever controls it.
        (('pd="parent" kind="cnode" of="parent"',), ("child", "parent", "write"), ("given", "configure")),
        ((f'pd="parent" {FRAME}',), ("child", "page", "write"), ("given", "configure", "map")),
        (('pd="parent" kind="untyped"',), ("child", "untyped:parent slot 266", "obtain"), ("given", "configure")),
        (('pd="parent" kind="notification" of="other" rights="R"',), ("child", "other", "obtain"),
         ("given", "configure")),
        (('pd="parent" kind="notification" of="other" rights="W"',), ("child", "other", "obtain"), None),
        (('pd="parent" kind="endpoint" of="other" rights="WP"',), ("child", "other", "obtain"),
         ("given", "configure")),
        (('pd="parent" kind="endpoint" of="other" rights="W"',), ("child", "other", "obtain"), None),
        # A thread runs in an address space that its controller holds, or whoever has time for one of its own.
        ((), ("mapper", "diary", "read"), None),
        ((f'pd="mapper" {TIME}',), ("mapper", "diary", "read"), ("given", "run")),
        ((f'pd="mapper" {TIME}',), ("mapper", "diary", "write"), None),
        (('pd="mapper" kind="endpoint" of="parent" rights="WG"', 'pd="parent" kind="slots" at="5"'),
         ("child", "diary", "read"), ("given", "grant", "configure", "run")),
        (('pd="mapper" kind="endpoint" of="parent" rights="WG"', 'pd="parent" kind="slots" at="5"'),
         ("parent", "diary", "read"), ("given", "grant", "configure", "run", "take")),
    ],
)  # fmt: skip
def test_what_comes_of_address_spaces_and_threads(tmp_path, grants, question, rules) -> None:
    graph = described(tmp_path, *grants)
    subject, object_, query = question
    answer = Closure(graph).may(graph.find(subject), graph.find(object_), Query(query))
    assert answer.yes is (rules is not None)
    assert sorted(answer.rules) == sorted(rules or ())


@pytest.mark.parametrize(
    ("grant", "giver", "passed", "right"),
    [
        (f'pd="mapper" {LOOK}', "mapper", "read page", "task may read page"),
        ('pd="parent" kind="cnode" of="parent"', "parent", "cspace parent", "child may cspace parent"),
    ],
)
def test_who_is_trusted_maps_and_configures_no_more_than_is_said(tmp_path, grant, giver, passed, right) -> None:
    graph = described(tmp_path, grant)

    def above(text: str) -> list[str]:
        return [str(excess.fact) for excess in read_ceiling(text, graph).excesses(graph)]

    assert right in above("")
    assert right not in above(f"[trusted]\n{giver} = []\n")
    assert right in above(f"[trusted]\n{giver} = ['{passed}']\n")
