"""Reads the other company's archive."""

from policies.clients.path_reader import PathReader


class Program(PathReader):
    """The client."""

    own, other = "blue", "red"
