"""The examples run."""

from pathlib import Path
from typing import Any

from capkernel.user.pdimage import load_module

HELLO = Path(__file__).parents[2] / "examples" / "hello.py"


def test_hello_says_hello_in_less_than_fifteen_lines(domain: Any, domains: Any) -> None:
    async def wire(builder: Any) -> None:
        pass

    system = domains([domain(load_module(HELLO, "hello"), 100)], wire)
    assert system.console == "hello, capabilities\n"
    assert len(HELLO.read_text().splitlines()) < 15
