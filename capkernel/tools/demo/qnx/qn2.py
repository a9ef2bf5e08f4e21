"""QN-2: pulses come in the same loop as messages; nobody waits to send one, none is lost, the highest are first."""

from attrs import frozen

from capkernel.tools.demo.stage import Stage
from capkernel.tools.demo.story import Story

TITLE = "pulses: of a fixed size, never waited for, queued by priority, in the same loop as messages"
PULSERS = {3: "report_a", 4: "report_b"}
SENDER, FORGER = 2, 5
MESSAGES, FIRST_BURST, FORGED = 3, 100, 64
LONGEST_US = 400_000
QUICK_TICKS = 500
"""A send takes a few kernel entries of a microsecond each; the server is busy for 200,000 ticks."""


@frozen
class Entry:
    """What the server received: from whom; code and priority of a pulse; a pulse's value, or a message's kind."""

    connection: int
    head: int
    value: int

    @property
    def is_pulse(self) -> bool:
        """Whether it is one."""
        return bool(self.head >> 16)

    @property
    def priority(self) -> int:
        """Of a pulse."""
        return self.head >> 8 & 0xFF


def story(story: Story, *, everywhere: bool = False) -> None:
    """One run; with ``everywhere`` one for each of 20 seeds, which shift the clock."""
    for seed in range(story.seed, story.seed + (20 if everywhere else 1)):
        _tell(story, seed)


def _tell(story: Story, seed: int) -> None:
    stage = Stage("qnx_pulses", seed=seed)
    stage.run_until(lambda: stage.words("report_sender", 1)[0] == MESSAGES, LONGEST_US)
    run = stage.run(time_us=20_000)
    count, refused = stage.words("log", 2)
    words = stage.words("log", 2 + 3 * count)[2:]
    entries = [Entry(*words[index : index + 3]) for index in range(0, 3 * count, 3)]
    reports = {number: stage.words(region, 3) for number, region in PULSERS.items()}
    attacks = stage.words("report_forger", 2)
    stage.close()
    sent = {n: [e.value for e in entries if e.connection == n and e.is_pulse] for n in PULSERS}
    accepted = {number: report[0] for number, report in reports.items()}
    full = sum(report[1] for report in reports.values())
    kinds = [entry.value for entry in entries if not entry.is_pulse]
    story.tell(f"{count} entries in the server's log: {len(kinds)} messages, {count - len(kinds)} pulses")
    story.claim("messages and pulses come in one loop", kinds == [1, 2, 3] and all(sent.values()), f"{count} entries")
    is_whole = all(sorted(values) == list(range(accepted[n])) for n, values in sent.items())
    story.claim("every pulse that was accepted came, and once", is_whole, sum(accepted.values()))
    story.claim("a sender whose ring is full hears it (EAGAIN)", full > 0, f"{full} times")
    slowest = max(report[2] for report in reports.values())
    story.claim("no sender waits, though the server is busy", 0 < slowest < QUICK_TICKS, f"{slowest / 10:.1f} µs")
    first = _after_message(entries)
    order = [entry.priority for entry in first]
    story.claim("what came while it was busy is ordered by priority", order == sorted(order, reverse=True), len(order))
    ages = {
        (e.connection, e.priority): [f.value for f in first if (f.connection, f.priority) == (e.connection, e.priority)]
        for e in first
    }
    story.claim("and, of the same priority, by age", all(each == sorted(each) for each in ages.values()))
    forged = [entry for entry in entries if entry.connection == FORGER]
    story.claim(
        "who poses as the system is not believed", attacks[0] == FORGED and refused == FORGED, f"{refused} refused"
    )
    is_capped = all(entry.priority <= 50 for entry in forged)
    story.claim("nor is a priority above its own, and a spoilt ring harms nobody else", attacks[1] == 1 and is_capped)
    story.claim("nobody came to grief", not run.faults, run.faults)
    story.trace_hash = run.trace_hash


def _after_message(entries: list[Entry]) -> list[Entry]:
    """The first burst of both: all of it waited when the first message was answered."""
    start = next(index for index, entry in enumerate(entries) if not entry.is_pulse)
    return [e for e in entries[start:] if e.connection in PULSERS and e.is_pulse][: FIRST_BURST * len(PULSERS)]
