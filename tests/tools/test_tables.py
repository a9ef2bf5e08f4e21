"""Tables that cannot be: refused once, before the boot, with file and line, what, and what would be right."""

import json
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from shutil import copy
from typing import Any

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from capkernel.system.board import find_board
from capkernel.system.diagnostics import DescriptionError
from capkernel.system.extensions import load_extensions
from capkernel.system.microkit import load
from capkernel.tools.check import check
from capkernel.tools.demo.stage import find_system
from capkernel.tools.run import run
from capkernel.tools.tables import need_tables, wrong_table
from capkernel.user.tables import Given, line_of
from hwmodel.board import BOARDS
from servers.linked.judge import judge

SYSTEMS = Path(__file__).parents[2] / "servers" / "systems"
MONOLITH = ("monolith.system", "monolith.toml", "monolith_parts.toml")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    for name in MONOLITH:
        copy(SYSTEMS / name, tmp_path)
    return tmp_path


def told(command: Callable[..., None], *words: str) -> Any:
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, words)


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        (
            '"files 2"',
            '"filez 2"',
            13,
            "client is to be connected with filez, which is not above it (above it are disk, ",
        ),
        ('"files 2"', '"files"', 13, "'files' is no part and a channel of it"),
        ('"file_server"', '"file_servr"', 8, "no program is installed as 'file_servr' (there is file_server)"),
        ('"file_server"', '"block_writer"', 11, "client cannot ask files, whose program block_writer serves nobody (a"),
        ('"block_writer"', '"hello"', 12, "hello has no class Program, so it cannot be started twice (a program that"),
        ('"block_writer"', '"file_server"', 12, "client: the program declares no `report: int = 0`"),
        ("1 = 1", '"\N{ARABIC-INDIC DIGIT ONE}" = 1', 5, "is no number from 0 to 61"),
        ('"block_writer"', '"os.path"', 12, "client: no program is installed as 'os.path'"),
        ("[client]", f"x = {'[' * 3000}\n[client]", 0, "the table is nested too deeply to be read"),
        ("1 = 1", "1 = 99", 5, "disk: the domain has no channel 99 (they are 0 to 61)"),
        ("[client]", "[disk]", 11, "is no TOML"),
        (
            "[client]",
            "[customer]",
            0,
            "the description sets client_report, but no part has that name (parts: disk, files",
        ),
        ("{ 0 = 0, 1 = 1 }", "{ 0 = 40, 1 = 1 }", 5, "disk: the domain has neither channel nor interrupt 40 (it has"),
        ('program = "virtio_blk"', 'programme = "virtio_blk"', 4, "programme = 'virtio_blk' makes no sense; there is"),
    ],
)
def test_a_wrong_table_of_parts_is_refused_before_the_boot(
    directory: Path, old: str, new: str, line: int, says: str
) -> None:
    table = directory / "monolith_parts.toml"
    text = table.read_text()
    assert text.count(old) == 1
    table.write_text(text.replace(old, new))
    place = f"{table}:{line}: " if line else f"{table}: "
    for command, words in ((check, ()), (run, ("--device", "virtio0=disk:64K", "--time", "10"))):
        answer = told(command, str(directory / "monolith.system"), "--board", "virt_iommu", *words)
        assert answer.exit_code == 1
        assert place in answer.stderr
        assert says in answer.stderr
        assert answer.stderr.count(says) == 1
        assert "--board" not in answer.stderr, "no other machine would make it right"
        assert "entries" not in answer.output, "nothing was started"
    found = json.loads(told(check, str(directory / "monolith.system"), "--board", "virt_iommu", "--json").stdout)
    assert not found["valid"]
    assert line in [each["line"] for each in found["diagnostics"]]


