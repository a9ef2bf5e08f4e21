"""Every rule that refuses a description: a snippet, and the words of the complaint."""

import pytest
from attrs import evolve

from capkernel.system.board import find_board
from capkernel.system.diagnostics import DescriptionError
from capkernel.system.microkit import loads

IMAGE = '<program_image path="p.elf"/>'
RISCV, ARM, PC, VTX = (
    "qemu_virt_riscv64",
    "qemu_virt_aarch64",
    "x86_64_generic",
    "x86_64_generic_vtx",
)


def pd(inside="", name="one", **attributes):
    words = "".join(f' {key}="{value}"' for key, value in attributes.items())
    return f'<protection_domain name="{name}"{words}>{IMAGE}{inside}</protection_domain>'


def system(*parts):
    return "<system>\n" + "\n".join(parts) + "\n</system>"


REGION = '<memory_region name="mem" size="0x2000"/>'
MAPPED = pd('<map mr="mem" vaddr="0x20_0000"/>')
TWO = pd(priority=1) + pd(name="two", priority=2)


def channel(a='pd="one" id="1"', b='pd="two" id="2"'):
    return f"<channel><end {a}/><end {b}/></channel>"


def domains(inside, schedule='<schedule_entry domain="red" duration="5 us"/>', words=""):
    return f"<domains>{inside}<domain_schedule{words}>{schedule}</domain_schedule></domains>"


def refusal(text, board=RISCV, config="debug", **facts):
    with pytest.raises(DescriptionError) as refused:
        loads(text, "t.system", board=evolve(find_board(board), **facts), config=config)
    return refused.value.diagnostics


