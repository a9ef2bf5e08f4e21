"""A document goes through the hands of somebody who may read it: only who has the unsealer can change it."""

from attrs import frozen

from capkernel.tools.demo.stage import Stage
from capkernel.tools.demo.story import Story
from capkernel.tools.inject import Fault

TITLE = "a sealed box goes through untrusted hands; who has the unsealer gets more out of it than who carries it"
LONGEST_US = 200_000


@frozen
class Carrier:
    """What the carrier reports."""

    done: int
    readings: int
    tries: int
    opened: int
    written: int


@frozen
class Editor:
    """The editor's report."""

    done: int
    refused: int
    edited: int


def play(
    seed: int = 0, author: str = "seal_author.elf", faults: tuple[Fault, ...] = ()
) -> tuple[Carrier, Editor, str]:
    """Run the system once; with the hash of its trace."""
    stage = Stage("sealer", seed=seed, programs={"author": author}, faults=faults)
    stage.run_until(lambda: all(stage.words(f"report_{name}", 1)[0] for name in ("carrier", "editor")), LONGEST_US)
    carrier, editor = Carrier(*stage.words("report_carrier", 5)), Editor(*stage.words("report_editor", 3))
    run = stage.run(time_us=100)
    stage.close()
    return carrier, editor, run.trace_hash


def story(story: Story, *, everywhere: bool = False) -> None:
    """One run; one with an author who does not seal."""
    carrier, editor, story.trace_hash = play(story.seed)
    story.claim("the carrier could read the document", bool(carrier.done and carrier.readings))
    came_to_nothing = bool(carrier.done) and not carrier.opened and not carrier.written
    story.claim("it neither opened the box nor changed anything", came_to_nothing, f"{carrier.tries} tries")
    story.claim("the editor took none of the carrier's boxes for the author's", editor.refused > 1, editor.refused)
    story.claim("the editor opened the author's, and could change the document then", bool(editor.edited))
    careless, _, _ = play(story.seed, "careless_author.elf")
    story.claim("where the cap is not sealed the same carrier changes it", bool(careless.written), careless.written)
