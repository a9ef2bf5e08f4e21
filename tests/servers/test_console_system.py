"""The console system on both boards: every server used, each killed in the middle of its work, attacked from inside."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from capkernel.protocols.audit_trail import verify
from capkernel.tools.inject import Fault, Kind
from servers.clients.resident import TEXT_LINES
from tests.servers.console_stage import FILES, ConsoleStage

BOARDS = tuple(FILES)
ROOT = Path(__file__).parents[2]
TEXT = [f"text {number}: " + "=" * 40 for number in range(TEXT_LINES)]
FORGETFUL = ("files", "log", "names")
"""Servers with which caps end that clients hold: what was asked for through one of them fails, and is reported."""
STEPS, ERRORS, DEATHS, ACKNOWLEDGED, ALARMS = range(5)


def audited(stage: ConsoleStage) -> Any:
    """What the trail on the disk is worth, beside what was acknowledged."""
    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(stage.file("audit/public_key").decode()))

    def check(signature: bytes, data: bytes) -> bool:
        try:
            key.verify(signature, data)
        except InvalidSignature:
            return False
        return True

    head, acknowledged = stage.file("audit/head"), stage.words[ACKNOWLEDGED]
    return verify(stage.file("audit/trail"), key.public_bytes_raw(), check, head=head, at_least=acknowledged)


@pytest.mark.parametrize("board", BOARDS)
def test_every_server_is_used_and_the_keyboard_works(board: str) -> None:
    stage = ConsoleStage(board=board)
    assert stage.run_client()
    assert (stage.words[ERRORS], stage.words[DEATHS], stage.words[ACKNOWLEDGED]) == (0, 0, 7)
    lines = stage.lines
    assert lines[0] == "time: slept 500 us; 1735689600 s since 1970"
    assert "files: the same what was written; at home there is ['notes']" in lines
    assert "names: the guest wrote entry 2; 4 tries were refused" in lines
    assert "names: the guest finds nothing any more" in lines
    assert [line for line in lines if line.startswith("text")] == TEXT
    stage.type("hello\n")
    stage.type("wrong")
    stage.type("\x03")
    stage.type("\x04")
    assert stage.lines[-6:] == ["> hello", "you typed: hello", "> wrong^C", "interrupted", "> ", "bye"]
    assert stage.words[ALARMS] == 1
    log = stage.file("log/log.0").decode().splitlines()
    assert [line.split()[3] for line in log] == ["client", "client/guest"]
    assert audited(stage).is_intact
    assert not stage.system.faults
    stage.close()


def calm_steps(board: str) -> dict[str, int]:
    stage = ConsoleStage(board=board)
    assert stage.run_client()
    stage.close()
    return dict(stage.injector.steps)


@pytest.fixture(scope="module")
def steps() -> dict[str, dict[str, int]]:
    return {board: calm_steps(board) for board in BOARDS}


def struck(steps: Any, board: str, service: str, part: float, kind: Kind = Kind.CRASH) -> ConsoleStage:
    """A run in which a service goes wrong when so much of its work is done; the client must come to its end."""
    step = max(2, int(steps[board][service] * part))
    stage = ConsoleStage(Fault(service, step, kind), board=board)
    assert stage.run_client(), stage.line.text
    stage.close()
    return stage


@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.parametrize("part", [0.1, 0.35, 0.5, 0.65, 0.8, 0.9])
def test_a_console_that_dies_in_a_line_comes_back_and_the_text_is_complete(steps: Any, board: str, part: float) -> None:
    stage = struck(steps, board, "console", part)
    assert stage.injector.activated
    assert stage.words[ERRORS] == 0
    lines = stage.lines
    whole = [line for line in lines if line in TEXT]
    assert list(dict.fromkeys(whole)) == TEXT
    assert len(whole) - len(TEXT) <= stage.words[DEATHS], "a line is written again only if its writer was told"


@pytest.mark.parametrize("service", ["timer", "rtc", "entropy", "disk", "files", "log", "audit", "names"])
@pytest.mark.parametrize("part", [0.3, 0.8])
def test_any_server_may_die_and_what_fails_is_said(steps: Any, service: str, part: float) -> None:
    stage = struck(steps, "virt_iommu", service, part)
    assert stage.injector.activated
    assert stage.words[ERRORS] <= (service in FORGETFUL)
    assert [line for line in stage.lines if line in TEXT] == TEXT
    if service != "files":
        assert audited(stage).is_intact
    assert stage.words[ACKNOWLEDGED] >= 7 or stage.words[ERRORS]


@pytest.mark.campaign
@pytest.mark.parametrize("service", ["console", "timer", "rtc", "entropy", "disk", "files", "log", "audit", "names"])
def test_any_server_may_die_at_any_step(steps: Any, service: str) -> None:
    for step in range(2, steps["virt_iommu"][service]):
        stage = ConsoleStage(Fault(service, step, Kind.CRASH))
        assert stage.run_client(), step
        stage.close()
        assert stage.words[ERRORS] <= (service in FORGETFUL), step
        whole = [line for line in stage.lines if line in TEXT]
        assert list(dict.fromkeys(whole)) == TEXT, step
        assert len(whole) - len(TEXT) <= stage.words[DEATHS], step
        assert audited(stage).is_intact, step


@pytest.mark.parametrize("service", ["console", "timer", "log"])
def test_a_server_that_hangs_is_found_by_its_heartbeat(steps: Any, service: str) -> None:
    stage = struck(steps, "virt_iommu", service, 0.6, Kind.HANG)
    assert stage.injector.activated
    assert [line for line in stage.lines if line in TEXT][-1] == TEXT[-1]


def test_what_was_acknowledged_is_on_the_medium_at_every_moment() -> None:
    """The power may go at any time: the disk's own cache does not count."""
    stage = ConsoleStage()
    assert stage.run_until(lambda: True)
    seen = set()
    while stage.words[STEPS] < 4:
        stage.run(20)
        if stage.words[ACKNOWLEDGED]:
            verdict = audited(stage)
            assert verdict.is_unfinished, verdict.findings
            seen.add(stage.words[ACKNOWLEDGED])
    assert seen == {3, 5, 7}
    stage.close()


