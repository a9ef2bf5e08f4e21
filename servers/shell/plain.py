"""The shell for a script (see ``shell``)."""

from servers.shell import shell

status: int = 0


class Program(shell.Plain):
    """It has this module's variables."""

    @property
    def status(self) -> int:
        """Where the end is reported."""
        return status
