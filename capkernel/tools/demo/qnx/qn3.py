"""QN-3: resource managers attach to paths, a client's open is a session with one of them, several are a union."""

from capkernel.tools.demo.stage import Stage
from capkernel.tools.demo.story import Story

TITLE = "resource managers: /dev/x from a path server, open returns a session, two at one path are a union"
PLACE = 64
ENTRIES = 16
LONGEST_US = 200_000
EXPECTED = {
    "a path leads to the resource manager that attached there": {"/dev/x": "0123456789"},
    "in a union the one in front is asked first": {"/fs/first": "1: first", "/fs/both": "1: both"},
    "and the one behind for what that does not know": {"/fs/second": "2: second", "/fs/none": "NotFound"},
    "a prefix ends at a '/', and a device has nothing below": {"/dev/xy": "NotFound", "/dev": "NotFound"},
    "what is no path is refused": {"dev/x": "Malformed", "/dev/../dev/x": "Malformed"},
}
PATHS = ("/dev/x", "/fs/first", "/fs/second", "/fs/both", "/fs/none", "/dev/xy", "/dev", "dev/x", "/dev/../dev/x")


def story(story: Story, *, everywhere: bool = False) -> None:
    """One run; with ``everywhere`` one for each of 20 seeds, which shift the clock."""
    for seed in range(story.seed, story.seed + (20 if everywhere else 1)):
        _tell(story, seed)


def _tell(story: Story, seed: int) -> None:
    stage = Stage("qnx_paths", seed=seed)
    stage.run_until(lambda: stage.words("report", 1)[0] == ENTRIES, LONGEST_US)
    run = stage.run(time_us=1)
    count = stage.words("report", 1)[0]
    data = stage.system.read_region("report")[8:]
    stage.close()
    texts = [data[PLACE * index : PLACE * (index + 1)].rstrip(b"\0").decode() for index in range(count)]
    found = dict(zip(PATHS, texts, strict=False))
    for text, wanted in EXPECTED.items():
        seen = {path: found.get(path) for path in wanted}
        story.claim(text, seen == wanted, ", ".join(f"{path}: {what}" for path, what in seen.items()))
    rest = texts[len(PATHS) :]
    if len(rest) != ENTRIES - len(PATHS):
        story.claim("the client came to its end", False, f"{count} entries")
        return
    shared, closed, alive, read_only, front, others, after = rest
    story.claim("two sessions have positions of their own, and see each other's writing", shared == "01|01!!", shared)
    story.claim("a session that was closed is gone, the other goes on", (closed, alive) == ("Gone", "4"), closed)
    story.claim("who opened to read cannot write", read_only == "NotPermitted", read_only)
    story.claim("a client cannot put itself in front of /dev/x", front == "NotPermitted", front)
    story.claim("nor take away what is another's", others == "NotFound", others)
    story.claim("and /dev/x is what it was", after == "01!!456789", after)
    story.trace_hash = run.trace_hash
