"""The command ``check``: exit status, output forms, questions."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from capkernel.system.authority import DEBUG
from capkernel.tools.check import check

SYSTEM = """<system>
    <memory_region name="ring" size="0x1000" />
    <protection_domain name="client" priority="1">
        <program_image path="client.elf" />
        <map mr="ring" vaddr="0x1000" />
    </protection_domain>
    <protection_domain name="server" priority="2">
        <program_image path="server.elf" />
        <map mr="ring" vaddr="0x1000" perms="r" />
    </protection_domain>
    <channel>
        <end pd="client" id="1" pp="true" />
        <end pd="server" id="1" notify="false" />
    </channel>
</system>
"""


@pytest.fixture
def run(tmp_path):
    app = typer.Typer()
    app.command()(check)

    def run(*words, text=SYSTEM):
        path = tmp_path / "t.system"
        path.write_text(text)
        for name in ("client", "server"):
            (tmp_path / f"{name}.py").write_text("")
        return CliRunner().invoke(app, [str(path), *words])

    return run


def test_a_valid_description_is_shown(run):
    result = run()
    assert result.exit_code == 0
    assert "2 protection domains, 1 memory regions, 1 channels" in result.output
    assert "read, write" in result.output


def test_every_reason_is_told_with_file_and_line(run):
    result = run(text=SYSTEM.replace('priority="1"', 'priority="999"').replace("0x1000", "0x1001"))
    assert result.exit_code == 1
    assert "t.system:3:5: <protection_domain>: priority 999 is too high" in result.output
    assert "t.system:2:5" in result.output
    assert "is refused: 2 errors" in result.output


def test_strict_turns_findings_into_failure(run):
    odd = SYSTEM.replace('perms="r"', 'perms="rwx"')
    assert run(text=odd).exit_code == 0
    result = run("--strict", text=odd)
    assert result.exit_code == 1
    assert "[write-and-execute] server may write and execute ring" in result.output
    assert run("--strict").exit_code == 0


def test_a_program_that_is_not_there_is_a_finding_with_the_places_that_were_searched(run, tmp_path):
    text = SYSTEM.replace('"server.elf"', '"sever.elf"')
    result = run("--search-path", "/nowhere", text=text)
    assert result.exit_code == 0
    assert "t.system:8:9: [missing-program] the program sever.elf of 'server' is not in /nowhere" in result.output
    assert str(tmp_path) in result.output
    assert "client.elf" not in result.output
    assert run("--strict", text=text).exit_code == 1
    data = json.loads(run("--json", text=text).stdout)
    assert (data["valid"], [found["rule"] for found in data["findings"]]) == (True, ["missing-program"])


def test_a_further_program_that_is_not_there_is_a_finding_too(run):
    text = SYSTEM.replace("</system>", '<?capkernel alternative pd="client" program="plan_b.elf"?></system>')
    assert "t.system:15:1: [missing-program] the program plan_b.elf of 'client'" in run(text=text).output


def test_an_installed_program_is_there(run):
    assert run("--strict", text=SYSTEM.replace('"server.elf"', '"hurd_auth.elf"')).exit_code == 0


@pytest.mark.parametrize("board", ["qemu_virt_riscv64", "virt_sifive"])
def test_more_memory_than_the_machine_has_is_a_finding_that_says_how_much_it_has(run, board):
    vast = '<memory_region name="vast" size="0x1000000000" />'
    text = SYSTEM.replace("<protection_domain", f"{vast}<protection_domain", 1)
    result = run("--board", board, text=text)
    assert result.exit_code == 0
    assert "[beyond-the-machine] memory region vast: the regions up to here take 16777217 pages" in result.output
    assert "and this machine has " in result.output
    assert run("--strict", "--board", board, text=text).exit_code == 1


def test_nothing_is_said_of_the_memory_of_machines_that_are_not_modelled(run):
    text = SYSTEM.replace('size="0x1000"', 'size="0x1000000000"', 1)
    assert "beyond-the-machine" not in run("--board", "x86_64_generic", text=text).output


@pytest.mark.parametrize(
    ("config", "instruction", "has_debug_calls"),
    [("debug", "", True), ("smp-debug", "", True), ("release", "", False), ("smp-release", "", False),
     ("benchmark", "", False), ("debug", 'kernel debug="off"', False), ("release", 'kernel debug="on"', False)],
)  # fmt: skip
def test_debug_calls_are_authority_only_where_the_kernel_has_them(run, config, instruction, has_debug_calls):
    text = SYSTEM.replace("</system>", f"<?capkernel {instruction}?></system>") if instruction else SYSTEM
    data = json.loads(run("--json", "--config", config, text=text).stdout)
    assert any(edge["object"] == DEBUG.full_name for edge in data["edges"]) is has_debug_calls


def test_graph_formats(run):
    assert run("--format", "dot").stdout.startswith("digraph authority {")
    assert run("--format", "mermaid").stdout.startswith("flowchart LR")


def test_json(run):
    data = json.loads(run("--json").stdout)
    assert data["valid"] is True
    assert {node["id"] for node in data["nodes"]} == {"pd:client", "pd:server", "region:ring", DEBUG.full_name}
    assert data["edges"][0]["rights"] == ["read", "write"]
    refused = run("--json", text="<system/>")
    assert refused.exit_code == 1
    assert json.loads(refused.stdout)["diagnostics"][0]["line"] == 1


@pytest.mark.parametrize(
    ("words", "status", "answer"),
    [
        (["client", "server", "call"], 0, "yes: client call server"),
        (["server", "client", "call"], 1, "no: server call client"),
        (["server", "ring", "read"], 0, "rules used: given"),
        (["server", "ring", "write"], 1, "no: server write ring"),
        (["server", "client", "influence"], 0, "[call] server replies to client"),
        (["client", "server"], 0, "yes: client notify server"),
    ],
)
def test_may(run, words, status, answer):
    result = run("--may", *words)
    assert result.exit_code == status
    assert answer in result.output


@pytest.mark.parametrize(
    ("words", "still"),
    [
        (["server", "client", "call"], "yet server may influence client, by other ways: --may server client influence"),
        (["server", "client", "write"], "yet server may influence client"),
        (["client", "server", "read"], "yet server may influence client"),
    ],
)
def test_a_no_tells_what_influence_there_is_still(run, words, still):
    result = run("--may", *words)
    assert result.exit_code == 1
    assert still in result.output
    data = json.loads(run("--json", "--may", *words).stdout)
    assert data["influence"] == {"subject": "pd:server", "object": "pd:client"}


APART = """<system>
    <protection_domain name="a" priority="1"><program_image path="a.elf" /></protection_domain>
    <protection_domain name="b" priority="1"><program_image path="b.elf" /></protection_domain>
    <?capkernel kernel debug="off"?>
