"""Caps across kernels: calls, caps in arguments, an introduction, a partition, and a revocation that reaches everybody.

Machine c has a library of files and lends it to a; b has a copier and lends that to a. The user of a hands the copier
a file of its own and the library, so b reads from a and writes to c, directly.
"""

from importlib.util import find_spec

from attrs import frozen

from capkernel.tools.demo.remote.machines import Machines
from capkernel.tools.demo.remote.wire import Weather
from capkernel.tools.demo.story import Story
from capkernel.tools.inject import Fault, Kind

TITLE = "three machines lend each other files and a copier; the wire is cut; what was lent is taken back"
USERS = {"a": "traveller", "b": "remote_idler", "c": "lender"}
LONGEST_US = 2_000_000
STORM = Weather(loss=0.1, double=0.1, late=0.2)
MORTALS = (("a", "card"), ("c", "gateway"), ("c", "courier0"), ("c", "card"))
WITHDRAW, COUNT = 1, 2
"""Orders to the lender."""


@frozen
class Traveller:
    """What the user of a reports."""

    done: int
    seen: int
    copied: int
    made: int
    unreachable: int
    uncertain: int
    other: int
    last_us: int
    tries: int
    after: int
    call_us: int


@frozen
class Lender:
    """What the user of c reports."""

    done: int
    answered_us: int
    told: int
    silent: int
    files: int
    asked_us: int


@frozen
class Outcome:
    """What came of a run: the traveller before the wire was cut, while it was, and at the end."""

    before: Traveller
    during: Traveller
    healed: Traveller
    after: Traveller
    lender: Lender
    direct: int
    readable: int
    trace_hash: str


def _traveller(machines: Machines) -> Traveller:
    return Traveller(*machines["a"].words("report", 11))


def play(seed: int = 0, weather: Weather | None = None, *, late_word: bool = False) -> Outcome:
    """Run once; with ``late_word`` the wire is cut again before the withdrawal, and whole again after it."""
    machines = Machines(USERS, seed=seed, weather=weather)
    wire = machines.wire
    machines.run_until(lambda: bool(_traveller(machines).copied), LONGEST_US)
    between = [(frame[:6], frame[6:12]) for frame in wire.seen]
    to_c, from_b = machines.plan.address("c"), machines.plan.address("b")
    machines.run_until(lambda: _traveller(machines).made > 2, LONGEST_US)
    before = _traveller(machines)
    wire.part("a", "c")
    machines.run_until(lambda: _traveller(machines).unreachable > 0, LONGEST_US)
    during = _traveller(machines)
    wire.heal()
    machines.run_until(lambda: _traveller(machines).made > during.made + 2, LONGEST_US)
    healed = _traveller(machines)
    if late_word:
        wire.part("a", "c")
    machines["c"].write_words("orders", WITHDRAW)
    machines.run_until(lambda: machines["c"].words("report", 1)[0] == WITHDRAW, LONGEST_US)
    wire.heal()
    machines.run_until(lambda: bool(_traveller(machines).done), LONGEST_US)
    machines["c"].write_words("orders", COUNT)
    machines.run_until(lambda: machines["c"].words("report", 1)[0] == COUNT, LONGEST_US)
    outcome = Outcome(
        before, during, healed, _traveller(machines), Lender(*machines["c"].words("report", 6)),
        between.count((to_c, from_b)),
        sum(b"from the traveller" in frame for frame in wire.seen), machines.trace_hash,
    )  # fmt: skip
    machines.close()
    return outcome


def survives(machine: str, name: str, steps: int, seed: int = 0) -> bool:
    """Whether files are made and the revocation holds though a program crashes, so many steps after files are made.

    False if it did not crash.
    """
    calm = Machines(USERS, seed=seed)
    calm.run_until(lambda: _traveller(calm).made > 2, LONGEST_US)
    step = calm[machine].injector.steps[name] + steps
    calm.close()
    machines = Machines(USERS, seed=seed, faults={machine: (Fault(name, step, Kind.CRASH),)})
    machines.run_until(lambda: bool(machines[machine].injector.activated), LONGEST_US)
    made = _traveller(machines).made
    machines.run_until(lambda: _traveller(machines).made > made + 2, LONGEST_US)
    is_used = _traveller(machines).made > made + 2
    machines["c"].write_words("orders", WITHDRAW)
    machines.run_until(lambda: bool(_traveller(machines).done), LONGEST_US)
    found, crashed = _traveller(machines), len(machines[machine].injector.activated)
    machines.close()
    return bool(crashed and is_used and found.done and not found.after)


def story(story: Story, *, everywhere: bool = False) -> None:
    """A calm wire, and a bad one; a revocation whose word comes late."""
    if find_spec("biscuit_auth") is None:
        story.skip("there is no biscuit-python: pip install 'capkernel[remote]'")
        return
    calm = play(story.seed)
    before, during, healed, after, lender = calm.before, calm.during, calm.healed, calm.after, calm.lender
    story.claim("a wrote a file of c's and read it back", bool(before.seen), f"first call {before.call_us} us")
    story.claim("b copied a's file to c", before.copied == 900, f"{before.copied} bytes are the same")
    story.claim("b spoke to c itself", calm.direct > 0, f"{calm.direct} frames from b to c")
    story.claim("nothing that was written could be read on the wire", calm.readable == 0)
    lost = during.unreachable + during.uncertain
    story.claim("with the wire cut, each call failed", during.made == before.made and lost > 0, f"{lost} failures")
    story.claim("the one that had been sent was not known to be done or not", during.uncertain <= 1, during.uncertain)
    story.claim("when it was whole again all went on", healed.made > during.made, f"{healed.made} files")
    story.claim("no other failure was seen", after.other == 0, after.other)
    story.claim("the revocation was told to a and b", (lender.told, lender.silent) == (2, 0), f"{lender.told} told")
    story.claim("after it nothing worked", bool(after.done and not after.after), f"{after.tries} tries")
    story.claim("and nothing was begun that worked once it was answered", after.last_us <= lender.answered_us)
    _at_most_once(story, "each file was made once", calm)
    for number in range(4 if everywhere else 1):
        storm = play(story.seed + number, STORM, late_word=True)
        _at_most_once(story, f"on a bad wire (seed {story.seed + number}) no file was made twice", storm)
        held = storm.before.copied == 900 and storm.healed.made > storm.during.made
        story.claim("there the same was done", held, f"{storm.after.made} files")
        story.claim("cut off, a could not be told", storm.lender.silent == 1, f"{storm.lender.told} told")
        story.claim("and yet nothing worked afterwards", bool(storm.after.done and not storm.after.after))
    if everywhere:
        loose = [f"{machine}/{name} {steps}" for machine, name in MORTALS for steps in (5, 20)
                 if not survives(machine, name, steps)]  # fmt: skip
        story.claim("whoever dies, files are made again, and the revocation holds", not loose, loose)
    story.figures["revocation"] = f"{lender.answered_us - lender.asked_us} us"
    story.trace_hash = calm.trace_hash


def _at_most_once(story: Story, claim: str, outcome: Outcome) -> None:
    made, files = outcome.after.made, outcome.lender.files
    is_once = made <= files <= made + outcome.after.uncertain and outcome.after.other == 0
    story.claim(claim, is_once, f"{made} answered, {outcome.after.uncertain} uncertain, {files} there")
