"""What the programs of ``bench.policies`` and whoever measures them agree on."""

from typing import Final

ROUNDS: Final = 50
HELD: Final = (0, 1, 4, 16)
"""Grants that there are when the rules change."""
MARK, HOLDS, GO = range(3)
"""Words of the asker's report: how far it is; how many grants it has; how many it is to have."""
CHANGES, ASKED, ANSWERED, ENTRIES, WANTED = range(5)
"""Words of the changer's report: changes that were made; when the last was asked for and answered, in ticks; how many
grants ended by it; how many changes are wanted. Each second one takes everything away.
"""
KIND_RULES: Final = """
[[policy]]
kind = "secrecy"
levels = ["public", "secret"]
subjects = { alice = "secret", bob = "public", mallory = "public" }
services = { plans = "secret", bulletin = "public", payroll = "secret" }
"""
HARSH_RULES: Final = """
[[policy]]
kind = "secrecy"
levels = ["public", "secret"]
subjects = { alice = "public", bob = "public", mallory = "public" }
services = { plans = "secret", bulletin = "secret", payroll = "secret" }
"""
