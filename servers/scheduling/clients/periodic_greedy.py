"""A periodic task whose jobs need twice what the task said."""

from servers.scheduling.clients import periodic


class Program(periodic.Program):
    """The task."""

    TIMES = 2
