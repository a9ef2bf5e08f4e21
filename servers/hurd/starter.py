"""The starter of translators: of passive ones for a file server, as their nodes' owners; of active ones for users.

It has a launcher and an account, of which each user of its table gets a part: what a user's translators take is his.
It is there when one of them dies, and tells those who wait for it. So nobody need run what he calls himself.
It calls no translator and no file server: these wait for it. Who has a translator started says what that sees as the
root.

    [[user]]
    uid = 1000
    channel = 12            # by which he has his own started; 0: none
    gids = [100]
    launcher = 0x40000      # bytes for processes
    processes = 3           # at a time
    account = 0x4000        # bytes for endpoints and reply objects
"""

import tomllib
from contextlib import suppress
from typing import Any, Final

from attrs import define, frozen

from capkernel.protocols.again import insist
from capkernel.protocols.client import Connection, Stub, connect
from capkernel.protocols.failures import AlreadyExists, Failure, Malformed, NotFound, NotPermitted
from capkernel.protocols.files import Directory
from capkernel.protocols.hurd import Nodes, TranslatorStarter, Usage
from capkernel.protocols.hurd_auth import Auth, Ids
from capkernel.protocols.interface import Cap, Interface
from capkernel.protocols.memory import Account
from capkernel.protocols.processes import Launcher
from capkernel.protocols.service import Service
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD
from capkernel.user.syscalls import Message
from servers.hurd.attached import ALL
from servers.hurd.host import Host, Running
from servers.hurd.proving import given_up
from servers.hurd.translator import AT, ROOT

ENDPOINT, OWN_CNODE, FIRST_SLOT, END_SLOT = 300, 301, 400, 500
LAUNCHER, ACCOUNT, PROGRAMS, AUTH, FILE_SERVERS, ENDED = 0, 1, 2, 4, range(10, 12), 20
"""Channels: to servers; of file servers; by which it hears that a process has ended."""
NOTIFICATION = 310
"""A cap to signal ``ENDED``."""
KEYS: Final = {"uid", "channel", "gids", "launcher", "processes", "account"}


@frozen
class User:
    """What a user's translators may have."""

    uid: int
    channel: int
    gids: tuple[int, ...]
    launcher: int
    processes: int
    account: int


def read_users(text: str) -> dict[int, User]:
    """The users by uid. Raises ValueError."""
    rows = tomllib.loads(text).get("user", [])
    for row in rows:
        if set(row) != KEYS or any(type(row[key]) is not int or row[key] < 0 for key in KEYS - {"gids"}):
            raise ValueError(f"each user says {', '.join(sorted(KEYS))}, in numbers, unlike {row}")
    return {row["uid"]: User(**{**row, "gids": tuple(row["gids"])}) for row in rows}


Place = tuple[int, int]
"""Whose number it is, by session, and the number."""


@define(eq=False)
class Started:
    """A translator: where it runs, and the identity that it was given."""

    host: Host
    running: Running
    auth: Any


