"""Programs that cannot work as they are connected, or with what is set in them: refused once, before the boot."""

from pathlib import Path
from shutil import copy
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from capkernel.tools.check import check
from capkernel.tools.run import run

SYSTEMS = Path(__file__).parents[2] / "servers" / "systems"


def changed(directory: Path, system: str, file: str, old: str, new: str) -> tuple[Path, Any]:
    """What ``capkernel check`` says of a shipped system of which something was changed, and the file. ``run`` refuses
    it for the same reasons, and starts nothing.
    """
    for each in (*SYSTEMS.glob(f"{system}*"), *SYSTEMS.glob("network_policy.toml")):
        copy(each, directory)
    text = (directory / file).read_text()
    assert text.count(old) == 1
    (directory / file).write_text(text.replace(old, new))
    description = str(directory / f"{system}.system")
    checked, started = (told(command, description, "--board", "virt_iommu") for command in (check, run))
    assert (checked.exit_code, started.exit_code) == (1, 1)
    assert "entries" not in started.output, "nothing was started"
    assert started.stderr.splitlines() == [
        line.removeprefix("error: ") for line in checked.stderr.splitlines() if line.startswith("error: ")
    ]
    return directory / file, checked


def told(command: Any, *words: str) -> Any:
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, words)


@pytest.mark.parametrize(
    ("system", "variable", "says"),
    [
        ("monolith", "disk_registers", "_parts.toml:3: 'monolith': disk: virtio_blk needs `registers`, and the descr"),
        ("monolith", "disk_rings", "_parts.toml:3: 'monolith': disk: virtio_blk needs `rings`, and the description s"),
        ("monolith", "files_transfer", "_parts.toml:7: 'monolith': files: file_server needs `transfer`, and the des"),
        ("monolith", "client_report", "_parts.toml:11: 'monolith': client: block_writer needs `report`, and the des"),
        ("monolith", "parts", ".system:31:13: 'monolith': linked needs `parts`, which the description does not set"),
        ("monolith", "manifest", ".system:27:9: 'supervisor': supervisor needs `manifest`, which the description"),
        ("monolith_network", "network_packets", "_parts.toml:15: 'monolith': network: stack_server needs `packets`"),
        ("storage", "registers", ".system:33:13: 'disk': virtio_blk needs `registers`, which the description does not"),
        ("storage", "region", ".system:58:5: 'client': block_writer needs `region`, which the description does not"),
        ("network", "policy", ".system:60:5: 'network': stack_server needs `policy`, which the description does not"),
    ],
)
def test_a_variable_that_a_program_needs_has_to_be_set(tmp_path: Path, system: str, variable: str, says: str) -> None:
    said = f' setvar_vaddr="{variable}"'
    _, answer = changed(tmp_path, system, f"{system}.system", said, "")
    assert answer.stderr.count(f"{system}{says}") == 1, answer.stderr
    needed = next(line for line in answer.stderr.splitlines() if says in line)
    assert needed.endswith(f'(as in <map mr="..." vaddr="..."{said} />)')


