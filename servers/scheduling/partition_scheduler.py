"""The scheduler of adaptive partitions.

[[partition]]
name = "system"
share = 70
critical_us = 5000     # a window of 100 ms; 0 when not said
channel = 20           # to be signalled when it is bankrupt, if somebody is

[[member]]
number = 0             # as a child of the scheduler
partition = "system"
priority = 10
is_critical = true
"""

from collections.abc import Mapping
from typing import Any

from servers.scheduling.partitions import Member, Partition, Partitions
from servers.scheduling.policy import Policy
from servers.scheduling.scheduler import SchedulerProgram


class Program(SchedulerProgram):
    """The program."""

    def policy(self, table: Mapping[str, Any]) -> tuple[list[int], Policy]:
        """As the table says."""
        members = [Member(**entry) for entry in table["member"]]
        partitions = [Partition(**entry) for entry in table["partition"]]
        return [member.number for member in members], Partitions(partitions, members)
