"""Boots a subhurd: starts its servers and its user out of the quota that it was given, and waits for an end.

It is given ``launcher`` (a ``Share`` of its user's), ``account`` and ``programs``, and perhaps a cap
``outside``, which its user gets. When it ends all that it started ends. The exit code is the user's, or ``PANIC``.
"""

from typing import Any, Final

from capkernel.abi import objects as obj
from capkernel.protocols.files import READ, Directory
from capkernel.protocols.interface import Cap
from capkernel.protocols.memory import PAGE, Account, Use
from capkernel.protocols.processes import Launcher
from capkernel.protocols.spawn import given, spawn
from capkernel.user import stubs
from capkernel.user.inbox import Inbox
from capkernel.user.process import MissingCap, Process
from servers.hurd.host import Host

NODES_SESSION, USER_SESSION = 2, 3
OUTSIDE: Final = "outside"
NOTIFICATION_PAGE: Final = 1 << 16
"""Its number in the account, beyond those of translators."""
PANIC: Final = 99
"""One of its servers has ended."""


async def main(process: Process) -> int:
    """Boot."""
    if process.inbox is None:
        raise MissingCap(f"{process.name} cannot receive caps")
    launcher, programs = given(Launcher, process, "launcher"), given(Directory, process, "programs")
    account = given(Account, process, "account")
    ended = await notification(process.inbox, account)
    host = Host(process.inbox, launcher, account, programs, ended)
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
    await user.watch(Cap(ended))
    while not (status := await user.status()).is_over:
        await process.sys.wait(ended)
        if await host.tidy():
            return PANIC
    return status.code


async def notification(inbox: Inbox, account: Account) -> int:
    """A notification of one's own, in a page of an account; the address of the cap."""
    memory = await account.allocate(NOTIFICATION_PAGE, PAGE, Use.OBJECTS)
    untyped, slot = await memory.untyped(0), inbox.slots.alloc()
    await stubs.untyped_retype(
        inbox.sys, untyped, object_type=obj.NOTIFICATION, size_bits=0, root=inbox.slots.cnode, node_index=0,
        node_depth=0, node_offset=slot, num_objects=1,
    )  # fmt: skip
    return slot
