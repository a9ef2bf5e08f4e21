"""Instructions for capkernel in a description: how they are found, read and judged, and what grants give."""

import pytest

from capkernel.abi import rights as rt
from capkernel.system.authority import authority_of
from capkernel.system.board import find_board
from capkernel.system.closure import Closure, Query
from capkernel.system.diagnostics import DescriptionError
from capkernel.system.extensions import load_extensions
from capkernel.system.findings import findings
from capkernel.system.grants import Grant, GrantKind
from capkernel.system.microkit import load
from capkernel.system.spawnable import decode_table, encode_table

BOARD = find_board("virt_iommu")
SYSTEM = """<system>
{}
    <memory_region name="page" size="0x1000" />
    <memory_region name="nothing" size="0" />
    <protection_domain name="a" priority="1"><program_image path="a.elf" /></protection_domain>
    <protection_domain name="b" priority="9"><program_image path="b.elf" />
        <map mr="page" vaddr="0x1000" perms="rw" /></protection_domain>
    <protection_domain name="c" priority="3"><program_image path="c.elf" /></protection_domain>
    <protection_domain name="p" priority="8"><program_image path="p.elf" />
        <cspace><cap_tcb slot="7" pd="b" /></cspace>
        <protection_domain name="k" priority="7" id="4"><program_image path="k.elf" /></protection_domain>
    </protection_domain>
    <memory_region name="dma" size="0x1000" />
    <io_address_space name="space" peripheral_id="0:3.0" domain_id="3"><iomap mr="dma" iovaddr="0" /></io_address_space>
    <channel><end pd="c" id="1" pp="true" notify="false" /><end pd="b" id="2" notify="false" /></channel>
</system>
"""
TO_B = 'pd="a" kind="endpoint" of="b" slot="266"'


@pytest.fixture
def read(tmp_path):
    def read(text):
        path = tmp_path / "t.system"
        path.write_text(SYSTEM.format(text))
        system = load(path, board=BOARD)
        return system, load_extensions(path, system)

    return read


def refusals(read, text):
    with pytest.raises(DescriptionError) as refused:
        read(text)
    return refused.value.diagnostics


def test_a_grant_says_everything_in_any_order_with_either_quotation_mark(read):
    _, extensions = read(
        "<?capkernel   grant slot='0x1_0a'\n rights = \"WP\" badge='7' of='b' kind='endpoint' pd='a' ?>"
    )
    rights = rt.WRITE | rt.GRANT_REPLY
    expected = Grant(pd="a", kind=GrantKind.ENDPOINT, of="b", slot=266, rights=rights, badge=7)
    assert extensions.grants == (expected,)
    assert str(extensions.grants[0].where).endswith("t.system:2:1")


@pytest.mark.parametrize(
    "text",
    [
        f"<!-- <?capkernel grant {TO_B}?> -->",
        f'<!--\n<?capkernel grant {TO_B}?>\n<?capkernel kernel debug="off"?>\n-->',
        f"<?other grant {TO_B}?>",
    ],
)
def test_what_stands_in_a_comment_or_is_for_another_program_is_no_instruction(read, text):
    _, extensions = read(text)
    assert extensions.grants == ()
    assert extensions.options.debug


def test_instructions_may_stand_before_and_behind_the_system(tmp_path):
    path = tmp_path / "t.system"
    path.write_text(f'<?capkernel kernel debug="off"?>\n{SYSTEM.format("")}<?capkernel grant {TO_B}?>')
    extensions = load_extensions(path, load(path, board=BOARD))
    assert not extensions.options.debug
    assert len(extensions.grants) == 1


