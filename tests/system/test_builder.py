"""The builder makes what a file makes, and what is written reads as the same."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capkernel.system.board import find_board
from capkernel.system.builder import SystemBuilder
from capkernel.system.diagnostics import DescriptionError
from capkernel.system.microkit import loads
from capkernel.system.writer import to_xml


def test_the_builder_makes_what_the_file_makes():
    system = SystemBuilder()
    buffer = system.memory_region("buffer", size=0x1000)
    server = system.protection_domain("server", program="server.elf", priority=100)
    client = system.protection_domain("client", program="client.elf", priority=50, passive=True)
    client.map(buffer, vaddr=0x200_0000, perms="r", setvar_vaddr="buffer_at")
    assert system.channel(client, server, pp="a", notify="b") == (0, 0)
    assert system.build() == loads(
        """<system>
        <memory_region name="buffer" size="0x1000"/>
        <protection_domain name="server" priority="100">
            <program_image path="server.elf"/>
        </protection_domain>
        <protection_domain name="client" priority="50" passive="true">
            <program_image path="client.elf"/>
            <map mr="buffer" vaddr="0x2000000" perms="r" setvar_vaddr="buffer_at"/>
        </protection_domain>
        <channel>
            <end pd="client" id="0" pp="true" notify="false"/><end pd="server" id="0"/>
        </channel></system>"""
    )


def test_a_complaint_names_the_line_of_the_program():
    system = SystemBuilder()
    pd = system.protection_domain("a", program="a.elf")
    pd.map("gone", vaddr=0)
    with pytest.raises(DescriptionError) as refused:
        system.build()
    (diagnostic,) = refused.value.diagnostics
    lines = Path(__file__).read_text().splitlines()
    assert diagnostic.file == __file__
    assert lines[diagnostic.line - 1].strip() == 'pd.map("gone", vaddr=0)'


def test_unknown_attributes_are_refused_like_in_a_file():
    system = SystemBuilder()
    system.protection_domain("a", program="a.elf", prority=1)
    with pytest.raises(DescriptionError, match="unknown attribute 'prority'"):
        system.build()


def test_channel_ids_are_the_smallest_free():
    system = SystemBuilder()
    a = system.protection_domain("a", program="a.elf")
    b = system.protection_domain("b", program="b.elf")
    assert a.irq(irq=7) == 0
    assert system.channel(a, b) == (1, 0)
    assert system.channel(a, b, ids=(5, None)) == (5, 1)
    system.build()


def test_guests_devices_and_domains():
    system = SystemBuilder(board=find_board("x86_64_generic_vtx"), config="release")
    memory = system.memory_region("memory", size=0x1000, page_size=0x1000, phys_addr=0x10_0000)
    pd = system.protection_domain("vmm", program="v.elf", path_for_symbols="v.sym", domain="d")
    pd.irq(pin=3, vector=4, polarity="low")
    pd.irq(pcidev="00:1f.2", handle=1, vector=5)
    pd.ioport(id=1, addr=0x3F8, size=8, setvar_addr="port")
    pd.setvar("phys", region_paddr=memory)
    pd.cap("tcb", pd, 1)
    pd.cap("sc", "vmm", 2)
    guest = pd.virtual_machine("guest")
    guest.vcpu(0)
    guest.map(memory, vaddr=0, perms="rx", cached=False)
    space = system.io_address_space("nic", peripheral_id="00:1f.2", domain_id=1)
    space.iomap(memory, iovaddr=0x1000, perms="w")
    system.domains({"d": None, "e": 0}, [("d", "5 us"), ("e", "7 ticks"), None], index_shift=3)
    built = system.build()
    assert loads(to_xml(built), board=system.board, config="release") == built
    assert loads(system.to_xml(), board=system.board, config="release") == built


TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff"))
NAMES = st.lists(TEXT.filter(lambda name: name != "monitor"), min_size=1, max_size=5, unique=True)
NUMBERS = st.integers(0, 2**64 - 1)
PAGES = st.sampled_from([0x1000, 0x20_0000])


@st.composite
def systems(draw):
    """Valid systems for RISC-V: regions mapped anywhere, a family tree, channels upwards."""
    system = SystemBuilder()
    regions = [
        (system.memory_region(name, size=page * draw(st.integers(1, 4)), page_size=fixed), page)
        for name, page, fixed in draw_regions(draw)
    ]
    pds = [draw_pd(draw, system, name, rank) for rank, name in enumerate(draw(NAMES))]
    for pd in pds:
        for number, (region, _) in enumerate(draw(st.lists(st.sampled_from(regions), max_size=4))):
            pd.map(
                region,
                vaddr=0x200_0000 * (number + 1),
                perms=draw(st.sampled_from(["r", "rw", "rx", "rwx", "x", ""])),
                cached=draw(st.booleans()),
                setvar_vaddr=draw(st.sampled_from([None, f"at{number}"])),
            )
    for _ in range(draw(st.integers(0, 4)) if len(pds) > 1 else 0):
        low, high = sorted(draw(st.sets(st.integers(0, len(pds) - 1), min_size=2, max_size=2)))
        pp, notify = draw(st.sampled_from([None, "a"])), draw(st.sampled_from(["", "a", "b", "ab"]))
        system.channel(pds[low], pds[high], pp=pp, notify=notify)
    return system


def draw_regions(draw):
    pages = draw(st.lists(PAGES, min_size=1, max_size=4))
    return [(f"r{n}", page, draw(st.sampled_from([None, page]))) for n, page in enumerate(pages)]


def draw_pd(draw, system, name, rank):
    budget = draw(NUMBERS)
    pd = system.protection_domain(
        name,
        program=draw(TEXT),
        priority=rank * 20,
        budget=budget,
        period=draw(st.integers(budget, 2**64 - 1)),
        passive=draw(st.booleans()),
        fpu=draw(st.booleans()),
        stack_size=0x1000 * draw(st.integers(1, 0x1000)),
    )
    if draw(st.booleans()):
        pd.child(f"{name}'s child", id=draw(NUMBERS), program="kid.elf", setvar_id="kid")
    if draw(st.booleans()):
        pd.irq(irq=rank, trigger=draw(st.sampled_from(["edge", "level"])))
    if draw(st.booleans()):
        pd.cap(draw(st.sampled_from(["tcb", "sc", "vspace"])), name, draw(st.integers(1, 127)))
    return pd


@settings(max_examples=60, deadline=None)
@given(systems())
def test_writing_and_reading_again_changes_nothing(system):
    described = system.build()
    assert loads(to_xml(described)) == described
    assert loads(system.to_xml()) == described
