"""How the process server goes on with what a former life has left: processes, launchers, and the caps to them.

The initial task has taken the processes' time away when that life ended, so all of them stand still until they get it
again here. What was under way is undone: a process that was being prepared, a cap that was being handed out and has not
arrived for sure. What was decided is done: a process that had ended, or to which there are no caps any more.
"""

from typing import Any

from capkernel.protocols.given import restore_given
from capkernel.protocols.memory import Use
from capkernel.protocols.processes import State, Status
from servers.system.process_child import Child
from servers.system.process_objects import PLACES, Purse
from servers.system.process_servants import LauncherServant, ProcessServant
from servers.system.process_table import KeptLauncher, KeptProcess, KeptProcesses

OWN_NUMBER = 1
"""Of the memory in the server's account that it needs while it goes on; launchers' accounts have higher ones."""


def restore(server: Any, table: KeptProcesses, offered: int) -> None:
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
    servants = [(server.launchers if each.is_launcher else server.processes)[each.id] for each in table.objects]
    broken = {
        place
        for place, servant in enumerate(servants)
        if isinstance(servant, ProcessServant) and servant.is_broken and not servant.state.is_over
    }
    caps = [cap for cap in table.caps if cap.number != offered and cap.servant not in broken]
    restore_given(server.service, servants, caps)


def _restore_launcher(server: Any, kept: KeptLauncher) -> None:
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


def _restore_process(server: Any, kept: KeptProcess) -> None:
    launcher = server.launchers[kept.launcher]
    process = ProcessServant(launcher, kept.id, kept.name, None)
    process.state, process.is_broken = kept.state, kept.is_broken
    process.cpu_us, process.watcher = kept.cpu_us, kept.watcher
    server.processes[kept.id] = process
    if kept.child is not None:
        child = Child.again(server.workshop, launcher.fund, kept.child, server.launchers.__getitem__)
        child.cpu_us = kept.cpu_us
        process.child = child
        launcher.running[kept.id] = process
        server.by_child[child.number] = process
        server.free_numbers.remove(child.number)
        server.times.remove(child.time)


async def go_on(server: Any) -> None:
    """Finish what the former life has begun, and let processes run again."""
    server.has_begun = True
    reached = {id(entry.servant) for entry in server.service.entries()}
    own = server.root.memory(OWN_NUMBER, 1)
    await server.root.release(own)
    await server.root.fill(own, Use.OBJECTS)
    without_time = await server.workshop.without_time(await own.untyped(0))
    for process in list(server.processes.values()):
        if process.child is None or process.state.is_over:
            await process.finish()
        elif process.is_broken or id(process) not in reached:
            await process.end(Status(State.KILLED))
        else:
            await process.child.go_on(without_time)
            server.late.append(process.child)
    await server.root.release(own)
    given = {id(each) for process in server.processes.values() for each in _given(process)}
    for launcher in list(server.launchers.values()):
        if not launcher.channel and not launcher.is_over and id(launcher) not in reached | given:
            await launcher.end()
    await server.save()
    await server.arrived()
    await server.give_time()


def _given(process: ProcessServant) -> list[Any]:
    return [] if process.child is None else list(process.child.launchers.values())
