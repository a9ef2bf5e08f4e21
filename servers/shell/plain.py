"""The shell for a script (see ``shell``)."""

from servers.shell import shell

status: int = 0
services_region: int = 0
description: int = 0
description_size: int = 0x8000


class Program(shell.Plain):
    """It has this module's variables."""

    @property
    def places(self) -> shell.Places:
        """What the loader has set."""
        return shell.Places(status, services_region, description, description_size)
