"""A pager reads a page, to write it to a disk or to copy it, only when nobody can write to it meanwhile."""

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from capkernel.abi.objects import PAGE_BYTES
from capkernel.kernel.caps import PageTableCap
from capkernel.protocols.memory import PAGE
from capkernel.protocols.paging import Pager
from capkernel.protocols.processes import State, Status
from capkernel.tools.demo.stage import Stage
from capkernel.tools.interruption import Account, Event, Interrupter
from capkernel.user import process as user
from hwmodel.cpu.program import Program, Resumable, Start
from hwmodel.sv39 import PTE_W, mappings, walk
from tests.servers.process_bench import PAGER, World, play

PAGES, FRAMES = 12, 4


async def scribble(process: user.Process, pages: str, rounds: str) -> int:
    """Count up in each page, again and again; the sum in the end."""
    for _ in range(int(rounds)):
        for page in range(int(pages)):
            where = user.HEAP + page * PAGE
            await process.store(where, await process.load(where) + 1)
    return sum([await process.load(user.HEAP + page * PAGE) for page in range(int(pages))])


class Onlooker:
    """Looks on whenever the pager looks at a page that it has given to processes: who else could write there?"""

    def __init__(self, stage: Stage) -> None:
        self.system = stage.system
        self.account = Account()
        self.roots: set[int] = set()
        self.writable = 0
        self.system.loop.observers.append(self._note)
        pager = next(pd for pd in self.system.system.protection_domains if pd.name == "pager")
        bulk = next(each for each in pager.maps if each.setvar_vaddr == "files_region")
        start = bulk.vaddr + self.system.system.region(bulk.region).size
        self.window = range(start, start + 0x40_0000)
        (program,) = self.system.programs["pager"]
        self.hooks: Any = getattr(program, "hooks", None)
        cpu: Any = self.system.cpu
        getattr(cpu, "coroutines", cpu).cpu.programs.wrap(getattr(program, "number", 0), self._around)

    def _note(self, *_: Any) -> None:
        vspace = self.system.state.current.vspace_slot.cap
        if isinstance(vspace, PageTableCap):
            self.roots.add(vspace.paddr)

    def _around(self, program: Program) -> Program:
        def begin(start: Start) -> Resumable:
            return Interrupter([self.window], self.look, Random(0), self.account, 1 << 30).run(program(start))

        return begin

    def look(self, vaddr: int, size: int) -> bytes:
        memory = self.system.machine.memory
        vspace: Any = self.system.threads["pager"].vspace_slot.cap
        page = walk(memory, vspace.paddr, vaddr)
        assert page is not None
        for root in self.roots - {vspace.paddr}:
            self.writable += any(each.paddr == page.paddr and each.flags & PTE_W for each in mappings(memory, root))
        return self.system.machine.read_bytes(page.paddr + vaddr % PAGE_BYTES, size)


async def story(world: World) -> None:
    """One process, and then two who have the same content, each of which writes to it."""
    pager = world.at(Pager, PAGER)
    puppet = await world.puppet()
    first = await pager.zeros(PAGES * PAGE, FRAMES)
    child = await world.spawn(puppet, "scribble", str(PAGES), "3", segment=first)
    assert await child.wait() == Status(State.EXITED, 3 * PAGES)
    second: Any = await first.snapshot()
    children = [await world.spawn(puppet, "scribble", str(PAGES), "2", segment=each) for each in (first, second)]
    for each in children:
        assert await each.wait() == Status(State.EXITED, 5 * PAGES)


def played(monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Onlooker], None] = lambda onlooker: None) -> Onlooker:
    found: list[Onlooker] = []

    def watch(stage: Stage) -> None:
        found.append(Onlooker(stage))
        spoil(found[0])

    play(monkeypatch, story, watch=watch, scribble=scribble).close()
    return found[0]


def test_nobody_can_write_to_a_page_while_the_pager_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    onlooker = played(monkeypatch)
    assert onlooker.account.requests[Event.READ] > 3 * PAGES
    assert not onlooker.account.requests[Event.AGAIN]
    assert not onlooker.writable


def test_a_pager_that_takes_nothing_away_is_seen_to_read_what_others_write_to(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[Onlooker] = []

    def keep(onlooker: Onlooker) -> None:
        found.append(onlooker)
        unmap = onlooker.hooks.Frames.unmap

        async def of_one(self: Any, content: int, space: int | None = None, address: int | None = None) -> None:
            if space is not None:
                await unmap(self, content, space, address)

        monkeypatch.setattr(onlooker.hooks.Frames, "unmap", of_one)

    with pytest.raises(AssertionError):
        played(monkeypatch, keep)
    assert found[0].writable