@pytest.mark.parametrize(
    ("system", "file", "old", "new", "told_at"),
    [
        (
            "monolith", "monolith.system", ' prefill_path="monolith_parts.toml"', "",
            ["33:17: 'monolith': the table of parts is empty (a part is a table with its name, as in [disk])"],
        ),
        (
            "monolith", "monolith_parts.toml", "[files]", '[second]\nprogram = "virtio_blk"\n[files]',
            ["7: 'monolith': second: virtio_blk needs `registers`, and the description sets no second_registers",
             "7: 'monolith': second: virtio_blk needs `rings`", "7: 'monolith': second: channel 0, the interrupt of"],
        ),
        (
            "monolith", "monolith_parts.toml", ", 1 = 1 }", " }",
            ["5: 'monolith': disk: the supervisor wants signs of life by channel 1 of the domain, and no part gives "
             "any there (as in outside = { 1 = 1 })"],
        ),
        (
            "monolith", "monolith_parts.toml", "outside = { 0 = 0, 1 = 1 }", "outside = { 0 = 0, 20 = 1 }",
            ["5: 'monolith': disk: channel 20 is to lead to 1 of the domain, where there is no supervisor for updates",
             "5: 'monolith': disk: the supervisor wants signs of life by channel 1 of the domain, and no part gives"],
        ),
        (
            "monolith_network", "monolith_network_parts.toml", "outside = { 1 = 3 }", "",
            ["15: 'monolith': network: channel 1, by which a metronome signals stack_server, leads nowhere (as in out"],
        ),
        (
            "monolith_network", "monolith_network_parts.toml", "outside = { 1 = 3 }", "outside = { 1 = 1 }",
            ["18: 'monolith': network: channel 1 is to lead to 1 of the domain, where there is no metronome (outside"],
        ),
        (
            "storage", "storage.system", '<end pd="files" id="2" notify="false" /><end pd="client"',
            '<end pd="disk" id="3" notify="false" /><end pd="client"',
            ["72:53: 'client': channel 0 leads to disk's channel 3, which gives a Block and no Directory (a Directory "
             "that can be changed is at files's channels 2 to 5)"],
        ),
        (
            "storage", "storage.system", '<end pd="files" id="2" notify="false" /><end pd="client" id="0"',
            '<end pd="files" id="12" notify="false" /><end pd="client" id="2"',
            ["58:5: 'client': channel 0, through which block_writer asks a Directory, leads nowhere (a Directory",
             "72:55: 'client': block_writer asks nobody through channel 2 (it asks through channel 0 (Directory))",
             "72:55: 'client': channel 2 leads to files's channel 12, where file_server serves nobody"],
        ),
        (
            "storage", "storage.system", '<end pd="files" id="0" pp="true"', '<end pd="files" id="3" pp="true"',
            ["40:13: 'files': channel 0, through which file_server asks a Block, leads nowhere (a Block that can",
             "71:53: 'files': file_server asks nobody through channel 3 (it asks through channel 0 (Block))"],
        ),
        (
            "storage", "storage.system", 'id="10" /><end pd="disk" id="1"', 'id="10" /><end pd="disk" id="20"',
            ["69:45: 'disk': channel 20 is to lead to supervisor's channel 10, where there is no supervisor for upda"],
        ),
        (
            "storage", "storage.system", '                <irq irq="1" id="0" />\n', "",
            ['33:13: \'disk\': channel 0, the interrupt of the device of virtio_blk, leads nowhere (as in <irq irq="'],
        ),
        (
            "network", "network.system", '<end pd="web" id="2" notify="false" />',
            '<end pd="web" id="7" notify="false" />',
            ["75:5: 'web': channel 2, by which a metronome signals http_server, leads nowhere (as in <channel> with",
             "101:43: 'web': http_server has no channel 7 that leads outside (outside may lead: 2, metronome; 3, "],
        ),
        (
            "network", "network_policy.toml", "channel = 2", "channel = 8",
            ["'web': channel 0 leads to network's channel 2, where stack_server serves nobody (a Listener is at net"],
        ),
        (
            "fat", "fat.system", 'of="fat" slot="312" rights="WGP" badge="0x8000000000000002"',
            'of="fat" slot="312" rights="WGP" badge="0x8000000000000014"',
            ["109:5: 'mounts': slot 312 leads to fat's channel 20, where fat_server serves nobody"],
        ),
        (
            "fat", "fat.system", 'pd="mounts" kind="endpoint" of="files" slot="310"',
            'pd="mounts" kind="endpoint" of="files" slot="320"',
            ["'mounts': slot 310, through which mount_server asks a Directory, leads nowhere"],
        ),
    ],
)  # fmt: skip
def test_who_is_connected_so_that_he_cannot_work_is_refused_with_his_place(
    tmp_path: Path, system: str, file: str, old: str, new: str, told_at: list[str]
) -> None:
    path, answer = changed(tmp_path, system, file, old, new)
    for says in told_at:
        said = [line for line in answer.stderr.splitlines() if says in line]
        assert len(said) == 1, answer.stderr
        assert says.startswith("'") or said[0].startswith(f"error: {path}:{says}"), said[0]


