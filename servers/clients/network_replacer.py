"""Replaces what a machine's network is made of, again and again, while it is used."""

from servers.clients.replacer import Program as Replacer

LABELS = ("network", "card", "web", "network", "files", "web", "disk")
ROUNDS = 3
LEAD, PAUSE, SPREAD = 800_000, 20_000, 100_000
"""Ticks until the first, so that what is to be there for browsers is there; between two, and up to so many more."""


class Program(Replacer):
    """The program."""

    plan = tuple((label, 0) for label in LABELS * ROUNDS)
    lead, pause, spread = LEAD, PAUSE, SPREAD
