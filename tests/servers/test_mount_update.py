"""What is mounted, and the caps to the root, handed over to the next mount server: all of it, or nothing."""

from typing import Any

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from capkernel.protocols.client import Connection, connect
from capkernel.protocols.failures import Failure, Gone, NoSpace, NotPermitted
from capkernel.protocols.files import READ, READ_WRITE, Directory
from capkernel.protocols.service import Service
from capkernel.user.allocators import SlotAllocator
from capkernel.user.inbox import Inbox
from servers.storage import mount_server
from servers.storage.mount_handover import KeptMount, KeptMounts, keep_mounts, restore_mounts
from servers.storage.mount_server import FIRST_MOUNTED, HELD_ADDRESS, HELD_CNODE, OWN_CNODE
from servers.storage.mount_table import MountsServant, MountTable
from servers.system.lasting_slots import LastingSlots
from servers.system.retiring import Handover, UnusableState
from tests.servers.update_bench import SUPERVISOR, UPDATE, Lasting, Retired

FIRST = {0: "disk", 2: "bin"}
SLOTS = 6
NAMES = st.sampled_from(["a", "b", "disk", "bin", "ä name"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("mount"), NAMES),
        st.tuples(st.just("unmount"), NAMES),
        st.tuples(st.just("restrict"), st.integers(0, 9), st.integers(0, 3)),
        st.tuples(st.just("drop"), st.integers(1, 9)),
    ),
    max_size=14,
)


class Life:
    """A mount server without a machine: what clients hand over are caps with names of their own in its CSpace."""

    def __init__(self, lasting: Lasting, life: int = 1, badges: list[int] | None = None) -> None:
        self.lasting = lasting
        self.pd = lasting.pd(life, "mounts")
        self.inbox = Inbox(self.pd.sys, SlotAllocator(OWN_CNODE, 400, 500))
        self.connection = Connection(self.pd.sys, self.inbox)
        slots = LastingSlots(self.pd.sys, HELD_CNODE, HELD_ADDRESS, range(1, SLOTS))
        self.table = MountTable(connect(Directory, self.connection, mount_server.BASE), slots)
        self.first = {number: connect(Directory, self.connection, FIRST_MOUNTED + number) for number in FIRST}
        self.table.mounts = {name: self.first[number] for number, name in FIRST.items()}
        self.service = Service(self.pd, roots=self._root)
        self.handover = Handover(self.pd, KeptMounts, lasting.region, SUPERVISOR, UPDATE)
        self.badges = badges or [2, 3]
        self.went_on = lasting.run(self.handover.go_on(self._take_up))

    async def _take_up(self, kept: KeptMounts) -> None:
        await restore_mounts(kept, self.table, self.first, self.connection, self.service)

    def _root(self, session: int) -> Any:
        return MountsServant(self.table, READ if session == 3 else READ_WRITE) if session in (2, 3) else None

    def do(self, number: int, name: str, *args: Any) -> Any:
        try:
            return getattr(self, f"_{name}")(number, *args)
        except Failure as failure:
            return type(failure)

    def _mount(self, number: int, name: str) -> None:
        if name not in self.table.mounts:
            slot = self.inbox.slots.alloc()
            self.lasting.caps[OWN_CNODE, slot] = f"cap {number} of a client"
            try:
                self.lasting.run(self.table.put(name, connect(Directory, self.connection, slot, is_owned=True)))
            except NoSpace:
                self.lasting.run(self.inbox.discard(slot))
                raise

    def _unmount(self, number: int, name: str) -> None:
        directory = self.table.mounts.pop(name, None)
        slot = directory is not None and self.table.lasting.slot_of(directory.cap)
        if slot:
            self.lasting.run(self.table.lasting.empty(slot))

    def _restrict(self, number: int, which: int, rights: int) -> None:
        entry = self.service._find(self.badges[which % len(self.badges)])
        restricted = self.lasting.run(entry.servant.restrict(rights))
        self.badges.append(self.service._add(restricted, entry).badge)

    def _drop(self, number: int, which: int) -> None:
        entry = self.service._find(self.badges[which % len(self.badges)])
        self.service._lift(entry)
        self.service._close(entry)

    def leave(self) -> "Life":
        """Give way to the next one."""
        kept = keep_mounts(self.table, self.first, self.service)
        with pytest.raises(Retired):
            self.lasting.run(self.handover.give_way(kept))
        for place in [place for place in self.lasting.caps if place[0] == OWN_CNODE]:
            # Its own slots end with it.
            del self.lasting.caps[place]
        after = Life(self.lasting, self.pd.life + 1, list(self.badges))
        assert after.went_on
        return after

    def seen(self) -> Any:
        """Each name with the cap to which it leads, and each cap to the root with its rights."""
        mounts = {}
        for name, directory in self.table.mounts.items():
            slot = self.table.lasting.slot_of(directory.cap)
            cap = self.lasting.caps.get((HELD_CNODE, slot)) if slot else directory.cap
            assert cap is not None, "it leads nowhere"
            mounts[name] = cap
        rights = []
        for badge in self.badges:
            try:
                rights.append(self.service.servant(badge).rights)
            except Gone:
                rights.append(None)
        return mounts, rights


