"""The console on both boards' ports: lines stay whole, the line being typed stays last, keys go to one at a time."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from capkernel.protocols.console import MAX_LINE, MAX_TEXT, Console, ConsoleInput, Ending, Line
from capkernel.protocols.failures import Busy, Failure, Gone, TooLarge
from capkernel.protocols.interface import interface_of, operations_of
from capkernel.protocols.strategies import hostile_requests
from capkernel.user.loop import ENDPOINT_BADGE
from capkernel.user.syscalls import Message
from servers.drivers import console_ns16550, console_sifive
from servers.drivers.console import ERASE, INPUT, MAX_KEYS
from servers.drivers.line_editor import LineEditor
from tests.servers.bench import Bench

MAKERS = {
    "ns16550": lambda **more: Bench(console_ns16550, "uart0", board="virt_iommu", **more),
    "sifive": lambda **more: Bench(console_sifive, "uart0", board="virt_sifive", **more),
}


@pytest.fixture(params=list(MAKERS))
def make(request: Any) -> Callable[..., Bench]:
    return MAKERS[request.param]


def entered(text: str) -> Line:
    return Line(Ending.ENTERED, text)


class HeldBack:
    """Interrupts do not come while this is so: the transmitter seems to be full."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench

    def __enter__(self) -> None:
        self.bench.machine.mask_irq(self.bench.window.irq, True)

    def __exit__(self, *error: object) -> None:
        self.bench.machine.mask_irq(self.bench.window.irq, False)
        self.bench.settle()


def test_a_long_text_goes_out_a_fifo_at_a_time_and_is_answered_when_all_is_out(make: Any) -> None:
    bench = make()
    text = "".join(f"line {n}\n" for n in range(40))
    with HeldBack(bench):
        asked = bench.ask(bench.client(Console, 2).write(text))
        assert not asked.is_over
        assert len(bench.line.output) == bench.program.terminal.port.fifo
    assert asked.result is None
    assert bench.shown() == text


def test_lines_of_several_clients_are_never_torn(make: Any) -> None:
    bench = make()
    texts = [f"{who}: " + who * 60 + "\n" for who in "abcde"]
    with HeldBack(bench):
        asked = [bench.ask(bench.client(Console, 2 + n).write(text)) for n, text in enumerate(texts)]
    assert all(each.is_over for each in asked)
    assert bench.shown() == "".join(texts)


def test_a_lost_interrupt_is_made_good_by_the_next_sign_of_life(make: Any) -> None:
    bench = make()
    bench.machine.mask_irq(bench.window.irq, True)
    asked = bench.ask(bench.client(Console, 2).write("x" * 100))
    for _ in range(20):
        bench.heartbeat()
    assert asked.is_over
    assert bench.shown() == "x" * 100 + "\n"


def test_what_would_have_to_wait_without_a_place_is_refused_before_a_byte_of_it_is_out(make: Any) -> None:
    bench = make()
    with HeldBack(bench):
        asked = [bench.ask(bench.client(Console, 2 + n % 8).write(f"{n}" * 99)) for n in range(9)]
    refused = [each for each in asked if isinstance(each.error, Busy)]
    assert len(refused) == 3
    assert bench.shown().splitlines() == [f"{n}" * 99 for n in range(6)]
    assert bench.call(bench.client(Console, 2).write("goes on" * 9)) is None


def test_a_writer_draws_nothing_but_text(make: Any) -> None:
    bench = make()
    bench.call(bench.client(Console, 2).write("\x1b[2Jgone\r\x07 \u202eoops\u2028ä\ttab"))
    assert bench.shown() == "^[[2Jgone^M^G \\u202eoops\\u2028ä\ttab\n"


def test_a_line_is_edited_echoed_and_read(make: Any) -> None:
    bench = make()
    asked = bench.ask(bench.client(ConsoleInput, INPUT).read_line("$ "))
    bench.type("hallo\x7f\bp\x1b[Ä\x15häl\x1b[Afe")
    assert not asked.is_over
    bench.type("\r")
    assert asked.result == entered("hälfe")
    shown = bench.shown()
    assert shown.startswith("$ hallo" + ERASE + "$ hall")
    assert shown.endswith(ERASE + "$ hälfe\n")


def test_a_key_that_comes_in_pieces_and_means_nothing_is_not_in_the_line(make: Any) -> None:
    bench = make()
    asked = bench.ask(bench.client(ConsoleInput, INPUT).read_line("$ "))
    for piece in ("wo\x1b", "[15~r", "\x1b[3;", "5~", "d\x1b[2", "~\x1b", "O", "P", "s\x1b[1\r"):
        bench.type(piece)
        bench.shown()
    assert asked.result == entered("words")


def test_text_comes_above_the_line_that_is_being_typed(make: Any) -> None:
    bench = make()
    asked = bench.ask(bench.client(ConsoleInput, INPUT).read_line("$ "))
    bench.type("half")
    bench.call(bench.client(Console, 2).write("news"))
    bench.type(" done\n")
    assert bench.shown() == "$ half" + ERASE + "news\n" + "$ half" + " done\n"
    assert asked.result == entered("half done")


