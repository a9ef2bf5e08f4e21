"""Boots a subhurd: starts its servers and its user out of the quota that it was given, and waits for the user's end.

It is given ``launcher`` (a ``Share`` of its user's), ``account``, ``programs``; and may be given a cap ``outside``, which
its user gets. When it ends, in whichever way, all that it started ends. The exit code is the user's.
"""

from typing import Any, Final

from capkernel.protocols.files import READ, Directory
from capkernel.protocols.memory import Account
from capkernel.protocols.processes import Launcher
from capkernel.protocols.spawn import given, spawn
from capkernel.user.process import MissingCap, Process
from servers.hurd.host import Host

NODES_SESSION, USER_SESSION = 2, 3
OUTSIDE: Final = "outside"


async def main(process: Process) -> int:
    """Boot."""
    if process.inbox is None:
        raise MissingCap(f"{process.name} cannot receive caps")
    launcher, programs = given(Launcher, process, "launcher"), given(Directory, process, "programs")
    host = Host(process.inbox, launcher, given(Account, process, "account"), programs)
    auth = await host.start(["hurd_sub_auth", f"{NODES_SESSION}=", f"{USER_SESSION}=0"])
    nodes = await host.start(["hurd_sub_nodes"], {"auth": await host.cap_for(auth, NODES_SESSION)})
    hello = await host.start(["hurd_hello", "inside", "too"])
    caps: dict[str, Any] = {
        "nodes": await host.cap_for(nodes, USER_SESSION), "auth": await host.cap_for(auth, USER_SESSION),
        "hello": hello.endpoint,
    }  # fmt: skip
    if OUTSIDE in process.caps:
        caps[OUTSIDE] = process.cap(OUTSIDE)
    user = await spawn(launcher, await programs.open("hurd_sub_user", READ), ["user"], caps, slots=True)
    return (await user.wait()).code
