"""Attacks on the kernel, enumerated from the tables of its binary interface: every call on every cap address."""

from collections.abc import Iterator

from capkernel.abi import labels
from capkernel.abi import objects as obj
from capkernel.abi import syscalls as sc
from capkernel.abi.message import LABEL_SHIFT, message_info
from capkernel.abi.words import WORD_MASK
from capkernel.user.loop import BASE_ENDPOINT_CAP, INPUT_CAP, REPLY_CAP
from capkernel.user.operations import ecall
from capkernel.user.syscalls import Message

from .attacker import Attacker, Judge, by_kernel, by_policy, by_reply_cap, nothing, received, went_through
from .words import DIARY, EVERYTHING, FETCH, READ, REQUEST, SHARED, STORE, key_word, text_words

POLICY = BASE_ENDPOINT_CAP + 1
"""The one cap."""
OWN_SLOTS = range(512)
ROOT_SLOTS = [slot << 58 for slot in range(1, 64)]
BEYOND = [1 << bit for bit in range(9, 58, 4)] + [512 + POLICY, 1 << 57 | POLICY, -1 & WORD_MASK, 1 << 58 | 1]
ADDRESSES = [*OWN_SLOTS, *ROOT_SLOTS, *BEYOND]
NOWHERE = 511
"""An empty slot."""
KNOWN_LABELS = sorted(labels.BY_LABEL)
LABELS = sorted({*range(64), *KNOWN_LABELS, 4099, (1 << 52) - 1})
FAMILIES = {
    obj.CAP_UNTYPED: "untyped", obj.CAP_TCB: "TCB", obj.CAP_CNODE: "CNode", obj.CAP_IRQ_CONTROL: "IRQ control",
    obj.CAP_IRQ_HANDLER: "IRQ handler", obj.CAP_DOMAIN: "domain", obj.CAP_SCHED_CONTROL: "sched control",
    obj.CAP_SCHED_CONTEXT: "sched context", obj.CAP_PAGE_TABLE: "page table", obj.CAP_FRAME: "frame",
    obj.CAP_ASID_CONTROL: "ASID control", obj.CAP_ASID_POOL: "ASID pool",
}  # fmt: skip

# In policy's CNode, for one who got at it
KV, VICTIM, FREE = 300, 321 + 2, 499
"""The unbadged cap, the cap that policy uses when it acts for mallory, and an empty slot."""
PLAUSIBLE = {
    "index": FREE, "depth": 64, "dest_index": FREE, "dest_depth": 64, "src_index": KV, "src_depth": 64,
    "pivot_index": NOWHERE, "pivot_depth": 64, "node_index": 0, "node_depth": 0, "node_offset": FREE,
    "num_objects": 1, "rights": 15, "badge": EVERYTHING, "type": obj.ENDPOINT, "vaddr": 0x800_0000, "priority": 254,
    "mcp": 254, "budget": 1000, "period": 1000, "count": 2, "irq": 10,
}  # fmt: skip


async def every_system_call(mallory: Attacker) -> None:
    """All eleven system calls, on every cap address, in every register that holds one."""
    for address in ADDRESSES:
        for name, judge, registers in _variants(address):
            action = ecall(sc.NUMBERS[name], **registers)
            await mallory.attempt(f"{name} × every slot", f"{name} on {place(address)}", action, judge)
    await mallory.attempt("Yield", "Yield", ecall(sc.YIELD), nothing)


def _variants(address: int) -> Iterator[tuple[str, Judge, dict[str, int]]]:
    """Names, judges and registers of the system calls that use a cap address in some way."""
    judge = judge_of(address, 0, [])
    yield "Call", lambda registers: judge(answer_in(registers)), {"a0": address}
    yield "Send", nothing, {"a0": address}
    yield "NBSend", nothing, {"a0": address}
    for name in ("Recv", "NBRecv", "ReplyRecv", "NBSendRecv"):
        yield name, received, {"a0": address, "a6": REPLY_CAP, "t0": NOWHERE}
    for name in ("Wait", "NBWait", "NBSendWait"):
        yield name, received, {"a0": address, "a6": NOWHERE}
    yield "NBRecv", received, {"a0": INPUT_CAP, "a6": address}
    yield "ReplyRecv", received, {"a0": NOWHERE, "a6": address}
    yield "NBSendRecv", received, {"a0": NOWHERE, "a6": REPLY_CAP, "t0": address}
    yield "NBSendWait", received, {"a0": NOWHERE, "a6": address}


def answer_in(registers: tuple[int, ...]) -> Message:
    """The message in the registers behind a Call."""
    return Message(registers[1] >> LABEL_SHIFT)


def judge_of(address: int, label: int, words: list[int]) -> Judge:
    """Who answers a call of this address, and what that means."""
    if address == POLICY:
        return by_policy(label, words)
    return by_reply_cap if address == REPLY_CAP else by_kernel


def place(address: int) -> str:
    """A cap address for people."""
    return f"slot {address}" if address in OWN_SLOTS else f"{address:#x}"


