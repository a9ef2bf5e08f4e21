"""A request that waits is what it was when it came, whatever its client writes meanwhile where it lay."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capkernel.protocols.interface import operations_of
from capkernel.protocols.network import MAX_PATIENCE, Stream
from capkernel.protocols.wire import unpack_request
from capkernel.tools.demo.replace_network import Peer
from capkernel.tools.demo.stage import Stage
from capkernel.user.messages import SPILLED, SharedRegion, from_words, to_words
from capkernel.user.operations import steps_of
from capkernel.user.syscalls import Message
from hwmodel.cpu.program import READ
from servers.net.handover import KeptWaiting, Objects
from servers.system.waiting import keep_request
from tests.attacks.waiting.scribbler import LIMIT
from tests.servers.net.wire import needs_lwip

START = 0x1000
SESSION = 6
"""The client's, by the channel of its cap to connect."""
WRITE = next(each for each in operations_of(Stream).values() if each.name == "write")


def run(work: Any, memory: bytearray) -> Any:
    """What an awaitable that only reads memory returns."""
    steps, data = steps_of(work), None
    try:
        while True:
            operation = steps.send(data)
            assert operation[0] == READ
            data = bytes(memory[operation[1] - START : operation[1] - START + operation[2]])
    except StopIteration as done:
        return done.value


@given(st.binary(max_size=300), st.integers(0, 20), st.binary(min_size=1, max_size=20))
def test_what_is_written_down_is_what_was_read(data: bytes, offset: int, other: bytes) -> None:
    words = to_words(WRITE.request(data=data, patience=5))
    memory = bytearray(bytes(8 * offset) + b"".join(word.to_bytes(8, "little") for word in words))
    message = Message(WRITE.label | SPILLED, (8 * offset, 8 * len(words)))
    message.badge = 7
    found = run(unpack_request(WRITE, message, SharedRegion(START, len(memory))), memory)
    memory[:] = (other * len(memory))[: len(memory)]
    kept = keep_request(3, message)
    assert found == {"data": data, "patience": 5}
    assert (kept.reply, kept.badge, kept.label, kept.words) == (3, 7, WRITE.label, words)
    again = Message(kept.label, kept.words)
    assert run(unpack_request(WRITE, again, None), memory) == found


@needs_lwip
def test_a_network_server_hands_over_what_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[KeptWaiting] = []
    keep = Objects.keep

    def noted(self: Objects, cable: Any, waiting: list[KeptWaiting]) -> Any:
        seen.extend(waiting)
        return keep(self, cable, waiting)

    monkeypatch.setattr(Objects, "keep", noted)
    peer = Peer()
    programs = {"client": "scribbler.elf"}
    variant = str(Path(__file__).parent / "waiting")
    stage = Stage("replace_network", variant=variant, devices=peer.devices, programs=programs)
    stage.booted.boot()
    asked = operations_of(Stream)[1].request
    for _ in range(1_000):
        stage.system.run(time_us=500)
        stage.system.machine.poll_input()
        if stage.words("report", 1)[0] and len(seen) >= 4:
            break
    stage.close()
    kept = [each.request for each in seen if each.request.badge & 0xFF == SESSION]
    requests: list[Any] = [from_words(asked, tuple(each.words)) for each in kept]
    assert len(requests) >= 2
    assert {(each.limit, each.patience) for each in requests} == {(LIMIT, MAX_PATIENCE)}
