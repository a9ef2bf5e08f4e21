"""A file in memory that outlives its program: whole or not there, wherever its writer dies."""

import asyncio
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capkernel.abi.objects import PAGE_BYTES
from capkernel.user.loop import PD
from servers.composition.paged_file import MAX_SIZE, PagedFile


class Died(Exception):
    """The program's end."""


class Memory:
    """Memory as a domain has it, that is written to so many times."""

    def __init__(self, content: bytearray, writes: int) -> None:
        self.content = content
        self.writes = writes

    async def load(self, address: int) -> int:
        return int.from_bytes(await self.read(address, 8), "little")

    async def read(self, address: int, size: int) -> bytes:
        return bytes(self.content[address : address + size])

    async def store(self, address: int, value: int) -> None:
        await self.write(address, value.to_bytes(8, "little"))

    async def write(self, address: int, data: bytes) -> None:
        for index, byte in enumerate(data):
            if not self.writes:
                raise Died
            self.writes -= 1
            self.content[address + index] = byte


def kept(content: bytearray, original: bytes, writes: int = -1) -> bytes:
    """A life: keep, and read all."""

    async def live() -> bytes:
        file = PagedFile(cast(PD, cast(Any, Memory(content, writes))), 0)
        await file.keep(original)
        return await file.read(0, MAX_SIZE)

    return asyncio.run(live())


@given(st.binary(min_size=1, max_size=40), st.data())
def test_it_is_whole_wherever_its_writer_died(original: bytes, data: st.DataObject) -> None:
    content = bytearray(4 * PAGE_BYTES)
    writes = data.draw(st.integers(0, len(original)))
    with pytest.raises(Died):
        kept(content, original, writes)
    assert kept(content, original) == original


def test_what_was_kept_is_not_replaced_by_the_original() -> None:
    content = bytearray(4 * PAGE_BYTES)
    assert kept(content, b"first") == b"first"
    assert kept(content, b"second") == b"first"


@pytest.mark.parametrize("size", [0, MAX_SIZE + 1])
def test_what_does_not_fit_is_an_error(size: int) -> None:
    with pytest.raises(ValueError, match="bytes are kept"):
        kept(bytearray(4 * PAGE_BYTES), bytes(size))
