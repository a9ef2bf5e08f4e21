"""Replaces what a machine's network is made of, again and again, while it is used."""

from servers.clients.replacer import Program as Replacer

LABELS = ("network", "card", "web", "network")
ROUNDS = 4


class Program(Replacer):
    """The program."""

    plan = tuple((label, 0) for label in LABELS * ROUNDS)
