"""What the broker does, in the order that makes every crash end on the safe side: judge, write down, record, hand out.

Requests are served one at a time and to the end. So whoever asks is answered by the old rules or by the new ones, and
when a change of rules is answered nothing works any more that they refuse.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from attrs import evolve

from capkernel.protocols.audit import MAX_BATCH, MAX_TEXT, Audit
from capkernel.protocols.brokering import ALL_RIGHTS, RIGHT_NAMES, Question, Verdict
from capkernel.protocols.clocks import MAX_US, Timer
from capkernel.protocols.failures import (
    DeviceError,
    Failure,
    Gone,
    Malformed,
    NotFound,
    NotPermitted,
    QuotaExceeded,
    ServerDied,
)
from capkernel.protocols.interface import Cap
from capkernel.user.operations import clock
from policies.council import Council
from policies.ledger import Ledger, Offer, Place
from policies.models.approval import Approval, TwoPersons
from policies.models.limits import EVERYBODY, Rate
from policies.office import Entry
from policies.rules import RulesError, read_rules
from policies.vault import TRIES, Vault

TICKS_PER_US: Final = 10
ASKS_PER_SECOND: Final = 20
"""Of one subject, and as many at once: each costs a record, and the audit trail is everybody's."""
MAX_PURPOSE: Final = 96
"""Bytes: a purpose fits into a record, whatever is in it."""


