"""The same as ``sullen_disk`` in all its lives."""

from tests.servers.liars import sullen_disk


class Program(sullen_disk.Program):
    """The driver."""

    sullen_lives = 1 << 30
