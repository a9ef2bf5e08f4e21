"""What members of a scheduled system have done, by their own count, in windows of time."""

from collections.abc import Mapping, Sequence

from capkernel.tools.demo.stage import Stage

STEP_US = 50
"""What one count of a busy member stands for."""


def counted(stage: Stage, members: Sequence[str]) -> tuple[int, ...]:
    """Microseconds that each has worked so far."""
    return tuple(STEP_US * stage.words(f"report_{member}", 1)[0] for member in members)


def windows(
    stage: Stage, members: Sequence[str], *, window_us: int, every_us: int, count: int
) -> list[tuple[float, ...]]:
    """What each got in per cent of a window, for so many windows of which the next begins ``every_us`` later."""
    behind = window_us // every_us
    seen = [counted(stage, members)]
    for _ in range(count + behind - 1):
        stage.run(time_us=every_us)
        seen.append(counted(stage, members))
    return [
        tuple(100 * (late - early) / window_us for early, late in zip(seen[at], seen[at + behind], strict=True))
        for at in range(count)
    ]


def extremes(found: Sequence[Sequence[float]], members: Sequence[str]) -> Mapping[str, tuple[float, float]]:
    """The least and the most that each got in any window."""
    columns = zip(*found, strict=True)
    return {member: (min(column), max(column)) for member, column in zip(members, columns, strict=True)}


def shown(found: Mapping[str, tuple[float, float]]) -> str:
    """In words."""
    return ", ".join(f"{member} {least:.1f}–{most:.1f} %" for member, (least, most) in found.items())
