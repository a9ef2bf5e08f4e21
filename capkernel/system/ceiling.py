"""A declared ceiling: what authority there may be at most, and who is trusted to pass on no more than so much.

A description gives authority, and what it gives can spread: by messages that carry caps, by CNodes, by control. A
ceiling is an upper bound for all that may come of it, written down by whoever answers for the system:

    [labels]                              # what stands in none has its own name for a label
    visitors = ["mallory", "report_mallory"]

    [trusted]                             # believed to pass on caps for this alone, whoever asks
    broker = ["call files"]

    [[allow]]
    who = ["visitors"]
    may = ["call"]
    what = ["broker", "files"]

Within one label everything is allowed. ``*`` stands for every label, or every right. (The access control theorems of
seL4 speak of such policies: Sewell and others, "seL4 Enforces Integrity", 2011. There no label may pass caps to
another; here it may, if it is trusted, and as far as it is.)
"""

import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import product
from typing import Any, Final

from attrs import frozen

from capkernel.system.authority import AuthorityGraph, Node, NodeKind, Right
from capkernel.system.closure import Closure, Step
from capkernel.system.takegrant import Fact

ANY: Final = "*"
_OWNED: Final = (NodeKind.UNTYPED, NodeKind.REPLY, NodeKind.SLOTS, NodeKind.ASIDS, NodeKind.TIME)
"""What a domain was granted for itself; it has the domain's label."""


class CeilingError(ValueError):
    """The file says what cannot be; says where in it, and what would be right."""


@frozen
class Excess:
    """A right that may come about and is above the ceiling, with the steps that lead to it."""

    fact: Fact
    steps: tuple[Step, ...]

    def __str__(self) -> str:
        """One sentence."""
        return f"{self.fact}, which the ceiling does not allow"


@frozen
class Ceiling:
    """An upper bound of authority: what is ``allowed``, from label to label, which may be ``*``.

    ``labels`` are those that were given, by node; ``passes`` is what those who are trusted pass on.
    """

    labels: Mapping[Node, str]
    allowed: frozenset[tuple[str, Right, str]]
    passes: Mapping[Node, frozenset[tuple[Right, str]]]

    def label(self, node: Node) -> str:
        """The label of a node."""
        owner, found, _ = node.name.partition(" slot ")
        if found and node.kind in _OWNED and node not in self.labels:
            node = Node(owner, NodeKind.PD)
        return self.labels.get(node, node.full_name)

    def allows(self, subject: str, right: Right, object: str) -> bool:
        """Whether one label may have a right over another."""
        return subject == object or any(
            (who, right, what) in self.allowed for who, what in product((subject, ANY), (object, ANY))
        )

    def passes_on(self, giver: Node, right: Right, object: Node) -> bool:
        """Whether ``giver`` must be expected to pass on a cap that confers this: not if it is trusted not to."""
        held = self.passes.get(giver)
        return held is None or any((right, name) in held for name in (ANY, object.full_name))

    def closure(self, graph: AuthorityGraph) -> Closure:
        """What may come of a graph, if those who are trusted deserve it."""
        return Closure(graph, self.passes_on)

    def excesses(self, graph: AuthorityGraph) -> list[Excess]:
        """Every right above the ceiling that may come about, those with the shortest way first."""
        closure = self.closure(graph)
        above = [
            Excess(fact, closure.why(fact)) for fact in closure.facts
            if not self.allows(self.label(fact.subject), fact.right, self.label(fact.object))
        ]  # fmt: skip
        return sorted(above, key=lambda excess: (len(excess.steps), str(excess.fact)))


