"""Settings: what cannot be is refused, and the refusal says where."""

import pytest

pytest.importorskip("biscuit_auth", reason="NOT RUN: there is no biscuit-python (pip install 'capkernel[remote]')")

from hypothesis import given, settings
from hypothesis import strategies as st

from capkernel.tools.demo.remote.keys import Offered, Plan
from policies.remote.delivery import Delivery, DeliveryError
from policies.remote.settings import SettingsError, read_identity, read_settings

PLAN = Plan({"a": bytes(32), "c": bytes([1]) * 32}, [Offered("c", "library", "a", ("Directory.list",), 60)])


def test_what_the_tools_write_the_gateway_reads() -> None:
    found = read_settings(PLAN.settings("c"))
    assert (found.name, [*found.machines]) == ("c", ["a"])
    assert found.offers[0].operations == ["Directory.list"]
    assert read_settings(PLAN.settings("a")).clients[2].lookup == {"c/library"}
    assert read_identity("a", "00" * 32).public.hex() == PLAN.public("a")


@pytest.mark.parametrize(
    ("part", "instead", "reason"),
    [
        ('suites = ["encrypted"]', "suites = []", "suites is a list of authenticated, encrypted"),
        ('suites = ["encrypted"]', 'suites = ["none"]', "suites is a list of"),
        ('protocols = ["files", "remote_copying"]', 'protocols = ["nothing"]', "no module capkernel.protocols.nothing"),
        ('name = "c"', 'name = "c d"', "'c d' is no name"),
        ("slot = 310", 'slot = "310"', "library: slot is missing, or of another type than int"),
        ('interface = "Directory"', 'interface = "Drawer"', "'Drawer', which is no interface"),
        ('machine = "a"', 'machine = "z"', "'library' cannot be offered to 'z'"),
        ("seconds = 60", "seconds = 0", "the offer of library is for 1 to"),
        ('may = ["issue"', 'may = ["everything"', "client 2 may accept, issue, withdraw, and nothing else"),
        ('address = "02', 'address = "xx', "the address of a has 12 hexadecimal digits"),
        ("[[machine]]", "[machine]", "each machine is written"),
        ("[[machine]]", "[[machine", "this is no TOML"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(part: str, instead: str, reason: str) -> None:
    text = PLAN.settings("c")
    assert part in text
    with pytest.raises(SettingsError, match=reason.replace("[", r"\[")):
        read_settings(text.replace(part, instead, 1))


def test_a_secret_key_of_another_size_is_refused() -> None:
    with pytest.raises(SettingsError, match="64 hexadecimal digits"):
        read_identity("a", "00")


@settings(max_examples=50, deadline=None)
@given(st.lists(st.binary(max_size=3000), max_size=6), st.lists(st.integers(0, 1 << 30), max_size=80))
def test_messages_arrive_whole_in_order_and_once_over_any_wire(messages: list[bytes], whims: list[int]) -> None:
    one, other = Delivery(), Delivery()
    for message in messages:
        one.put(message)
    arrived: list[bytes] = []
    flying = one.packets()
    for whim in whims:
        if flying:
            packet = flying[whim % len(flying)]
            arrived += other.take(packet)
            if whim % 3:
                flying.remove(packet)
        if whim % 5 == 0:
            flying += one.packets(again=True)
        if whim % 7 == 0:
            for packet in other.packets():
                one.take(packet)
    for _ in range(4 + len(messages)):
        for packet in one.packets(again=True):
            arrived += other.take(packet)
        for packet in other.packets(ping=True):
            one.take(packet)
    assert arrived == messages
    assert one.is_idle


def test_an_acknowledgement_of_what_was_never_sent_ends_the_session() -> None:
    one, other = Delivery(), Delivery()
    other.put(b"x")
    one.take(other.packets()[0])
    with pytest.raises(DeliveryError, match="never sent"):
        Delivery().take(one.packets()[0])