@pytest.mark.parametrize(
    ("instruction", "reason"),
    [
        (f"grant {TO_B} rights=R badge=7", "'rights=R badge=7' is not understood"),
        (f"grant {TO_B} please", "'please' is not understood"),
        (f'grant {TO_B}badge="1"', "'badge=\"1\"' is not understood"),
        (f'grant {TO_B} badge="1" badge="2"', "'badge' is there twice"),
        (f"grants {TO_B}", "unknown instruction 'grants'"),
        ("revoke everything", "unknown instruction 'revoke'"),
        ("", "says nothing"),
        ("kernel", "does not say debug"),
        ('kernel debug="maybe"', "debug is 'maybe'"),
        ('kernel speed="11"', "no attribute 'speed'"),
        ("grant", "does not say kind"),
        ('grant pd="a" kind="frame" slot="266"', "does not say of"),
        ('grant pd="a" kind="reply"', "does not say slot"),
        ('grant kind="reply" slot="266"', "does not say pd"),
        ('grant pd="a" kind="tcb" of="b" slot="266"', "kind is not 'tcb'"),
        ('grant pd="nobody" kind="reply" slot="266"', "no protection domain 'nobody'"),
        ('grant pd="a" kind="cnode" of="nobody" slot="266"', "no protection domain 'nobody' whose cnode"),
        ('grant pd="a" kind="cnode" of="" slot="266"', "no protection domain '' whose cnode"),
        ('grant pd="a" kind="frame" of="b" slot="266"', "no memory region 'b'"),
        ('grant pd="a" kind="frame" of="nothing" slot="266"', "'nothing' is empty"),
        ('grant pd="a" kind="cnode" of="b" slot="266" badge="1"', "kind cnode has no attribute 'badge'"),
        ('grant pd="a" kind="cnode" of="b" slot="266" rights="R"', "kind cnode has no attribute 'rights'"),
        ('grant pd="a" kind="frame" of="page" slot="266" badge="1"', "kind frame has no attribute 'badge'"),
        ('grant pd="a" kind="reply" of="b" slot="266"', "kind reply has no attribute 'of'"),
        ('grant pd="a" kind="untyped" of="b" slot="266"', "kind untyped has no attribute 'of'"),
        (f'grant {TO_B} size_bits="12"', "kind endpoint has no attribute 'size_bits'"),
        (f'grant {TO_B} rights="RX"', "rights are 'RX'"),
        (f'grant {TO_B} rights=""', "rights are ''"),
        (f'grant {TO_B} rights="WW"', "rights are 'WW'"),
        (f'grant {TO_B} rights="GP"', "allow nothing"),
        ('grant pd="a" kind="notification" of="b" slot="266" rights="WG"', "letters of RW"),
        ('grant pd="a" kind="frame" of="page" slot="266" rights="W"', "allow nothing"),
        (f'grant {TO_B} badge="-7"', "badge is '-7', but must be a number from 0 to 18446744073709551615"),
        (f'grant {TO_B} badge="0x1_0000_0000_0000_0000"', "badge is"),
        (f'grant {TO_B} badge="seven"', "badge is 'seven'"),
        ('grant pd="a" kind="untyped" slot="266" size_bits="99"', "size_bits is '99', but must be a number from 4 to"),
        ('grant pd="a" kind="untyped" slot="266" size_bits="-1"', "size_bits is '-1'"),
        ('grant pd="a" kind="untyped" slot="266" size_bits="3"', "size_bits is '3'"),
        ('grant pd="a" kind="reply" slot="265"', "slot is '265', but must be a number from 266 to 511"),
        ('grant pd="a" kind="reply" slot="512"', "slot is '512'"),
        ('grant pd="a" kind="slots" slot="266"', "does not say at"),
        ('grant pd="a" kind="slots" slot="266" at="0"', "at is '0', but must be a number from 1 to 63"),
        ('grant pd="a" kind="slots" slot="266" at="64"', "at is '64'"),
        ('grant pd="a" kind="slots" slot="266" at="5" size_bits="0"', "size_bits is '0', but must be a number from 1"),
        ('grant pd="a" kind="slots" slot="266" at="5" size_bits="17"', "size_bits is '17'"),
        ('grant pd="p" kind="slots" slot="266" at="7"', "slot 7 of the root CNode of 'p' has cap_tcb of 'b'"),
        ('grant pd="a" kind="slots" of="b" slot="266" at="5"', "kind slots has no attribute 'of'"),
        ('grant pd="a" kind="vspace" of="b" slot="266"', "kind vspace has no attribute 'of'"),
        ('grant pd="a" kind="lifecycle" slot="266"', "does not say of"),
        ('grant pd="a" kind="lifecycle" of="x" slot="266"', "no protection domain 'x' whose lifecycle"),
        ('grant pd="a" kind="lifecycle" of="b" slot="266" rights="W"', "kind lifecycle has no attribute 'rights'"),
        ('grant pd="a" kind="lifecycle" of="b" slot="266" faults="yes"', "faults is 'yes', but must be a number"),
        ('grant pd="a" kind="lifecycle" of="b" slot="266" faults="256"', "faults is '256'"),
        ('grant pd="a" kind="lifecycle" of="a" slot="266" faults="1"', "'a' cannot handle its own faults"),
        ('grant pd="a" kind="lifecycle" of="k" slot="266" faults="1"', "faults of 'k' go to its parent 'p'"),
        ('grant pd="p" kind="lifecycle" of="a" slot="266" faults="4"', "'p' has a child 4 already: 'k'"),
        ('grant pd="a" kind="asid_pool" of="b" slot="266"', "kind asid_pool has no attribute 'of'"),
        ('grant pd="a" kind="time" slot="266" budget="1000"', "does not say period"),
        ('grant pd="a" kind="time" slot="266" budget="1000" period="999"', "budget 1000 is more than period 999"),
        ('grant pd="a" kind="time" slot="266" budget="1" period="1000"', "budget is '1', but must"),
        ('grant pd="a" kind="untyped" slot="266" lasts="for ever"', "lasts is 'for ever'"),
        ('grant pd="a" kind="reply" slot="266" lasts="yes"', "kind reply has no attribute 'lasts'"),
        ("programs", "does not say region"),
        ('programs region="x"', "no memory region 'x' for the programs"),
        ('programs region="page"', "'b' may write the table of programs 'page'"),
        ('programs region="dma" pd="a"', "programs has no attribute 'pd'"),
        ('alternative pd="a"', "does not say program"),
        ('alternative program="x.elf"', "does not say pd"),
        ('alternative pd="x" program="x.elf"', "no protection domain 'x'"),
        ('alternative pd="a" program="x.elf" slot="1"', "an alternative has no attribute 'slot'"),
        ('owner pd="a"', "does not say io_address_space"),
        ('owner pd="a" io_address_space="x"', "no I/O address space 'x' to own"),
        ('owner pd="x" io_address_space="space"', "no protection domain 'x'"),
        ('owner pd="a" io_address_space="space" of="b"', "an owner has no attribute 'of'"),
    ],
)
def test_what_is_not_understood_is_refused_with_its_place(read, instruction, reason):
    (diagnostic,) = refusals(read, f"    <?capkernel {instruction}?>")
    assert reason in diagnostic.message
    assert str(diagnostic.where).endswith("t.system:2:5")


