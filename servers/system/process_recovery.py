"""How the process server goes on with what a former life has left: processes, launchers, and the caps to them.

Processes run on meanwhile if their time lasts (``lasts="yes"`` in the description); else the initial task has taken it
away when that life ended, and all of them stand still until they get it again here. What was under way is undone: a
process that was being prepared, a cap that was being handed out and has not arrived for sure. What was decided is done:
a process that had ended, or to which there are no caps any more.
"""

from typing import Final, Protocol

from capkernel.protocols.given import restore_given
from capkernel.protocols.memory import Use
from capkernel.protocols.processes import State, Status
from capkernel.protocols.service import Service
from capkernel.user import stubs
from servers.system.funds import Fund
from servers.system.process_child import Child
from servers.system.process_objects import PLACES, Purse
from servers.system.process_servants import LauncherServant, Office, ProcessServant
from servers.system.process_table import KeptLauncher, KeptProcess, KeptProcesses

OWN_NUMBER: Final = 1
"""Of the memory in the server's account that it needs while it goes on; launchers' accounts have higher ones."""


class Premises(Office, Protocol):
    """The server, as far as it is put together again here."""

    service: Service
    root: Fund
    times: list[int]
    free_numbers: list[int]
    processes: dict[int, ProcessServant]
    by_child: dict[int, ProcessServant]
    launchers: dict[int, LauncherServant]
    sessions: dict[int, LauncherServant]
    next_process: int
    next_launcher: int
    has_begun: bool
    late: list[Child]
    """Processes that have no time yet."""

    def children(self) -> list[Child]:
        """The processes that have not ended."""
        ...

    async def arrived(self) -> None:
        """What was answered last has arrived."""
        ...


def restore(server: Premises, table: KeptProcesses, offered: int) -> None:
    """Be what a former life was, in a server that has nothing yet. ``offered`` is the number of a cap that may not have
    arrived. Raises ValueError if no process server can have left this.
    """
    table.check(server.times)
    server.workshop.places.claim(address & PLACES - 1 for address in table.slots_in_use() if address)
    server.next_process, server.next_launcher = table.next_process, table.next_launcher
    server.root.next_number = table.next_number
    for launcher in table.launchers:
        _restore_launcher(server, launcher)
    for process in table.processes:
        _restore_process(server, process)
    servants: list[LauncherServant | ProcessServant] = [
        server.launchers[each.id] if each.is_launcher else server.processes[each.id] for each in table.objects
    ]
    broken = {
        place
        for place, servant in enumerate(servants)
        if isinstance(servant, ProcessServant) and servant.is_broken and not servant.state.is_over
    }
    caps = [cap for cap in table.caps if cap.number != offered and cap.servant not in broken]
    restore_given(server.service, servants, caps)


def _restore_launcher(server: Premises, kept: KeptLauncher) -> None:
    parent = server.launchers.get(kept.parent)
    above = server.root if parent is None else parent.fund
    fund = Purse(server.workshop, above, kept.number, kept.next_number, kept.account)
    launcher = LauncherServant(server, kept.id, fund, kept.memory, kept.limit, parent, kept.channel)
    launcher.owner, launcher.sessions = kept.owner, list(kept.sessions)
    server.launchers[kept.id] = launcher
    if parent is not None:
        parent.parts.append(launcher)
    for session in (kept.channel, *kept.sessions):
        if session:
            server.sessions[session] = launcher


def _restore_process(server: Premises, kept: KeptProcess) -> None:
    process = ProcessServant(server, kept.id, kept.name, kept.parent)
    process.state, process.is_broken = kept.state, kept.is_broken
    process.cpu_us, process.watcher = kept.cpu_us, kept.watcher
    server.processes[kept.id] = process
    if kept.child is not None:
        launcher = server.launchers[kept.launcher]
        child = Child.again(server.workshop, launcher.fund, kept.child, server.launchers.__getitem__)
        child.cpu_us = kept.cpu_us
        process.made_of(child, launcher)
        server.by_child[child.number] = process
        server.free_numbers.remove(child.number)
        server.times.remove(child.time)


async def go_on(server: Premises) -> None:
    """Finish what the former life has begun, and let processes run again."""
    server.has_begun = True
    reached = {id(entry.servant) for entry in server.service.entries()}
    alive: list[Child] = []
    for process in list(server.processes.values()):
        if process.child is None or process.state.is_over:
            await process.finish()
        elif process.is_broken or id(process) not in reached:
            await process.end(Status(State.KILLED))
        else:
            alive.append(process.child)
    given = {id(launcher) for child in alive for launcher in child.launchers.values()}
    for launcher in list(server.launchers.values()):
        if not launcher.channel and not launcher.is_over and id(launcher) not in reached | given:
            await launcher.end()
    remaining = server.children()
    await let_run(server, [child for child in alive if child in remaining])
    await server.save()
    await server.arrived()


async def after_the_pager(server: Premises) -> None:
    """The pager was started anew: it may have heard of faults that it did not tell of. Those processes try again."""
    await let_run(server, [child for child in server.children() if child.is_paged and child.is_running])


async def let_run(server: Premises, children: list[Child]) -> None:
    """Let those go on that were stopped, and give those time that have none. Each is without time for a moment: whether
    it waits for somebody can be seen only then.
    """
    if not children:
        return
    server.late = [each for each in server.late if each not in children]
    own = server.root.memory(OWN_NUMBER, 1)
    await server.root.release(own)
    await server.root.fill(own, Use.OBJECTS)
    without_time = await server.workshop.without_time(await own.untyped(0))
    for child in children:
        await stubs.sched_context_unbind(server.sys, child.time)
        await child.go_on(without_time)
        if not await child.get_time():
            server.late.append(child)
    await server.root.release(own)
