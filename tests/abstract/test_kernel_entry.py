"""Steps of the abstract kernel from a state made by hand: no kernel, no machine."""

from typing import Any

from capkernel.abi import errors as err
from capkernel.abi import labels, rights
from capkernel.abi import message as msg
from capkernel.abi import objects as obj
from capkernel.abi import registers as reg
from capkernel.abi import syscalls as sc
from specs.abstract import Config, Event, Outputs, State, kernel_entry
from specs.abstract.caps import CNodeCap, EndpointCap, FrameCap, ReplyCap, SchedContextCap, ThreadCap, UntypedCap
from specs.abstract.objects import (
    CTABLE,
    IDLE_SC,
    IDLE_THREAD,
    IPC_BUFFER,
    TCB,
    BlockedOnReceive,
    BlockedOnReply,
    BlockedOnSend,
    CNode,
    Endpoint,
    IdleThreadState,
    Inactive,
    Refill,
    Reply,
    Running,
    SchedContext,
)
from specs.abstract.syscall import INTERRUPT, SYSCALL

CONFIG = Config(1, 256, 96, 10, 20, 10**6, 10, 4, 8, True, False)
NODE, CLIENT, SERVER, ENDPOINT, REPLY, TIME = 0x1000, 0x2000, 0x3000, 0x4000, 0x4100, 0x5000
MEMORY = 0x10000
"""Cap addresses are slots of the one CNode: 1 endpoint, 2 reply, 3 the client, 4 the CNode, 5 an untyped, 6 time."""


class Clock:
    """A machine on which a system call takes so many ticks and nothing interrupts."""

    def __init__(self, *times: int, pending: bool = False) -> None:
        self.times = list(times)
        self.pending = pending

    def clock(self) -> int:
        """The time."""
        return self.times.pop(0) if len(self.times) > 1 else self.times[0]

    def irq_pending(self) -> bool:
        """Whether something waits."""
        return self.pending

    def claim_irq(self) -> int:
        """Nothing that is anybody's."""
        return 0


def start() -> State:
    """A client that runs on the only scheduling context, and a server that waits for it with a reply object."""
    s = State(CONFIG)
    s.irq_states = (0,) * 97
    waiting = TCB(state=BlockedOnReceive(ENDPOINT, REPLY), priority=20)
    s.kheap = {
        NODE: CNode(4), CLIENT: TCB(state=Running, priority=10, mcpriority=50, sched_context=TIME), SERVER: waiting,
        ENDPOINT: Endpoint(receivers=(SERVER,)), REPLY: Reply(SERVER), IDLE_THREAD: TCB(state=IdleThreadState),
        TIME: SchedContext(8, 0, 2, (Refill(0, 10_000), Refill(0, 0)), tcb=CLIENT), IDLE_SC: SchedContext(0),
    }  # fmt: skip
    node = CNodeCap(NODE, 4, 0, 60)
    s.caps = {
        (NODE, 1): EndpointCap(ENDPOINT, 9, rights.ALL), (NODE, 2): ReplyCap(REPLY, True), (NODE, 3): ThreadCap(CLIENT),
        (NODE, 4): node, (NODE, 5): UntypedCap(MEMORY, 12, False, 0), (NODE, 6): SchedContextCap(TIME, 8),
        (CLIENT, CTABLE): node, (SERVER, CTABLE): node,
    }  # fmt: skip
    s.is_original_cap = {(NODE, index) for index in range(1, 7)}
    s.cur_thread, s.cur_sc = CLIENT, TIME
    return s


def context(number: int, cap: int, label: int = 0, words: tuple[int, ...] = (), **more: int) -> tuple[int, ...]:
    """The registers of a system call."""
    registers = [0] * reg.REGISTER_COUNT
    registers[reg.SYSCALL_REGISTER], registers[reg.CAP_REGISTER] = number % 2**64, cap
    registers[reg.MSG_INFO_REGISTER] = msg.message_info(label, len(words))
    for register, word in zip(reg.MSG_REGISTERS, words, strict=False):
        registers[register] = word
    for name, value in more.items():
        registers[reg.INDEX[name]] = value
    return tuple(registers)


def enter(s: State, registers: tuple[int, ...], clock: Clock | None = None) -> tuple[State, Outputs]:
    """One system call."""
    return kernel_entry(s, Event(SYSCALL, registers), clock or Clock(10), lambda paddr: 0)


def thread(s: State, ptr: int) -> TCB:
    """A thread of the state."""
    item = s.kheap[ptr]
    assert isinstance(item, TCB)
    return item


def error_of(s: State) -> tuple[int, int]:
    """The client's answer: error code and first word."""
    registers = thread(s, CLIENT).context
    return msg.info_label(registers[reg.MSG_INFO_REGISTER]), registers[reg.MSG_REGISTERS[0]]


def test_a_call_gives_the_message_and_the_time_to_a_waiting_server() -> None:
    s, _ = enter(start(), context(sc.CALL, 1, 5, (11, 12)))
    server = thread(s, SERVER)
    assert s.cur_thread == SERVER
    assert (server.context[reg.BADGE_REGISTER], server.context[reg.MSG_REGISTERS[1]]) == (9, 12)
    assert thread(s, CLIENT).state == BlockedOnReply(REPLY)
    assert (server.sched_context, thread(s, CLIENT).sched_context) == (TIME, None)
    assert s.kheap[TIME].replies == (REPLY,)


def test_the_answer_brings_the_time_back() -> None:
    s, _ = enter(start(), context(sc.CALL, 1))
    s, _ = enter(s, context(sc.REPLY_RECV, 1, 0, (77,), a6=2))
    assert s.cur_thread == CLIENT
    assert thread(s, CLIENT).context[reg.MSG_REGISTERS[0]] == 77
    assert thread(s, CLIENT).sched_context == TIME
    assert s.kheap[ENDPOINT] == Endpoint(receivers=(SERVER,))


