"""What is done when something fails: entities, their conditions, and the actions of each (QNX's HAM); no means.

An *entity* is a domain that is watched. A *condition* is something that becomes of it: its death, or that its heartbeat
is missed. The *actions* of a condition are done one after the other, in stages: some wait, so a recovery goes on over
several beats. What is known is all here, so that whoever comes after a manager that died goes on in the same stage.
"""

import tomllib
from enum import Enum
from typing import Any, Final

from attrs import define, field, frozen

MAX_LOG: Final = 32


class When(Enum):
    """A condition."""

    DEATH = "death"
    HEARTBEAT_MISSED = "heartbeat missed"


class Deed(Enum):
    """An action; its number is what it is about."""

    WAIT = "wait"
    """So many beats."""
    RESTART = "restart"
    """The entity, with its own program (0) or that alternative."""
    NOTIFY = "notify"
    """Signal that channel."""
    STOP = "stop"
    """Leave the entity destroyed."""


@frozen
class Action:
    """A stage of a recovery."""

    deed: Deed
    number: int = 0


@frozen
class Entity:
    """A domain that is watched: by which number its faults come, the slot of its lifecycle cap, the channel of its
    heartbeat, and how many beats it may be silent (0: it has no heartbeat).
    """

    name: str
    child: int
    lifecycle: int
    channel: int = 0
    patience: int = 0


@frozen
class Rules:
    """What the manager was told to watch, and what to do."""

    entities: tuple[Entity, ...]
    actions: dict[tuple[str, When], tuple[Action, ...]]


@frozen
class Happened:
    """An entry of the log: at which beat, to whom, what."""

    beat: int
    entity: str
    what: str


@frozen
class Recovery:
    """A recovery that is under way: the next stage of the actions, and the beat before which it is not due."""

    entity: str
    when: When
    stage: int
    due: int


@define
class HamTable:
    """All that the manager knows besides its rules, but for heartbeats: a new manager is patient anew."""

    beat: int = 0
    deaths: int = 0
    takeovers: int = 0
    recoveries: list[Recovery] = field(factory=list)
    log: list[Happened] = field(factory=list)

    def note(self, entity: str, what: str) -> None:
        """Write down what has happened."""
        self.log.append(Happened(self.beat, entity, what))
        del self.log[:-MAX_LOG]

    def failed(self, entity: str, when: When) -> bool:
        """A condition came true; False if the entity is being recovered already."""
        if any(each.entity == entity for each in self.recoveries):
            return False
        self.deaths += 1
        self.note(entity, when.value)
        self.recoveries.append(Recovery(entity, when, 0, self.beat))
        return True

    def next_action(self, rules: Rules) -> tuple[Recovery, Action] | None:
        """A stage that is due, if there is one. ``done`` says that it was carried out."""
        for recovery in list(self.recoveries):
            actions = rules.actions.get((recovery.entity, recovery.when), ())
            if recovery.stage >= len(actions):
                self.recoveries.remove(recovery)
            elif recovery.due <= self.beat:
                return recovery, actions[recovery.stage]
        return None

    def done(self, recovery: Recovery, action: Action) -> None:
        """A stage was carried out; the next is due at once, or after a wait."""
        self.note(recovery.entity, action.deed.value)
        due = self.beat + (action.number if action.deed is Deed.WAIT else 0)
        self.recoveries[self.recoveries.index(recovery)] = Recovery(
            recovery.entity, recovery.when, recovery.stage + 1, due
        )

    def put_off(self, recovery: Recovery) -> None:
        """A stage failed; it is tried again at the next beat."""
        self.recoveries[self.recoveries.index(recovery)] = Recovery(
            recovery.entity, recovery.when, recovery.stage, self.beat + 1
        )


@define
class Heartbeats:
    """For how many beats each entity has been silent."""

    silent: dict[str, int] = field(factory=dict)

    def lives(self, entity: str) -> None:
        """A sign of life."""
        self.silent[entity] = 0

    def pass_beat(self, rules: Rules, table: HamTable) -> list[Entity]:
        """Time goes on; who has been silent for too long, and is not being recovered."""
        recovering = {each.entity for each in table.recoveries}
        missed = []
        for entity in rules.entities:
            if not entity.patience or entity.name in recovering:
                self.silent[entity.name] = 0
                continue
            self.silent[entity.name] = self.silent.get(entity.name, 0) + 1
            if self.silent[entity.name] > entity.patience:
                missed.append(entity)
        return missed


def read_rules(text: str) -> Rules:
    """The rules in a text of TOML. Raises ValueError, KeyError or TypeError for what they cannot be.

    [[entity]]
    name = "server"
    child = 0
    lifecycle = 331
    channel = 10
    patience = 3

    [[condition]]
    entity = "server"
    when = "death"
    actions = ["notify 20", "wait 2", "restart"]
    """
    data: dict[str, Any] = tomllib.loads(text)
    entities = tuple(Entity(**entry) for entry in data["entity"])
    names = {entity.name for entity in entities}
    actions = {}
    for entry in data["condition"]:
        if entry["entity"] not in names:
            raise ValueError(f"there is no entity {entry['entity']!r}")
        actions[entry["entity"], When(entry["when"])] = tuple(_action(text) for text in entry["actions"])
    return Rules(entities, actions)


def _action(text: str) -> Action:
    deed, _, number = text.partition(" ")
    return Action(Deed(deed), int(number or 0))