def line_with(file: Path, text: str) -> int:
    """The first line that has it."""
    return next(number for number, line in enumerate(file.read_text().splitlines(), 1) if text in line)


@pytest.mark.parametrize(
    ("system", "old", "new", "says"),
    [
        (
            "storage", "child = 1\n", "child = 7\n",
            "'supervisor\': service 2: child 7 is nobody whose lifecycle cap is in slot 337 (there is 0, disk; 1, f",
        ),
        ("storage", "patience = 2\n", "patience = -1\n", "'supervisor\': service 1: patience is -1; it is 0 to"),
        (
            "storage", "alternatives = 1", "alternatives = 2",
            "'supervisor\': service 1: alternatives is 2; the description gives disk 1 (as in <?capkernel altern",
        ),
        (
            "storage", '["disk"]', '["nix"]',
            "'supervisor\': service 2: it relies on 'nix', which is no other service (others are disk)",
        ),
        (
            "replace_network", "update_channel = 22", "update_channel = 13 ",
            "'supervisor': service 3: channel 13, by which network would be asked for it, leads to files (a channel",
        ),
        (
            "replace_network", "update_channel = 22", "update_channel = 30",
            "'supervisor': service 3: channel 30, by which network would be asked for it, leads nowhere (a channel to",
        ),
    ],
)  # fmt: skip
def test_a_manifest_of_what_is_not_described_is_refused(
    tmp_path: Path, system: str, old: str, new: str, says: str
) -> None:
    path, answer = changed(tmp_path, system, f"{system}.toml", old, new)
    (said,) = (line for line in answer.stderr.splitlines() if says in line)
    assert said.startswith(f"error: {path}:{line_with(path, new.strip())}: "), said


@pytest.mark.parametrize(
    ("system", "file", "old", "new", "says"),
    [
        (
            "monolith_network", "network_policy.toml", 'gives = "listener"', 'gives = "lister"',
            "'monolith\': network: in its table policy: client 1 gives 'lister'; there is network, listener, dialer",
        ),
        (
            "monolith_network", "network_policy.toml", 'gives = "listener"', "gives = ",
            "'monolith\': network: in its table policy: the policy is no TOML: ",
        ),
        (
            "network", "network_policy.toml", "channel = 4", "channel = 3 # twice",
            "'network': two clients have the same channel",
        ),
        ("network", "network_policy.toml", 'gateway = "', 'gateway = "x', "'network': gateway is IPv4: "),
        ("os", "os_network.toml", 'gives = "listener"', 'gives = "xlistener"', "'network': client 1 gives 'xlistener'"),
        (
            "monolith", "monolith_parts.toml", "[client]", "[clyent]",
            "'monolith\': the description sets client_report, but no part has that name (parts: disk, files, clyent",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_table_is_told_with_its_own_file_and_line(
    tmp_path: Path, system: str, file: str, old: str, new: str, says: str
) -> None:
    path, answer = changed(tmp_path, system, file, old, new)
    (said,) = (line for line in answer.stderr.splitlines() if says in line)
    assert said.startswith(f"error: {path}:{line_with(path, new)}: "), said


def test_of_a_program_of_ones_own_nothing_is_known(tmp_path: Path) -> None:
    for name in ("storage.system", "storage.toml"):
        copy(SYSTEMS / name, tmp_path)
    file = tmp_path / "storage.system"
    file.write_text(file.read_text().replace('pd="client" id="0" pp', 'pd="client" id="2" pp'))
    words = (str(file), "--board", "virt_iommu")
    assert told(check, *words).exit_code == 1
    (tmp_path / "block_writer.py").write_text("region: int = 0\nreport: int = 0\nasync def init(pd): pass\n")
    assert told(check, *words).exit_code == 0