class Registry:
    """All translators that run."""

    def __init__(self, pd: PD, inbox: Inbox, users: dict[int, User]) -> None:
        self.inbox = inbox
        self.users = users
        self.connection = connection = Connection(pd.sys, inbox)
        self.launcher = connect(Launcher, connection, BASE_ENDPOINT_CAP + LAUNCHER)
        self.account = connect(Account, connection, BASE_ENDPOINT_CAP + ACCOUNT)
        self.programs = connect(Directory, connection, BASE_ENDPOINT_CAP + PROGRAMS)
        self.auth = connect(Auth, connection, BASE_ENDPOINT_CAP + AUTH)
        self.roots: dict[int, Any] = {}
        """What translators see as the root, by the session of who has them started."""
        self.hosts: dict[int, Host] = {}
        self.started: dict[Place, Started] = {}

    async def start(self, place: Place, owner: int, name: str, command: list[str], at: Nodes) -> Cap:
        """Start one. Raises failures."""
        await self.tidy()
        if place in self.started or not command:
            raise AlreadyExists("a translator runs at this place") if command else Malformed("there is no command")
        host = await self._host(owner)
        auth = await self.auth.make(Ids((owner,), self.users[owner].gids))
        try:
            root = {ROOT: self.roots[place[0]]} if place[0] in self.roots else {}
            running = await host.start(command, {AT: at, "auth": auth, **root}, name=name)
        except Exception:
            await ended(auth)
            raise
        if isinstance(at, Stub):
            await at.forget()
        self.started[place] = Started(host, running, auth)
        return running.endpoint

    async def root(self, session: int, root: Nodes) -> None:
        """From now on this is the root for what somebody has started."""
        former = self.roots.get(session)
        self.roots[session] = root
        if isinstance(former, Stub):
            await former.forget()

    async def stop(self, place: Place) -> None:
        """End it, if it runs."""
        started = self.started.pop(place, None)
        if started is not None:
            await started.host.end(started.running)
            await ended(started.auth)

    async def tidy(self) -> None:
        """See which have ended."""
        for host in self.hosts.values():
            dead = await host.tidy()
            for place, started in list(self.started.items()):
                if started.running in dead:
                    del self.started[place]
                    await ended(started.auth)

    async def usage(self, uid: int) -> Usage:
        """What a user's take."""
        host = await self._host(uid)
        quota, processes = await host.launcher.quota(), await host.launcher.processes(0)
        cpu_us = sum(process.cpu_us for process in processes)
        return Usage(quota.memory_taken, (await host.account.info()).used, quota.processes_taken, cpu_us)

    async def _host(self, uid: int) -> Host:
        """Where a user's translators run. Raises NotPermitted."""
        if uid not in self.users:
            raise NotPermitted(f"user {uid} may have no translators started")
        if uid not in self.hosts:
            user = self.users[uid]
            launcher = await self.launcher.split(user.launcher, user.processes)
            account = await self.account.split(uid + 1, user.account)
            self.hosts[uid] = Host(self.inbox, launcher, account, self.programs, NOTIFICATION)
        return self.hosts[uid]


async def ended(auth: Any) -> None:
    """Close an identity, and what its translator has begun with it: that counts for this server."""
    with suppress(Failure):
        await insist(auth.revoke)
    await given_up(auth)


class Starter(TranslatorStarter):
    """What one client asks: a file server, or a user with this ``uid``."""

    def __init__(self, registry: Registry, session: int, uid: int | None) -> None:
        self.registry = registry
        self.session = session
        self.uid = uid

    def _need(self, owner: int) -> None:
        if self.uid not in (None, owner):
            raise NotPermitted(f"user {self.uid} has nothing started as user {owner}")

    async def start(self, place: int, owner: int, name: str, command: list[str], at: Nodes) -> Cap:
        """Start one."""
        self._need(owner)
        if place == ALL:
            raise Malformed("places have numbers other than 0")
        return await self.registry.start((self.session, place), owner, name, command, at)

    async def running(self, place: int) -> Cap:
        """Its endpoint."""
        await self.registry.tidy()
        found = self.registry.started.get((self.session, place))
        if found is None:
            raise NotFound(f"no translator runs at place {place}")
        return found.running.endpoint

    async def stop(self, place: int) -> None:
        """End it, or all."""
        for each in list(self.registry.started):
            if each[0] == self.session and place in (ALL, each[1]):
                await self.registry.stop(each)

    async def root(self, root: Nodes) -> None:
        """The root."""
        await self.registry.root(self.session, root)

    async def usage(self, owner: int) -> Usage:
        """What they take."""
        self._need(owner)
        return await self.registry.usage(owner)


class Program:
    """The server."""

    users: int = 0
    users_size: int = 0x1000

    def __init__(self) -> None:
        self.service: Any = None
        self.registry: Any = None

    async def init(self, pd: PD) -> None:
        """Read who may have what, and serve."""
        inbox = Inbox(pd.sys, SlotAllocator(OWN_CNODE, FIRST_SLOT, END_SLOT))
        users = read_users((await pd.read(self.users, self.users_size)).rstrip(b"\0").decode())
        self.registry = Registry(pd, inbox, users)
        self.service = Service(pd, roots=self._root, endpoint=ENDPOINT, inbox=inbox)
        await self.service.open()

    def _root(self, session: int) -> Interface | None:
        if session in FILE_SERVERS:
            return Starter(self.registry, session, None)
        owners = [user.uid for user in self.registry.users.values() if user.channel == session]
        return Starter(self.registry, session, owners[0]) if owners else None

    async def notified(self, pd: PD, ch: int) -> None:
        """A process has ended."""
        await self.registry.tidy()

    async def protected(self, pd: PD, ch: int, msg: Message) -> Any:
        """The file server asks."""
        return await self.service.protected(msg)