def test_every_wrong_instruction_is_told(read):
    grant = '<?capkernel grant pd="a" kind="reply" slot="300"?>'
    kernel = '<?capkernel kernel debug="off"?>'
    found = refusals(read, f"{grant}\n{grant}\n<?capkernel grant?>\n<?capkernel nonsense?>\n{kernel}\n{kernel}")
    assert [diagnostic.line for diagnostic in found] == [3, 4, 5, 7]
    assert "granted twice" in found[0].message
    assert "configured twice" in found[3].message


@pytest.mark.parametrize(
    ("one", "other", "reason"),
    [
        ('kind="slots" at="5"', 'kind="slots" at="5"', "'a' has slots at 5 twice"),
        ('kind="lifecycle" of="b" faults="1"', 'kind="lifecycle" of="c" faults="1"', "child 1 twice"),
        ('kind="lifecycle" of="b" faults="1"', 'kind="lifecycle" of="b" faults="2"', "handled twice"),
    ],
)
def test_what_two_grants_cannot_both_have_is_refused(read, one, other, reason):
    (diagnostic,) = refusals(
        read, f'<?capkernel grant pd="a" slot="266" {one}?>\n<?capkernel grant pd="a" slot="267" {other}?>'
    )
    assert reason in diagnostic.message
    assert diagnostic.line == 3