def test_an_interrupt_throws_away_what_was_typed_and_signals(make: Any) -> None:
    bench = make()
    keys = bench.client(ConsoleInput, INPUT)
    bench.type("typed ahead\x03")
    assert bench.signals == [INPUT]
    assert bench.call(keys.read_line("")) == Line(Ending.INTERRUPTED, "")
    bench.type("rest\n")
    assert bench.call(keys.read_line("")) == entered("rest")
    bench.type("\x04")
    assert bench.call(keys.read_line("")) == Line(Ending.END_OF_INPUT, "")


def test_raw_keys_come_as_they_are_and_draw_changes_the_line(make: Any) -> None:
    bench = make()
    keys = bench.client(ConsoleInput, INPUT)
    asked = bench.ask(keys.read_keys())
    bench.type("\x1b[A")
    got = asked.result
    got += bench.call(keys.read_keys()) if len(got) < 3 else ""
    assert got == "\x1b[A"
    assert bench.shown() == ""
    bench.call(keys.draw("> ls\x1b[D"))
    bench.call(bench.client(Console, 2).write("news"))
    bench.call(keys.draw("\n"))
    bench.call(bench.client(Console, 2).write("more"))
    assert bench.shown() == "> ls\x1b[D" + ERASE + "news\n> ls\x1b[D\nmore\n"


def test_without_echo_a_line_is_not_shown(make: Any) -> None:
    bench = make()
    keys = bench.client(ConsoleInput, INPUT)
    bench.call(keys.set_echo(False))
    asked = bench.ask(keys.read_line("password: "))
    bench.type("secrex\x7ft\n")
    assert asked.result == entered("secret")
    assert bench.shown() == "password: \n"


def test_the_focus_is_lent_and_comes_back(make: Any) -> None:
    bench = make()
    shell = bench.client(ConsoleInput, INPUT)
    job = bench.call(shell.lend())
    reading = bench.ask(job.read_line("job> "))
    for refused in (shell.read_line(""), shell.read_keys(), shell.lend(), shell.draw("x")):
        with pytest.raises(Busy):
            bench.call(refused)
    deeper = bench.ask(job.lend())
    assert isinstance(deeper.error, Busy)
    bench.call(shell.revoke())
    with pytest.raises(Gone):
        _ = reading.result
    with pytest.raises(Gone):
        bench.call(job.read_keys())
    bench.type("mine again\n")
    assert bench.call(shell.read_line("")) == entered("mine again")


def test_who_borrows_and_gives_back_leaves_the_focus_where_it_was(make: Any) -> None:
    bench = make()
    shell = bench.client(ConsoleInput, INPUT)
    job = bench.call(shell.lend())
    inner = bench.call(job.lend())
    bench.call(job.drop())
    with pytest.raises(Gone):
        bench.call(inner.read_keys())
    bench.call(shell.drop())
    bench.type("on\n")
    assert bench.call(shell.read_line("")) == entered("on")


def test_a_cap_to_write_cannot_read_and_one_to_read_is_no_cap_to_write(make: Any) -> None:
    bench = make()
    for interface, channel in ((ConsoleInput, 2), (Console, INPUT)):
        stub = bench.client(interface, channel)
        with pytest.raises(Failure, match="does not speak"):
            bench.call(stub.read_keys() if interface is ConsoleInput else stub.write("x"))
    with pytest.raises(Gone):
        bench.call(bench.client(Console, 11).write("x"))


def test_keys_that_nobody_reads_wait_and_then_wait_outside_while_output_goes_on(make: Any) -> None:
    bench = make()
    text = "k" * (MAX_KEYS + 500) + "\n"
    bench.type(text)
    assert len(bench.program.keys.typed) == MAX_KEYS
    bench.call(bench.client(Console, 2).write("others go on"))
    assert bench.shown() == "others go on\n"
    keys, got = bench.client(ConsoleInput, INPUT), ""
    while len(got) < len(text):
        got += bench.call(keys.read_keys())
        bench.type("")
    assert got == text


def test_only_one_reads_at_a_time_and_readers_leave_a_place_for_writers(make: Any) -> None:
    bench = make()
    shell = bench.client(ConsoleInput, INPUT)
    lent = bench.call(shell.derive())
    asked = bench.ask(shell.read_keys())
    with pytest.raises(Busy):
        bench.call(lent.read_line(""))
    bench.type("x")
    assert asked.result == "x"