async def unknown_system_calls(mallory: Attacker) -> None:
    """Numbers that mean nothing, among them those of a debug kernel's extra calls."""
    for number in [*range(-256, -11), *range(256), 1 << 31, 1 << 63, (1 << 63) - 1]:
        action = ecall(number, POLICY, message_info(FETCH, 2), DIARY, key_word("secret"))
        await mallory.attempt("unknown system calls", f"system call {number}", action, went_through)


async def every_invocation(mallory: Attacker) -> None:
    """Every label on every cap address, with as many words and caps as the table wants; then more on what answers."""
    alive = []
    for address in ADDRESSES:
        if address == POLICY:
            continue
        outcomes = set()
        for label in LABELS:
            outcomes.add(await invoke(mallory, label, address, plausible(label), caps_for(label, address)))
        if len(outcomes) > 1:
            alive.append(address)
    for address in dict.fromkeys([INPUT_CAP, REPLY_CAP, POLICY, *alive]):
        await insist(mallory, address)


async def insist(mallory: Attacker, address: int) -> None:
    """All argument sets, with all own caps as extra caps."""
    for label in LABELS:
        for words in ([], [0] * 10, plausible(label), [WORD_MASK] * 10):
            for caps in ([], [address] * 3, [INPUT_CAP] * 3, [REPLY_CAP] * 3, [POLICY] * 3, [NOWHERE] * 3):
                await invoke(mallory, label, address, words, caps)


async def invoke(mallory: Attacker, label: int, address: int, words: list[int], caps: list[int]) -> tuple[str, str]:
    """Call a cap address with a label."""
    row = labels.BY_LABEL.get(label)
    family = FAMILIES.get(row.cap_type, "I/O space") if row else "unknown"
    name = f"{row.name if row else f'label {label}'} on {place(address)}"
    action = mallory.pd.sys.call(address, Message(label, words, caps))
    return await mallory.attempt(f"{family} labels", name, action, judge_of(address, label, words))


def plausible(label: int) -> list[int]:
    """Arguments that would do something, were the cap the right one."""
    row = labels.BY_LABEL.get(label)
    return [PLAUSIBLE.get(name, 0) for name in row.words] if row else []


def caps_for(label: int, address: int) -> list[int]:
    """As many extra caps as the table says: the invoked cap itself."""
    row = labels.BY_LABEL.get(label)
    return [address] * len(row.caps) if row else []


async def amplify(mallory: Attacker) -> None:
    """If any cap is a CNode of policy's: put a better cap where policy keeps the one that it uses for mallory."""
    sys = mallory.pd.sys
    for address in ADDRESSES:
        if address == POLICY:
            continue
        judge = judge_of(address, 0, [])
        delete = sys.call(address, Message(labels.CNODE_DELETE, [VICTIM, 64]))
        await mallory.attempt("amplification", "delete the cap that policy uses for me", delete, judge)
        words = [VICTIM, 64, KV, 64, 15, EVERYTHING]
        mint = sys.call(address, Message(labels.CNODE_MINT, words, [address]))
        await mallory.attempt("amplification", "mint an all-powerful one in its place", mint, judge)


async def smuggle_a_cap_in(mallory: Attacker) -> None:
    """Name every own cap as the CNode to receive into, and ask policy for the cap that one may have."""
    for root in [0, INPUT_CAP, REPLY_CAP, POLICY, *range(256, 272), NOWHERE, *ROOT_SLOTS[:4]]:
        for index, depth in ((NOWHERE, 9), (NOWHERE, 64), (0, 0), (WORD_MASK, WORD_MASK)):
            await mallory.pd.sys.set_receive_slot(root, index, depth)
            action = mallory.pd.sys.call(POLICY, Message(REQUEST, [SHARED, READ]))
            await mallory.attempt(
                "receive slots", f"receive a cap through {place(root)}", action, by_policy(REQUEST, [SHARED, READ])
            )
    await mallory.pd.sys.set_receive_slot(0, 0, 0)


async def give_caps_away(mallory: Attacker) -> None:
    """Send own and foreign cap addresses along with a message."""
    for address in [INPUT_CAP, REPLY_CAP, POLICY, NOWHERE, *ROOT_SLOTS, *BEYOND]:
        words = [STORE, *text_words("caps")]
        action = mallory.pd.sys.call(POLICY, Message(STORE, words, [address, POLICY, address]))
        await mallory.attempt("extra caps", f"send along {place(address)}", action, by_policy(STORE, words))


async def answer_nobody(mallory: Attacker) -> None:
    """Reply without having been called, once and twice, and through caps that are no reply caps."""
    forged = message_info(0, 3)
    for number in (sc.SEND, sc.NBSEND, sc.CALL):
        for _ in range(2):
            action = ecall(number, REPLY_CAP, forged, 1, 2, 3)
            await mallory.attempt("reply abuse", "answer a call that was not made", action, nothing)
    for reply in (REPLY_CAP, POLICY, INPUT_CAP, NOWHERE, *ROOT_SLOTS, *BEYOND):
        for source in (NOWHERE, POLICY, REPLY_CAP):
            action = ecall(sc.REPLY_RECV, source, forged, 1, 2, 3, 4, reply)
            name = f"ReplyRecv on {place(source)} through {place(reply)}"
            await mallory.attempt("reply abuse", name, action, received)