def read_ceiling(text: str, graph: AuthorityGraph) -> Ceiling:
    """The ceiling in a file's text, for a graph whose nodes it names. Raises CeilingError."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CeilingError(f"this is no TOML: {error}") from None
    _known_keys("the file", document, ("labels", "trusted", "allow"))
    reader = _Reader(graph)
    labels = reader.labels(_table("labels", document.get("labels", {})))
    passes = {
        reader.actor(f"trusted.{name}", name): frozenset(reader.passed(f"trusted.{name}", words))
        for name, words in _table("trusted", document.get("trusted", {})).items()
    }
    rules = document.get("allow", [])
    if not isinstance(rules, list):
        raise CeilingError("allow is a list: write [[allow]]")
    allowed: set[tuple[str, Right, str]] = set()
    for place, rule in enumerate(rules, 1):
        allowed |= reader.allowed(f"allow {place}", rule, labels)
    return Ceiling(labels, frozenset(allowed), passes)


@frozen
class _Reader:
    """Reads names as nodes of a graph."""

    graph: AuthorityGraph

    def labels(self, table: Mapping[str, Any]) -> dict[Node, str]:
        found: dict[Node, str] = {}
        for label, names in table.items():
            where = f"labels.{label}"
            if any(label in (node.name, node.full_name) for node in self.graph.nodes) or label == ANY:
                raise CeilingError(f"{where}: {label!r} is something in the description; a label has a name of its own")
            for name in _words(where, names):
                node = self.node(where, name)
                if node in found:
                    raise CeilingError(f"{where}: {name!r} has the label {found[node]!r} already")
                found[node] = label
        return found

    def node(self, where: str, name: str) -> Node:
        try:
            return self.graph.find(name)
        except LookupError as error:
            raise CeilingError(f"{where}: {error.args[0]}") from None

    def actor(self, where: str, name: str) -> Node:
        node = Node(name, NodeKind.PD)
        if node not in self.graph.nodes:
            node = self.node(where, name)
        if node.kind is not NodeKind.PD:
            raise CeilingError(f"{where}: only a protection domain passes on caps, and {name!r} is none")
        return node

    def passed(self, where: str, words: Any) -> Iterator[tuple[Right, str]]:
        for text in _words(where, words):
            word, _, name = text.partition(" ")
            object_ = ANY if name == ANY else self.node(where, name).full_name if name else ""
            if not object_:
                raise CeilingError(f"{where}: {text!r} is no right and object, such as \"call files\" or \"* files\"")
            yield from ((right, object_) for right in _rights(where, word))

    def allowed(self, where: str, rule: Any, labels: Mapping[Node, str]) -> set[tuple[str, Right, str]]:
        rule = _table(where, rule)
        _known_keys(where, rule, ("who", "may", "what"))
        missing = [key for key in ("who", "may", "what") if key not in rule]
        if missing:
            raise CeilingError(f"{where}: {missing[0]} is missing")
        ends = [
            [self._label(f"{where}, {key}", name, labels) for name in _words(f"{where}, {key}", rule[key])]
            for key in ("who", "what")
        ]
        rights = [right for word in _words(f"{where}, may", rule["may"]) for right in _rights(f"{where}, may", word)]
        return set(product(ends[0], rights, ends[1]))

    def _label(self, where: str, name: str, labels: Mapping[Node, str]) -> str:
        if name == ANY or name in labels.values():
            return name
        node = self.node(where, name)
        if node in labels:
            raise CeilingError(f"{where}: {name!r} has the label {labels[node]!r}; name that")
        return node.full_name


def _rights(where: str, word: str) -> Sequence[Right]:
    if word == ANY:
        return tuple(Right)
    try:
        return (Right(word),)
    except ValueError:
        known = ", ".join(right.value for right in Right)
        raise CeilingError(f"{where}: {word!r} is no right; they are {known}, and *") from None


def _table(where: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise CeilingError(f"{where} is a table of names")
    return value


def _words(where: str, value: Any) -> Sequence[str]:
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise CeilingError(f"{where}: {value!r} is no list of names")
    return value


def _known_keys(where: str, table: Mapping[str, Any], known: Collection[str]) -> None:
    unknown = sorted(table.keys() - set(known))
    if unknown:
        raise CeilingError(f"{where}: {unknown[0]!r} is not known; there are {', '.join(known)}")


def drafted(graph: AuthorityGraph) -> str:
    """The lowest ceiling without trust in anybody: the file that allows what may come of a graph, and nothing else."""
    bound = Ceiling({}, frozenset(), {})
    objects: dict[tuple[str, str], list[str]] = {}
    for fact in Closure(graph).facts:
        ends = bound.label(fact.subject), bound.label(fact.object)
        if ends[0] != ends[1]:
            objects.setdefault((ends[0], ends[1]), []).append(fact.right.value)
    rules: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (subject, object_), rights in objects.items():
        rules.setdefault((subject, tuple(dict.fromkeys(rights))), []).append(object_)
    return "\n".join(
        f"[[allow]]\nwho = {_written([who])}\nmay = {_written(may)}\nwhat = {_written(what)}\n"
        for (who, may), what in rules.items()
    )


def _written(names: Sequence[str]) -> str:
    return "[" + ", ".join(f'"{name}"' for name in names) + "]"

