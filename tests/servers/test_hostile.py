"""Requests that nobody should send, to the servers that keep records: each is answered, and none does harm."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capkernel.abi import syscalls as sc
from capkernel.abi.words import WORD_MASK
from capkernel.protocols.audit import Audit, AuditReader
from capkernel.protocols.interface import Interface
from capkernel.protocols.log import Log, LogReader
from capkernel.protocols.service import Service
from capkernel.protocols.strategies import hostile_requests
from capkernel.user.loop import ENDPOINT_BADGE, PD
from capkernel.user.operations import steps_of
from capkernel.user.pdimage import PDValues
from capkernel.user.syscalls import Message
from servers.storage.ram_volume import RamVolume
from servers.storage.tree import Tree
from servers.system import audit_server, log_server
from servers.system.rate import Rate
from tests.servers.fakedisk import FakeDisk
from tests.servers.test_audit import FixedEntropy, check

CHANNEL = 2
RUN = FakeDisk(8).run


class Clock:
    async def clock(self) -> int:
        return 0


class Kept:
    """The files of a server, and its servant."""

    def __init__(self, make: Callable[[Any], Interface]) -> None:
        self.volume = RamVolume(1 << 20)
        servant = make(Tree(self.volume).root_directory())
        pd = PD(PDValues(name="server"))
        self.service = Service(pd, roots=lambda session: servant if session == CHANNEL else None)

    def ask(self, request: Message, badge: int = ENDPOINT_BADGE | CHANNEL) -> Any:
        """The answer, or ANSWERED: then it was sent with the only system call that there was."""
        request.badge = badge
        steps, sent = steps_of(self.service.protected(request)), 0
        try:
            while True:
                operation = steps.send((0,) * 6 if sent else None)
                assert operation[0] == sc.SEND & WORD_MASK
                sent += 1
        except StopIteration as end:
            answer = end.value
        assert isinstance(answer, Message) != sent
        return answer

    def content(self, name: str) -> bytes:
        return RUN(self.volume.read(name, 0, 1 << 20))


def log(directory: Any) -> log_server.Journal:
    journal = log_server.Journal(Clock(), log_server.LogFile(directory))
    RUN(journal.file.open())
    return journal


def auditor(directory: Any) -> audit_server.Auditor:
    made = audit_server.Auditor(Clock(), audit_server.Trail(directory), FixedEntropy())
    RUN(made.ready())
    return made


MAKERS: dict[type[Interface], Callable[[Any], Interface]] = {
    Log: lambda files: log_server.LogServant(log(files), log_server.Author("client", Rate(32, 1000))),
    LogReader: lambda files: log_server.ReaderServant(log(files)),
    Audit: lambda files: audit_server.AuditServant(auditor(files), "client"),
    AuditReader: lambda files: audit_server.ReaderServant(auditor(files)),
}


@pytest.mark.parametrize("interface", MAKERS, ids=lambda each: each.__name__)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_every_request_is_answered_and_the_records_stay_whole(interface: type[Interface], data: st.DataObject) -> None:
    kept = Kept(MAKERS[interface])
    for request in data.draw(st.lists(hostile_requests(interface), max_size=15)):
        kept.ask(request)
    if interface in (Log, LogReader):
        for number, line in enumerate(kept.content("log.0").decode().split("\n")[:-1], 1):
            assert line.startswith(f"{number} 0 ")
            assert line.split(" ")[3] == "client"
            assert line.isprintable()
    else:
        verdict = _verdict(kept)
        assert verdict.is_intact, verdict.findings


def _verdict(kept: Kept) -> Any:
    public_key = bytes.fromhex(kept.content("public_key").decode())
    return audit_server.verify(kept.content("trail"), public_key, check, head=kept.content("head"))


@pytest.mark.parametrize("interface", MAKERS, ids=lambda each: each.__name__)
@pytest.mark.parametrize("badge", [3, 61, 1 << 22 | CHANNEL, 1 << 45 | 1 << 22 | CHANNEL, CHANNEL | 64])
def test_a_forged_badge_leads_nowhere(interface: type[Interface], badge: int) -> None:
    kept = Kept(MAKERS[interface])
    before = {name: kept.content(name) for name in kept.volume._things if name}
    answer = kept.ask(Message(interface.number << 8 | 1, (1, 1, 65)), ENDPOINT_BADGE | badge)
    assert answer.label == 0x103
    assert {name: kept.content(name) for name in kept.volume._things if name} == before