class Desk:
    """The broker's work, for ``subjects`` by name. ``council`` are the policies that are servers of their own."""

    def __init__(
        self, ledger: Ledger, vault: Vault, audit: Audit, timer: Timer, subjects: Mapping[int, str], council: Council
    ) -> None:
        self.ledger = ledger
        self.vault = vault
        self.council = council
        self.audit = audit
        self.timer = timer
        self.subjects = frozenset(subjects.values())
        self.asking = Rate({EVERYBODY: ASKS_PER_SECOND})
        self.ended: list[int] = []
        """Grants that are over, for whoever has objects for them; emptied there."""

    # What clients want

    async def request(
        self, subject: str, service: str, rights: int, purpose: str, duration_us: int, parent: int = 0,
        offer: Offer | None = None,
    ) -> Entry:  # fmt: skip
        """Decide, and make the caps; with ``offer`` it is what was offered, and ends when that said. Raises what
        ``Broker.request`` raises.
        """
        giver = self.entry(parent).question.subject if parent else subject
        question = await self._question(subject, service, rights, purpose, duration_us, parent)
        if offer is not None:
            left = max(1, offer.until_us - question.now_us) if offer.until_us else 0
            question = evolve(question, number=offer.question.number, duration_us=left)
        self._limit(subject, question.now_us)
        verdict = await self._decided(question, giver, parent)
        place = self._free_place(giver, question.number)
        self.ledger.offers.pop(question.number, None)
        entry = self.ledger.office.enter(question, parent)
        self.ledger.places[place] = Place(place, entry.number, service)
        self._note(f"grant {entry.number} from {parent}: {_told(question, giver)}", _why(verdict))
        await self.ledger.save()
        try:
            await self._say()
            await self.council.granted(question)
            await self.vault.fill(place, service, rights)
        except Failure as failure:
            await self.end(entry.number, f"it was not handed out: {type(failure).__name__}")
            raise
        await self.arm()
        return entry

    async def offer(self, parent: int, subject: str, rights: int, purpose: str, duration_us: int) -> None:
        """Keep something of a grant for another, who is asked by it and bound by nothing; he takes it by ``accept``.

        One offers oneself nothing: that is had at once. Raises what ``Grant.delegate`` raises.
        """
        above = self.entry(parent).question
        if subject == above.subject:
            await self.request(subject, above.service, rights, purpose, duration_us, parent)
            return
        question = await self._question(subject, above.service, rights, purpose, duration_us, parent)
        self._limit(above.subject, question.now_us)
        verdict = await self._decided(question, above.subject, parent)
        self._free_place(above.subject)
        question = evolve(question, number=self.ledger.office.number())
        until_us = question.now_us + duration_us if duration_us else 0
        self.ledger.offers[question.number] = Offer(question, parent, until_us)
        self._note(f"offer {question.number} from {parent}: {_told(question, above.subject)}", _why(verdict))
        await self.ledger.save()
        with suppress(Failure):
            await self._say()

    async def accept(self, subject: str, number: int) -> Entry:
        """Let a subject have what was offered to it. Raises NotFound, and what ``request`` raises."""
        await self.end_due()
        offer = self.ledger.offers.get(number)
        if offer is None or offer.question.subject != subject:
            raise NotFound(f"{subject} has no grant {number}, and was offered none")
        asked = offer.question
        return await self.request(subject, asked.service, asked.rights, asked.purpose, 0, offer.parent, offer)

    async def explain(self, subject: str, service: str, rights: int, purpose: str, duration_us: int) -> Verdict:
        """What would be answered."""
        question = await self._question(subject, service, rights, purpose, duration_us)
        return await self._judge(question)

    async def access(self, number: int) -> Cap:
        """The cap of a grant. Raises Gone, ServerDied."""
        await self.end_due()
        entry, place = self.entry(number), self.ledger.place_of(number)
        if place is None:
            raise Gone(f"grant {number} has no cap")
        return await self.vault.show(place.number, place.service, entry.question.rights)

    async def approve(self, approver: str, subject: str, service: str, rights: int) -> None:
        """Take note that one approves what another asks for. Raises NotFound, Malformed, NotPermitted."""
        question = await self._question(subject, service, rights, "", 0)
        self._limit(approver, question.now_us)
        await self._say()
        approval = Approval(approver, subject, service, rights, question.now_us)
        models = [model for model in self.ledger.office.policy.models if isinstance(model, TwoPersons)]
        counted = [model.approve(approval) for model in models]
        if not any(counted):
            raise NotPermitted(f"the word of {approver} does not count for {service}")
        self._note(f"approved by {approver}: {_told(question, subject)}")
        await self._save_and_say()

    def entry(self, number: int) -> Entry:
        """A grant that there is. Raises Gone."""
        if number not in self.ledger.office.entries:
            raise Gone(f"grant {number} is over")
        return self.ledger.office.entries[number]

    # Ends

    async def end(self, number: int, why: str) -> int:
        """A grant is over, with all that was delegated from it, or an offer is; returns how many. Raises Gone."""
        if self.ledger.offers.pop(number, None) is not None:
            self._note(f"offer {number} ended: {why}")
            await self.ledger.save()
            return 1
        self.entry(number)
        return await self._over(self.ledger.office.end(number), why)

    async def end_due(self) -> None:
        """End what has had its time, and try again what did not work before."""
        ended: list[Entry] = []
        now_us = await self._now()
        self.ledger.offers = {
            number: offer for number, offer in self.ledger.offers.items() if not 0 < offer.until_us <= now_us
        }
        for number in self.ledger.office.due(now_us):
            if number in self.ledger.office.entries:
                ended += self.ledger.office.end(number)
        if ended:
            await self._over(ended, "its time was over")
        elif self.ledger.doomed:
            await self._take_back()

    async def change(self, rules: str) -> int:
        """Other rules; returns how many grants ended. Raises Malformed, NoSpace: then nothing has changed."""
        await self.end_due()
        try:
            policy = read_rules(rules)
        except RulesError as error:
            raise Malformed(str(error)) from None
        self.ledger.rules = rules
        ended = self.ledger.office.change(policy)
        self._note(f"the rules were changed; {len(ended)} grants ended")
        return await self._over(ended, "the new rules refuse it")

    async def clean_up(self) -> None:
        """Finish what a former life has begun: no cap without a grant, no grant without a cap."""
        await self._take_back()
        for number in list(self.ledger.office.entries):
            place = self.ledger.place_of(number)
            if number in self.ledger.office.entries and not (place and await self.vault.is_whole(place.number)):
                await self.end(number, "it was not handed out: the broker died")
        await self.end_due()
        await self.settle()
        await self.arm()

    async def tick(self) -> None:
        """A sign of life was asked for, or an alarm came: do what is due, with what works again by now."""
        await self.end_due()
        await self.settle()
        with suppress(Failure):
            await self._say()
        await self.arm()

    async def settle(self) -> None:
        """End what a policy server holds no more, if one was not heard of since something ended."""
        for number, name in (await self.council.settle(self.ledger.office.entries)).items():
            if number in self.ledger.office.entries:
                await self._over(self.ledger.office.end(number), f"{name} refuses it")

    async def arm(self) -> None:
        """Be woken when the next grant's time is over. If that fails, the next sign of life does for it."""
        next_us = self.ledger.office.next_end_us
        if not next_us:
            return
        for _ in range(TRIES):
            try:
                await self.timer.alarm(max(0, next_us - await self._now()), 0)
            except ServerDied:
                continue
            except Failure:
                pass
            return

    async def _over(self, ended: list[Entry], why: str) -> int:
        """Write down that grants are over, then take back their caps."""
        for entry in ended:
            self._note(f"grant {entry.number} of {entry.question.subject} to {entry.question.service} ended: {why}")
        over = {entry.number for entry in ended}
        self.ledger.offers = {n: offer for n, offer in self.ledger.offers.items() if offer.parent not in over}
        await self.ledger.save()
        self.ended += [entry.number for entry in ended]
        await self._take_back()
        await self.council.ended([entry.number for entry in ended])
        with suppress(Failure):
            await self._say()
        return len(ended)

    async def _take_back(self) -> None:
        """Take back the caps whose grants are over. A service that does not answer is asked again later."""
        doomed = self.ledger.doomed
        for place in doomed:
            try:
                await self.vault.take_back(place.number, place.service)
            except Failure:
                continue
            del self.ledger.places[place.number]
        if doomed:
            await self.ledger.save()

    # Questions

    async def _question(
        self, subject: str, service: str, rights: int, purpose: str, duration_us: int, parent: int = 0
    ) -> Question:
        """What is to be decided. Raises Malformed, NotFound, Unsupported, Gone."""
        await self.end_due()
        if subject not in self.subjects:
            raise NotFound(f"nobody is called {subject!r}")
        if not 0 < rights <= ALL_RIGHTS:
            raise Malformed(f"rights are read (1), write (2) or both, not {rights}")
        if len(purpose.encode()) > MAX_PURPOSE or not purpose.isprintable():
            raise Malformed(f"a purpose is at most {MAX_PURPOSE} bytes that can be printed")
        if not 0 <= duration_us <= MAX_US:
            raise Malformed(f"a duration is 0 to {MAX_US} us, not {duration_us}")
        if service not in self.vault.offers:
            raise NotFound(f"there is no service {service!r}")
        self.vault.check(service, rights)
        if parent:
            self.entry(parent)
        return self.ledger.office.question(subject, service, rights, purpose, duration_us, await self._now(), parent)

    async def _judge(self, question: Question, parent: int = 0) -> Verdict:
        """What all policies say, those in the broker and those that are servers."""
        await self.settle()
        if parent:
            self.entry(parent)
        return await self.council.judge(question, self.ledger.office.judge(question, parent))

    async def _decided(self, question: Question, giver: str, parent: int) -> Verdict:
        """The verdict of all, if they allow it. Raises NotPermitted, which is recorded."""
        # What cannot be recorded is not done.
        await self._say()
        verdict = await self._judge(question, parent)
        if not verdict.allowed:
            self._note(f"refused: {_told(question, giver)}", _why(verdict))
            await self._save_and_say()
            raise NotPermitted("; ".join(verdict.reasons) or "there is no policy that could allow it")
        return verdict

    def _limit(self, asking: str, now_us: int) -> None:
        """Raises QuotaExceeded if somebody asks too often."""
        asked = Question(0, asking, "", 0, now_us=now_us)
        if not self.asking.judge(asked).allowed:
            raise QuotaExceeded(f"{asking} asks more than {ASKS_PER_SECOND} times a second")
        self.asking.granted(asked)

    def _free_place(self, giver: str, number: int = 0) -> int:
        """A place for caps. Each subject has the same number of them, for what it asks for and what it delegates; what
        it offers counts, but for the offer of that ``number``, which is just taken.
        """
        most = len(self.vault.places) // len(self.subjects)
        entries = self.ledger.office.entries
        held = sum(_giver(entry) == giver for entry in entries.values())
        held += sum(
            each != number and entries[offer.parent].question.subject == giver
            for each, offer in self.ledger.offers.items()
        )
        free = [place for place in self.vault.places if place not in self.ledger.places]
        if held >= most or not free:
            raise QuotaExceeded(f"{giver} has {held} grants of {most}")
        return free[0]

    async def _now(self) -> int:
        return await clock() // TICKS_PER_US

    # Records

    def _note(self, *texts: str) -> None:
        self.ledger.unsaid += [_clipped(text) for text in texts]

    async def _save_and_say(self) -> None:
        await self.ledger.save()
        await self._say()

    async def _say(self) -> None:
        """Have the trail take over what is to be recorded. Raises a failure if it does not."""
        deaths = 0
        while self.ledger.unsaid:
            batch = self.ledger.unsaid[:MAX_BATCH]
            try:
                await self.audit.record(batch)
            except ServerDied:
                deaths += 1
                if deaths == TRIES:
                    raise DeviceError("there is nobody to take records") from None
                continue
            del self.ledger.unsaid[: len(batch)]
            await self.ledger.save()


def _giver(entry: Entry) -> str:
    return (entry.parent or entry).question.subject


def _told(question: Question, giver: str) -> str:
    """Who, what, from whom, for how long, for what."""
    rights = " and ".join(name for bit, name in RIGHT_NAMES.items() if question.rights & bit)
    by = "" if giver == question.subject else f" from {giver}"
    until = f"until {question.now_us + question.duration_us} us" if question.duration_us else "until it is given up"
    purpose = json.dumps(question.purpose, ensure_ascii=False)
    return f"{question.subject} to {rights} {question.service}{by} {until} for {purpose}"


def _why(verdict: Verdict) -> str:
    return "  because " + "; ".join(verdict.reasons)


def _clipped(text: str) -> str:
    data = text.encode()
    return text if len(data) <= MAX_TEXT else data[: MAX_TEXT - 3].decode(errors="ignore") + "…"
