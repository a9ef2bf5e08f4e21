"""HU-1: an unprivileged user puts a translator on a node of its own, and cannot on another's; detached, it is back.

The translator crashes at each of its steps.
"""

from capkernel.tools.demo.hurd.numbered import process
from capkernel.tools.demo.hurd.playing import Outcome, play
from capkernel.tools.demo.storage import spread
from capkernel.tools.demo.story import Story
from capkernel.tools.inject import Fault, Kind

TITLE = "a user puts a translator on a node of its own, and cannot on another's; detached, the node is what it was"
OWN, TRANSLATED = "what alice wrote", "from a translator\n"
POINTS = 2
REFUSED = {
    "writes": "open it to write through the translator", "detaches": "take the translator away",
    "attaches": "put its own in the place of alice's", "attaches to a directory": "put one on alice's directory",
    "sets passive": "leave a command line there", "takes it over": "make the node its own",
    "opens to write": "open alice's directory to write", "as more": "be more by asking for more ids",
    "reads the diary": "read what only alice may", "starts as alice": "have something started as alice",
}  # fmt: skip


def story(story: Story, *, everywhere: bool = False) -> None:
    """One run; one for each of some crashes of the translator; one with a file server that does not look at owners."""
    calm = play(story.seed)
    _calm(story, calm)
    steps = calm.steps[process(1)]
    story.tell(f"alice's translator makes {steps} steps")
    crashes = [
        play(story.seed, (Fault(process(1), step, Kind.CRASH),))
        for step in spread(steps, steps if everywhere else POINTS)
    ]
    _crashed(story, [outcome for outcome in crashes if outcome.activated])
    story.tell("and once more with a file server that does not look at owners")
    open_to_all = play(story.seed, programs={"nodes": "hurd_nodes_unchecked"})
    story.claim(
        "without owners mallory takes alice's translator away, and puts its own there",
        open_to_all.mallory["attaches"] == "done" and open_to_all.alice["still attached"] == "from mallory\n",
        open_to_all.alice["still attached"].strip(),
    )
    story.trace_hash = calm.run.trace_hash


def _calm(story: Story, outcome: Outcome) -> None:
    alice, mallory = outcome.alice, outcome.mallory
    story.claim("both came to their end", outcome.is_over and not outcome.run.faults, outcome.run.faults)
    story.claim("alice, who is not root, puts a translator on her node", alice["attach"] == "done", alice["attach"])
    story.claim("then she reads what it serves", (alice["before"], alice["attached"]) == (OWN, TRANSLATED))
    story.claim("and so does mallory", mallory["reads"] == TRANSLATED, mallory["reads"].strip())
    for name, text in REFUSED.items():
        story.claim(f"mallory cannot {text}", mallory[name] == "NotPermitted", mallory[name])
    story.claim("alice's translator is still there", alice["still attached"] == TRANSLATED)
    story.claim("on a node of its own mallory may", mallory["own node read"] == "from mallory\n")
    rubbish = mallory["rubbish read"]
    story.claim("a cap that is no server's harms nobody", rubbish == "Malformed", rubbish)
    story.claim("detached, the node is what it was", alice["detached"] == OWN, alice["detached"])
    story.claim("what was opened before goes on", alice["opened before"] == TRANSLATED)
    story.claim("until the translator ends; then it is gone", alice["after its end"] == "Gone", alice["after its end"])
    story.claim("all that it took is back", alice["memory taken"] == "(0, 0)", alice["memory taken"])


def _crashed(story: Story, outcomes: list[Outcome]) -> None:
    runs = f"{len(outcomes)} runs"
    is_over = bool(outcomes) and all(outcome.is_over for outcome in outcomes)
    story.claim("a crash of the translator keeps nobody waiting", is_over, runs)
    story.claim("nobody else stops", all(not outcome.run.faults for outcome in outcomes))
    seen = {outcome.mallory.get("reads", "?") for outcome in outcomes}
    either = seen <= {OWN, TRANSLATED, "Gone", "ServerDied"}
    story.claim("who reads meanwhile is told, or reads one or the other", either, sorted(seen))
    story.claim("mallory cannot do more", all(
        outcome.mallory.get(name) == "NotPermitted" for outcome in outcomes for name in REFUSED
    ))  # fmt: skip
    story.claim("the node is what it was afterwards", all(o.alice.get("detached") == OWN for o in outcomes), runs)
    story.claim("all is given back", all(o.alice.get("memory taken") == "(0, 0)" for o in outcomes))
