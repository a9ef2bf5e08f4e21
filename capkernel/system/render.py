"""An authority graph as table rows, Graphviz, Mermaid, or plain data for JSON.

Rights that one subject has on one object for one reason are shown together.
"""

from collections.abc import Iterable, Iterator
from itertools import groupby

from attrs import frozen

from capkernel.system.authority import AuthorityGraph, Edge, Node, NodeKind
from capkernel.system.diagnostics import Diagnostic, Location
from capkernel.system.findings import Finding

Data = dict[str, object]

COLUMNS = ("subject", "may", "object", "because", "line")

_DOT_SHAPES = {
    NodeKind.PD: "box",
    NodeKind.GUEST: "box3d",
    NodeKind.REGION: "cylinder",
    NodeKind.DEVICE: "component",
    NodeKind.IRQ: "diamond",
    NodeKind.IOPORTS: "component",
    NodeKind.IO_SPACE: "house",
    NodeKind.FIRMWARE: "octagon",
    NodeKind.UNTYPED: "folder",
    NodeKind.REPLY: "cds",
    NodeKind.SLOTS: "note",
    NodeKind.ASIDS: "note",
    NodeKind.TIME: "note",
}
_MERMAID_BRACKETS = {
    NodeKind.PD: ("[", "]"),
    NodeKind.GUEST: ("[[", "]]"),
    NodeKind.REGION: ("[(", ")]"),
    NodeKind.DEVICE: ("{{", "}}"),
    NodeKind.IRQ: ("{", "}"),
    NodeKind.IOPORTS: ("{{", "}}"),
    NodeKind.IO_SPACE: ("[/", "/]"),
    NodeKind.FIRMWARE: ("((", "))"),
    NodeKind.UNTYPED: ("[\\", "\\]"),
    NodeKind.REPLY: ("([", "])"),
    NodeKind.SLOTS: ("[/", "\\]"),
    NodeKind.ASIDS: ("[/", "\\]"),
    NodeKind.TIME: ("[/", "\\]"),
}


@frozen
class Row:
    """Rights that one line of the description gives, for example read and write by a map."""

    subject: Node
    rights: tuple[str, ...]
    object: Node
    reason: str
    where: Location

    def cells(self) -> tuple[str, ...]:
        """The texts of a table row, in the order of ``COLUMNS``."""
        line = str(self.where.line) if self.where.line else ""
        return str(self.subject), ", ".join(self.rights), str(self.object), self.reason, line


def rows(graph: AuthorityGraph) -> tuple[Row, ...]:
    """The edges, grouped, in the order of the description."""
    return tuple(_rows(graph.edges))


def _rows(edges: Iterable[Edge]) -> Iterator[Row]:
    for (subject, object_, reason, where), group in groupby(edges, _same_line):
        rights = tuple(edge.right.value for edge in group)
        yield Row(subject, rights, object_, reason, where)


def _same_line(edge: Edge) -> tuple[Node, Node, str, Location]:
    return edge.subject, edge.object, edge.reason, edge.where


def to_dot(graph: AuthorityGraph) -> str:
    """A Graphviz digraph; edges lead from subject to object."""
    lines = ["digraph authority {", "    rankdir=LR;"]
    for node in graph.nodes:
        shape = _DOT_SHAPES[node.kind]
        lines.append(f"    {_dot(node.full_name)} [label={_dot(str(node))}, shape={shape}];")
    for row in rows(graph):
        ends = f"{_dot(row.subject.full_name)} -> {_dot(row.object.full_name)}"
        lines.append(f"    {ends} [label={_dot(', '.join(row.rights))}];")
    return "\n".join([*lines, "}"]) + "\n"


def _dot(text: str) -> str:
    """A quoted Graphviz string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def to_mermaid(graph: AuthorityGraph) -> str:
    """A Mermaid flowchart; edges lead from subject to object."""
    ids = {node: f"n{number}" for number, node in enumerate(graph.nodes)}
    lines = ["flowchart LR"]
    for node, name in ids.items():
        opening, closing = _MERMAID_BRACKETS[node.kind]
        lines.append(f"    {name}{opening}{_mermaid(str(node))}{closing}")
    for row in rows(graph):
        label = _mermaid(", ".join(row.rights))
        lines.append(f"    {ids[row.subject]} -->|{label}| {ids[row.object]}")
    return "\n".join(lines) + "\n"


def _mermaid(text: str) -> str:
    """A quoted Mermaid text."""
    escaped = text.replace("#", "#35;").replace('"', "#quot;").replace("\n", " ")
    return f'"{escaped}"'


def graph_data(graph: AuthorityGraph) -> Data:
    """Nodes and edges as plain data."""
    return {
        "nodes": [{"id": node.full_name, "name": node.name, "kind": node.kind.value} for node in graph.nodes],
        "edges": [
            {
                "subject": row.subject.full_name,
                "rights": list(row.rights),
                "object": row.object.full_name,
                "reason": row.reason,
                **place_data(row.where),
            }
            for row in rows(graph)
        ],
    }


def place_data(where: Location) -> Data:
    """A source location as plain data."""
    return {"file": where.file, "line": where.line, "column": where.column}


def diagnostic_data(diagnostic: Diagnostic) -> Data:
    """A reason for a refusal as plain data."""
    return {
        **place_data(diagnostic.where),
        "message": diagnostic.message,
        "hint": diagnostic.hint,
    }


def finding_data(finding: Finding) -> Data:
    """A finding as plain data."""
    return {"rule": finding.rule, **place_data(finding.where), "message": finding.message}
