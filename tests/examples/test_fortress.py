"""The fortress holds; with one layer switched off, named attempts succeed."""

import re
from pathlib import Path

import pytest

from capkernel.abi import labels
from capkernel.abi import syscalls as sc
from capkernel.tools.tour_fortress import Siege, besiege
from capkernel.tools.tour_systems import Booted
from specs.invariants import check_all

EXAMPLES = Path(__file__).parents[2] / "examples"
STRONG = EXAMPLES / "fortress.system"
WAYS_IN = [
    "CNode_Revoke on slot 266",
    "CNode_Delete on slot 266",
    "CNode_Copy on slot 266",
    "receive a cap through slot 266",
    "delete the cap that policy uses for me",
    "mint an all-powerful one in its place",
    "read alice's secret",
    "overwrite alice's secret",
    "overwrite the shared motto",
    "rob the vault",
]
"""What one cap too many, of policy's CNode, lets mallory do (and then every namespace is hers, by its number)."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def strong() -> Siege:
    return besiege(STRONG)


@pytest.fixture(scope="module")
def weak() -> Siege:
    return besiege(EXAMPLES / "fortress-weak.system")


def variant(tmp_path: Path, old: str, new: str) -> Path:
    """The fortress with one thing changed."""
    text = STRONG.read_text()
    assert len(re.findall(old, text)) == 1, old
    path = tmp_path / "variant.system"
    path.write_text(re.sub(old, new, text))
    return path


def failed(siege: Siege) -> list[str]:
    return [finding.claim for finding in siege.findings if not finding.holds]


def test_nothing_that_mallory_tries_succeeds(strong: Siege) -> None:
    assert strong.run.stopped == "idle"
    assert strong.total > 50_000
    assert strong.successes == ()
    assert strong.held, failed(strong)


def test_nothing_that_she_tries_breaks_an_invariant_of_the_kernel(strong: Siege) -> None:
    assert check_all(strong.system.state, strong.system.machine) == []


def test_she_tries_every_system_call_and_every_label_on_every_slot(strong: Siege) -> None:
    families = strong.table()
    slots = 512 + 63
    for number, name in sc.NAMES.items():
        if sc.YIELD < number <= sc.CALL:
            assert families[f"{name} × every slot"].total() >= slots, name
    every_label = sum(row.total() for family, row in families.items() if family.endswith("labels"))
    assert every_label >= slots * (len(labels.BY_LABEL) + 16)


def test_each_attempt_is_accounted_for(strong: Siege) -> None:
    ledger = strong.system.read_region("ledger")
    assert int.from_bytes(ledger[:8], "little") == strong.total


def test_the_clients_get_what_their_caps_allow(strong: Siege) -> None:
    output = strong.run.output
    for line in (
        "bob | the motto reads: 'trust badges, not words'",
        "bob | I tried to change it: kv refused, my cap's badge says read",
        "bob | I asked for a cap to write, and for one to alice's diary: policy refused both",
        "policy | alice's time in the vault is over: cap revoked",
        "my cap to the vault is gone: the kernel answers InvalidCapability",
        "0 deadlines missed",
    ):
        assert line in output


def test_one_cap_too_many_lets_her_in_at_named_places(weak: Siege) -> None:
    by_number = re.compile(r"(read|write) namespace \d")
    assert [name for name in weak.successes if not by_number.fullmatch(name)] == WAYS_IN
    assert len(weak.successes) > len(WAYS_IN)


def test_what_she_does_there_shows_from_outside(weak: Siege) -> None:
    claims = failed(weak)
    assert any("region 'store'" in claim for claim in claims)
    assert any(claim.startswith("alice met") for claim in claims)
    assert b"mallory was here" in weak.system.read_region("store")
    assert weak.run.stopped == "idle"


def test_the_two_descriptions_differ_in_that_cap_only() -> None:
    def facts(path: Path) -> list[str]:
        text = re.sub(r"<!--.*?-->", "", path.read_text(), flags=re.DOTALL)
        return [line.strip() for line in text.splitlines() if line.strip()]

    weak = facts(EXAMPLES / "fortress-weak.system")
    weak.remove('<?capkernel grant pd="mallory" kind="cnode" of="policy" slot="266"?>')
    assert weak == facts(STRONG)


def test_same_seed_same_trace(strong: Siege) -> None:
    assert Booted(STRONG).run().trace_hash == strong.run.trace_hash


def test_with_unlimited_time_she_makes_alice_miss_deadlines(tmp_path: Path) -> None:
    path = variant(tmp_path, r' budget="1000" period="5000"', "")
    siege = besiege(path, programs=EXAMPLES)
    assert failed(siege) == [claim for claim in failed(siege) if claim.startswith("alice met")] != []


def test_with_unlimited_time_for_policy_she_can_use_it_to_the_same_end(tmp_path: Path) -> None:
    path = variant(tmp_path, r' budget="500" period="5000"', "")
    siege = besiege(path, programs=EXAMPLES)
    assert failed(siege) == [claim for claim in failed(siege) if claim.startswith("alice met")] != []


def test_a_page_too_many_lets_her_overwrite_the_store(tmp_path: Path) -> None:
    mapping = '<map mr="store" vaddr="0x4_000_000" perms="rw" />'
    path = variant(tmp_path, r'(<program_image path="fortress/mallory.elf" />)', rf"\1\n{mapping}")
    siege = besiege(path, programs=EXAMPLES)
    assert {"loads at 0x4000000", "stores at 0x4000000", "atomic operations at 0x4000fc0"} <= set(siege.successes)
    assert any("region 'store'" in claim for claim in failed(siege))
    assert any(claim.startswith("what she can write") for claim in failed(siege))


def test_on_a_debug_kernel_she_halts_the_machine(tmp_path: Path) -> None:
    path = variant(tmp_path, r'<\?capkernel kernel debug="off"\?>', "")
    booted = Booted(path, search_path=[EXAMPLES])
    assert booted.run().stopped == "halted"
