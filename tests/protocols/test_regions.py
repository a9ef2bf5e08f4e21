"""Memory shared with one client is not for those to whom that client gives its caps."""

from typing import Any

import pytest

from capkernel.protocols.client import Connection, Stub
from capkernel.protocols.failures import Malformed, TooLarge
from capkernel.protocols.interface import operations_of
from capkernel.protocols.service import Service
from capkernel.user.loop import PD
from capkernel.user.messages import SPILLED, SharedRegion
from capkernel.user.syscalls import Message
from tests.protocols.test_service import (
    ENDPOINT,
    Account,
    Bank,
    Entry,
    Server,
    inbox_of,
    play,
)

SHARED = SharedRegion(0x4000_0000, 0x1000)


class SharingServer(Server):
    """The bank, which shares memory with its clients: here its own, as far as it gets."""

    async def init(self, pd: PD) -> None:
        self.service = Service(
            pd, roots=lambda session: self.bank, endpoint=ENDPOINT, inbox=inbox_of(pd), regions={0: SHARED}
        )
        await self.service.open()


def test_a_derived_cap_does_not_reach_the_memory_of_the_session(
    domain: Any, domains: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.protocols.test_service.Server", SharingServer)

    async def story(pd: PD, connection: Connection, bank: Bank) -> None:
        mine = await bank.open("mine")
        for _ in range(3):
            await mine.book(Entry(1, "x" * 600))
        lent = await mine.derive()
        with pytest.raises(TooLarge):
            await lent.history(3)
        assert isinstance(lent, Stub)
        label = operations_of(Account)[2].label | SPILLED
        answer = await pd.sys.call(lent.cap, Message(label, (0, 64)))
        assert answer.label == Malformed("").label
        again = await lent.derive()
        assert await again.balance() == 3

    play(domain, domains, story)
