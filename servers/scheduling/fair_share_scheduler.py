"""The scheduler of fair shares: ``[weight]``, then a line for each member, as ``0 = 5``."""

from collections.abc import Mapping
from typing import Any

from servers.scheduling.fair_share import FairShare
from servers.scheduling.policy import Policy
from servers.scheduling.scheduler import SchedulerProgram


class Program(SchedulerProgram):
    """The program."""

    def policy(self, table: Mapping[str, Any]) -> tuple[list[int], Policy]:
        """As the table says."""
        weights = {int(member): int(weight) for member, weight in table["weight"].items()}
        return list(weights), FairShare(weights)
