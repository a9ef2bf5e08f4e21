"""What a pager does (``protocols.mach_memory``), for a program that says where pages come from and where they go."""

from abc import ABC, abstractmethod
from typing import Any

from capkernel.protocols.failures import Failure
from capkernel.protocols.mach_memory import (
    DATA_REQUEST,
    DATA_RETURN,
    DATA_SUPPLY,
    DATA_UNAVAILABLE,
    INIT,
    MAX_MESSAGE,
    PAGE,
    PageMessage,
)
from capkernel.protocols.mach_msg import Mail, receive, send
from capkernel.protocols.mach_ports import Task


class ExternalPager(ABC):
    """A pager. ``controls`` are the rights to answer by the object's number; 0 stands for all others."""

    def __init__(self) -> None:
        self.controls: dict[int, Any] = {}

    @abstractmethod
    async def page_in(self, object: int, page: int) -> bytes | None:
        """The content of a page, at most ``PAGE`` bytes; None for zeros."""

    @abstractmethod
    async def page_out(self, object: int, page: int, content: bytes) -> None:
        """A page was changed: keep it."""

    async def serve(self, task: Task, port: Any) -> None:
        """Answer whatever comes to a port, without end."""
        while True:
            await self.handle(await receive(task, port, max_bytes=MAX_MESSAGE))

    async def handle(self, mail: Mail) -> None:
        """One message. One that is none of the server's is passed over."""
        try:
            message = PageMessage.decode(mail.data)
        except Failure:
            return await mail.release()
        if mail.id == INIT and len(mail.rights) == 1:
            self.controls[message.object] = mail.rights.pop()
        elif mail.id == DATA_REQUEST:
            await self.answer(message, await self.page_in(message.object, message.page))
        elif mail.id == DATA_RETURN:
            await self.page_out(message.object, message.page, message.content)
        return await mail.release()

    async def answer(self, request: PageMessage, content: bytes | None) -> None:
        """Say what is in a page."""
        control = self.controls.get(request.object, self.controls.get(0))
        if control is None:
            return
        id = DATA_UNAVAILABLE if content is None else DATA_SUPPLY
        padded = b"" if content is None else content.ljust(PAGE, b"\0")
        await send(control, id, PageMessage(request.object, request.page, padded).encode())
