"""The servers of a network give way to others: whole programs on a machine, with a peer at the other end of a cable."""

import subprocess
import tempfile
from contextlib import suppress
from random import Random
from time import monotonic
from typing import Any

import pytest
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from capkernel.protocols.cable import Cable
from capkernel.protocols.failures import Failure
from capkernel.protocols.interface import Interface
from capkernel.protocols.service import Service
from capkernel.runtime.hostnet import LOOPBACK, HostNet
from capkernel.tools.demo import replace_network
from capkernel.tools.demo.replace_network import Peer
from capkernel.tools.demo.stage import Stage, find_system
from capkernel.tools.inject import Fault, Kind
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.messages import SharedRegion, from_words, to_words
from hwmodel.virtio import virtio_net
from servers.clients import network_user
from servers.clients.publisher import big
from servers.net.handover import KeptCable, KeptNetwork, KeptWaiting, Objects, take_up_cable
from servers.net.lwip.kept import take_up_stack
from servers.net.lwip.stack import Stack
from servers.net.node import Account, Node
from servers.net.policy import read_policy
from servers.net.sockets import Listening
from servers.net.stack_server import HELD_ADDRESS, HELD_CNODE, HELD_REPLIES, HELD_SLOTS, Program
from servers.system.lasting_slots import LastingSlots
from servers.system.retiring import LEFT, NOTHING
from servers.system.waiting import LastingReplies
from tests.servers.net.wire import needs_curl, needs_lwip
from tests.servers.update_bench import Lasting

pytestmark = needs_lwip

LONGEST = 300
"""Seconds of the host's."""


@pytest.fixture(params=[1, pytest.param(3, marks=pytest.mark.campaign)], ids=["a browser", "three browsers"])
def browsers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who fetches pages from outside the machine, beside its client; `capkernel demo replace` has three."""
    monkeypatch.setattr(network_user, "BROWSERS", request.param)


@pytest.mark.slow
@pytest.mark.usefixtures("browsers")
def test_connections_requests_and_pages_survive_and_the_same_seed_gives_the_same_trace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Some clients wait in the server at that moment, some bytes are on their way: else it would show nothing."""
    seen: list[KeptNetwork] = []
    keep = Objects.keep

    def noted(self: Objects, cable: Cable, waiting: list[KeptWaiting]) -> KeptNetwork:
        seen.append(keep(self, cable, waiting))
        return seen[-1]

    monkeypatch.setattr(Objects, "keep", noted)
    first = replace_network.play(seed=3)
    assert (first.replaced, first.refused, first.faults) == (replace_network.REPLACEMENTS, 0, 0)
    assert first.ended
    assert first.client.rounds > 0
    assert not first.client.failed + first.client.wrong + first.broken + first.wrong
    assert any(kept.waiting for kept in seen)
    assert any(each.segments for kept in seen for each in kept.stack.connections)
    assert all(kept.caps and kept.roots for kept in seen)
    assert replace_network.play(seed=3).trace_hash == first.trace_hash


@pytest.mark.slow
@pytest.mark.usefixtures("browsers")
@pytest.mark.parametrize(("server", "step"), [
    ("network", 2), *(pytest.param(each, 1, marks=pytest.mark.campaign) for each in ("network", "web", "card")),
])  # fmt: skip
def test_a_new_program_that_crashes_while_it_starts_is_followed_by_the_former_one(server: str, step: int) -> None:
    """At each kernel entry before the sign of life; after it there is no way back. `capkernel demo replace` has all
    three crash at the first one in one run.
    """
    outcome = replace_network.play((Fault(server, step, Kind.CRASH, life=2),))
    assert outcome.activated == outcome.refused == 1
    assert (outcome.replaced, outcome.faults) == (replace_network.REPLACEMENTS, 0)
    assert not outcome.client.failed + outcome.client.wrong + outcome.broken + outcome.wrong


@pytest.mark.slow
@pytest.mark.usefixtures("browsers")
def test_a_network_server_that_loses_its_state_is_noticed() -> None:
    """Once it serves there is no way back: a crash ends connections, and who waited is told."""
    outcome = replace_network.play((Fault("network", 40, Kind.CRASH, life=2),))
    assert outcome.activated
    assert not outcome.refused
    assert outcome.client.failed


@pytest.mark.slow
def test_a_state_that_is_damaged_is_refused_by_both_programs_and_then_forgotten() -> None:
    stage = Stage("replace_network", devices=Peer().devices)
    former: set[Any] = set()

    def damage(trap: Any) -> None:
        """As soon as the server has another life; the first word says whether there is a state."""
        thread = stage.system.threads.get("network")
        if thread is not None and thread not in former:
            mark = stage.words("network_state", 1)[0] if former else NOTHING
            former.add(thread)
            if mark == LEFT:
                stage.write_words("network_state", mark, *[0xDEAD] * 100)

    stage.system.loop.observers.append(damage)
    stage.booted.boot()
    for _ in range(4000):
        stage.system.run(time_us=500)
        stage.system.machine.poll_input()
        if stage.words("replaced", 2)[1]:
            break
    stage.run(time_us=20_000)
    stage.close()
    text = stage.booted.output.text
    assert text.count("network: what was left is of no use") == 2
    assert "client: ServerDied" in text or "client: Gone" in text, "what was lost is known to be lost"


