"""A policy as it is written down: a file of TOML, in which each ``[[policy]]`` is a model with its rules.

    [[policy]]
    kind = "secrecy"
    levels = ["public", "secret"]
    subjects = { alice = "secret/crypto", bob = "public" }
    services = { plans = "secret", bulletin = "public" }

    [[policy]]
    kind = "lease"
    longest_us = { "*" = 1_000_000 }

All of them must allow what is asked; a file without any allows nothing.
"""

import json
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, Final, TypeVar

from attrs import field, frozen
from cattrs import Converter
from cattrs.errors import BaseValidationError, ClassValidationError, ForbiddenExtraKeysError, IterableValidationError

from capkernel.protocols.brokering import RIGHT_NAMES
from policies.models.approval import PATIENCE_US, TwoPersons
from policies.models.chinese_wall import ChineseWall, Walls
from policies.models.domains import DomainAndType, Table
from policies.models.lattice import BellLaPadula, Biba, Label, Labels
from policies.models.limits import EVERYBODY, Depth, Lease, Quota, Rate
from policies.models.model import All, Model

T = TypeVar("T")
_BITS: Final = {name: bit for bit, name in RIGHT_NAMES.items()}


class RulesError(ValueError):
    """The file says what cannot be; says where in it, and what would be right."""


@frozen
class _Lattice:
    """Labels are written "level/category/category"."""

    levels: list[str]
    subjects: dict[str, str]
    services: dict[str, str]

    def labels(self) -> Labels:
        """The labels. Raises RulesError for a level that is not named, or is named twice."""
        doubled = [level for place, level in enumerate(self.levels) if level in self.levels[:place]]
        if doubled:
            raise RulesError(f"levels: {doubled[0]!r} is there twice")
        return Labels(self.levels, self._read(self.subjects), self._read(self.services))

    def _read(self, written: Mapping[str, str]) -> dict[str, Label]:
        found = {}
        for name, text in written.items():
            level, *categories = text.split("/")
            if level not in self.levels or not all(categories):
                raise RulesError(
                    f"{name} = {text!r} is no label: one is {' or '.join(self.levels) or 'one of levels'}, "
                    "with /category for each category"
                )
            found[name] = Label(self.levels.index(level), categories)
        return found


@frozen
class _Walls:
    companies: dict[str, str]
    conflicts: dict[str, str]

    def walls(self) -> Walls:
        """The walls. Raises RulesError for a conflict of a company that has no service."""
        known = sorted(set(self.companies.values()))
        for company in self.conflicts:
            if company not in known:
                raise RulesError(f"conflicts.{company}: no service is of that company; they are {', '.join(known)}")
        return Walls(self.companies, self.conflicts)


@frozen
class _Domains:
    domains: dict[str, str]
    types: dict[str, str]
    rights: dict[str, dict[str, list[str]]]

    def table(self) -> Table:
        """The table. Raises RulesError for a right that there is not."""
        cells = {}
        for domain, row in self.rights.items():
            for kind, names in row.items():
                unknown = [name for name in names if name not in _BITS]
                if unknown:
                    raise RulesError(f"rights.{domain}.{kind}: {unknown[0]!r} is no right; they are {', '.join(_BITS)}")
                cells[domain, kind] = sum({_BITS[name] for name in names})
        return Table(self.domains, self.types, cells)


def _not_negative(form: Any, attribute: Any, value: Mapping[str, int]) -> None:
    for name, number in value.items():
        if number < 0:
            raise ValueError(f"{name} = {number} is below 0")


@frozen
class _Longest:
    longest_us: dict[str, int] = field(validator=_not_negative)


@frozen
class _Most:
    most: dict[str, int] = field(validator=_not_negative)


@frozen
class _PerSecond:
    per_second: dict[str, int] = field(validator=_not_negative)


def _is_duration(form: Any, attribute: Any, value: int) -> None:
    if value < 0:
        raise ValueError(f"patience_us: {value} is below 0")


@frozen
class _Approvers:
    approvers: dict[str, list[str]]
    patience_us: int = field(default=PATIENCE_US, validator=_is_duration)


@frozen
class _Cedar:
    policies: str
    entities: str
    schema: str

    def model(self) -> Model:
        """Cedar, which is an extra. Raises RulesError."""
        try:
            from policies.models.cedar import Cedar, CedarError, Rules
        except ImportError:
            raise RulesError("Cedar is not installed; it comes with capkernel[policy]") from None
        try:
            return Cedar(Rules(self.policies, self.entities, self.schema))
        except CedarError as error:
            raise RulesError(str(error)) from None

    def names(self) -> "tuple[Names, Names]":
        """The entities that are subjects, and those that are services."""
        entities = [entity["uid"] for entity in json.loads(self.entities)]
        subjects, services = ([uid["id"] for uid in entities if uid["type"] == kind] for kind in ("Subject", "Service"))
        return subjects, services


