"""The shell for a script (see ``shell``)."""

from servers.shell import shell

files_region: int = 0
status: int = 0


class Program(shell.Plain):
    """It has this module's variables."""

    @property
    def places(self) -> tuple[int, int]:
        """Where the memory shared with the file server is, and where the end is reported."""
        return files_region, status