def left_by_a_server() -> KeptNetwork:
    """What a network server with connections, waiting clients and all kinds of caps leaves."""
    seen: list[KeptNetwork] = []
    keep = Objects.keep

    def noted(self: Objects, cable: Cable, waiting: list[KeptWaiting]) -> KeptNetwork:
        seen.append(keep(self, cable, waiting))
        return seen[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Objects, "keep", noted)
        stage = Stage("replace_network", devices=Peer().devices)
        stage.booted.boot()
        while not any(kept.waiting for kept in seen):
            assert stage.system.run(time_us=500) == "time"
            stage.system.machine.poll_input()
        stage.close()
    return seen[-1]


def taken_up(kept: KeptNetwork) -> KeptNetwork:
    """What it is after another server has taken it up. Raises ValueError or a failure if none can have left it."""
    pd = Lasting().pd(9, "network")
    rules = read_policy((find_system("replace_network").parent / "replace_network_policy.toml").read_text())
    accounts = {client.channel: Account(client.streams) for client in rules.clients}
    cable = Cable(Program().cable, SharedRegion(0, 0x2_0000))
    inbox = Inbox(pd.sys, SlotAllocator(301, 330, 510))
    slots = LastingSlots(pd.sys, HELD_CNODE, HELD_ADDRESS, HELD_SLOTS)
    LastingReplies(pd, HELD_CNODE, HELD_ADDRESS, HELD_REPLIES, 0).use([each.request.reply for each in kept.waiting])
    take_up_cable(kept.cable, cable)

    def make(now: Any) -> Stack:
        stack = Stack(kept.cable.mac, now, cable.send, address=rules.address, gateway=rules.gateway, announces=False)
        take_up_stack(stack, kept.stack)
        return stack

    ticks = (kept.stack.numbers[6] + 1) * 10_000
    node = Node(pd.sys, inbox, rules.nameserver, Random(1), ticks, make)
    listening = Listening(node)
    made: list[Objects] = []

    def root(session: int) -> Interface | None:
        return made[0].roots.get(session)

    service = Service(pd, roots=root, endpoint=300, inbox=inbox)
    objects = Objects(node, accounts, listening, service, slots)
    made.append(objects)
    try:
        objects.take_up(kept)
        return objects.keep(cable, kept.waiting)
    finally:
        node.stack.close()


@pytest.fixture(scope="module")
def left() -> KeptNetwork:
    return left_by_a_server()


@pytest.mark.slow
def test_what_is_taken_up_is_what_was_left(left: KeptNetwork) -> None:
    again = taken_up(from_words(KeptNetwork, to_words(left)))
    assert len(left.objects) > len(left.caps) > 0
    assert evolve(again, stack=left.stack, roots=[]) == evolve(left, roots=[])
    assert {each.session: again.objects[each.place] for each in again.roots} == {
        each.session: left.objects[each.place] for each in left.roots
    }
    assert evolve(again.stack, numbers=[]) == evolve(left.stack, numbers=[])


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damage_with_a_right_checksum_is_refused_or_does_no_harm(left: KeptNetwork, data: st.DataObject) -> None:
    words = to_words(left)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(words) - 1))
        words[place] = data.draw(st.one_of(
            st.integers(0, 20), st.integers(0, 2**32), st.integers(0, 2**64 - 1), st.sampled_from(words),
        ))  # fmt: skip
    with suppress(ValueError, Failure):
        taken_up(from_words(KeptNetwork, words))


CABLE = KeptCable(bytes(6), [8, 9], [0, 1], [2, 3], [10], [b"frame"])


@pytest.mark.parametrize("wrong", [
    evolve(CABLE, free=[8, 8]), evolve(CABLE, free=[2]), evolve(CABLE, sending=[16]), evolve(CABLE, receiving=[-1]),
    evolve(CABLE, mac=b"short"), evolve(CABLE, outgoing=[b""]), evolve(CABLE, outgoing=[bytes(5000)]),
], ids=str)  # fmt: skip
def test_slots_of_a_card_that_no_server_can_have_left_are_refused(wrong: KeptCable) -> None:
    cable = Cable(Program().cable, SharedRegion(0, 16 * 2048))
    with pytest.raises(ValueError, match="slot"):
        take_up_cable(wrong, cable)
    assert not cable.free
    take_up_cable(CABLE, cable)
    assert (cable.free, cable.with_card) == ([8, 9], {2: True, 3: True, 10: False})


@pytest.mark.slow
@needs_curl
def test_the_hosts_curl_gets_every_page_whole_while_servers_are_replaced() -> None:
    """A client that we did not write, in its own time. (The machine's own client finds nobody to talk to here.)"""
    net = HostNet(forwards=[(0, 80)], allowed=[], names={})
    stage = Stage("replace_network", devices={"virtio1": virtio_net(net)})
    stage.booted.boot()
    machine = stage.system.machine
    fetched = 0
    began = monotonic()

    def go_on() -> None:
        assert monotonic() - began < LONGEST
        assert stage.system.run(time_us=1000) == "time"
        if not machine.poll_input():
            net.wait(0.001)

    while not stage.words("published", 1)[0]:
        go_on()
    while not stage.words("replaced", 3)[2]:
        command = ["curl", "--silent", "--fail", "--noproxy", "*", f"http://{LOOPBACK}:{net.ports[80]}/big.bin"]
        with tempfile.TemporaryFile() as sink:
            browser = subprocess.Popen(command, stdout=sink)
            while browser.poll() is None:
                go_on()
            sink.seek(0)
            assert (browser.wait(), sink.read() == big()) == (0, True)
        fetched += 1
    assert stage.words("replaced", 2) == (replace_network.REPLACEMENTS, 0)
    assert fetched > 1
    stage.close()
    net.close()