@pytest.mark.parametrize(
    ("old", "new", "told_at"),
    [
        (
            '"files 2"', '"disk 5"',
            {13: "client: channel 0 leads to disk's channel 5, which gives a Block and no Directory "
                 "(a Directory that can be changed is at files's channels 2 to 5)"},
        ),
        ('"files 2"', '"files 6"', {13: "files's channel 6, through which nothing can be changed, as block_writer"}),
        ('"files 2"', '"files 12"', {13: "client: channel 0 leads to files's channel 12, where file_server serves"}),
        (
            '"disk 2"', '"disk 20"',
            {9: "channel 20, where virtio_blk serves nobody (a Block that can be changed is at disk's channels 2 to"},
        ),
        (
            '{ 0 = "files 2" }', '{ 5 = "disk 9" }',
            {11: "client: channel 0, through which block_writer asks a Directory, leads nowhere (a Directory",
             13: "client: block_writer asks nobody through channel 5 (it asks through channel 0 (Directory))"},
        ),
        ('channels = { 0 = "disk 2" }', "", {7: "files: channel 0, through which file_server asks a Block, "}),
        ("{ 0 = 0, 1 = 1 }", "{ 0 = 1, 1 = 0 }", {5: "disk: channel 0 is to lead to 1 of the domain, which is no int"}),
        ("{ 0 = 0, 1 = 1 }", "{ 1 = 1 }", {3: "disk: channel 0, the interrupt of the device of virtio_blk, "}),
        ("{ 0 = 0, 1 = 1 }", "{ 0 = 0, 3 = 1 }", {5: "disk: virtio_blk has no channel 3 that leads outside"}),
    ],
)  # fmt: skip
def test_a_table_that_connects_wrongly_is_refused_before_the_boot(
    directory: Path, old: str, new: str, told_at: dict[int, str]
) -> None:
    table = directory / "monolith_parts.toml"
    text = table.read_text()
    assert text.count(old) == 1
    table.write_text(text.replace(old, new))
    answer = told(run, str(directory / "monolith.system"), "--board", "virt_iommu", "--device", "virtio0=disk:64K")
    assert answer.exit_code == 1
    assert "entries" not in answer.output, "nothing was started"
    for line, says in told_at.items():
        (said,) = (each for each in answer.stderr.splitlines() if says in each)
        assert said.startswith(f"{table}:{line}: 'monolith': ")


NETWORK = ("monolith_network.system", "monolith_network.toml", "monolith_network_parts.toml", "network_policy.toml")


@pytest.mark.parametrize(
    ("file", "old", "new", "says"),
    [
        (
            "monolith_network_parts.toml", '0 = "network 2", 1 = "files 6"', '1 = "network 2", 0 = "files 6"',
            ["web: channel 0 leads to files's channel 6, which gives a Directory and no Listener (a Listener is at "
             "network's channel 2)", "web: channel 1 leads to network's channel 2, which gives a Listener and no Dir"],
        ),
        (
            "monolith_network_parts.toml", '"network 6"', '"network 3"',
            ["client: channel 2 leads to network's channel 3, which gives a Network and no Dialer (a Dialer is at "
             "network's channels 6 to 7)"],
        ),
        (
            "network_policy.toml", "channel = 6", "channel = 9",
            ["client: channel 2 leads to network's channel 6, where stack_server serves nobody "
             "(a Dialer is at network's channels 7, 9)"],
        ),
        (
            "network_policy.toml", 'gives = "pinger"', 'gives = "ping"',
            ["network: in its table policy: client 3 gives 'ping'; there is network, listener"],
        ),
    ],
)  # fmt: skip
def test_what_a_network_policy_gives_is_known_before_the_boot(
    tmp_path: Path, file: str, old: str, new: str, says: list[str]
) -> None:
    for name in NETWORK:
        copy(SYSTEMS / name, tmp_path)
    text = (tmp_path / file).read_text()
    assert text.count(old) == 1
    (tmp_path / file).write_text(text.replace(old, new))
    answer = told(check, str(tmp_path / "monolith_network.system"), "--board", "virt_iommu")
    assert answer.exit_code == 1
    assert answer.stderr.count("error: ") == len(says)
    for each in says:
        assert answer.stderr.count(each) == 1


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("outside = { 0 = 2, 1 = 1 }", "outside = { 0 = 0, 1 = 1 }", 13),
        ("outside = { 0 = 0, 1 = 1 } ", "outside = { 0 = 0, 1 = 0 } ", 5),
    ],
)
def test_an_interrupt_is_given_to_one_channel_of_one_part(tmp_path: Path, old: str, new: str, line: int) -> None:
    for name in NETWORK:
        copy(SYSTEMS / name, tmp_path)
    table = tmp_path / "monolith_network_parts.toml"
    text = table.read_text()
    assert text.count(old) == 1
    table.write_text(text.replace(old, new))
    answer = told(check, str(tmp_path / "monolith_network.system"), "--board", "virt_iommu")
    assert answer.exit_code == 1
    assert f"{table}:{line}: " in answer.stderr
    assert "is given interrupt 0 of the domain, which disk's channel 0 has (an interrupt is one ch" in answer.stderr