Names = Iterable[str]
_KINDS: Final[Mapping[str, tuple[type[Any], Callable[[Any], Model], Callable[[Any], tuple[Names, Names]]]]] = {
    "secrecy": (_Lattice, lambda said: BellLaPadula(said.labels()), lambda said: (said.subjects, said.services)),
    "integrity": (_Lattice, lambda said: Biba(said.labels()), lambda said: (said.subjects, said.services)),
    "chinese wall": (
        _Walls,
        lambda said: ChineseWall(said.walls()),
        lambda said: ((), said.companies),
    ),
    "domain and type": (_Domains, lambda said: DomainAndType(said.table()), lambda said: (said.domains, said.types)),
    "lease": (_Longest, lambda said: Lease(said.longest_us), lambda said: ((), said.longest_us)),
    "depth": (_Most, lambda said: Depth(said.most), lambda said: ((), said.most)),
    "quota": (_Most, lambda said: Quota(said.most), lambda said: (said.most, ())),
    "rate": (_PerSecond, lambda said: Rate(said.per_second), lambda said: (said.per_second, ())),
    "two persons": (
        _Approvers,
        lambda said: TwoPersons(said.approvers, said.patience_us),
        lambda said: (chain(*said.approvers.values()), said.approvers),
    ),
    "cedar": (_Cedar, lambda said: said.model(), lambda said: said.names()),
}
"""What each kind has to say, the model that comes of it, and the subjects and services that it names."""


class RuleSet(All):
    """The policies of a file, and the subjects and services that are named in it."""

    def __init__(self, models: Sequence[Model], subjects: Names, services: Names) -> None:
        super().__init__(models)
        self.subjects = frozenset(subjects) - {EVERYBODY}
        self.services = frozenset(services) - {EVERYBODY}


def read_rules(text: str) -> RuleSet:
    """The policy in a file's text. Raises RulesError."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RulesError(f"this is no TOML: {error}") from None
    except RecursionError:
        raise RulesError("this is nested too deeply") from None
    unknown = document.keys() - {"policy"}
    policies = document.get("policy", [])
    if unknown or not isinstance(policies, list):
        raise RulesError(f"a policy is a list of [[policy]]; there is {', '.join(sorted(unknown)) or 'one [policy]'}")
    found = [_model(place, said) for place, said in enumerate(policies, 1)]
    first: dict[str, int] = {}
    for place, (model, _) in enumerate(found, 1):
        # What a policy remembers goes to the one of the same name when rules change, so there can be one of each.
        if first.setdefault(model.name, place) != place:
            raise RulesError(f"policy {place}, {model.name}: policy {first[model.name]} is of that kind; write one")
    subjects = [name for _, (names, _) in found for name in names]
    services = [name for _, (_, names) in found for name in names]
    return RuleSet([model for model, _ in found], subjects, services)


def _model(place: int, said: Any) -> tuple[Model, tuple[Names, Names]]:
    kind = said.get("kind") if isinstance(said, dict) else None
    if not isinstance(kind, str) or kind not in _KINDS:
        raise RulesError(f"policy {place} is of kind {kind!r}; the kinds are {', '.join(_KINDS)}")
    form, make, names = _KINDS[kind]
    try:
        rules = _structured(form, {key: value for key, value in said.items() if key != "kind"})
        return make(rules), names(rules)
    except RulesError as error:
        raise RulesError(f"policy {place}, {kind}: {error}") from None


def _strictly(kind: type[T]) -> Callable[[Any, Any], T]:
    def take(value: Any, _kind: Any) -> T:
        if type(value) is not kind:
            raise ValueError(f"{value!r} is no {_WORDS[kind]}")
        return value

    return take


_WORDS: Final[Mapping[type, str]] = {str: "text", int: "number"}
_CONVERTER: Final = Converter(forbid_extra_keys=True)
_CONVERTER.register_structure_hook(str, _strictly(str))
_CONVERTER.register_structure_hook(int, _strictly(int))


def _structured(form: type[T], said: Mapping[str, Any]) -> T:
    try:
        return _CONVERTER.structure(said, form)
    except BaseValidationError as error:
        raise RulesError("; ".join(_problems(error, ()))) from None


def _problems(error: BaseException, path: Sequence[str]) -> list[str]:
    """Each thing that is wrong, with the names that lead to it."""
    if isinstance(error, ForbiddenExtraKeysError):
        return [f"{'.'.join([*path, name])} is not known" for name in sorted(error.extra_fields)]
    if isinstance(error, KeyError):
        return [f"{error.args[0]} is missing"]
    if not isinstance(error, ClassValidationError | IterableValidationError):
        return [f"{'.'.join(path)}: {error}" if path else str(error)]
    found = []
    for inner, note in error.group_exceptions()[0]:
        name = getattr(note, "name", None)
        step = name if name is not None else getattr(note, "index", "")
        found += _problems(inner, [*path, str(step)] if not isinstance(inner, KeyError) else path)
    return found + [each for inner in error.group_exceptions()[1] for each in _problems(inner, path)]
