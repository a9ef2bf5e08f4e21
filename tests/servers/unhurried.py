"""Clients that pause between their rounds while servers are replaced: an eighth of the requests meanwhile."""

from typing import Any

from capkernel.tools.demo.stage import Stage
from servers.clients import journal_keeper

PAUSE = 20 * journal_keeper.PAUSE


def unhurried(stage: Stage) -> Stage:
    """Let each client that keeps a journal pause; a stage without one is a mistake."""
    found: list[Any] = [getattr(program, "hooks", None) for (program, *_) in stage.system.programs.values()]
    keepers = [hooks for hooks in found if getattr(hooks, "__file__", None) == journal_keeper.__file__]
    assert keepers
    for hooks in keepers:
        hooks.PAUSE = PAUSE
    return stage


class UnhurriedStage(Stage):
    """A stage with such clients, in place of another one."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        unhurried(self)
