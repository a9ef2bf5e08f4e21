"""L4-2: recursive address spaces. A maps to B, B maps to C; what A unmaps both lose, what B grants B has no more."""

from attrs import frozen

from capkernel.tools.demo.l4.looking import View
from capkernel.tools.demo.stage import Stage
from capkernel.tools.demo.story import Story

TITLE = "map A → B → C; what A unmaps B and C lose, and fault at their own pagers; what is granted, the granter loses"
FIRST = {"a": 0x2000_0000, "b": 0x1000_0000, "c": 0x3000_0000}
SECOND = {pd: address + 0x1000 for pd, address in FIRST.items()}
LENT = {"a": 0x2000_3000, "grabber": 0x3800_0000}
STAGES, LONGEST_US, SLICE_US = 8, 200_000, 500
FIRST_WORD, SECOND_WORD, SECRET, FORGED = 0xC0FFEE, 0xBEEF, 0x5EC2E7, 0xBAD


@frozen
class Seen:
    """What was so at one stage: of the two pages, and how many faults of B came to A, and of C to B."""

    first: View
    second: View
    faults_of_b: int
    faults_of_c: int


def story(story: Story, *, everywhere: bool = False) -> None:
    """One run, looked at from outside at each stage; another with a mapper that lets rights grow. With ``everywhere``
    for ten seeds, which shift the clock.
    """
    for seed in range(story.seed, story.seed + (10 if everywhere else 1)):
        _tell(story, seed)


def _tell(story: Story, seed: int) -> None:
    stage = Stage("l4_mapping", seed=seed)
    seen = [_at(stage, number) for number in range(1, STAGES + 1)]
    for number, each in enumerate(seen, 1):
        story.tell(f"{number}: page 1: {each.first};  page 2: {each.second}")
    mapped, taken, again, thinned, risen, granted, touched, end = seen
    stage.run_until(lambda: bool(stage.words("a_report", 3)[2]), LONGEST_US, SLICE_US)
    _, read, reread = stage.words("c_report", 3)
    refusals = stage.words("grabber_report", 4)
    denied = stage.words("a_report", 3)[2]
    run = stage.run(time_us=1_000)
    secret = _word(stage, "a", LENT["a"])
    stage.close()
    story.claim("three spaces have one frame, C's page came of B's, B's of A's", mapped.first.shared, mapped.first)
    story.claim("A's unmap takes it from both", _have(taken.first) == {"a"}, taken.first)
    faults = again.faults_of_c - taken.faults_of_c, again.faults_of_b - taken.faults_of_b
    story.claim("the next access to each of the two faults to each one's pager: C's to B, B's to A", faults == (2, 2))
    story.claim("and is served with the same frame, and what was in it", again.first.shared and read == FIRST_WORD)
    story.claim(
        "a right alone can be taken: B and C may read what they cannot write",
        thinned.first.rights("b") == thinned.first.rights("c") == "r" and thinned.first.rights("a") == "rw",
        thinned.first,
    )
    story.claim("C reads on without a fault", reread == FIRST_WORD)
    risen_by = risen.faults_of_c - thinned.faults_of_c, risen.faults_of_b - thinned.faults_of_b
    story.claim("its write is one fault at B, and B's one at A", risen_by == (1, 1), risen_by)
    story.claim("grant removes the page from the granter", _have(granted.second) == {"a", "c"}, granted.second)
    frames = {page[0] for page in (risen.second.pages["c"], granted.second.pages["c"]) if page}
    story.claim("whoever it is granted to has the frame itself", len(frames) == 1)
    story.claim(
        "the granter's next access faults to its pager",
        touched.faults_of_b == granted.faults_of_b + 1 and touched.second.shared,
    )
    story.claim("A unmaps what was granted on as well", _have(end.second) == _have(end.first) == {"a"}, end.second)
    _, refused, tried, wrote = refusals
    story.claim("an attacker with one page to read cannot make it writable", tried > 0 and not wrote, f"{tried} tries")
    story.claim("it faults when it writes, and stops; the page is as it was", denied == 1 and secret == SECRET)
    story.claim("nobody else stopped", not run.faults, run.faults)
    story.figures["attempts refused outright"] = f"{refused} of {tried}; the others gave it no right that it lacked"
    story.trace_hash = run.trace_hash
    lax = Stage("l4_mapping", seed=seed, programs={"mapper": "l4_mapper_lax.elf"})
    lax.run_until(lambda: bool(lax.words("grabber_report", 4)[3]), LONGEST_US, SLICE_US)
    secret = _word(lax, "a", LENT["a"])
    lax.close()
    story.claim("with a mapper that lets rights grow it writes A's page", secret == FORGED, f"{secret:#x}")


def _at(stage: Stage, number: int) -> Seen:
    """How things stand when A has come to a stage, at which it rests for a while."""
    stage.run_until(lambda: stage.words("a_report", 1)[0] >= number, LONGEST_US, SLICE_US)
    return Seen(
        View.of(stage, FIRST), View.of(stage, SECOND), stage.words("a_report", 2)[1], stage.words("b_report", 1)[0]
    )


def _have(view: View) -> set[str]:
    return {pd for pd, page in view.pages.items() if page}


def _word(stage: Stage, pd: str, address: int) -> int:
    """A word of a domain's memory, read from outside."""
    page = View.of(stage, {pd: address}).pages[pd]
    return int.from_bytes(stage.system.machine.read_bytes(page[0], 8), "little") if page else -1
