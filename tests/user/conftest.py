"""Root tasks in one call, and protection domains wired up as Microkit's tool wires them."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from capkernel.abi import objects as obj
from capkernel.abi import rights as rt
from capkernel.runtime.python_system import PythonSystem
from capkernel.user import loop as pdloop
from capkernel.user import operations as ops
from capkernel.user import stubs
from capkernel.user.bootstrap import Environment, Start, root_environment
from capkernel.user.pdimage import PDValues
from capkernel.user.threads import SCHED_CONTEXT_BITS, configure_time, mint_endpoint
from capkernel.user.vspaces import VSpace
from hwmodel.cpu.program import image

PD_ENTRY = 0x20_0000


def run_root(body: Callable[[Environment], Awaitable[None]], *others: Any, **options: Any) -> PythonSystem:
    """Run a root task, and other programs that it may start, until it is done; none may crash."""
    done = []

    async def main(start: Start) -> None:
        await body(await root_environment(start))
        done.append(True)
        await ops.tell_host(0)

    system = PythonSystem([main, *others], **options)
    system.run(max_entries=50_000)
    assert not system.crashes, system.crashes[0].report
    assert done, "the root task did not come to its end"
    return system


class Domain:
    """A protection domain under construction: its caps in the builder's CSpace."""

    def __init__(self, hooks: Any, priority: int, **values: Any) -> None:
        self.hooks = hooks
        self.priority = priority
        self.values = PDValues(name=getattr(hooks, "__name__", type(hooks).__name__), **values)
        self.tcb = self.cnode = self.notification = self.endpoint = self.context = 0


class Builder:
    """Makes domains as the Microkit tool would (``tool/microkit/src/capdl/builder.rs``)."""

    def __init__(self, env: Environment) -> None:
        self.env = env

    async def put(self, domain: Domain, slot: int, cap: int, badge: int | None = None) -> None:
        """Derive a cap into a slot of the domain's own CNode."""
        env = self.env
        where = {"dest_index": slot, "dest_depth": pdloop.PD_CNODE_BITS, "src_root": env.cnode, "src_index": cap}
        if badge is None:
            await stubs.cnode_copy(env.sys, domain.cnode, **where, src_depth=64, rights=rt.ALL)
        else:
            await stubs.cnode_mint(env.sys, domain.cnode, **where, src_depth=64, rights=rt.ALL, badge=badge)

    async def create(self, domain: Domain, number: int) -> None:
        """Objects, address space and CSpace of a domain; ``number`` is its program."""
        env, alloc = self.env, self.env.memory.alloc
        domain.cnode = await alloc(obj.CNODE, pdloop.PD_CNODE_BITS)
        domain.notification, domain.endpoint = await alloc(obj.NOTIFICATION), await alloc(obj.ENDPOINT)
        domain.tcb = await alloc(obj.TCB)
        vspace = await VSpace.create(env.memory, env.asid_pool)
        program = (await vspace.map_new(PD_ENTRY, 0x1000, attr=0))[0]
        await self._fill(program, image(number, domain.values.encode()))
        buffer = (await vspace.map_new(pdloop.IPC_BUFFER, 0x1000))[0]
        await self.put(domain, pdloop.INPUT_CAP, domain.endpoint)
        await self.put(domain, pdloop.REPLY_CAP, await alloc(obj.REPLY))
        guard = 64 - pdloop.PD_CNODE_BITS
        await stubs.tcb_set_space(
            env.sys, domain.tcb, cspace_root_data=guard, vspace_root_data=0, fault_ep=0,
            cspace_root=domain.cnode, vspace_root=vspace.root,
        )  # fmt: skip
        await stubs.tcb_set_ipc_buffer(env.sys, domain.tcb, buffer=pdloop.IPC_BUFFER, buffer_frame=buffer)
        await stubs.tcb_bind_notification(env.sys, domain.tcb, notification=domain.notification)
        await stubs.tcb_set_priority(env.sys, domain.tcb, priority=domain.priority, authority=env.tcb)
        domain.context = await alloc(obj.SCHED_CONTEXT, SCHED_CONTEXT_BITS)
        await configure_time(env, domain.context, 1_000, 1_000)
        await stubs.sched_context_bind(env.sys, domain.context, cap=domain.tcb)

    async def _fill(self, frame: int, data: bytes) -> None:
        """Write a program's image into its frame, through a window of our own."""
        window = 0x4000_0000
        view = VSpace(self.env.memory, self.env.vspace)
        copy = await view.map_copy(frame, window)
        await ops.write(window, data)
        await stubs.cnode_delete(self.env.sys, self.env.cnode, index=copy, depth=64)

    async def channel(self, one: Domain, one_id: int, other: Domain, other_id: int) -> None:
        """Connect two domains: both may notify, and call if their values say so."""
        for near, near_id, far, far_id in ((one, one_id, other, other_id), (other, other_id, one, one_id)):
            slot = pdloop.BASE_OUTPUT_NOTIFICATION_CAP + near_id
            await self.put(near, slot, far.notification, 1 << far_id)
            if near.values.pps >> near_id & 1:
                await self.put(near, pdloop.BASE_ENDPOINT_CAP + near_id, far.endpoint, pdloop.ENDPOINT_BADGE | far_id)

    async def parent(self, parent: Domain, child: Domain, child_id: int) -> None:
        """Let a domain hear of another's faults and control it."""
        env = self.env
        fault_ep = await mint_endpoint(env, parent.endpoint, pdloop.FAULT_BADGE | child_id)
        await stubs.tcb_set_sched_params(
            env.sys, child.tcb, mcp=0, priority=child.priority, authority=env.tcb, sched_context=child.context,
            fault_ep=fault_ep,
        )  # fmt: skip
        await self.put(parent, pdloop.BASE_TCB_CAP + child_id, child.tcb)

    async def start(self, *domains: Domain) -> None:
        """Let the domains run."""
        for domain in domains:
            await stubs.tcb_write_registers(self.env.sys, domain.tcb, flags=1, registers=[PD_ENTRY])


def run_domains(
    domains: Sequence[Domain], wire: Callable[[Builder], Awaitable[None]], ticks: int = 3_000_000
) -> PythonSystem:
    """Create the domains, wire them, start them, and run for a while."""

    async def main(start: Start) -> None:
        env = await root_environment(start)
        builder = Builder(env)
        for index, domain in enumerate(domains):
            await builder.create(domain, index + 2)
        await wire(builder)
        await builder.start(*domains)
        await stubs.tcb_suspend(env.sys, env.tcb)

    system = PythonSystem([main, *(pdloop.program(domain.hooks) for domain in domains)])
    system.run(until=ticks, max_entries=50_000)
    return system


@pytest.fixture(scope="session")
def root() -> Callable[..., PythonSystem]:
    return run_root


@pytest.fixture(scope="session")
def domain() -> type[Domain]:
    return Domain


@pytest.fixture(scope="session")
def domains() -> Callable[..., PythonSystem]:
    return run_domains
