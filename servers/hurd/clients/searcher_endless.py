"""The naive searcher, for the directory without end."""

from servers.hurd.clients import searcher_naive


class Program(searcher_naive.Program):
    """The client."""

    targets = ("tree",)
