"""A document goes through the hands of somebody who may read it: only who has the unsealer can change it."""

from attrs import frozen

from capkernel.tools.demo.stage import Stage
from capkernel.tools.demo.story import Story
from capkernel.tools.demo.volumes import spread_from
from capkernel.tools.inject import Fault, Kind

TITLE = "a sealed box goes through untrusted hands; who has the unsealer gets more out of it than who carries it"
LONGEST_US = 400_000
FIRST, SAMPLE, ALL = 2, 3, 1_000


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


@frozen
class Outcome:
    """What came of a run; how often the server of boxes died, and how many steps it took."""

    carrier: Carrier
    editor: Editor
    deaths: int
    steps: int
    trace_hash: str

    @property
    def came_to_nothing(self) -> bool:
        """Whether the carrier tried everything, in vain."""
        return bool(self.carrier.done) and not self.carrier.opened and not self.carrier.written

    @property
    def came_through(self) -> bool:
        """Whether the editor got the author's box, among others, and what was in it."""
        return bool(self.carrier.readings and self.editor.edited) and self.editor.refused > 1


def play(seed: int = 0, author: str = "seal_author.elf", faults: tuple[Fault, ...] = ()) -> Outcome:
    """Run the system once."""
    stage = Stage("sealer", seed=seed, programs={"author": author}, faults=faults)
    stage.run_until(lambda: stage.have_reported("report_carrier", "report_editor"), LONGEST_US)
    carrier, editor = stage.report(Carrier, "report_carrier"), stage.report(Editor, "report_editor")
    deaths, steps = len(stage.injector.activated), stage.injector.steps["seals"]
    run = stage.run(time_us=100)
    stage.close()
    return Outcome(carrier, editor, deaths, steps, run.trace_hash)


def story(story: Story, *, everywhere: bool = False) -> None:
    """A calm run; runs in which the server of boxes dies; one with an author who does not seal."""
    calm = play(story.seed)
    carrier, editor, story.trace_hash = calm.carrier, calm.editor, calm.trace_hash
    story.claim("the carrier could read the document", bool(carrier.done and carrier.readings))
    story.claim("it neither opened the box nor changed anything", calm.came_to_nothing, f"{carrier.tries} tries")
    story.claim("the editor took none of the carrier's boxes for the author's", editor.refused > 1, editor.refused)
    story.claim("the editor opened the author's, and could change the document then", bool(editor.edited))
    played = [
        (step, play(story.seed, faults=(Fault("seals", step, Kind.CRASH),)))
        for step in spread_from(FIRST, calm.steps, ALL if everywhere else SAMPLE)
    ]
    story.claim("the server of boxes died", all(each.deaths for _, each in played), f"at {len(played)} points")
    lost = [step for step, each in played if not each.came_through]
    story.claim("each time the author's box was opened all the same, and no other", not lost, lost or "")
    loose = [step for step, each in played if not each.came_to_nothing]
    story.claim("and the carrier came to nothing", not loose, loose or "")
    careless = play(story.seed, "careless_author.elf").carrier
    story.claim("where the cap is not sealed the same carrier changes it", bool(careless.written), careless.written)
