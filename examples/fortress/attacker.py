"""How mallory keeps count: each attempt has a family, a name, and an outcome that she finds out by herself.

The result is text in her `ledger` (JSON from offset 64 on, its length in word 2), for whoever reads it afterwards.
"""

import json
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from capkernel.abi import errors as err
from capkernel.abi.faults import FAULT_NAMES
from capkernel.user.loop import PD
from capkernel.user.syscalls import Message

from .words import FETCH, MALFORMED, NOT_FOUND, OK, READ, REFUSED, RELEASE, REQUEST, SHARED

REFUSED_BY_KERNEL, REFUSED_BY_SERVER, FAULTED = "refused by kernel", "refused by server", "faulted"
IN_VAIN, NO_EFFECT, ALLOWED, SUCCEEDED = "waited in vain", "no effect", "allowed", "succeeded"
Outcome = tuple[str, str]
"""The outcome and a detail, such as the error's name."""
Judge = Callable[[Any], Outcome]

PROGRESS, DONE, LENGTH, TEXT = 0, 8, 16, 64
FAULTS, LABEL = 0, 8
"""Words of the warden's docket."""
_SERVER_ANSWERS = {REFUSED: "Refused", NOT_FOUND: "NotFound", MALFORMED: "Malformed"}
_DOCKET_OUTCOMES = {label: (FAULTED, name) for label, name in FAULT_NAMES.items()} | {100: (IN_VAIN, "")}


class Attacker:
    """Makes attempts, one by one, and counts what came of them."""

    def __init__(self, pd: PD, ledger: int, docket: int) -> None:
        self.pd = pd
        self.ledger = ledger
        self.docket = docket
        self.attempts = 0
        self.faults = 0
        self.outcomes: Counter[tuple[str, str, str]] = Counter()
        self.successes: list[str] = []

    async def attempt(self, family: str, name: str, action: Awaitable[Any], judge: Judge) -> Outcome:
        """Do it; the docket says whether it was a fault, else the judge says what it was."""
        self.attempts += 1
        await self.pd.store(self.ledger + PROGRESS, self.attempts)
        result = await action
        faults = await self.pd.load(self.docket + FAULTS)
        if faults != self.faults:
            self.faults = faults
            outcome = _DOCKET_OUTCOMES[await self.pd.load(self.docket + LABEL)]
        else:
            outcome = judge(result)
        self.outcomes[family, *outcome] += 1
        if outcome[0] == SUCCEEDED and name not in self.successes:
            self.successes.append(name)
        return outcome

    async def finish(self) -> None:
        """Write the ledger, and say that all is done."""
        rows = [[*key, count] for key, count in self.outcomes.items()]
        text = json.dumps({"attempts": self.attempts, "outcomes": rows, "successes": self.successes}).encode()
        await self.pd.write(self.ledger + TEXT, text)
        await self.pd.store(self.ledger + LENGTH, len(text))
        await self.pd.store(self.ledger + DONE, 1)


# Judges


def by_kernel(answer: Message) -> Outcome:
    """Of an invocation: the kernel's error, or success."""
    return by_label(answer.label)


def by_label(label: int) -> Outcome:
    """Of the label that came back from a kernel object."""
    if 0 < label < len(err.ERROR_NAMES):
        return REFUSED_BY_KERNEL, err.ERROR_NAMES[label]
    return SUCCEEDED, ""


def by_reply_cap(answer: Message) -> Outcome:
    """Of one's own reply cap: nobody called, so nobody is answered, and the kernel says nothing about it."""
    return by_label(answer.label) if answer.label else (NO_EFFECT, "")


def by_policy(label: int, words: tuple[int, ...] | list[int]) -> Judge:
    """Of a request to the policy server; what mallory is entitled to is no success."""

    def judge(answer: Message) -> Outcome:
        if answer.label in _SERVER_ANSWERS:
            return REFUSED_BY_SERVER, _SERVER_ANSWERS[answer.label]
        if answer.label != OK:
            return by_label(answer.label)
        return (ALLOWED, "") if is_entitled(label, words) and not answer.extra_caps else (SUCCEEDED, "")

    return judge


def is_entitled(label: int, words: tuple[int, ...] | list[int]) -> bool:
    """Whether mallory may do this: everything about reading the shared namespace."""
    if not words or words[0] != SHARED:
        return False
    return label in (RELEASE, FETCH) or (label == REQUEST and words[1] == READ)


def nothing(_result: Any) -> Outcome:
    """Of what cannot be seen to have done anything."""
    return NO_EFFECT, ""


def received(registers: tuple[int, ...]) -> Outcome:
    """Of a receive that came back: a badge means that somebody's message was taken."""
    return (SUCCEEDED, "") if registers[0] else (NO_EFFECT, "")


def went_through(_result: Any) -> Outcome:
    """Of what can only fault or succeed."""
    return SUCCEEDED, ""
