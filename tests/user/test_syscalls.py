"""Messages, caps and errors through the system calls of the user library."""

import inspect
import re
from typing import Any

import pytest

from capkernel.abi import errors as err
from capkernel.abi import objects as obj
from capkernel.abi.labels import BY_NAME, InvocationSpec
from capkernel.user import stubs
from capkernel.user.bootstrap import Environment, Start, describe
from capkernel.user.errors import KernelError
from capkernel.user.syscalls import Message, Syscalls
from capkernel.user.threads import ThreadSpec, mint_endpoint, start_thread

BUFFER = 0x2000_0000


def spec_of(env: Environment, *arguments: int, **options: Any) -> ThreadSpec:
    return ThreadSpec(entry=env.start.values[1], arguments=arguments, buffer=BUFFER, **options)


async def echo(start: Start) -> None:
    """Answers every call with the message that came."""
    sys, (endpoint, reply) = Syscalls(start.tp), start.arguments[:2]
    message = await sys.recv(endpoint, reply)
    while True:
        message = await sys.reply_recv(endpoint, reply, Message(message.label, message.words))


@pytest.mark.parametrize("count", [0, 1, 4, 5, 119, 120])
def test_messages_of_any_length_arrive_whole(root: Any, count: int) -> None:
    async def body(env: Environment) -> None:
        endpoint, reply = await env.memory.alloc(obj.ENDPOINT), await env.memory.alloc(obj.REPLY)
        await start_thread(env, spec_of(env, endpoint, reply))
        words = [word << 32 | word for word in range(count)]
        answer = await env.sys.call(endpoint, Message(77, words))
        assert (answer.label, list(answer.words)) == (77, words)

    root(body, echo)


def test_too_long_a_message_is_refused_before_it_is_sent(root: Any) -> None:
    async def body(env: Environment) -> None:
        with pytest.raises(ValueError, match="at most 120 words, not 121"):
            await env.sys.call(0, Message(0, [0] * 121))
        with pytest.raises(ValueError, match="at most 3 caps"):
            await env.sys.call(0, Message(0, (), [1] * 4))
        with pytest.raises(ValueError, match="needs an IPC buffer"):
            await Syscalls().call(0, Message(0, [0] * 5))

    root(body)


def test_a_cap_travels_into_the_receive_slot_and_badges_are_unwrapped(root: Any) -> None:
    seen = []

    async def body(env: Environment) -> None:
        endpoint, gift, reply = *await env.memory.alloc_many(obj.ENDPOINT, 2), await env.memory.alloc(obj.REPLY)
        slot = env.slots.alloc()
        badged = await mint_endpoint(env, endpoint, 33)
        other = await mint_endpoint(env, endpoint, 44)
        await start_thread(env, spec_of(env, badged, other, gift, priority=255))
        await env.sys.set_receive_slot(env.cnode, slot, 64)
        seen.append(await env.sys.recv(endpoint, reply))
        await env.sys.send(reply)
        await stubs.cnode_delete(env.sys, env.cnode, index=slot, depth=64)

    async def giver(start: Start) -> None:
        badged, other, gift = start.arguments[:3]
        await Syscalls(start.tp).call(badged, Message(5, (1,), (other, gift)))
        await Syscalls().wait(gift)

    root(body, giver)
    message = seen[0]
    assert (message.badge, message.extra_caps, message.unwrapped) == (33, 2, (44, None))


def test_every_receiving_call_gives_its_message(root: Any) -> None:
    async def body(env: Environment) -> None:
        sys = env.sys
        endpoint, note, reply = (
            await env.memory.alloc(obj.ENDPOINT), await env.memory.alloc(obj.NOTIFICATION),
            await env.memory.alloc(obj.REPLY),
        )  # fmt: skip
        signal = await mint_endpoint(env, note, 6)
        assert (await sys.nbrecv(endpoint, reply)).badge == 0
        await sys.signal(signal)
        assert (await sys.nbwait(note)).badge == 6
        await sys.signal(signal)
        assert (await sys.wait(note)).badge == 6
        assert (await sys.nbsend_wait(signal, note)).badge == 6
        assert (await sys.nbsend_recv(signal, note, 0)).badge == 6

    root(body)


