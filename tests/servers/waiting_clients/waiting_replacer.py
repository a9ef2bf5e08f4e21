"""Replaces just those who keep their clients waiting, again and again."""

from servers.clients.replacer import Program as Replacer


class Program(Replacer):
    plan = (("timer", 0), ("console", 0)) * 40
    pause = 5_000
