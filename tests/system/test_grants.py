"""Instructions for capkernel in a description: how they are found, read and judged, and what grants give."""

import pytest

from capkernel.abi import rights as rt
from capkernel.system.authority import authority_of
from capkernel.system.closure import Closure, Query
from capkernel.system.diagnostics import DescriptionError
from capkernel.system.extensions import load_extensions
from capkernel.system.findings import findings
from capkernel.system.grants import Grant, GrantKind
from capkernel.system.microkit import load

SYSTEM = """<system>
{}
    <memory_region name="page" size="0x1000" />
    <memory_region name="nothing" size="0" />
    <protection_domain name="a" priority="1"><program_image path="a.elf" /></protection_domain>
    <protection_domain name="b" priority="9"><program_image path="b.elf" />
        <map mr="page" vaddr="0x1000" perms="rw" /></protection_domain>
    <protection_domain name="c" priority="3"><program_image path="c.elf" /></protection_domain>
    <channel><end pd="c" id="1" pp="true" notify="false" /><end pd="b" id="2" notify="false" /></channel>
</system>
"""
TO_B = 'pd="a" kind="endpoint" of="b" slot="266"'


@pytest.fixture
def read(tmp_path):
    def read(text):
        path = tmp_path / "t.system"
        path.write_text(SYSTEM.format(text))
        system = load(path)
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
    extensions = load_extensions(path, load(path))
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
        (('pd="a" kind="cnode" of="c"',), ("b", "c", "call"), None),
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
    ],
)
def test_dangerous_grants_are_found(read, words, rule):
    text = [f'<?capkernel grant slot="{266 + slot}" {each}?>' for slot, each in enumerate(words)]
    system, extensions = read("".join(text))
    before = {finding.rule for finding in findings(authority_of(system))}
    found = {finding.rule: finding for finding in findings(authority_of(system, extensions.grants))}
    assert found.keys() - before == ({rule} if rule else set())
    assert rule is None or found[rule].where.line == 2