ERRORS = [
    (err.INVALID_ARGUMENT, (3,), "argument 3 (size_words)"),
    (err.INVALID_CAPABILITY, (0,), "the invoked cap"),
    (err.INVALID_CAPABILITY, (1,), "extra cap 1 (root)"),
    (err.RANGE_ERROR, (1, 64), "between 1 and 64"),
    (
        err.FAILED_LOOKUP,
        (1, err.DEPTH_MISMATCH, 7, 3),
        "source was not found: DepthMismatch, bits_left 7, bits_found 3",
    ),
    (err.NOT_ENOUGH_MEMORY, (16,), "only 16 bytes"),
    (err.DELETE_FIRST, (), "in use"),
    (99, (), "error 99"),
]


@pytest.mark.parametrize(("code", "words", "text"), ERRORS)
def test_errors_say_what_was_wrong_with_which_argument(code: int, words: tuple[int, ...], text: str) -> None:
    row = InvocationSpec(1, "Thing_Do", obj.CAP_TCB, ("a", "b", "c", "size_words"), ("root",))
    assert text in str(KernelError(row, 5, code, words))


def test_a_refused_invocation_raises_with_the_kernels_words(root: Any) -> None:
    async def body(env: Environment) -> None:
        with pytest.raises(KernelError, match=r"TCB_SetPriority.*RangeError: an argument must be between 0 and 255"):
            await stubs.tcb_set_priority(env.sys, env.tcb, priority=256, authority=env.tcb)
        with pytest.raises(KernelError, match=r"CNode_Copy.*MissingCapability, bits_left 64") as caught:
            await stubs.cnode_copy(
                env.sys, env.cnode, dest_index=env.slots.alloc(), dest_depth=64, src_root=env.cnode,
                src_index=env.slots.alloc(), src_depth=64, rights=15,
            )  # fmt: skip
        assert caught.value.bits_left == 64

    root(body)


RENAMED = {"type": "object_type", "bufferFrame": "buffer_frame", "schedcontext": "sched_context"}
RENAMED |= {"clear": "clear_flags", "set": "set_flags"}


def stub_name(row: InvocationSpec) -> str:
    """As snake case: IRQHandler_SetNotification is irq_handler_set_notification."""
    words = re.findall(
        r"[A-Z]+(?=[A-Z][a-z]|\b|_)|[A-Z][a-z]+", row.name.replace("CNode", "Cnode").replace("MCP", "Mc_P")
    )
    return "_".join(word.lower() for word in words)


@pytest.mark.parametrize("row", BY_NAME.values(), ids=lambda row: row.name)
def test_the_stubs_agree_with_the_table(row: InvocationSpec) -> None:
    name = stub_name(row).replace("mapio", "map_io")
    stub = getattr(stubs, name)
    parameters = [p.name for p in inspect.signature(stub).parameters.values() if p.kind is p.KEYWORD_ONLY]
    expected = [RENAMED.get(name, name) for name in row.words + row.caps]
    if row.name == "TCB_WriteRegisters":
        expected = ["flags", "registers"]
    assert parameters == expected
    sent = []

    class Recorder:
        async def call(self, cptr: int, message: Message) -> Message:
            sent.append((cptr, message))
            return Message(0, (5, 6))

    arguments: dict[str, Any] = {name: n for n, name in enumerate(parameters)}
    if row.name == "TCB_WriteRegisters":
        arguments["registers"] = [8, 9]
    with pytest.raises(StopIteration) as done:
        stub(Recorder(), 1000, **arguments).send(None)
    cptr, message = sent[0]
    assert (cptr, message.label) == (1000, row.label)
    if row.name != "TCB_WriteRegisters":
        assert [*message.words, *message.caps] == list(range(len(parameters)))
        assert len(message.words) == len(row.words)
    assert (done.value.value is None) == (not row.results)


def test_boot_information_is_described_for_people(root: Any) -> None:
    texts = []

    async def body(env: Environment) -> None:
        texts.append(describe(env.info))

    root(body)
    assert "root CNode of 2**13 slots" in texts[0]
