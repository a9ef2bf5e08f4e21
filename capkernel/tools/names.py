"""Names on a command line: one that is empty is told so, and is not taken for the directory that one is in."""

import os
from pathlib import Path

import typer

EMPTY = "the name is empty"


def path(text: str) -> Path:
    """The name of a file or directory. Raises BadParameter."""
    need_name(text)
    return Path(text)


def file(text: str) -> Path:
    """The name of a file, which may not be there. Raises BadParameter."""
    found = path(text)
    if os.path.isdir(found):
        raise typer.BadParameter(f"{text} is a directory")
    return found


def need_name(text: str | None) -> str | None:
    """Refuse a word that is empty. Raises BadParameter."""
    if text == "":
        raise typer.BadParameter(EMPTY)
    return text
