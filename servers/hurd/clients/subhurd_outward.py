"""The same, with a subhurd whose root is shown the file server outside."""

from typing import Any

from servers.hurd.clients import subhurd_owner


class Program(subhurd_owner.Program):
    """The client."""

    async def caps(self) -> dict[str, Any]:
        """A cap to the root outside, as nobody."""
        return {"outside": await self.user.nobody.derive()}
