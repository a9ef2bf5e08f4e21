"""HU-6: authority that is given up after something was opened, with one meaning.

A cap has rights, which were checked when it was opened, and ids, which decide what is opened below. To give ids up is
to ask for another cap, which has those of the rights that the ids that are left would be granted now. The old one
stays until it is dropped or revoked. Rights of a cap never grow.
"""

from capkernel.tools.demo.hurd.meeting import meet
from capkernel.tools.demo.story import Story

TITLE = "authority given up after open: the new cap has what the ids left would be granted, the old one all"
PROGRAMS = {"alice": "hurd_dropper", "mallory": "hurd_regainer"}
SECRET, GREETING, NO = "nobody else's", "what alice wrote", "NotPermitted"
MEANING = {
    "an open file is what it was opened as": {
        "diary before: read": SECRET, "diary before: write": "done", "greeting before: write": "done",
    },
    "without ids it is what nobody is granted: nothing of a private file": {
        "diary less: read": NO, "diary less: write": NO,
    },
    "to read of a public one": {"greeting less: read": GREETING, "greeting less: write": NO},
    "giving up ids that one has not got gives nothing": {
        "greeting asks for more: read": GREETING, "greeting asks for more: write": NO,
    },
    "through a directory without ids one opens what nobody is granted": {
        "directory less: ids": "()", "directory less: diary": NO, "directory less: greeting": "done",
    },
    "and changes nothing": {"directory less: create": NO, "directory less: attach": NO},
    "who proves who he is has ids again, for what is below": {
        "proved again: ids": "(1000,)", "proved again: diary": "done",
    },
    "but the rights of the directory itself do not grow": {"proved again: create": NO},
    "a mode counts for what is opened after it": {"opened after": NO},
    "not for what is open": {"open before its mode: read": SECRET, "open before its mode: write": "done"},
    "but for what is asked for after it": {"restricted after: read": SECRET, "restricted after: write": NO},
    "which does not grow either": {"restricted then": NO},
    "who drops the old cap keeps the new": {"after drop": GREETING},
    "who revokes the old ends the new": {"after revoke": "Gone"},
}  # fmt: skip
ATTEMPTS = {
    "reads the diary": NO, "opens to write": NO, "then reads": NO, "restricts to more": NO, "changes the mode": NO,
    "makes it its own": NO, "then reads as itself": NO, "asks for more": "()",
}  # fmt: skip


def story(story: Story, *, everywhere: bool = False) -> None:
    """One run; with ``everywhere`` one for each of 20 seeds, which shift the clock; one that gives nothing up."""
    for seed in range(story.seed, story.seed + (20 if everywhere else 1)):
        told = meet(seed, PROGRAMS)
        story.claim("all came to their end", told.is_over and not told.run.faults, told.run.faults)
        for text, wanted in MEANING.items():
            seen = {name: told.alice.get(name) for name in wanted}
            story.claim(text, seen == wanted, ", ".join(str(each) for each in seen.values()))
        for name, answer in ATTEMPTS.items():
            found = told.mallory.get(name)
            story.claim(f"who is handed what is left {name!r}: no", found == answer, found)
        own = told.mallory.get("proves itself"), told.mallory.get("reads the greeting")
        story.claim("it is itself there, and reads what all may", own == ("(1001,)", GREETING), own)
        story.trace_hash = told.run.trace_hash
    careless = meet(story.seed, {**PROGRAMS, "alice": "hurd_dropper_careless"})
    has_all = careless.mallory.get("reads the diary"), careless.mallory.get("changes the mode")
    story.claim("who is handed what nothing was given up of has it all", has_all == (SECRET, "done"), has_all)
