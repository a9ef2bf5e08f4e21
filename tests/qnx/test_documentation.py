"""The example of docs/qnx.md runs as it stands there; the one of docs/scheduling.md takes turns."""

import re
from pathlib import Path
from typing import Any

from capkernel.tools.tour_systems import Booted

DOCS = Path(__file__).parents[2] / "docs"
SYSTEM = """<system>
    <memory_region name="ring" size="0x1000" />
    <protection_domain name="server" priority="150">
        <program_image path="server.elf" />
        <map mr="ring" vaddr="0x3000000" perms="rw" setvar_vaddr="ring" />
    </protection_domain>
    <protection_domain name="ticker" priority="110">
        <program_image path="ticker.elf" />
        <map mr="ring" vaddr="0x3000000" perms="rw" setvar_vaddr="ring" />
    </protection_domain>
    <protection_domain name="client" priority="100"><program_image path="client.elf" /></protection_domain>
    <channel><end pd="server" id="2" notify="false" /><end pd="client" id="0" pp="true" notify="false" /></channel>
    <channel><end pd="server" id="3" notify="false" /><end pd="ticker" id="0" /></channel>
</system>"""
CLIENT = """
from servers.qnx.connection import Connection

async def init(pd):
    reply = await Connection(pd, 0).send(1, [20, 22])
    await pd.print(f"{reply.words}\\n")
"""
TICKER = """
from capkernel.user.messages import SharedRegion
from servers.qnx.connection import Connection

ring: int = 0

async def init(pd):
    for _ in range(3):
        await Connection(pd, 0, ring=SharedRegion(ring, 0x1000)).pulse(90, 1)
"""


def example(page: str) -> str:
    found = re.search(r"```python\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)
    assert found is not None
    return found[1]


def test_the_server_of_the_page_adds_and_counts_pulses(tmp_path: Path) -> None:
    for name, text in (("server", example("qnx.md")), ("client", CLIENT), ("ticker", TICKER)):
        (tmp_path / f"{name}.py").write_text(text)
    (tmp_path / "pair.system").write_text(SYSTEM)
    run = Booted(tmp_path / "pair.system").run(time_us=20_000)
    assert not run.faults, run.crashes
    assert run.output == "(42, 3)\n"


def test_the_policy_of_the_page_takes_turns() -> None:
    names: dict[str, Any] = {}
    exec(example("scheduling.md"), names)
    policy = names["TakeTurns"]([0, 1, 2])
    seen = []
    for now in range(6):
        first = policy.order(now)[0].member
        seen.append(first)
        policy.ran({first: 2_000}, now)
    assert seen == [0, 1, 2, 0, 1, 2]