def test_an_io_address_space_has_one_owner(read):
    text = '<?capkernel owner pd="{}" io_address_space="space"?>\n'
    _, extensions = read(text.format("a"))
    assert [(owner.io_address_space, owner.pd) for owner in extensions.owners] == [("space", "a")]
    (diagnostic,) = refusals(read, text.format("a") + text.format("b"))
    assert "'space' has two owners" in diagnostic.message


def test_alternatives_keep_their_order(read):
    text = "".join(f'<?capkernel alternative pd="{pd}" program="{name}.elf"?>' for pd, name in ("az", "bx", "ay"))
    _, extensions = read(text)
    assert [(found.pd, found.program) for found in extensions.alternatives] == [
        ("a", "z.elf"), ("b", "x.elf"), ("a", "y.elf"),
    ]  # fmt: skip


def test_a_reason_says_how_much_time_and_what_lasts(read):
    text = '<?capkernel grant pd="a" kind="time" slot="266" budget="2000" period="0x2710"?>'
    text += '<?capkernel grant pd="a" kind="untyped" slot="267" size_bits="20" lasts="yes"?>'
    text += '<?capkernel grant pd="a" kind="time" slot="268" budget="100" period="900" lasts="yes"?>'
    system, extensions = read(text)
    reasons = [edge.reason for edge in authority_of(system, extensions.grants).edges if edge.where.line == 2]
    assert reasons == [
        "granted time in slot 266, 2000 µs in 10000 µs", "granted untyped in slot 267, from one life to the next",
        "granted time in slot 268, 100 µs in 900 µs, from one life to the next",
    ]  # fmt: skip


def test_the_table_of_programs_has_a_region_and_can_be_read_back(read):
    _, extensions = read('<?capkernel programs region="dma"?>')
    assert [place.region for place in extensions.programs] == ["dma"]
    images = {"hello": bytes(range(16)), "a" * 48: b"\1".ljust(16, b"\0")}
    assert decode_table(encode_table(images) + b"what lies behind it") == images
    assert decode_table(b"") == {}
    with pytest.raises(ValueError, match="at most 48 bytes"):
        encode_table({"a" * 49: bytes(16)})


def test_what_has_no_rights_said_has_all(read):
    kinds = {"endpoint": "b", "notification": "b", "frame": "page"}
    text = [
        f'<?capkernel grant pd="a" kind="{kind}" of="{of}" slot="{266 + slot}"?>'
        for slot, (kind, of) in enumerate(kinds.items())
    ]
    _, extensions = read("".join(text))
    assert [rt.describe(grant.rights) for grant in extensions.grants] == ["RWGP", "RW", "RW"]


