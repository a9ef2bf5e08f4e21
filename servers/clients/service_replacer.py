"""Replaces servers of the system by their next versions, one after the other, and all of them once more."""

from servers.clients.replacer import Program as Replacer

LABELS = (
    "console", "timer", "rtc", "entropy", "disk", "files", "log", "audit", "names", "memory", "usage",
    "processes",
)  # fmt: skip


class Program(Replacer):
    """The program."""

    plan = tuple((label, 0) for label in (*LABELS, *reversed(LABELS)))
