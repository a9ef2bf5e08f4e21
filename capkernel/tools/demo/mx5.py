"""MX-5: a driver tries a foreign interrupt, device, server and memory: exactly four denials, no effect."""

from capkernel.tools.demo.stage import Stage
from capkernel.tools.demo.story import Story
from hwmodel.cpu.trap import PAGE_FAULT, Trap

TITLE = "a driver that tries what its description does not give it is denied four times, without effect"
LONGEST_US = 1_000_000
PATTERN = bytes(range(256)) * 16


def story(story: Story, *, everywhere: bool = False) -> None:
    """One run: two tries are answered with an error, one ends in a fault, the last at the IOMMU."""
    stage = Stage("privilege", seed=story.seed)
    faults = _page_faults(stage, "intruder")
    stage.run_until(lambda: bool(stage.words("tries", 4)[3]), LONGEST_US)
    run = stage.run(time_us=50_000)
    tries, errors, effects, done = stage.words("tries", 4)
    others = stage.system.read_region("others")
    refused = stage.disk_device.port.refused
    stage.close()
    story.claim("four tries were made, and the driver came to its end", (tries, done) == (4, 1), tries)
    story.claim("an interrupt and a server for which it has no cap: InvalidCapability, twice", errors == 2, errors)
    story.claim("a device that it does not map: a fault", len(faults) == 1, len(faults))
    story.claim("memory beyond the map: the IOMMU refused it, once", refused == 1, refused)
    denials = errors + len(faults) + refused
    story.claim("that makes four denials, and no try had an effect", denials == 4 and not effects, denials)
    story.claim("the memory of others is as it was, and no interrupt reached them",
                others[:4096] == PATTERN and not any(others[4096:]))  # fmt: skip
    story.claim("nobody else stopped", not run.faults, run.faults)
    story.trace_hash = run.trace_hash


def _page_faults(stage: Stage, pd: str) -> list[int]:
    """The addresses at which a domain will have page faults: a list that grows."""
    found: list[int] = []

    def look(trap: Trap) -> None:
        if trap.kind == PAGE_FAULT and stage.system.loop.state.current is stage.system.threads.get(pd):
            found.append(trap.value)

    stage.system.loop.before.append(look)
    return found
