"""Programs of the operating system say whom they ask, whom they serve and what they need (``servers.neighbours.Uses``).

Only so can a description that connects them otherwise be refused before the boot. Who need not is named here.
"""

import re
from pathlib import Path
from typing import Final

from capkernel.tools.demo.stage import find_system
from servers.linked.installed import installed_program, uses_of

ATTACKERS: Final = frozenset(
    {"accomplice", "attacker", "attacker_shown", "file_attacker", "intruder", "neighbour", "shared_attacker", "victim"}
)
"""They try whatever the description gives them."""
OF_ONE_STORY: Final = frozenset(
    {
        "buyer", "guest", "journal_keeper", "mount_keeper", "network_replacer", "network_user", "news_reader",
        "operator", "process_client", "replacer", "resident", "service_replacer", "service_user", "three_trees",
        "tickets", "tickets_2", "watcher_replacer",
    }
)  # fmt: skip
"""Clients, and servers of theirs, that are part of one scenario and of no other system."""
OTHER_SYSTEMS: Final = frozenset({"port_server", "qnx_counter", "qnx_process_manager"})
"""Mach's and QNX's, where they are attacked."""

PROGRAM: Final = re.compile(r'\b(?:path|program)="(\w+)\.elf"')
SYSTEMS: Final = find_system("os").parent


def programs(path: Path) -> set[str]:
    """All programs that a description names."""
    return set(PROGRAM.findall(path.read_text()))


def undeclared(names: set[str]) -> set[str]:
    return {name for name in names if uses_of(installed_program(name)) is None}


def test_every_program_of_the_operating_system_declares_what_it_uses() -> None:
    for name in ("os", "mirror", "network", "monolith", "monolith_network", "storage"):
        path = find_system(name)
        assert len(programs(path)) > 1
        assert undeclared(programs(path)) == set(), path


def test_who_declares_nothing_in_a_shipped_system_is_named_here() -> None:
    found = undeclared(set().union(*(programs(path) for path in SYSTEMS.rglob("*.system"))))
    assert found == ATTACKERS | OF_ONE_STORY | OTHER_SYSTEMS