def test_a_second_message_waits_with_what_its_cap_allowed() -> None:
    first = start()
    first.kheap[ENDPOINT] = Endpoint()
    first.kheap[SERVER] = TCB()
    s, _ = enter(first, context(sc.SEND, 1))
    assert thread(s, CLIENT).state == BlockedOnSend(ENDPOINT, 9, True, True, False)
    assert s.kheap[ENDPOINT] == Endpoint(senders=(CLIENT,))
    assert s.cur_thread == IDLE_THREAD


def test_a_step_changes_no_state_but_makes_one() -> None:
    before = start()
    picture = repr([getattr(before, name) for name in ("kheap", "caps", "cdt", "cdt_list", "release_queue")])
    enter(before, context(sc.CALL, 1))
    enter(before, context(sc.CALL, 4, labels.CNODE_DELETE, (5, 64)))
    assert repr([getattr(before, name) for name in ("kheap", "caps", "cdt", "cdt_list", "release_queue")]) == picture


def test_a_bad_address_is_a_fault_and_without_handler_the_end() -> None:
    s, _ = enter(start(), context(sc.SEND, 0x99))
    assert thread(s, CLIENT).state == Inactive


def test_a_bad_address_of_a_non_blocking_send_is_nothing() -> None:
    s, _ = enter(start(), context(sc.NBSEND, 0x99))
    assert thread(s, CLIENT).state == Running


def test_a_refused_call_answers_why_and_changes_nothing_else() -> None:
    s, _ = enter(start(), context(sc.CALL, 4, labels.CNODE_DELETE, (1, 65)))
    assert error_of(s) == (err.RANGE_ERROR, 1)
    assert s.caps == start().caps


def test_a_message_is_cut_to_what_a_thread_without_buffer_can_send() -> None:
    s, _ = enter(start(), context(sc.CALL, 5, labels.UNTYPED_RETYPE, (obj.ENDPOINT, 0, 0, 0, 8, 1)))
    assert error_of(s)[0] == err.TRUNCATED_MESSAGE


def test_deleting_the_last_cap_of_an_endpoint_lets_its_threads_try_again() -> None:
    s, _ = enter(start(), context(sc.CALL, 4, labels.CNODE_DELETE, (1, 64)))
    assert (NODE, 1) not in s.caps
    assert thread(s, SERVER).state == "Restart"
    assert s.kheap[REPLY] == Reply()


def test_a_thread_may_not_give_more_priority_than_its_mcp() -> None:
    buffer, authority = 0x30000, 3
    first = start()
    first.caps[CLIENT, IPC_BUFFER] = FrameCap(buffer, 12, rights.READ_WRITE, False)
    registers = list(context(sc.CALL, 3, labels.TCB_SET_PRIORITY, (51,)))
    registers[reg.MSG_INFO_REGISTER] = msg.message_info(labels.TCB_SET_PRIORITY, 1, extra_caps=1)
    words = {buffer + msg.BUFFER_CAPS: authority}
    s, _ = kernel_entry(first, Event(SYSCALL, tuple(registers)), Clock(10), lambda paddr: words.get(paddr, 0))
    assert error_of(s) == (err.RANGE_ERROR, 0)
    registers[reg.MSG_REGISTERS[0]] = 50
    s, _ = kernel_entry(first, Event(SYSCALL, tuple(registers)), Clock(10), lambda paddr: words.get(paddr, 0))
    assert thread(s, CLIENT).priority == 50


def test_time_that_has_passed_is_charged_when_somebody_asks() -> None:
    s, _ = enter(start(), context(sc.YIELD, 0), Clock(1_234))
    assert s.kheap[TIME].consumed == 1_234
    assert sum(refill.amount for refill in s.kheap[TIME].refills) == 10_000


def test_an_interrupt_of_a_line_that_nobody_has_is_masked() -> None:
    class Line(Clock):
        def claim_irq(self) -> int:
            return 7

    _, out = kernel_entry(start(), Event(INTERRUPT, (0,) * reg.REGISTER_COUNT), Line(5), lambda paddr: 0)
    assert out.irq == [("complete", 7), ("mask", 7, True)]


def test_a_long_operation_stops_where_the_machine_says_and_goes_on_when_made_again() -> None:
    def with_big_node() -> State:
        first = start()
        first.kheap[0x20000] = CNode(4)
        first.caps[NODE, 7] = CNodeCap(0x20000, 4, 0, 0)
        first.is_original_cap.add((NODE, 7))
        return first

    delete = context(sc.CALL, 4, labels.CNODE_DELETE, (7, 64))
    at_once, _ = enter(with_big_node(), delete, Clock(10))
    s, _ = enter(with_big_node(), delete, Clock(10, 20, pending=True))
    assert (NODE, 7) in s.caps
    entries = 1
    while (NODE, 7) in s.caps:
        s, _ = enter(s, tuple(thread(s, CLIENT).context), Clock(30 * entries, pending=True))
        entries += 1
    # Sixteen slots, four at a time, and then nothing is left.
    assert entries == 5
    assert s.caps == at_once.caps


def test_debug_put_char_takes_no_time() -> None:
    s, out = enter(start(), context(sc.DEBUG_PUT_CHAR, ord("x")), Clock(500))
    assert out.text == [ord("x")]
    assert s.cur_time == 0


def test_the_same_step_is_the_same() -> None:
    def once() -> Any:
        s, out = enter(start(), context(sc.CALL, 1, 5, (1, 2, 3)))
        return s.kheap, s.caps, s.cdt_list, out

    assert once() == once()