GIVES = {
    'kind="endpoint" of="b" rights="W"': {"a send b"},
    'kind="endpoint" of="b" rights="WP"': {"a call b"},
    'kind="endpoint" of="b" rights="WG"': {"a call b", "a grant b"},
    'kind="endpoint" of="b" rights="R"': {"a receive b"},
    'kind="notification" of="b" rights="W"': {"a notify b"},
    'kind="notification" of="b" rights="R"': {"a wait b"},
    'kind="notification" of="b"': {"a notify b", "a wait b"},
    'kind="cnode" of="b"': {"a cspace b"},
    'kind="cnode" of="a"': {"a cspace a"},
    'kind="frame" of="page" rights="R"': {"a frame-read page"},
    'kind="frame" of="page"': {"a frame-read page", "a frame-write page"},
    'kind="untyped"': {"a retype untyped:a slot 266"},
    'kind="reply"': {"a answer reply:a slot 266"},
    'kind="slots" at="5"': {"a cspace slots:a slot 266"},
    'kind="vspace"': {"a vspace a"},
    'kind="lifecycle" of="b"': {"a lifecycle b"},
    'kind="lifecycle" of="b" faults="3"': {"a lifecycle b", "b fault a"},
    'kind="asid_pool"': {"a assign asids:a slot 266"},
    'kind="time" budget="1000" period="5000"': {"a spend time:a slot 266"},
    'kind="untyped" lasts="yes"': {"a retype untyped:a slot 266"},
    'kind="slots" at="5" lasts="yes"': {"a cspace slots:a slot 266"},
    'kind="time" budget="1000" period="5000" lasts="yes"': {"a spend time:a slot 266"},
}


@pytest.mark.parametrize("words", GIVES)
def test_what_a_grant_gives(read, words):
    system, extensions = read(f'<?capkernel grant pd="a" slot="266" {words}?>')
    before, graph = authority_of(system), authority_of(system, extensions.grants)
    new = graph.edges[len(before.edges) :]
    assert graph.edges[: len(before.edges)] == before.edges
    assert {f"{edge.subject} {edge.right.value} {edge.object}" for edge in new} == GIVES[words]
    assert {edge.where.line for edge in new} == {2}


