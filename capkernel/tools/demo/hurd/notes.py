"""What a client of a demonstration wrote down, read from outside."""

import ast

from capkernel.tools.demo.stage import Stage

HEADER = 16


def notes_of(stage: Stage, region: str) -> dict[str, str]:
    """The lines in a region, by name."""
    data = stage.system.read_region(region)[HEADER:]
    count = stage.words(region, 1)[0]
    lines = [line.decode().partition("=") for line in data.split(b"\n")[:count]]
    return {name: ast.literal_eval(value) for name, _, value in lines}


def is_over(stage: Stage, region: str) -> bool:
    """Whether the client has come to its end."""
    return bool(stage.words(region, 2)[1])
