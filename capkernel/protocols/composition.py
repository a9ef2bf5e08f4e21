"""A path and a grant together: the path says where, the grant says whether."""

from abc import abstractmethod

from capkernel.protocols.files import Directory
from capkernel.protocols.interface import operation
from capkernel.protocols.qnx_paths import Access, OpenResource, Resource


class PathDirectory(Directory, number=140):
    """A directory that somebody was granted, and that is found by a path.

    What the path manager returns for the path is shown to it, and never called: so a path alone opens nothing, and a
    path manager that lies can keep its clients from something, but can lead them to nobody else.
    """

    @operation(20)
    @abstractmethod
    async def open_path(self, resource: Resource, rest: str, access: Access) -> OpenResource:
        """Open what is at the rest of a path; ``resource`` is what is attached there. The session is below this cap,
        and ends with it. NotPermitted if the path leads to something else than this directory; NotFound.
        """