def test_the_trail_goes_on_after_the_machine_was_turned_off() -> None:
    first = ConsoleStage()
    assert first.run_client()
    first.close()
    second = ConsoleStage(disk=first.disk)
    assert second.run_client()
    assert second.words[ERRORS] == 0
    assert second.words[ACKNOWLEDGED] == 13
    assert audited(second).is_intact
    second.close()


def test_nobody_but_the_audit_server_reaches_its_key() -> None:
    """The client's directory is another; what the description gives is all that there is."""
    stage = ConsoleStage()
    assert stage.run_client()
    key = stage.file("audit/key")
    assert len(key) == 32
    for pd in stage.system.system.protection_domains:
        if pd.name in ("audit", "files", "disk", "entropy") or pd.name not in stage.system.threads:
            continue
        for mapping in pd.maps:
            region = stage.system.system.region(mapping.region)
            if region.phys_addr is None:
                assert key not in stage.system.read_region(mapping.region), (pd.name, mapping.region)
    stage.close()


def test_the_same_run_has_the_same_trace() -> None:
    hashes = set()
    for _ in range(2):
        stage = ConsoleStage()
        assert stage.run_client()
        hashes.add(stage.trace.hash())
        stage.close()
    assert len(hashes) == 1


@pytest.mark.parametrize("board", BOARDS)
def test_a_client_who_attacks_all_servers_harms_only_himself(board: str) -> None:
    stage = ConsoleStage(board=board, programs=(Path(__file__).parent / "attackers",))
    assert stage.run_until(lambda: stage.words[2])
    stage.run(50_000)
    targets, refused, alive = stage.words[:3]
    assert targets == alive == 12
    assert refused > 300
    assert stage.debug.text == "", "the supervisor had nothing to do"
    assert not stage.system.faults
    assert not stage.system.crashes
    log = stage.file("log/log.0").decode().splitlines()
    pattern = re.compile(r"(\d+) \d+ (DEBUG|INFO|WARNING|ERROR) (client(/[A-Za-z0-9_-]+)*|log) .*")
    numbers = [int(found[1]) for line in log if (found := pattern.fullmatch(line))]
    assert numbers == list(range(1, len(log) + 1))
    assert log
    assert "\x1b" not in stage.line.text
    for line in stage.file("audit/trail").decode().splitlines():
        assert line.split()[0] == "S" or line.split()[3] in ("audit", "client")
    assert audited(stage).is_intact
    stage.close()


def test_the_command_verifies_what_the_system_wrote(tmp_path: Path) -> None:
    stage = ConsoleStage()
    assert stage.run_client()
    stage.close()
    for name in ("trail", "head", "public_key"):
        (tmp_path / name).write_bytes(stage.file(f"audit/{name}"))

    def run() -> int:
        arguments = [tmp_path / "trail", "--key", tmp_path / "public_key", "--head", tmp_path / "head"]
        return subprocess.run(
            [sys.executable, "-m", "capkernel", "audit", *map(str, arguments)], check=False
        ).returncode

    assert run() == 0
    trail = (tmp_path / "trail").read_bytes()
    (tmp_path / "trail").write_bytes(trail.replace(b"event 1 again", b"event 7 again"))
    assert run() == 1


# LX-4: how much another board costs

SHARED = (
    "console", "timer", "deadlines", "line_editor", "key_sequences", "rtc_goldfish", "virtio", "virtio_blk",
    "virtio_rng",
)  # fmt: skip
OWN = {"virt_iommu": ("console_ns16550", "timer_capkernel"), "virt_sifive": ("console_sifive", "timer_sifive")}


def code_lines(*names: str) -> int:
    paths = [ROOT / "servers" / "drivers" / f"{name}.py" for name in names]
    return sum(bool(line.strip()) for path in paths for line in path.read_text().splitlines())


def test_another_board_costs_as_many_lines_as_the_documentation_says() -> None:
    first, second = (
        [line for line in FILES[board].read_text().splitlines() if "Needs" not in line] for board in BOARDS
    )
    assert len(first) == len(second)
    differing = sum(one != other for one, other in zip(first, second, strict=True))
    own = {board: code_lines(*OWN[board]) for board in BOARDS}
    figures = re.search(
        r"(\d+) of (\d+) lines of the description.* (\d+) lines of drivers .* (\d+) on the other.* (\d+) are shared",
        (ROOT / "docs" / "servers.md").read_text(),
    )  # fmt: skip
    expected = (differing, len(first), own["virt_iommu"], own["virt_sifive"], code_lines(*SHARED))
    assert figures is not None
    assert tuple(map(int, figures.groups())) == expected
