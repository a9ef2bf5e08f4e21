"""Domain and type enforcement (Boebert and Kain, 1985; Badger and others, 1995): a table says all that may be.

Subjects are in domains, services are of types, and a cell of the table has rights. What is not in the table is refused.
"""

from collections.abc import Mapping

from attrs import frozen

from capkernel.protocols.brokering import RIGHT_NAMES, Question, Verdict
from policies.models.model import Memoryless, allow, refuse


@frozen
class Table:
    """Each subject's domain, each service's type, and the rights that a domain has to a type."""

    domains: Mapping[str, str]
    types: Mapping[str, str]
    rights: Mapping[tuple[str, str], int]


class DomainAndType(Memoryless):
    """The policy."""

    name = "domain and type"

    def __init__(self, table: Table) -> None:
        self.table = table

    def judge(self, question: Question) -> Verdict:
        """All the rights that are wanted must be in the cell."""
        domain, kind = self.table.domains.get(question.subject), self.table.types.get(question.service)
        if domain is None or kind is None:
            return refuse(f"{question.service if domain else question.subject} is not in the table")
        allowed = self.table.rights.get((domain, kind), 0)
        missing = [name for right, name in RIGHT_NAMES.items() if question.rights & right & ~allowed]
        if missing or question.rights & ~allowed:
            return refuse(f"domain {domain} may not {' or '.join(missing) or 'do that to'} type {kind}")
        return allow(f"domain {domain} has that to type {kind}")