</system>
"""


def test_a_no_without_influence_is_just_that(run):
    for right in ("read", "write", "call", "notify", "obtain", "influence"):
        result = run("--may", "a", "b", right, text=APART)
        assert (result.exit_code, result.output) == (1, f"no: a {right} b\n")
        assert json.loads(run("--json", "--may", "a", "b", right, text=APART).stdout)["influence"] is None


def test_a_yes_says_nothing_of_influence(run):
    assert "influence" not in run("--may", "client", "server", "call").output


def test_may_in_json(run):
    (answer,) = json.loads(run("--json", "--may", "client", "server", "notify").stdout)["answers"]
    assert answer["may"] is True
    assert answer["rules"] == ["given"]
    assert answer["path"][0]["line"] == 12


@pytest.mark.parametrize(
    "words",
    [
        ["--board", "toaster"],
        ["--config", "fast"],
        ["--may", "client", "nobody"],
        ["read"],
        ["--may", "client", "server", "eat"],
    ],
)
def test_wrong_usage(run, words):
    assert run(*words).exit_code == 2


def test_files_are_found_on_the_search_path_beside_the_description_and_in_the_working_directory(
    run, tmp_path, tmp_path_factory, monkeypatch
):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "fill.bin").write_bytes(b"fill")
    text = SYSTEM.replace('size="0x1000"', 'prefill_path="fill.bin"')
    assert run(text=text).exit_code == 1
    assert run("--search-path", str(elsewhere), text=text).exit_code == 0
    monkeypatch.chdir(elsewhere)
    assert run(text=text).exit_code == 0
    monkeypatch.chdir("/")
    (tmp_path / "fill.bin").write_bytes(b"fill")
    assert run(text=text).exit_code == 0


WITH_CNODE = SYSTEM.replace("</system>", '<?capkernel grant pd="server" kind="cnode" of="client" slot="300"?></system>')
EXAMPLES = Path(__file__).parents[2] / "examples"


def test_grants_are_shown_in_every_form(run):
    table = run(text=WITH_CNODE).output
    assert "granted cnode in slot 300" in table
    assert "2 protection domains, 1 memory regions, 1 channels, 1 grants" in table
    assert "[foreign-cnode] 'server' holds the CNode of 'client'" in table
    data = json.loads(run("--json", text=WITH_CNODE).stdout)
    edge = {key: data["edges"][-1][key] for key in ("subject", "rights", "object")}
    assert edge == {"subject": "pd:server", "rights": ["cspace"], "object": "pd:client"}
    assert data["findings"][0]["rule"] == "foreign-cnode"
    assert '"pd:server" -> "pd:client" [label="cspace"]' in run("--format", "dot", text=WITH_CNODE).stdout
    assert '-->|"cspace"|' in run("--format", "mermaid", text=WITH_CNODE).stdout


@pytest.mark.parametrize("kind", ["untyped", "reply"])
def test_objects_that_a_grant_makes_are_nodes(run, kind):
    text = SYSTEM.replace("</system>", f'<?capkernel grant pd="client" kind="{kind}" slot="300"?></system>')
    for form in ("table", "json", "dot", "mermaid"):
        result = run("--format", form, text=text)
        assert result.exit_code == 0
        assert ("client slot 300" if form != "table" else kind) in result.stdout


@pytest.mark.parametrize(
    "instruction",
    ['grant pd="nobody" kind="reply" slot="300"', "kernel", 'kernel debug="sometimes"', "revoke everything"],
)
def test_wrong_instructions_are_refused_as_run_refuses_them(run, instruction):
    text = SYSTEM.replace("</system>", f"<?capkernel {instruction}?></system>")
    result = run(text=text)
    assert result.exit_code == 1
    assert "t.system:15:1: <?capkernel?>: " in result.output
    assert "is refused: 1 error" in result.output
    assert json.loads(run("--json", text=text).stdout)["diagnostics"][0]["line"] == 15


@pytest.mark.parametrize(("file", "status"), [("fortress", 1), ("fortress-weak", 0)])
@pytest.mark.parametrize("question", [("policy", "read"), ("policy", "write"), ("kv", "call")])
def test_one_cap_too_many_shows_in_the_answers_about_the_fortress(file, status, question):
    app = typer.Typer()
    app.command()(check)
    result = CliRunner().invoke(app, [str(EXAMPLES / f"{file}.system"), "--may", "mallory", *question])
    assert result.exit_code == status
    assert ("granted cnode in slot 266" in result.output) is (status == 0)


def test_the_fortress_has_no_findings_but_for_that_cap():
    app = typer.Typer()
    app.command()(check)
    assert CliRunner().invoke(app, [str(EXAMPLES / "fortress.system"), "--strict"]).exit_code == 0
    weak = CliRunner().invoke(app, [str(EXAMPLES / "fortress-weak.system"), "--strict"])
    assert weak.exit_code == 1
    assert "64:5: [foreign-cnode] 'mallory' holds the CNode of 'policy'" in weak.output
