"""The table kept with nodes: what is written is read, nothing else is believed, a failure leaves old or new."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capkernel.protocols.failures import Corrupt, DeviceError, Malformed
from capkernel.protocols.files import READ, READ_WRITE, WRITE, Kind
from capkernel.protocols.hurd import Ownership
from capkernel.protocols.hurd_auth import Ids
from servers.hurd.records import NOBODYS, Record, Records, decode, encode
from servers.storage.ram_volume import RamVolume
from tests.hurd.running import done

ids = st.integers(0, 5)
words = st.text(st.characters(codec="ascii", categories=["L", "N", "P"]), min_size=1, max_size=8)
records = st.builds(
    Record, ids, ids, st.integers(0, 0o777).map(lambda mode: mode & 0o666), st.lists(words, max_size=3).map(tuple)
)
identities = st.builds(
    Ids, st.lists(ids, unique=True, max_size=3).map(tuple), st.lists(ids, unique=True, max_size=3).map(tuple)
)


@given(st.dictionaries(st.text(max_size=10), records, max_size=5))
def test_what_is_written_is_read(table: dict[str, Record]) -> None:
    assert decode(encode(table)) == table


@given(
    st.binary(max_size=60) | st.sampled_from([b"[]", b"{}", b'{"a":1}', b'{"a":[0,0,0,"x"]}', b'{"a":[0,0,true,[]]}'])
)
def test_anything_else_is_a_table_or_corrupt(data: bytes) -> None:
    with suppress(Corrupt):
        assert all(isinstance(record, Record) for record in decode(data).values())


class Failing(RamVolume):
    """A volume that fails at its n-th change and from then on."""

    left = 1 << 30

    def _count(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise DeviceError("no more")

    async def write(self, path: str, offset: int, data: bytes, *, into_reserve: bool = False) -> None:
        self._count()
        await super().write(path, offset, data, into_reserve=into_reserve)

    async def resize(self, path: str, size: int, *, into_reserve: bool = False) -> None:
        self._count()
        await super().resize(path, size, into_reserve=into_reserve)

    async def create(self, path: str, kind: Kind, *, into_reserve: bool = False) -> None:
        self._count()
        await super().create(path, kind, into_reserve=into_reserve)

    async def rename(self, path: str, new_path: str) -> None:
        self._count()
        await super().rename(path, new_path)


@given(st.lists(records, min_size=1, max_size=3), records, st.integers(0, 6))
def test_a_failure_at_any_change_leaves_the_old_record_or_the_new(old: list[Record], new: Record, left: int) -> None:
    volume: Any = Failing(1 << 16)
    table = Records(volume)
    for record in old:
        done(table.keep("", "node", record))
    volume.left = left
    try:
        done(table.keep("", "node", new))
        allowed = [new]
    except DeviceError:
        allowed = [old[-1], new]
    volume.left = 1 << 30
    assert done(table.of("", "node", Kind.FILE)) in allowed
    done(table.keep("", "node", new))
    assert done(table.of("", "node", Kind.FILE)) == new


@given(records, identities)
def test_rights_are_those_of_the_class_to_which_somebody_belongs(record: Record, who: Ids) -> None:
    shift = 6 if record.owner in who.uids else 3 if record.group in who.gids else 0
    bits = record.mode >> shift
    expected = (READ if bits & 4 else 0) | (WRITE if bits & 2 else 0)
    assert record.rights(who) == (READ_WRITE if 0 in who.uids else expected)
    assert record.is_owned_by(who) == (0 in who.uids or record.owner in who.uids)


def test_a_node_with_which_nothing_is_kept_is_roots() -> None:
    assert all(record.owner == 0 and record.rights(Ids()) == READ for record in NOBODYS.values())


@pytest.mark.parametrize("command", [["a b"], [""], ["x" * 300], ["\n"]])
def test_what_is_no_command_line_is_refused(command: list[str]) -> None:
    with pytest.raises(Malformed):
        Record(0, 0, 0).translated(command)


@pytest.mark.parametrize("ownership", [Ownership(-1, 0, 0), Ownership(0, 1 << 31, 0), Ownership(0, 0, 0o1000)])
def test_what_is_no_ownership_is_refused(ownership: Ownership) -> None:
    with pytest.raises(Malformed):
        Record(0, 0, 0).owned(ownership)