REFUSED = {
    # memory regions
    "size-digits": (system('<memory_region name="m" size="12z"/>', pd()), "'12z' is not a number"),
    "size-64-bit": (system(f'<memory_region name="m" size="{2**64}"/>', pd()), "not a number"),
    "size-absent": (system('<memory_region name="m"/>', pd()), "'size' is missing"),
    "size-pages": (system('<memory_region name="m" size="5"/>', pd()), "not a multiple"),
    "page-size": (
        system('<memory_region name="m" size="0x4000" page_size="0x4000"/>', pd()),
        "page size 0x4000 is not supported",
    ),
    "phys-aligned": (
        system('<memory_region name="m" size="0x1000" phys_addr="0x10"/>', pd()),
        "phys_addr 0x10 is not aligned",
    ),
    "phys-overlap": (
        system(
            '<memory_region name="m" size="0x2000" phys_addr="0x1000"/>',
            '<memory_region name="n" size="0x1000" phys_addr="0x2000"/>',
            pd(),
        ),
        "'n' at [0x2000, 0x3000) overlaps with 'm'",
    ),
    "phys-end": (
        system('<memory_region name="m" size="0x1000" phys_addr="0xfffffffffffff000"/>', pd()).replace(
            '"0x1000"', '"0x2000"'
        ),
        "runs past the last physical address",
    ),
    "region-twice": (system(REGION, REGION, MAPPED), "memory region name 'mem' is used in line 2"),
    "region-name": (system('<memory_region size="0x1000"/>', pd()), "'name' is missing"),
    "region-attribute": (
        system('<memory_region name="m" size="0x1000" pages="1"/>', pd()),
        "unknown attribute 'pages'",
    ),
    "prefill-missing": (
        system('<memory_region name="m" prefill_path="gone.bin"/>', pd()),
        "'gone.bin' is not found",
    ),
    "prefill-kind": (
        system('<memory_region name="m" prefill_bootinfo="smbios"/>', pd()),
        "prefill_bootinfo is 'smbios'",
    ),
    "prefill-both": (
        system('<memory_region name="m" prefill_bootinfo="fdt" prefill_path="x"/>', pd()),
        "both prefill_path and prefill_bootinfo",
    ),
    # protection domains
    "no-pd": (system(), "no protection domain"),
    "too-many-pds": (system(*(pd(name=f"p{n}") for n in range(64))), "64 protection domains"),
    "pd-twice": (system(pd(), pd()), "protection domain name 'one' is used in line 2"),
    "monitor": (system(pd(name="monitor")), "reserved"),
    "no-image": (system('<protection_domain name="a"/>'), "no <program_image>"),
    "two-images": (system(pd(IMAGE)), "more than one <program_image>"),
    "image-path": (system(pd().replace(' path="p.elf"', "")), "'path' is missing"),
    "unknown-element": (system(pd("<thread/>")), "<thread> may not stand in <protection_domain>"),
    "priority": (system(pd(priority=255)), "priority 255 is too high"),
    "budget": (system(pd(budget=11, period=10)), "budget 11 is more than period 10"),
    "default-budget": (system(pd(period=10)), "budget 1000 is more than period 10"),
    "passive": (system(pd(passive="yes")), "passive is 'yes'"),
    "fpu": (system(pd(fpu="1")), "fpu is '1'"),
    "stack-small": (system(pd(stack_size=0)), "stack_size 0x0 must be from"),
    "stack-large": (system(pd(stack_size="0x1001000")), "must be from 0x1000"),
    "stack-pages": (system(pd(stack_size="0x1800")), "not a multiple of the page size"),
    "cpu": (system(pd(cpu=1)), "cpu 1 does not exist"),
    "cpu-byte": (system(pd(cpu=256)), "cpu 256 does not exist"),
    "smc": (system(pd(smc="true")), "no SMC instruction"),
    "id-on-root": (system(pd(id=1)), "unknown attribute 'id'"),
    "child-id": (system(pd(pd(name="kid"))), "'id' is missing"),
    "child-ids": (
        system(pd(pd(name="a", id=1) + pd(name="b", id=1))),
        "id 1 is already taken in 'one' by 'a'",
    ),
    "nesting": (
        system('<protection_domain name="a" id="1">' * 70 + "</protection_domain>" * 70),
        "nested too deeply",
    ),
    # maps
    "map-region": (system(pd('<map mr="gone" vaddr="0"/>')), "no memory region 'gone'"),
    "map-mr": (system(pd('<map vaddr="0"/>')), "'mr' is missing"),
    "map-vaddr": (system(REGION, pd('<map mr="mem"/>')), "'vaddr' is missing"),
    "map-aligned": (system(REGION, pd('<map mr="mem" vaddr="1"/>')), "0x1 is not aligned"),
    "map-high": (system(REGION, pd('<map mr="mem" vaddr="0x4000000000"/>')), "is too high"),
    "map-stack": (system(REGION, pd('<map mr="mem" vaddr="0x3fffffb000"/>')), "is too high"),
    "map-end": (system(REGION, pd('<map mr="mem" vaddr="0x3fffffa000"/>')), "past the end"),
    "map-write-only": (
        system(REGION, pd('<map mr="mem" vaddr="0" perms="w"/>')),
        "write-only",
    ),
    "map-perms": (system(REGION, pd('<map mr="mem" vaddr="0" perms="rq"/>')), "'rq' has 'q'"),
    "map-cached": (system(REGION, pd('<map mr="mem" vaddr="0" cached="no"/>')), "cached is 'no'"),
    "map-overlap": (
        system(REGION, pd('<map mr="mem" vaddr="0"/><map mr="mem" vaddr="0x1000"/>')),
        "'mem' at [0x1000, 0x3000) overlaps with 'mem' at [0x0, 0x2000)",
    ),
    # symbols
    "setvar-symbol": (system(REGION, pd('<setvar region_paddr="mem"/>')), "'symbol' is missing"),
    "setvar-region": (system(REGION, pd('<setvar symbol="s"/>')), "'region_paddr' is missing"),
    "setvar-twice": (
        system(REGION, pd('<map mr="mem" vaddr="0" setvar_vaddr="v" setvar_size="v"/>')),
        "symbol 'v' of 'one' is already set",
    ),
    "setvar-channel-twice": (
        system(
            TWO, channel('pd="one" id="1" setvar_id="v"'), channel('pd="one" id="3" setvar_id="v"', 'pd="two" id="3"')
        ),
        "symbol 'v' of 'one' is already set",
    ),
    "setvar-prefill": (
        system(REGION, pd('<map mr="mem" vaddr="0" setvar_prefill_size="n"/>')),
        "'mem' has no prefill_path",
    ),
    # interrupts, ports
    "irq-id-high": (system(pd('<irq irq="1" id="62"/>')), "id is 62, but must be from 0 to 61"),
    "irq-id-low": (system(pd('<irq irq="1" id="-1"/>')), "id is -1"),
    "irq-id-hex": (system(pd('<irq irq="1" id="0x1"/>')), "'0x1' is not an integer"),
    "irq-number": (system(pd('<irq id="1"/>')), "'irq' is missing"),
    "irq-trigger": (system(pd('<irq irq="1" id="1" trigger="up"/>')), "trigger is 'up'"),
    "irq-pin": (system(pd('<irq pin="1" id="1" vector="1"/>')), "only x86-64 has"),
    "irq-msi": (system(pd('<irq pcidev="0:1.0" id="1" handle="1" vector="1"/>')), "MSI interrupt"),
    "irq-twice": (
        system(pd('<irq irq="9" id="1"/>'), pd('<irq irq="9" id="1"/>', name="two")),
        "irq 9 is already taken by 'one'",
    ),
    "irq-ids": (system(pd('<irq irq="8" id="1"/><irq irq="9" id="1"/>')), "id 1 is already used"),
    "ioport-riscv": (system(pd('<ioport id="1" addr="0" size="1"/>')), "only on x86-64"),
    # channels
    "channel-attribute": (system(TWO, channel().replace("<channel", '<channel x=""')), "'x'"),
    "channel-pd": (system(TWO, channel('pd="six" id="1"')), "no protection domain 'six'"),
    "channel-id": (system(TWO, channel('pd="one"')), "'id' is missing"),
    "channel-high": (system(TWO, channel('pd="one" id="63"')), "id is 63"),
    "channel-ends": (system(TWO, "<channel><end pd='one' id='1'/></channel>"), "has 1 <end>"),
    "channel-tag": (system(TWO, "<channel><start/></channel>"), "<start> may not stand"),
    "channel-pp": (system(TWO, channel('pd="one" id="1" pp="maybe"')), "pp is 'maybe'"),
    "channel-both": (
        system(TWO, channel('pd="one" id="1" pp="true"', 'pd="two" id="2" pp="true"')),
        "both ends may call",
    ),
    "channel-down": (
        system(TWO, channel(b='pd="two" id="2" pp="true"')),
        "'two' (priority 2) calls 'one' (priority 1)",
    ),
    "channel-level": (
        system(pd(), pd(name="two"), channel('pd="one" id="1" pp="true"')),
        "strictly higher priority",
    ),
    "channel-irq": (
        system(pd('<irq irq="1" id="1"/>'), pd(name="two"), channel()),
        "id 1 is already used in 'one'",
    ),
    "channel-ids": (system(TWO, channel(), channel(b='pd="two" id="3"')), "id 1 is already used"),
    # caps
    "cap-kind": (system(pd("<cspace><cap_frame/></cspace>")), "<cap_frame> may not stand"),
    "cap-slot-0": (system(pd('<cspace><cap_sc slot="0" pd="one"/></cspace>')), "slot 0"),
    "cap-slot-high": (system(pd('<cspace><cap_sc slot="128" pd="one"/></cspace>')), "slot 128"),
    "cap-pd": (system(pd('<cspace><cap_sc slot="1" pd="x"/></cspace>')), "domain 'x'"),
    "cap-twice": (
        system(pd('<cspace><cap_sc slot="1" pd="one"/><cap_tcb slot="1" pd="one"/></cspace>')),
        "slot 1 of 'one' is already filled",
    ),
    "cspace-twice": (system(pd("<cspace/><cspace/>")), "more than one <cspace>"),
    # domains
    "domain-unknown": (system(pd(domain="red")), "domain 'red' is not declared"),
    "domain-late": (
        system(pd(domain="red"), domains('<domain name="red"/>')),
        "domain 'red' is not declared",
    ),
    "domain-missing": (system(domains('<domain name="red"/>'), pd()), "'domain' is missing"),
    "domain-other": (
        system(domains('<domain name="red"/>'), pd(domain="blue")),
        "domain 'blue' is not declared",
    ),
    "domain-id": (
        system(domains('<domain name="red" id="16"/>'), pd(domain="red")),
        "id 16 is too high",
    ),
    "domain-ids": (
        system(domains('<domain name="red" id="1"/><domain name="b" id="1"/>'), pd(domain="red")),
        "domain 'red' already has the id 1",
    ),
    "domain-names": (
        system(domains('<domain name="red"/><domain name="red"/>'), pd(domain="red")),
        "already declared",
    ),
    "domain-many": (
        system(
            domains("".join(f'<domain name="d{n}"/>' for n in range(17)) + '<domain name="red"/>'),
            pd(domain="red"),
        ),
        "18 domains are too many",
    ),
    "domains-twice": (
        system(domains('<domain name="red"/>'), domains('<domain name="red"/>'), pd(domain="red")),
        "declared twice",
    ),
    "schedule-none": (
        system('<domains><domain name="red"/></domains>', pd(domain="red")),
        "no <domain_schedule>",
    ),
    "schedule-empty": (
        system(domains('<domain name="red"/>', schedule=""), pd(domain="red")),
        "start_index 0 is past the end",
    ),
    "schedule-domain": (
        system(domains('<domain name="blue"/>'), pd(domain="blue")),
        "domain 'red' is not declared",
    ),
    "schedule-unit": (
        system(
            domains('<domain name="red"/>', '<schedule_entry domain="red" duration="5 s"/>'),
            pd(domain="red"),
        ),
        "'5 s' is not a number, one space and a unit",
    ),
    "schedule-zero": (
        system(
            domains('<domain name="red"/>', '<schedule_entry domain="red" duration="0 us"/>'),
            pd(domain="red"),
        ),
        "is zero",
    ),
    "schedule-start": (
        system(domains('<domain name="red"/>', words=' start_index="1"'), pd(domain="red")),
        "start_index 1 is past the end",
    ),
    "schedule-shift": (
        system(domains('<domain name="red"/>', words=' index_shift="99"'), pd(domain="red")),
        "index_shift 99",
    ),
    "schedule-long": (
        system(domains('<domain name="red"/>', "<schedule_end_marker/>" * 100), pd(domain="red")),
        "100 entries are too many",
    ),
    # the whole
    "root": ("<machine/>", "must be <system>"),
    "text": (system("hello", pd()), "text directly inside <system>"),
    "element": (system("<thread/>", pd()), "<thread> may not stand in <system>"),
    "guest-outside": (system('<virtual_machine name="g"/>', pd()), "inside a protection domain"),
    "guest-riscv": (system(pd('<virtual_machine name="g"/>')), "need a hypervisor"),
    "space-riscv": (
        system('<io_address_space name="s" peripheral_id="0:1.0" domain_id="1"/>', pd()),
        "has no IOMMU",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_reason_and_line(case):
    text, reason = REFUSED[case]
    diagnostics = refusal(text)
    assert any(reason in str(diagnostic) for diagnostic in diagnostics), diagnostics
    assert all(d.file == "t.system" and d.line > 0 for d in diagnostics)


def guest(inside='<vcpu id="0"/>', **words):
    attributes = "".join(f' {key}="{value}"' for key, value in words.items())
    return f'<virtual_machine name="g"{attributes}>{inside}</virtual_machine>'


SPACE = '<io_address_space name="{}" peripheral_id="{}" domain_id="{}">{}</io_address_space>'


def space(maps="", name="s", device="0:1.0", number=1):
    return SPACE.format(name, device, number, maps)


ELSEWHERE = {
    "vcpu-none": (ARM, system(pd(guest(""))), "no <vcpu>"),
    "vcpu-id": (ARM, system(pd(guest('<vcpu id="62"/>'))), "id is 62"),
    "vcpu-ids": (ARM, system(pd(guest('<vcpu id="1"/><vcpu id="1"/>'))), "already has a vcpu"),
    "vcpu-cpu": (ARM, system(pd(guest('<vcpu id="1" cpu="4"/>'))), "cpu 4 does not exist"),
    "vcpu-child": (ARM, system(pd(guest() + pd(name="k", id=0))), "taken in 'one' by vcpu 0"),
    "guest-twice": (ARM, system(pd(guest() * 2)), "more than one <virtual_machine>"),
    "guest-name": (ARM, system(pd(guest()), pd(guest(), name="two")), "name 'g' is used"),
    "guest-budget": (ARM, system(pd(guest(budget=5, period=4))), "budget 5 is more"),
    "guest-map": (ARM, system(pd(guest('<vcpu id="0"/><map mr="x" vaddr="0"/>'))), "region 'x'"),
    "guest-setvar": (
        ARM,
        system(REGION, pd(guest('<vcpu id="0"/><map mr="mem" vaddr="0" setvar_vaddr="v"/>'))),
        "unknown attribute 'setvar_vaddr'",
    ),
    "guest-el1": ("qemu_virt_aarch64_el1", system(pd(guest())), "need a hypervisor"),
    "guest-pc": (PC, system(pd(guest())), "need a hypervisor"),
    "guest-priority": (VTX, system(pd(guest(priority=1))), "unknown attribute 'priority'"),
    "guest-child": (VTX, system(pd(guest() + pd(name="k", id=1))), "cannot have children"),
    "guest-called": (
        VTX,
        system(pd(priority=1), pd(guest(), "two", priority=2), channel('pd="one" id="1" pp="true"')),
        "'one' cannot call it",
    ),
    "irq-line": (PC, system(pd('<irq irq="1" id="1"/>')), "this board is x86-64"),
    "irq-kind": (PC, system(pd('<irq id="1"/>')), "'pin' (IOAPIC) or 'pcidev' (MSI) is missing"),
    "irq-vector": (PC, system(pd('<irq id="1" pin="1" vector="108"/>')), "from 0 to 107"),
    "irq-pin-low": (PC, system(pd('<irq id="1" pin="-1" vector="1"/>')), "pin is -1"),
    "irq-polarity": (
        PC,
        system(pd('<irq id="1" pin="1" vector="1" polarity="mid"/>')),
        "polarity is 'mid'",
    ),
    "irq-handle": (
        PC,
        system(pd('<irq id="1" pcidev="0:1.0" handle="-1" vector="1"/>')),
        "handle is -1",
    ),
    "irq-pci-form": (
        PC,
        system(pd('<irq id="1" pcidev="0-1-0" handle="1" vector="1"/>')),
        "'0-1-0' is not a PCI address",
    ),
    "irq-pci-digits": (
        PC,
        system(pd('<irq id="1" pcidev="0:zz.0" handle="1" vector="1"/>')),
        "PCI device 'zz' in pcidev is not hexadecimal",
    ),
    "irq-pci-range": (
        PC,
        system(pd('<irq id="1" pcidev="100:1.0" handle="1" vector="1"/>')),
        "PCI bus in pcidev is 256",
    ),
    "ioport-size": (PC, system(pd('<ioport id="1" addr="1" size="0"/>')), "size is 0"),
    "ioport-id": (PC, system(pd('<ioport id="62" addr="1" size="1"/>')), "id is 62"),
    "ioport-ids": (
        PC,
        system(pd('<ioport id="1" addr="1" size="1"/><ioport id="1" addr="2" size="1"/>')),
        "id 1 is already used",
    ),
    "ioport-overlap": (
        PC,
        system(pd('<ioport id="1" addr="1" size="4"/><ioport id="2" addr="4" size="4"/>')),
        "the ports [0x4, 0x8) of 'one' overlap with [0x1, 0x5) of 'one'",
    ),
    "setvar-paddr": (
        PC,
        system(REGION, pd('<setvar symbol="s" region_paddr="mem"/>')),
        "on x86-64 the region 'mem' needs a phys_addr",
    ),
    "space-domain": (
        PC,
        system(space(), space(name="t", device="0:2.0"), pd()),
        "domain_id 1 is already taken",
    ),
    "space-name": (PC, system(space(), space(device="0:2.0", number=2), pd()), "name 's'"),
    "space-device": (PC, system(space(), space(name="t", number=2), pd()), "device 00:01.0"),
    "space-child": (PC, system(space("<map/>"), pd()), "<map> may not stand"),
    "iomap-perms": (
        PC,
        system(REGION, space('<iomap mr="mem" iovaddr="0" perms="x"/>'), pd()),
        "perms 'x' has 'x'",
    ),
    "iomap-empty": (
        PC,
        system(REGION, space('<iomap mr="mem" iovaddr="0" perms=""/>'), pd()),
        "perms are empty",
    ),
    "iomap-high": (
        PC,
        system(REGION, space('<iomap mr="mem" iovaddr="0x8000000000"/>'), pd()),
        "is too high",
    ),
    "iomap-end": (
        PC,
        system(REGION, space('<iomap mr="mem" iovaddr="0x7ffffff000"/>'), pd()),
        "past the end",
    ),
    "iomap-overlap": (
        PC,
        system(REGION, space('<iomap mr="mem" iovaddr="0"/>' * 2), pd()),
        "overlaps with 'mem'",
    ),
    "iomap-large": (
        PC,
        system(
            '<memory_region name="mem" size="0x200000" page_size="0x200000"/>',
            space('<iomap mr="mem" iovaddr="0"/>'),
            pd(),
        ),
        "large pages",
    ),
}


@pytest.mark.parametrize("case", ELSEWHERE)
def test_refused_on_its_board(case):
    board, text, reason = ELSEWHERE[case]
    diagnostics = refusal(text, board)
    assert any(reason in str(diagnostic) for diagnostic in diagnostics), diagnostics


def test_no_domains_on_several_cores():
    text = system(domains('<domain name="red"/>'), pd(domain="red"))
    (reason,) = refusal(text, config="smp-debug")
    assert "no domain scheduler on several cores" in reason.message


def test_no_smc_forwarding():
    (reason,) = refusal(system(pd(smc="true")), ARM, smc=False)
    assert "does not forward SMC calls" in reason.message


def test_all_reasons_at_once_in_file_order():
    text = system(
        '<memory_region name="m" size="1"/>',
        pd('<map mr="gone" vaddr="0"/>'),
        pd(name="two", priority=300),
        channel('pd="one" id="99"'),
    )
    assert [d.line for d in refusal(text)] == [2, 3, 4, 5]


def test_a_broken_element_is_reported_once():
    text = system('<memory_region name="mem" size="1"/>', MAPPED, pd(name="two", cpu=9), channel())
    assert [d.line for d in refusal(text)] == [2, 4]
