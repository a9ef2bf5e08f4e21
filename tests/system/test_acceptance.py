"""Descriptions that are valid, and what is read from them."""

import pytest

from capkernel.system.board import BOARDS, UnknownBoardError, find_board
from capkernel.system.description import (
    BootInfoPrefill,
    FilePrefill,
    LineIrq,
    Perms,
    ScheduleEnd,
    Trigger,
)
from capkernel.system.diagnostics import DescriptionError
from capkernel.system.microkit import load, loads
from capkernel.system.symbols import ValueKind, symbol_patches

PD = '<protection_domain name="{}"{}><program_image path="p.elf"/>{}</protection_domain>'


def pd(name="one", words="", inside=""):
    return PD.format(name, words, inside)


def system(*parts):
    return "<system>" + "\n".join(parts) + "</system>"


def test_defaults():
    (one,) = loads(system(pd())).protection_domains
    assert (one.scheduling.priority, one.scheduling.budget, one.scheduling.period) == (0, 1000, 1000)
    assert (one.stack_size, one.passive, one.fpu, one.smc, one.cpu) == (0x2000, False, True, False, 0)


def test_numbers_have_underscores_and_hexadecimal():
    text = system('<memory_region name="m" size="0x20_00" phys_addr="8_1_92"/>', pd())
    (region,) = loads(text).memory_regions
    assert (region.size, region.phys_addr) == (0x2000, 8192)


def test_children_follow_their_parent_depth_first():
    grandkid = pd("c", ' id="1"')
    text = system(pd("a", "", pd("b", ' id="1"', grandkid) + pd("d", ' id="2"')), pd("e"))
    described = loads(text)
    assert [p.name for p in described.protection_domains] == ["a", "b", "c", "d", "e"]
    assert [p.parent for p in described.protection_domains] == [None, "a", "b", "a", None]
    assert described.receives_calls("a")
    assert not described.receives_calls("e")


def test_period_follows_budget():
    scheduling = loads(system(pd(words=' budget="7"'))).pd("one").scheduling
    assert (scheduling.budget, scheduling.period) == (7, 7)


def test_irq():
    irq = loads(system(pd(inside='<irq irq="+5" id="3" trigger="edge"/>'))).pd("one").irqs[0]
    assert irq == LineIrq(id=3, irq=5, trigger=Trigger.EDGE)


def test_domains_get_the_smallest_free_ids():
    text = system(
        '<domains><domain name="x"/><domain name="y" id="0"/><domain name="z"/>'
        '<domain_schedule><schedule_entry domain="z" duration="3 ticks"/>'
        "<schedule_end_marker/></domain_schedule></domains>",
        pd(words=' domain="z"'),
    )
    described = loads(text)
    assert {d.name: d.id for d in described.domains} == {"x": 1, "y": 0, "z": 2}
    assert described.domain_id(described.pd("one")) == 2
    assert isinstance(described.schedule.entries[1], ScheduleEnd)


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param([pd(inside="words <!-- and a comment -->")], id="text inside an element"),
        pytest.param(['<memory_region name="m" size="0"><odd/></memory_region>', pd()], id="leaf with child"),
        pytest.param(["<?note x?><!-- c -->", pd()], id="instruction"),
        pytest.param(
            [
                pd(),
                '<channel><end pd="one" id="4"/><end pd="one" id="4"/></channel>',
            ],
            id="a channel to oneself with one id",
        ),
        pytest.param([pd(inside='<setvar symbol="s" region_paddr="gone"/>')], id="no such region"),
        pytest.param([pd(inside='<cspace><cap_tcb slot="127" pd="one"/></cspace>')], id="slot past the end"),
        pytest.param(
            [
                pd("early"),
                '<domains><domain name="d"/><domain_schedule><schedule_end_marker/></domain_schedule></domains>',
                pd(words=' domain="d"'),
            ],
            id="no domain before the domains",
        ),
    ],
)
def test_valid_although_odd(parts):
    loads(system(*parts))


def test_what_is_ignored_is_remarked():
    described = loads(system(pd(inside="words"), '<memory_region name="m" size="0"><x/></memory_region>'))
    assert [remark.line for remark in described.remarks] == [1, 2]


