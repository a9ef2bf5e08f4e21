"""L4-3: sigma0 hands out each frame once. Two clients take all there is; then each asks again for what it has."""

from typing import Final

from attrs import frozen

from capkernel.tools.demo.l4.looking import pages_of
from capkernel.tools.demo.stage import Stage
from capkernel.tools.demo.story import Story
from capkernel.tools.tour_systems import Run

TITLE = "sigma0 hands out each frame once, RAM and devices; a second request is denied; what it handed out sums to all"
CLIENTS: Final = ("first", "second")
RAM: Final = 1 << 18
"""Bytes that the description gives for tasks."""
DEVICES: Final = {0x101000, 0x1000_1000}
RANGE: Final = range(0x2000_0000, 0x3800_0000)
"""Where clients have what they got."""
PAGE, LONGEST_US = 0x1000, 200_000


@frozen
class Outcome:
    """The clients' reports, and the frames that each has, as its page table says."""

    reports: list[tuple[int, ...]]
    robbery: tuple[int, ...]
    """Requests of the robber's, those that were granted; calls to the accomplice, bytes that it could have taken."""
    frames: list[list[int]]
    run: Run
    is_over: bool


def story(story: Story, *, everywhere: bool = False) -> None:
    """One run, and one with a sigma0 that forgets; with ``everywhere`` for ten seeds, which shift the clock."""
    for seed in range(story.seed, story.seed + (10 if everywhere else 1)):
        _tell(story, seed)


def _tell(story: Story, seed: int) -> None:
    seen = _play(seed)
    _, bytes_got, pieces, asked, denied, devices, foreign = (sum(column) for column in zip(*seen.reports, strict=True))
    frames = [frame for had in seen.frames for frame in had]
    ram = sorted(set(frames) - DEVICES)
    for name, report in zip(CLIENTS, seen.reports, strict=True):
        story.tell(f"{name}: {report[1]:,} bytes in {report[2]} pieces, {report[5]} devices")
    story.claim("both took all that they could get, and both got something", seen.is_over and all(seen.frames))
    story.claim("no frame is anybody's twice", len(set(frames)) == len(frames), f"{len(frames)} frames")
    story.claim("they sum to the RAM that sigma0 was given", len(ram) * PAGE == bytes_got == RAM, f"{RAM:,} bytes")
    story.claim("without a gap: it is that memory and no other", ram == list(range(ram[0], ram[0] + RAM, PAGE)))
    story.claim("each device went to one of them", devices == len(DEVICES) and set(frames) >= DEVICES, devices)
    story.claim("a second request is denied, one's own pages included", asked == denied == pieces + 4, f"{asked} tried")
    story.claim("what sigma0 has not got nobody gets: the kernel's memory, the interrupt controller", foreign == 0)
    story.claim(
        "who passes off something else as his space gets nothing", seen.robbery == (2, 0, 0, 0), seen.robbery[1]
    )
    story.claim("nobody stopped", not seen.run.faults, seen.run.faults)
    story.trace_hash = seen.run.trace_hash
    trusting = _play(seed, {"sigma0": "l4_sigma0_trusting.elf"})
    taken = trusting.robbery[3]
    story.claim("a sigma0 that asks that something to map hands it the root space", taken >= RAM, f"{taken:,} bytes")
    forgetful = _play(seed, {"sigma0": "l4_sigma0_forgetful.elf"})
    frames = [frame for had in forgetful.frames for frame in had]
    story.claim("a sigma0 that does not write down gives a device twice", len(set(frames)) < len(frames))


def _play(seed: int, programs: dict[str, str] | None = None) -> Outcome:
    stage = Stage("l4_sigma0", seed=seed, programs=programs)
    is_over = stage.run_until(
        lambda: all(stage.words(f"{name}_report", 1)[0] for name in (*CLIENTS, "robber")), LONGEST_US
    )
    reports = [stage.words(f"{name}_report", 7) for name in CLIENTS]
    robbery = stage.words("robber_report", 2) + stage.words("accomplice_report", 2)
    frames = [pages_of(stage, name, RANGE) for name in CLIENTS]
    run = stage.run(time_us=1)
    stage.close()
    return Outcome(reports, robbery, frames, run, is_over)
