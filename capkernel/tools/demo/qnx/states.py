"""What QNX calls the state of a thread (``pidin``), as somebody sees it who looks at the kernel from outside."""

from attrs import define, field

from capkernel.kernel.objects import (
    TCB,
    BlockedOnNotification,
    BlockedOnReceive,
    BlockedOnReply,
    BlockedOnSend,
)
from capkernel.kernel.scheduler import is_runnable
from capkernel.tools.demo.stage import Stage
from hwmodel.cpu.trap import Trap

SEND, REPLY, RECEIVE, READY = "SEND", "REPLY", "RECEIVE", "READY"


def state_of(thread: TCB) -> str:
    """The state of a thread, from the kernel's own record of it. RUNNING counts as READY."""
    match thread.state:
        case BlockedOnSend(is_call=True):
            return SEND
        case BlockedOnReply():
            return REPLY
        case BlockedOnReceive():
            return RECEIVE
        case BlockedOnNotification():
            # A domain without an endpoint waits in its loop for signals alone.
            return RECEIVE
        case _:
            return READY if is_runnable(thread) else "STOPPED"


@define
class Watch:
    """The states that domains go through: each change, seen after the kernel entry that brought it about."""

    stage: Stage
    seen: dict[str, list[str]] = field(factory=dict)
    server: str = "server"
    at_death: dict[str, str] = field(factory=dict)
    """In which state each was when the server was found dead for the first time."""

    def __attrs_post_init__(self) -> None:
        """Look from now on."""
        self.stage.system.loop.observers.append(self._look)

    def _look(self, trap: Trap) -> None:
        if not self.at_death and self.server not in self.stage.system.threads:
            self.at_death = {name: states[-1] for name, states in self.seen.items() if states}
        for name, states in self.seen.items():
            thread = self.stage.system.threads.get(name)
            if thread is not None:
                state = state_of(thread)
                if not states or states[-1] != state:
                    states.append(state)