def test_namespaces_are_looked_through():
    loads('<s:system xmlns:s="urn:s" xmlns="urn:t">' + pd() + "</s:system>")


def test_prefill_file(tmp_path):
    (tmp_path / "fill.bin").write_bytes(b"x" * 5000)
    text = system('<memory_region name="m" prefill_path="fill.bin"/>', pd())
    (region,) = loads(text, search_path=[tmp_path]).memory_regions
    assert region.size == 0x2000
    assert isinstance(region.prefill, FilePrefill)
    with pytest.raises(DescriptionError, match="only 0x1000"):
        loads(text.replace(" prefill", ' size="0x1000" prefill'), search_path=[tmp_path])
    (tmp_path / "fill.bin").write_bytes(b"")
    with pytest.raises(DescriptionError, match="is empty"):
        loads(text, search_path=[tmp_path])


def test_boot_information():
    text = system('<memory_region name="m" prefill_bootinfo="fdt" page_size="0x200000"/>', pd())
    (region,) = loads(text).memory_regions
    assert isinstance(region.prefill, BootInfoPrefill)
    assert region.size == 0x200000


@pytest.mark.parametrize(
    ("region", "vaddr", "page_size"),
    [
        ('size="0x400000"', 0x200000, 0x200000),
        ('size="0x400000"', 0x201000, 0x1000),
        ('size="0x201000"', 0x200000, 0x1000),
        ('size="0x400000" phys_addr="0x80201000"', 0x200000, 0x1000),
        ('size="0x400000" page_size="0x1000"', 0x200000, 0x1000),
    ],
)
def test_page_size_grows_where_everything_is_aligned(region, vaddr, page_size):
    mapping = f'<map mr="m" vaddr="{vaddr}" perms="rx"/>'
    described = loads(system(f'<memory_region name="m" {region}/>', pd(inside=mapping)))
    assert described.region("m").page_size == page_size
    assert described.pd("one").maps[0].perms == Perms.READ | Perms.EXECUTE


def test_symbols_and_their_values():
    text = system(
        '<memory_region name="m" size="0x1000" phys_addr="0x80000000"/>',
        '<memory_region name="n" size="0x1000"/>',
        pd(
            inside='<map mr="m" vaddr="0x1000" setvar_vaddr="at" setvar_size="size"/>'
            '<irq irq="1" id="2" setvar_id="line"/>'
            '<setvar symbol="phys" region_paddr="m"/><setvar symbol="later" region_paddr="n"/>'
            + pd("kid", ' id="9" setvar_id="kid_id"')
        ),
        pd("two"),
        '<channel><end pd="one" id="5" setvar_id="peer"/><end pd="two" id="0"/></channel>',
    )
    described = loads(text)
    values = {p.symbol: p.value for p in symbol_patches(described, described.pd("one"))}
    assert values == {
        "at": 0x1000,
        "size": 0x1000,
        "line": 2,
        "phys": 0x8000_0000,
        "later": None,
        "kid_id": 9,
        "peer": 5,
    }
    kinds = {p.symbol: p.kind for p in symbol_patches(described, described.pd("one"))}
    assert kinds["later"] is ValueKind.REGION_PADDR


def test_several_cores_only_in_smp_configs():
    text = system(pd(words=' cpu="3"'))
    assert loads(text, config="smp-release").pd("one").cpu == 3


def test_unknown_board_and_config_list_the_known():
    with pytest.raises(UnknownBoardError, match="qemu_virt_riscv64"):
        find_board("toaster")
    with pytest.raises(UnknownBoardError, match="smp-debug"):
        loads(system(pd()), config="fast")
    with pytest.raises(UnknownBoardError, match=r"it has: debug, release, benchmark$"):
        find_board("ariane").platform("smp-debug")


@pytest.mark.parametrize("name", BOARDS)
def test_the_smallest_system_runs_everywhere(name):
    for config in BOARDS[name].configs:
        loads(system(pd()), board=BOARDS[name], config=config)


def test_load_names_the_file(tmp_path):
    path = tmp_path / "bad.system"
    path.write_text("<system>\n</system>")
    with pytest.raises(DescriptionError) as refused:
        load(path)
    assert refused.value.diagnostics[0].file == str(path)