@pytest.mark.parametrize(
    ("program", "files", "says"),
    [
        (
            "undeclared", "disk 3",
            "monolith.client: channel 0 leads to disk's channel 3, which gives a Block and no Directory",
        ),
        ("undeclared", "files 2", "monolith.client: channel 7 leads nowhere; [0] lead somewhere"),
        ("asks_the_kernel", "files 2", "monolith.client: the program asks the kernel for who is behind channel 0; "),
    ],
)  # fmt: skip
def test_what_is_noticed_only_while_it_runs_is_told_once_and_is_no_success(
    directory: Path, program: str, files: str, says: str
) -> None:
    table = directory / "monolith_parts.toml"
    text = table.read_text().replace('"block_writer"', f'"tests.servers.linking.{program}"')
    table.write_text(text.replace('"files 2"', f'"{files}"'))
    words = (str(directory / "monolith.system"), "--board", "virt_iommu", "--device", "virtio0=disk:1M", "--time", "20")
    answer = told(run, *words)
    assert (answer.exit_code, answer.stderr.count(says)) == (1, 1), answer.stderr
    assert "a table is wrong: monolith.client: " in answer.stderr
    assert "Traceback" not in answer.stderr
    ((wrong, times),) = json.loads(told(run, *words, "--json").stdout)["wrong_tables"].items()
    assert says in wrong
    assert times > 1, "the supervisor started it anew"


def test_the_crash_of_a_service_that_is_started_anew_is_no_wrong_table() -> None:
    assert wrong_table("Traceback …\nValueError: 3\n") is None
    assert wrong_table("capkernel.user.tables.WrongTable: it says: so\n") == "it says: so"
    assert wrong_table("a program returned") is None


def test_all_that_is_wrong_with_the_programs_is_told_at_once() -> None:
    text = '[a]\nprogram = "nothing"\n[b]\nprogram = "hello"\n'
    assert [wrong.line for wrong in judge(Given(text, frozenset()))] == [2, 4]


def test_a_right_table_boots_and_a_table_of_ones_own_program_is_not_judged(directory: Path) -> None:
    words = ("--board", "virt_iommu", "--device", "virtio0=disk:1M", "--time", "10")
    assert told(run, str(directory / "monolith.system"), *words).exit_code == 0
    (directory / "monolith_parts.toml").write_text("this is no table")
    assert told(run, str(directory / "monolith.system"), *words).exit_code == 1
    (directory / "linked.py").write_text(
        "".join(
            f"{name}: int = 0\n"
            for name in ("parts", "disk_registers", "disk_rings", "files_transfer", "client_report")
        )
        + "async def init(pd): pass\nasync def notified(pd, ch): await pd.notify(ch)\n"
    )
    assert told(run, str(directory / "monolith.system"), *words).exit_code == 0


@pytest.mark.parametrize(("content", "says"), [
    (b"[[service]]\nlabel = 3\n", "monolith.toml:2: 'supervisor': service 1: label is 3, not of type str"),
    (b"[[service]]\nlabel =\n", "monolith.toml:2: 'supervisor': the manifest is no TOML"),
    (b"\n\nlabel = '\xff'\n", "monolith.toml:3: 'supervisor': the table is no UTF-8"),
])  # fmt: skip
def test_so_is_a_wrong_manifest_of_the_supervisor(directory: Path, content: bytes, says: str) -> None:
    (directory / "monolith.toml").write_bytes(content)
    answer = told(check, str(directory / "monolith.system"), "--board", "virt_iommu")
    assert (answer.exit_code, says in answer.stderr) == (1, True), answer.stderr