@pytest.mark.parametrize(
    ("words", "question", "rules"),
    [
        (('pd="a" kind="cnode" of="c"',), ("a", "b", "call"), ("given", "take")),
        (('pd="a" kind="cnode" of="c"',), ("a", "c", "write"), ("given",)),
        (('pd="a" kind="cnode" of="a"',), ("b", "c", "call"), None),
        # Who may come to b's TCB cap makes its own CNode the one in which b's caps are looked up.
        (
            ('pd="a" kind="cnode" of="c"',),
            ("b", "c", "write"),
            ("given", "own", "take", "receive", "grant", "reply", "configure"),
        ),
        (('pd="a" kind="cnode" of="b"',), ("c", "a", "call"), ("own", "given", "take", "receive")),
        (('pd="c" kind="cnode" of="a"',), ("a", "b", "call"), ("given", "grant")),
        (('pd="a" kind="endpoint" of="b" rights="R"',), ("c", "a", "call"), ("given", "receive")),
        (('pd="a" kind="endpoint" of="b" rights="W"',), ("a", "b", "call"), None),
        (('pd="a" kind="endpoint" of="b" rights="W"',), ("a", "b", "obtain"), ("given",)),
        (('pd="a" kind="frame" of="page" rights="R"',), ("a", "page", "read"), ("given", "map")),
        (('pd="a" kind="frame" of="page" rights="R"',), ("a", "page", "write"), None),
        (('pd="b" kind="frame" of="page"',), ("c", "page", "write"), None),
        (
            ('pd="b" kind="frame" of="page"', 'pd="c" kind="cnode" of="c"'),
            ("c", "page", "write"),
            ("given", "reply", "map"),
        ),
        (('pd="a" kind="untyped"',), ("a", "b", "obtain"), None),
        (('pd="a" kind="reply"',), ("c", "b", "influence"), ("call",)),
        (('pd="a" kind="reply"',), ("a", "b", "influence"), None),
        (('pd="a" kind="endpoint" of="b" rights="R"',), ("c", "a", "influence"), ("call", "receive")),
        (('pd="a" kind="lifecycle" of="b"',), ("a", "b", "write"), None),
        (('pd="a" kind="lifecycle" of="b"',), ("a", "page", "obtain"), None),
        (('pd="a" kind="lifecycle" of="b"',), ("a", "b", "obtain"), ("given",)),
        (('pd="a" kind="lifecycle" of="b"',), ("a", "b", "influence"), ("lifecycle",)),
        (('pd="a" kind="lifecycle" of="b"',), ("b", "a", "influence"), ("lifecycle",)),
        (('pd="a" kind="lifecycle" of="b" faults="1"',), ("b", "a", "influence"), ("lifecycle",)),
        # Who can receive caps may get those of whom he calls, a lifecycle cap like any other.
        (
            ('pd="c" kind="slots" at="5"', 'pd="b" kind="lifecycle" of="a"'),
            ("c", "a", "obtain"),
            ("given", "reply"),
        ),
        (('pd="b" kind="lifecycle" of="a"',), ("c", "a", "obtain"), None),
        (('pd="b" kind="vspace"', 'pd="c" kind="slots" at="5"'), ("c", "b", "obtain"), ("given",)),
        # Time and address spaces of somebody's own lead to nobody; but they can be handed on like other caps.
        (('pd="a" kind="time" budget="100" period="100"', 'pd="a" kind="asid_pool"'), ("a", "b", "obtain"), None),
        (
            ('pd="b" kind="time" budget="100" period="100"', 'pd="c" kind="slots" at="5"'),
            ("c", "time:b slot 266", "obtain"),
            ("given", "reply"),
        ),
        (
            ('pd="b" kind="asid_pool"', 'pd="c" kind="slots" at="5"'),
            ("c", "asids:b slot 266", "obtain"),
            ("given", "reply"),
        ),
    ],
)
def test_what_comes_of_grants(read, words, question, rules):
    text = [f'<?capkernel grant slot="{266 + slot}" {each}?>' for slot, each in enumerate(words)]
    system, extensions = read("".join(text))
    graph = authority_of(system, extensions.grants)
    subject, object_, query = question
    answer = Closure(graph).may(graph.find(subject), graph.find(object_), Query(query))
    assert answer.yes is (rules is not None)
    assert sorted(answer.rules) == sorted(rules or ())


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        (('pd="a" kind="cnode" of="b"',), "foreign-cnode"),
        (('pd="a" kind="cnode" of="a"',), None),
        (('pd="a" kind="endpoint" of="b" rights="RW"',), "interception"),
        (('pd="a" kind="notification" of="b" rights="R"',), "interception"),
        (('pd="b" kind="endpoint" of="b"',), None),
        (('pd="a" kind="endpoint" of="b" rights="WP"',), None),
        (('pd="a" kind="endpoint" of="b" rights="WP"', 'pd="a" kind="cnode" of="a"'), "free-badge"),
        (('pd="a" kind="endpoint" of="b" rights="WP" badge="9"', 'pd="a" kind="cnode" of="a"'), None),
        (('pd="a" kind="endpoint" of="c" rights="WP"', 'pd="a" kind="cnode" of="a"'), None),
        (('pd="a" kind="endpoint" of="b" rights="WP" badge="0x8000000000000007"',), "forged-badge"),
        (('pd="a" kind="endpoint" of="b" rights="W" badge="0x4000000000000003"',), "forged-badge"),
        (('pd="a" kind="frame" of="page"',), "foreign-frame"),
        (('pd="b" kind="frame" of="page"',), None),
        (('pd="a" kind="untyped"', 'pd="a" kind="reply"'), None),
        (('pd="a" kind="endpoint" of="b" rights="WP"', 'pd="a" kind="slots" at="5"'), "free-badge"),
        (('pd="a" kind="lifecycle" of="b"', 'pd="a" kind="vspace"', 'pd="a" kind="slots" at="5"'), None),
    ],
)
def test_dangerous_grants_are_found(read, words, rule):
    text = [f'<?capkernel grant slot="{266 + slot}" {each}?>' for slot, each in enumerate(words)]
    system, extensions = read("".join(text))
    before = {finding.rule for finding in findings(authority_of(system))}
    found = {finding.rule: finding for finding in findings(authority_of(system, extensions.grants))}
    assert found.keys() - before == ({rule} if rule else set())
    assert rule is None or found[rule].where.line == 2