@settings(max_examples=150, deadline=None)
@given(st.lists(STEPS, min_size=1, max_size=4))
def test_everything_stays_mounted_and_every_cap_keeps_its_rights(parts: list[Any]) -> None:
    stayed, moving = Life(Lasting()), Life(Lasting())
    number = 0
    for part in parts:
        for name, *args in part:
            number += 1
            assert stayed.do(number, name, *args) == moving.do(number, name, *args)
        moving = moving.leave()
        stayed.pd.life += 1
        stayed.service._next_number, stayed.service._end_number = moving.service._next_number, 1 << 62
        assert moving.seen() == stayed.seen()
    held = {place for place in moving.lasting.caps if place[0] == HELD_CNODE}
    assert len(held) == len(moving.table.lasting.taken), "no cap stays that nothing leads to"


def test_a_server_that_crashes_forgets_what_was_mounted_and_uses_the_slots_again() -> None:
    life = Life(Lasting())
    for number, name in enumerate("abcde"):
        assert life.do(number, "mount", name) is None
    assert life.do(9, "mount", "f") is NoSpace
    after = Life(life.lasting, 2)
    assert not after.went_on
    assert set(after.table.mounts) == set(FIRST.values())
    for number, name in enumerate("vwxyz", 10):
        assert after.do(number, "mount", name) is None
    assert set(after.seen()[0].values()) >= {f"cap {number} of a client" for number in range(10, 15)}


FORGERIES = {
    "a name twice": lambda kept: evolve(kept, mounts=[*kept.mounts, kept.mounts[0]]),
    "a slot twice": lambda kept: evolve(kept, mounts=[*kept.mounts, KeptMount("b", -1, 1)]),
    "a slot that there is not": lambda kept: evolve(kept, mounts=[KeptMount("b", -1, SLOTS)]),
    "the slot 0": lambda kept: evolve(kept, mounts=[KeptMount("b", -1, 0)]),
    "a cap of the server's own": lambda kept: evolve(kept, mounts=[KeptMount("b", 1, -1)]),
    "nothing at all": lambda kept: evolve(kept, mounts=[KeptMount("b", -1, -1)]),
    "two things at once": lambda kept: evolve(kept, mounts=[KeptMount("b", 0, 2)]),
    "a name that is none": lambda kept: evolve(kept, mounts=[KeptMount("a/b", 0, -1)]),
    "rights that there are not": lambda kept: evolve(kept, rights=[7]),
    "a cap to an object that is not there": lambda kept: evolve(kept, rights=[]),
    "a cap of a session without a root": lambda kept: evolve(kept, caps=[evolve(kept.caps[0], session=9)]),
}


@pytest.mark.parametrize("forgery", FORGERIES.values(), ids=FORGERIES.keys())
def test_a_state_that_no_server_can_have_left_is_refused(forgery: Any) -> None:
    life = Life(Lasting())
    life.do(1, "mount", "a")
    life.do(2, "restrict", 0, READ)
    kept = forgery(keep_mounts(life.table, life.first, life.service))
    with pytest.raises(Retired):
        life.lasting.run(life.handover.give_way(kept))
    signals = len(life.lasting.signals)
    with pytest.raises(UnusableState):
        Life(life.lasting, 2)
    with pytest.raises(UnusableState):
        Life(life.lasting, 3)
    assert len(life.lasting.signals) == signals, "it gave a sign of life and cannot go on"
    assert not Life(life.lasting, 4).went_on


def test_a_weak_cap_to_the_root_stays_weak() -> None:
    life = Life(Lasting())
    life.do(1, "restrict", 0, READ)
    after = life.leave()
    weak = after.service.servant(after.badges[-1])
    with pytest.raises(NotPermitted):
        after.lasting.run(weak.unmount("disk"))
    assert after.lasting.run(weak.mounted()) == ("bin", "disk")
