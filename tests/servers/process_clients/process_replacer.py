"""Replaces just the process server, again and again."""

from servers.clients.replacer import Program as Replacer


class Program(Replacer):
    plan = (("processes", 0),) * 40
    pause = 300
    spread = 3000
