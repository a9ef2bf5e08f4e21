"""The powerbox: over any history a program has the files that the user chose for it, with rights that he said, only."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from capkernel.protocols.console import Ending, Line
from capkernel.protocols.failures import Failure, Malformed, NotFound, NotPermitted
from capkernel.protocols.files import READ, READ_WRITE, WRITE, Entry, Kind
from capkernel.protocols.powerbox import Powerbox
from capkernel.protocols.service import Service
from capkernel.protocols.strategies import hostile_requests
from capkernel.user.kept import KeptValue
from capkernel.user.loop import ANSWERED, ENDPOINT_BADGE, PD
from capkernel.user.messages import SharedRegion
from capkernel.user.pdimage import PDValues
from capkernel.user.syscalls import Message
from policies.powerbox import NEVER, Choices, Dialogue, Memory, PowerboxServant, read_answer
from tests.policies.test_desk import SIZE, World

FILES = ("diary", "letter")
PROGRAMS = ("notepad", "mallory")
RIGHTS = st.sampled_from([READ, WRITE, READ_WRITE])
ANSWERS = ["letter", "letter rw", "letter always", "diary r always", "no", "never", "", "nonsense rw", "diary x", "'"]


class Terminal:
    """The console, and a user who answers what he has in mind."""

    def __init__(self) -> None:
        self.written = ""
        self.answers = [""]
        self.questions = 0

    async def write(self, text: str) -> None:
        self.written += text

    async def read_line(self, prompt: str) -> Line:
        self.questions += 1
        return Line(Ending.ENTERED, self.answers[0])


class Files:
    """A directory; what is opened is told by its name and rights."""

    async def open(self, name: str, rights: int) -> Any:
        if name not in FILES:
            raise NotFound(name)
        return name, rights

    async def list(self, start: int) -> list[Entry]:
        return [Entry(name, Kind.FILE, 0) for name in FILES][start:]


class House:
    """A powerbox in memory that outlives it."""

    def __init__(self) -> None:
        self.world = World()
        self.terminal = Terminal()
        self.start()

    def start(self) -> None:
        memory = Memory(KeptValue(Choices, SharedRegion(0, SIZE)))
        self.world.run(memory.open())
        self.memory = memory
        terminal: Any = self.terminal
        files: Any = Files()
        dialogue = Dialogue(terminal, terminal, files)
        self.servants = {name: PowerboxServant(name, dialogue, memory) for name in PROGRAMS}

    def ask(self, program: str, purpose: str, rights: int, answer: str) -> Any:
        self.terminal.answers = [answer]
        self.world.now_us += 2_000_000
        return self.world.run(self.servants[program].ask(purpose, rights))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(PROGRAMS), st.sampled_from(["to save", "to print"]), RIGHTS, st.sampled_from(ANSWERS),
            st.booleans(),
        ), max_size=15,
    )
)  # fmt: skip
def test_a_program_has_what_the_user_chose_for_it_and_is_asked_for_no_more_than_once_if_he_said_so(
    steps: list[tuple[str, str, int, str, bool]],
) -> None:
    house = House()
    remembered: dict[tuple[str, str, int], tuple[str, int]] = {}
    banned: set[str] = set()
    for program, purpose, rights, answer, dies in steps:
        if dies:
            house.start()
        before = house.terminal.questions
        try:
            got = house.ask(program, purpose, rights, answer)
        except Failure:
            got = None
        key = (program, purpose, rights)
        if program in banned:
            assert got is None
            assert house.terminal.questions == before
        elif key in remembered:
            assert got == remembered[key]
            assert house.terminal.questions == before
        elif got is not None:
            said = read_answer(answer, rights)
            assert got == (said.name, said.rights)
            assert not got[1] & ~rights
            if said.is_always:
                remembered[key] = got
        if answer == "never" and house.terminal.questions > before:
            banned.add(program)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=30) | st.sampled_from(ANSWERS), RIGHTS)
def test_no_answer_gives_more_than_was_asked_for(text: str, rights: int) -> None:
    try:
        answer = read_answer(text, rights)
    except Malformed:
        return
    assert not answer.rights & ~rights
    assert (answer.name == NEVER) == (not answer.rights)


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=80) | st.sampled_from(["a\npowerbox: b wants to", 'a" and "b', "\x1b[2Kpowerbox:", "\u202e"]))
def test_whatever_a_program_says_stands_in_one_line_in_quotation_marks(purpose: str) -> None:
    house = House()
    try:
        house.ask("mallory", purpose, READ, "no")
    except NotPermitted:
        first, said, names = house.terminal.written.splitlines()
        assert first == "powerbox: mallory wants to read a file."
        assert said.startswith('powerbox: it says "')
        assert said.isascii()
        assert said.isprintable()
        assert names == "powerbox: there are diary, letter"
    except Malformed:
        assert not house.terminal.written


@settings(max_examples=25, deadline=None)
@given(st.lists(hostile_requests(Powerbox), max_size=15))
def test_no_request_kills_the_powerbox_nor_is_anything_remembered(requests: list[Message]) -> None:
    house = House()
    service = Service(PD(PDValues(name="powerbox")), roots={2: house.servants["mallory"]}.get)
    for request in requests:
        request.badge = ENDPOINT_BADGE | 2
        answer = house.world.run(service.protected(request))
        assert answer is ANSWERED or isinstance(answer, Message)
    assert not house.memory.choices
