"""``open``: from a path to a session with a resource manager, as a client does it."""

from typing import Any

from capkernel.protocols.client import Connection, connect
from capkernel.protocols.failures import NotFound
from capkernel.protocols.qnx_paths import Access, OpenResource, PathManager, Resource


async def open_path(paths: PathManager, connection: Connection, path: str, access: Access) -> OpenResource:
    """Ask those who may know the path, in order, until one does. Raises NotFound, and what the one that knows it says.

    The session is a cap of its own: close it with ``drop()``. Another's refusal (NotPermitted) is final: a union hides
    what is behind, and does not go around it.
    """
    for candidate in await paths.candidates(path):
        cap = await paths.resource(candidate.number)
        resource: Any = connect(Resource, connection, cap, is_owned=True)
        try:
            session: OpenResource = await resource.open(candidate.rest, access)
            return session
        except NotFound:
            continue
        finally:
            await resource.forget()
    raise NotFound(f"there is no {path!r}")