def test_too_much_is_refused(make: Any) -> None:
    bench = make()
    keys = bench.client(ConsoleInput, INPUT)
    for refused in (
        bench.program._root(2).write("x" * (MAX_TEXT + 1)),
        bench.program.keys.ground.read_line("x" * (MAX_LINE + 1)),
        bench.program.keys.ground.draw("x" * (MAX_LINE + 1)),
    ):
        with pytest.raises(TooLarge):
            bench.run(refused)
    asked = bench.ask(keys.read_line(""))
    bench.type("x" * (MAX_LINE + 10) + "\n")
    assert asked.result == entered("x" * MAX_LINE)
    assert bench.shown().count("\a") == 10


def test_what_a_driver_had_of_a_line_when_it_died_is_erased(make: Any) -> None:
    bench = make()
    with HeldBack(bench):
        bench.ask(bench.client(Console, 2).write("y" * 60))
    bench.shown()
    with HeldBack(bench):
        bench.ask(bench.client(Console, 2).write("z" * 60))
    after = make(life=2, machine=bench.machine)
    after.call(after.client(Console, 2).write("whole line"))
    assert after.shown().endswith(f"{ERASE}whole line\n")


def test_a_driver_that_died_between_two_lines_leaves_no_empty_one(make: Any) -> None:
    bench = make()
    bench.call(bench.client(Console, 2).write("one line"))
    after = make(life=2, machine=bench.machine)
    after.call(after.client(Console, 2).write("the next"))
    assert after.shown().replace(ERASE, "") in ("one line\nthe next\n", "the next\n")


KEYS = st.lists(
    st.characters(exclude_categories=["Cs"]) | st.sampled_from("\x7f\b\x15\x1b[A\x03\x04\n\r") | st.just("a"),
    max_size=40,
)


@given(KEYS)
def test_the_editor_keeps_only_what_can_be_seen_and_has_room(keys: list[str]) -> None:
    editor = LineEditor()
    for key in keys:
        line = editor.key(key)
        assert editor.text.isprintable()
        assert len(editor.text) <= MAX_LINE
        if line is not None:
            assert line.text in ("", editor.text)
            editor = LineEditor()


@given(KEYS, st.text("0123456789;<=>?", max_size=20), st.text(" !#$%*+-./", max_size=4), st.sampled_from("@AHMRu{|}~"))
def test_the_keys_typed_so_far_lead_to_one_line(keys: list[str], parameters: str, between: str, final: str) -> None:
    """So a driver that takes over knows, too, that it is in the middle of a key."""
    first = LineEditor()
    for key in [*keys, *"\x1b[", *parameters, *between]:
        if first.key(key) is not None:
            first = LineEditor()
    second = LineEditor()
    assert all(second.key(key) is None for key in first.typed)
    assert second == first
    text = first.text
    assert second.key(final) is None
    assert second.text == text


@settings(max_examples=30, deadline=None)
@given(data=st.data(), which=st.sampled_from(list(MAKERS)))
def test_no_request_kills_the_driver_and_no_flood_stops_it(data: st.DataObject, which: str) -> None:
    bench = MAKERS[which]()
    requests = data.draw(
        st.lists(st.tuples(st.integers(0, 15), hostile_requests(Console) | hostile_requests(ConsoleInput)), max_size=25)
    )
    for channel, request in requests:
        bench.deliver(ENDPOINT_BADGE | channel, request, lambda reply: None)
        bench.settle()
    bench.type("\n\x03\n\n\n\n\n\n")
    bench.heartbeat()
    bench.shown()
    bench.call(bench.client(Console, 2).write("alive"))
    assert "alive\n" in bench.shown()


def test_a_forged_badge_leads_nowhere(make: Any) -> None:
    bench, answers = make(), []
    operation = operations_of(interface_of(Console))[1]
    for badge in (ENDPOINT_BADGE | 77 << 22 | 2, ENDPOINT_BADGE | 1 << 45 | 1 << 22 | INPUT, ENDPOINT_BADGE | 61):
        bench.deliver(badge, Message(operation.label, (1, 65)), answers.append)
    assert [answer.label for answer in answers] == [Gone("").label] * 3
    assert bench.shown() == ""


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.integers(2, 9), st.text("abc \n", min_size=1, max_size=60)), min_size=1, max_size=12
    ),
    st.text("xyz", max_size=20),
)  # fmt: skip
def test_every_clients_lines_come_out_whole_and_in_order_above_what_is_typed(
    make: Any, writes: list[tuple[int, str]], typed: str
) -> None:
    bench = make()
    asked = bench.ask(bench.client(ConsoleInput, INPUT).read_line("> "))
    for channel, text in writes:
        bench.type(typed[:2])
        bench.call(bench.client(Console, channel).write(text))
    bench.type("\n")
    assert asked.is_over
    screen: list[str] = [""]
    for piece in bench.shown().replace(ERASE, "\0").splitlines(keepends=True):
        for each in piece:
            if each == "\0":
                screen[-1] = ""
            elif each == "\n":
                screen.append("")
            else:
                screen[-1] += each
    expected = [line for _, text in writes for line in (text if text.endswith("\n") else text + "\n").split("\n")[:-1]]
    assert screen == [*expected, "> " + asked.result.text, ""]