@pytest.mark.parametrize(
    ("system", "file", "old", "new", "says"),
    [
        ("network", "network_policy.toml", "port = 80", "port = 70000", ":{line}: 'network': client 1: port is 70000;"),
        ("network", "network_policy.toml", "port = 80", "port = -1", ":{line}: 'network': client 1: port is -1"),
        ("network", "network_policy.toml", "channel = 2", "channel = -1", "{line}: 'network': client 1: channel is -1"),
        ("network", "network_policy.toml", "port = 80", 'port = 80\nstreams = -1', "client 1: streams is -1; it is 0"),
        ("network", "network_policy.toml", "port = 80", 'port = 80\naddress = "zzz"', "client 1: address is IPv4:"),
        ("network", "network_policy.toml", 'gives = "listener"\n', "", ": 'network': client 1: gives is missing"),
        ("network", "network_policy.toml", "[[client]]", "[[qqq]]", ":{line}: 'network': unknown: qqq"),
        ("processes", "processes_quotas.toml", "pages = 640", "pages = 3", "launchers have 576 pages, and the process"),
        ("processes", "processes_quotas.toml", "pages = 640", "pages = 999", "accounts have 1191 pages, and there"),
        ("processes", "processes_quotas.toml", "channel = 3, pages = 64, p", "channel = 99, pages = 6, p", "is 99; it"),
        ("processes", "processes_quotas.toml", "{ channel = 4", "{ channel = 3", "two of accounts are of channel 3"),
        ("processes", "processes_quotas.toml", "times = 12", "times = -1", ":{line}: 'memory': times is -1; it is a"),
        ("storage", "storage.toml", 'relies_on = ["disk"]', "relies_on = [[]]", "relies_on is [[]], not a list of lab"),
        ("mirror", "mirror_name.toml", "name =", "nmae =", ":{line}: 'mirror': nobody reads 'nmae' (there are name, i"),
        ("mirror", "mirror_name.toml", '"mirror"', '""', ":{line}: 'mirror': name is '' (text, which is not empty)"),
        ("mirror", "mirror_name.toml", '"mirror"', "7", ":{line}: 'mirror': name is 7 (text"),
        ("mirror", "mirror_name.toml", 'name = "mirror"', "", "'mirror': neither name nor identity is said (as in"),
        ("mirror", "mirror_name.toml", 'name = "mirror"', "name", ":{line}: 'mirror': this is no TOML: "),
        ("mirror", "mirror_name.toml", 'name = "mi', 'identity = "zi', ":{line}: 'mirror': identity is 'zirror' (hex"),
        ("mirror", "mirror_name.toml", 'name = "mirror"', 'identity = "0a"', "'mirror': identity has 1 bytes (16"),
        ("storage", "storage.toml", "[[service]]", "[[services]]", ":{line}: 'supervisor': a manifest has nothing but"),
    ],
)  # fmt: skip
def test_a_table_of_a_server_that_cannot_be_is_refused_with_its_line(
    tmp_path: Path, system: str, file: str, old: str, new: str, says: str
) -> None:
    for found in (SYSTEMS / f"{system}.system", *SYSTEMS.glob("*.toml")):
        copy(found, tmp_path)
    text = (tmp_path / file).read_text()
    assert old in text
    line = text[: text.index(old)].count("\n") + 1
    (tmp_path / file).write_text(text.replace(old, new, 1))
    answer = told(check, str(tmp_path / f"{system}.system"), "--board", "virt_iommu")
    assert (answer.exit_code, says.format(line=line) in answer.stderr) == (1, True), answer.stderr
    assert "Traceback" not in answer.stderr


def test_every_judge_is_of_an_installed_program_and_can_be_loaded() -> None:
    programs = entry_points(group="capkernel.programs").names
    for point in entry_points(group="capkernel.tables"):
        assert point.name.partition(".")[0] in programs
        assert callable(point.load())


@pytest.mark.parametrize("name", sorted(entry_points(group="capkernel.systems").names - {"remote"}))
def test_the_tables_of_shipped_systems_are_right(name: str) -> None:
    file = find_system(name)
    for board in BOARDS:
        try:
            system = load(file, search_path=[file.parent], board=find_board(board))
        except DescriptionError:
            continue
        need_tables(system, load_extensions(file, system), [file.parent])
        return
    raise AssertionError("it is valid for no board")


def test_a_description_without_its_prefill_files_has_no_tables_to_be_judged() -> None:
    """The story of ``remote`` makes its files."""
    with pytest.raises(DescriptionError, match="is not found"):
        load(find_system("remote"))


NAME = st.from_regex(r"[a-z]{1,3}", fullmatch=True)


@given(st.dictionaries(NAME, st.dictionaries(NAME, st.integers(0, 9), min_size=1, max_size=3), min_size=1, max_size=4))
def test_the_line_of_a_key_is_where_it_stands(tables: dict[str, dict[str, int]]) -> None:
    lines: list[str] = []
    places: dict[tuple[str, ...], int] = {}
    for table, keys in tables.items():
        lines += ["# [a]", f"[{table}]"]
        places[table,] = len(lines)
        for key, value in keys.items():
            lines.append(f"{key} = {value}")
            places[table, key] = len(lines)
    text = "\n".join(lines)
    for place, line in places.items():
        assert line_of(text, place) == line
        assert line_of(text, (*place, "0")) == line
    assert line_of(text, ("none",)) == 0
