"""Replaces those who watch over others by their next versions, one after the other, and back."""

from servers.clients.replacer import Program as Replacer

LABELS = ("supervisor", "guardian", "metronome", "warden", "tickets", "supervisor")
OTHERS = ("supervisor", "guardian", "metronome", "warden")
"""Those of which there is another program."""


class Program(Replacer):
    """The program."""

    plan = tuple((label, int(label in OTHERS) * program) for program in (1, 0, 1, 0) for label in LABELS)
