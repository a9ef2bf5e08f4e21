"""What the examples rely on: the kernel's options in a description, programs of several files, empty answers."""

from pathlib import Path

import pytest

from capkernel.system.diagnostics import DescriptionError
from capkernel.system.kernel_options import KernelOptions, load_kernel_options
from capkernel.tools.tour_systems import Booted

PAIR = """
<system>
    <protection_domain name="server" priority="200"><program_image path="server.elf" /></protection_domain>
    <protection_domain name="client" priority="100"><program_image path="client.elf" /></protection_domain>
    <channel><end pd="client" id="0" pp="true" /><end pd="server" id="0" /></channel>
</system>
"""


def write_pair(tmp_path: Path, server: str, client: str, **others: str) -> Path:
    for name, text in {"server": server, "client": client, **others}.items():
        (tmp_path / f"{name}.py").write_text(text)
    path = tmp_path / "pair.system"
    path.write_text(PAIR)
    return path


@pytest.mark.parametrize(("text", "debug"), [("", True), ('<?capkernel kernel debug="off"?>', False)])
def test_a_description_may_leave_out_debug_calls(tmp_path: Path, text: str, debug: bool) -> None:
    path = tmp_path / "a.system"
    path.write_text(f"<system>{text}</system>")
    assert load_kernel_options(path) == KernelOptions(debug=debug)


@pytest.mark.parametrize("attributes", ["", 'debug="maybe"', 'speed="11"', 'debug="on" speed="11"'])
def test_other_options_are_refused_with_their_place(tmp_path: Path, attributes: str) -> None:
    path = tmp_path / "a.system"
    path.write_text(f"<system>\n<?capkernel kernel {attributes}?>\n</system>")
    with pytest.raises(DescriptionError) as refusal:
        load_kernel_options(path)
    assert refusal.value.diagnostics[0].where.line == 2


def test_an_answer_without_words_keeps_its_label(tmp_path: Path) -> None:
    server = (
        "from capkernel.user.syscalls import Message\n"
        "async def init(pd): pass\n"
        "async def protected(pd, ch, msg): return Message(32)\n"
    )
    client = "async def init(pd):\n    await pd.print(str((await pd.ppcall(0)).label))\n"
    assert Booted(write_pair(tmp_path, server, client)).run().output == "32"


def test_two_programs_share_a_files_text_but_not_its_variables(tmp_path: Path) -> None:
    common = "calls = []\ndef count():\n    calls.append(1)\n    return len(calls)\n"
    server = "from .common import count\nasync def init(pd): await pd.print(f'{count()}{count()} ')\n"
    client = "from .common import count\nasync def init(pd): await pd.print(str(count()))\n"
    assert Booted(write_pair(tmp_path, server, client, common=common)).run().output == "12 1"
