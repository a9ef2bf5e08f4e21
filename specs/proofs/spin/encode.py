"""A configuration as the numbers that the Promela model reads."""

from specs.explore import model
from specs.explore.actions import Action
from specs.explore.projection import CAPS, Projector
from specs.explore.system import System

MOST_ACTS = 16
VERBS = {name: number for number, name in enumerate((
    "Send", "NBSend", "Call", "Recv", "NBRecv", "ReplyRecv", "NBSendRecv", "NBSendWait", "Wait", "Poll", "Yield",
    "Fault", "Suspend", "Resume", "SetPriority", "BindNotification", "UnbindNotification", "Bind", "Unbind",
    "UnbindObject", "YieldTo", "CancelBadgedSends", "Delete", "Revoke", "Ack",
), start=1)}  # fmt: skip
"""As ``V_…`` in protocol.pml; Signal and Reply are Sends."""


class EncodingError(ValueError):
    """A configuration that the Promela model has no words for."""


def encoded(system: System) -> str:
    """The state at the start, the periods, the actions of each thread, and what the environment does."""
    configuration = system.configuration
    numbers = list(Projector(system)())
    numbers += _padded([thread.period for thread in configuration.threads], 1)
    numbers += _padded([len(acts) for acts in system.acts], 1)
    for thread in range(3):
        acts = system.acts[thread] if thread < len(system.acts) else []
        if len(acts) > MOST_ACTS:
            raise EncodingError(f"{configuration.name}: a thread has more than {MOST_ACTS} actions")
        for index in range(MOST_ACTS):
            numbers += _action(acts[index]) if index < len(acts) else (0, 0, 0, 0)
    for name in (model.BUDGET_ENDS, model.INTERRUPT, model.PREEMPT):
        numbers.append(int(name in configuration.environment))
    return " ".join(str(int(number)) for number in numbers)


def _padded(numbers: list[int], filler: int) -> list[int]:
    return numbers + [filler] * (3 - len(numbers))


def _action(action: Action) -> tuple[int, ...]:
    verb = {"Signal": "Send", "Reply": "Send"}.get(action.verb, action.verb)
    words = []
    for word in action.words:
        if word.isdigit():
            words.append(int(word))
        elif word in CAPS:
            words.append(CAPS.index(word))
        else:
            raise EncodingError(f"{action}: the Promela model has no {word}")
    return VERBS[verb], *words, *[0] * (3 - len(words))
