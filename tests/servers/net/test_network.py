"""The network in user space, whole: a card's driver, the stack's server, clients; another stack is outside."""

import hashlib
import random
from collections.abc import Callable

import dns.message
import pytest

from capkernel.system.authority import authority_of
from capkernel.system.board import find_board
from capkernel.system.extensions import load_extensions
from capkernel.system.microkit import load
from capkernel.tools.demo.stage import BOARD, find_system
from capkernel.tools.inject import Fault, Kind
from hwmodel.faults import Fault as DeviceFault
from hwmodel.faults import FaultKind, FaultPlan
from servers.clients.net_client import ECHO_BYTES
from tests.servers.net.outside import PAGE, Outside, Played
from tests.servers.net.wire import needs_lwip

pytestmark = needs_lwip

REPORT = 12
LONGEST_MS = 60_000


def played(
    *, crash: int | None = None, faults: tuple[DeviceFault, ...] = (), seed: int = 0,
    prepare: Callable[[Outside], None] = lambda outside: None,
) -> tuple[Played, bool]:  # fmt: skip
    """The system until the client's end, with a crash at a step of the card's driver, or faults of the card."""
    crashes = () if crash is None else (Fault("card", crash, Kind.CRASH),)
    made = Played(faults=crashes, plan=FaultPlan(faults, seed=1) if faults else None, seed=seed)
    prepare(made.outside)
    return made, made.run(lambda: made.stage.words("report", 1)[0], LONGEST_MS)


def all_went_well(made: Played) -> bool:
    done, errors, ping_us, addresses, echoed, page, refused = made.stage.words("report", 7)
    digest = made.stage.system.read_region("report")[56:88]
    right = done and not errors and ping_us and addresses == 1 and echoed == ECHO_BYTES and page == len(PAGE)
    return bool(right) and refused == 3 and digest == hashlib.sha256(PAGE).digest()


def test_ping_names_tcp_and_a_page() -> None:
    made, ended = played()
    assert ended
    assert all_went_well(made), made.stage.booted.output.text
    assert not made.stage.system.faults
    assert made.card.port.refused == 0
    made.close()


def test_the_same_seed_gives_the_same_trace() -> None:
    hashes = set()
    for _ in range(2):
        made, ended = played(seed=5)
        assert ended
        hashes.add(made.stage.booted.trace.hash())
        made.close()
    assert len(hashes) == 1


CRASHES = [1, 20, 45, 75, 120, 200]


@pytest.mark.slow
@pytest.mark.parametrize("step", CRASHES)
def test_the_driver_dies_and_no_client_sees_it(step: int) -> None:
    made, ended = played(crash=step)
    assert made.stage.injector.activated
    assert ended
    assert all_went_well(made), made.stage.booted.output.text
    assert not made.stage.system.faults
    made.close()


STRIKES = [
    (FaultKind.RESET, 0), (FaultKind.RESET, 1), (FaultKind.STALL, 0), (FaultKind.INTERRUPT_STORM, 50),
    (FaultKind.LOST_INTERRUPT, 0), (FaultKind.DOUBLE_COMPLETION, 0), (FaultKind.WRONG_ID, 3), (FaultKind.WRONG_ID, 200),
    (FaultKind.WRONG_LENGTH, 0), (FaultKind.WRONG_LENGTH, 5000), (FaultKind.CORRUPT_DATA, 0), (FaultKind.LOST_FRAME, 0),
    (FaultKind.DOUBLE_FRAME, 0), (FaultKind.LATE_FRAME, 0), (FaultKind.ROGUE_DMA, 0x1000),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "parameter"), STRIKES)
def test_the_card_goes_wrong_and_no_client_sees_it(kind: FaultKind, parameter: int) -> None:
    """At each of many steps at once: a fault that has no effect at its step does nothing."""
    steps = range(20, 400, 23) if kind not in (FaultKind.STALL, FaultKind.RESET) else (40, 200)
    made, ended = played(faults=tuple(DeviceFault(step, kind, parameter) for step in steps))
    assert made.card.faults.activated
    assert ended
    assert all_went_well(made), made.stage.booted.output.text
    assert not made.stage.system.faults
    assert made.card.faults.rogue_through == 0
    made.close()


def test_frames_that_make_no_sense_do_no_harm() -> None:
    chance = random.Random(9)

    def tamper(frame: bytes) -> list[bytes]:
        noise = chance.randbytes(chance.randrange(14, 1514))
        damaged = bytearray(frame)
        damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
        return [noise, frame[:12] + noise[12:], bytes(damaged), frame[: chance.randrange(14, len(frame) + 1)], frame]

    def prepare(outside: Outside) -> None:
        outside.tamper = tamper

    made, ended = played(prepare=prepare)
    assert ended
    assert all_went_well(made), made.stage.booted.output.text
    assert not made.stage.system.faults
    made.close()


def test_answers_of_the_name_server_that_are_none_are_not_believed() -> None:
    """Another number, another question, what is no answer: then the right one comes, or it is asked again."""

    def prepare(outside: Outside) -> None:
        def answer(question: bytes) -> list[bytes]:
            right = outside.names.right_answer(question)[0]
            other = bytes((right[0] ^ 1,)) + right[1:]
            asked = dns.message.make_query("somewhere.else", "A", id=int.from_bytes(question[:2], "big"))
            return [b"", other, question, outside.names.right_answer(asked.to_wire())[0], right[:20], right]

        def seldom(question: bytes) -> list[bytes]:
            return answer(question) if outside.names.asked % 2 == 0 else []

        outside.names.answer = seldom

    made, ended = played(prepare=prepare)
    assert ended
    assert all_went_well(made), made.stage.booted.output.text
    assert made.outside.names.asked == 2 * 3
    made.close()


def test_the_driver_holds_its_card_and_nothing_else() -> None:
    """Its registers, its interrupt, two pages for rings; by DMA the packets too. Those around it it can only signal."""
    path = find_system("network")
    system = load(path, search_path=[path.parent], board=find_board(BOARD))
    graph = authority_of(system, load_extensions(path, system).grants)
    held = {(edge.right.value, edge.object.full_name) for edge in graph.edges if edge.subject == graph.find("pd:card")}
    assert held == {
        ("read", "device:card_registers"), ("write", "device:card_registers"),
        ("read", "region:card_rings"), ("write", "region:card_rings"),
        ("acknowledge", "irq:2"), ("notify", "pd:network"), ("notify", "pd:supervisor"), ("fault", "pd:supervisor"),
    }  # fmt: skip
    by_dma = {(edge.right.value, edge.object.full_name) for edge in graph.edges if edge.subject.name == "card"
              and edge.subject.kind.value == "iospace"}  # fmt: skip
    assert {name for _, name in by_dma} == {"region:card_rings", "region:packets"}


@pytest.mark.slow
def test_the_card_loses_its_power_for_a_while() -> None:
    """Meanwhile its driver is started again and again, less and less often, and all who use the network wait."""
    made = Played()
    machine = made.stage.system.machine

    def cut() -> bool:
        if made.card.faults.steps < 200:
            return False
        made.card.cut_power()
        return True

    assert made.run(cut)
    assert not made.run(lambda: made.stage.words("report", 1)[0], 500)
    made.card.power_on()
    began = machine.now()
    assert made.run(lambda: made.stage.words("report", 1)[0], LONGEST_MS)
    assert machine.now() - began < 60_000 * 10_000
    assert all_went_well(made), made.stage.booted.output.text
    made.close()
