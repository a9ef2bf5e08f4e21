"""Attacks on the policy server and, by way of it, on the key-value server; and on everybody's time."""

from capkernel.abi import syscalls as sc
from capkernel.abi.message import LABEL_BITS, message_info
from capkernel.abi.words import WORD_MASK
from capkernel.user.loop import ENDPOINT_BADGE, FAULT_BADGE, INPUT_CAP
from capkernel.user.operations import compute, ecall
from capkernel.user.syscalls import Message

from .attack_kernel import POLICY, answer_in, judge_of
from .attacker import Attacker, by_policy, nothing, received
from .words import (
    DIARY,
    FETCH,
    NAMESPACES,
    READ,
    READ_WRITE,
    RELEASE,
    REQUEST,
    SHARED,
    STORE,
    VAULT,
    badge_for,
    key_word,
    text_words,
)

ALICE, BOB = 1, 2
SECRET, MOTTO, GOLD = key_word("secret"), key_word("motto"), key_word("gold")
LIE = text_words("mallory was here")
FLOODS = ((1500, FETCH, [SHARED, MOTTO]), (3000, REQUEST, [SHARED, READ]), (200, STORE, [SHARED, MOTTO, *[0] * 118]))
"""How often, and what: the second costs policy most, since it revokes and mints a cap."""


async def ask(mallory: Attacker, family: str, name: str, label: int, words: list[int]) -> None:
    """One request to policy."""
    action = mallory.pd.sys.call(POLICY, Message(label, words))
    await mallory.attempt(family, name, action, by_policy(label, words))


async def confuse_the_deputy(mallory: Attacker) -> None:
    """Let policy, which may do everything, read and write for us."""
    family = "confused deputy"
    await ask(mallory, family, "read the shared motto", FETCH, [SHARED, MOTTO])
    await ask(mallory, family, "read alice's secret", FETCH, [DIARY, SECRET])
    await ask(mallory, family, "overwrite alice's secret", STORE, [DIARY, SECRET, *LIE])
    await ask(mallory, family, "overwrite the shared motto", STORE, [SHARED, MOTTO, *LIE])
    await ask(mallory, family, "rob the vault", STORE, [VAULT, GOLD, *LIE])
    for namespace in [*range(256), WORD_MASK, 1 << 8 | SHARED, 1 << 32 | SHARED]:
        await ask(mallory, family, f"read namespace {namespace}", FETCH, [namespace, SECRET])
        await ask(mallory, family, f"write namespace {namespace}", STORE, [namespace, SECRET, *LIE])


async def ask_for_more(mallory: Attacker) -> None:
    """Ask for caps that only others may have, and give back what others hold."""
    for namespace in range(64):
        for rights in [*range(8), WORD_MASK]:
            name = f"ask for rights {rights} in namespace {namespace}"
            await ask(mallory, "asking for more", name, REQUEST, [namespace, rights])
        await ask(mallory, "asking for more", f"give back namespace {namespace}", RELEASE, [namespace])


async def forge(mallory: Attacker) -> None:
    """Claim to be somebody else: in the words, in the label, with the words of a badge."""
    for claim in [ALICE, BOB, ENDPOINT_BADGE | ALICE, FAULT_BADGE | ALICE,
                  *(badge_for(namespace, READ_WRITE) for namespace in NAMESPACES), WORD_MASK]:  # fmt: skip
        for label in (FETCH | claim << 8, claim, FETCH | 1 << 51, STORE | claim << 32):
            name = "claim a badge in the label"
            await ask(mallory, "forged badges", name, label & (1 << LABEL_BITS) - 1, [DIARY, SECRET, *LIE])
        await ask(mallory, "forged badges", "claim a badge in the words", FETCH, [DIARY, SECRET, claim])
        await ask(mallory, "forged badges", "claim a badge before the words", FETCH, [claim, DIARY, SECRET])
        words = [(DIARY | claim << 8) & WORD_MASK, READ_WRITE]
        await ask(mallory, "forged badges", "ask in another's name", REQUEST, words)


async def malformed_messages(mallory: Attacker) -> None:
    """Messages that are too long, too short, or whose info word contradicts itself."""
    for length in range(121):
        await ask(mallory, "malformed messages", f"{length} words to STORE", STORE, [DIARY] * length)
        await ask(mallory, "malformed messages", f"{length} words to REQUEST", REQUEST, [DIARY] * length)
    for length in (0, 1, 119, 120, 121, 127):
        for caps in range(4):
            for label in (0, FETCH, STORE, (1 << 52) - 1):
                info = message_info(label, length, caps, 7)
                action = ecall(sc.CALL, POLICY, info, DIARY, SECRET, 16, WORD_MASK)
                judge = judge_of(POLICY, label, [DIARY, SECRET])
                await mallory.attempt(
                    "malformed messages", f"info word {info:#x}", action,
                    lambda registers, judge=judge: judge(answer_in(registers)),
                )  # fmt: skip


async def starve(mallory: Attacker) -> None:
    """Use up all the time there is: compute without end, yield without end, keep the servers busy.

    Before each flood she waits in vain: the warden pulls her out when a period begins, and then all her time is there.
    """
    for _ in range(60):
        await mallory.attempt("starvation", "compute for a millisecond", compute(10_000), nothing)
    for _ in range(40):
        await mallory.attempt("starvation", "yield", ecall(sc.YIELD), nothing)
    for count, label, words in FLOODS:
        await mallory.attempt("starvation", "gather strength", ecall(sc.WAIT, INPUT_CAP), received)
        for _ in range(count):
            await ask(mallory, "starvation", "flood", label, words)
