"""^C in a command that keeps a record of what it has done."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import typer

STOPPED: Final = 130
"""The exit status after ^C."""


@contextmanager
def goes_on_from(record: Path | None, command: str) -> Iterator[None]:
    """^C meanwhile ends the command, which says how it goes on; with no ``record``, how it could have."""
    try:
        yield
    except KeyboardInterrupt:
        if record is None:
            said = "with --record FILE, the same command would go on from what is kept there"
        else:
            said = f"the same command goes on from what is kept in {record}"
        typer.echo(f"{command}: stopped; {said}", err=True)
        raise typer.Exit(STOPPED) from None
