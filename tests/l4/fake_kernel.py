"""As much of a kernel as the mapper and the factories need: caps in slots, what is mapped where, untypeds."""

from collections.abc import Sequence
from typing import Any

from capkernel.abi import errors as err
from capkernel.abi import labels
from capkernel.abi import objects as obj
from capkernel.abi import syscalls as sc
from capkernel.abi.words import WORD_MASK, align_up
from capkernel.user.operations import WRITE
from capkernel.user.syscalls import Message

SLOT = (1 << 58) - 1


def run(work: Any) -> Any:
    """The result of something that waits for nobody. It may write to its own memory, and send: nobody looks there."""
    try:
        while (asked := work.send(None))[0] in (WRITE, sc.SEND & WORD_MASK, sc.NBSEND & WORD_MASK):
            pass
    except StopIteration as end:
        return end.value
    raise AssertionError(f"it waits: {asked}")


class FrameCap:
    """A cap to a frame, with rights, mapped at most once."""

    def __init__(self, frame: int, rights: int) -> None:
        self.frame = frame
        self.rights = rights
        self.mapped: tuple[int, int] | None = None


class FakeKernel:
    """Answers invocations of frames, CNodes and untypeds. All slots are in one CNode."""

    def __init__(self) -> None:
        self.frames: dict[int, FrameCap] = {}
        self.spaces: dict[tuple[int, int], tuple[FrameCap, int]] = {}
        """By address space and address: the cap, and the rights with which it is mapped."""
        self.untypeds: dict[int, list[int]] = {}
        """By slot: place, bits, and where the next object goes."""
        self.made_of: dict[int, int] = {}
        """Of each slot that was filled by retype, the slot of the untyped."""

    async def call(self, cptr: int, message: Message) -> Message:
        """An invocation."""
        words, caps = list(message.words), list(message.caps)
        match message.label:
            case labels.CNODE_COPY:
                source, rights = self.frames[words[2] & SLOT], words[4]
                assert words[0] not in self.frames
                self.frames[words[0]] = FrameCap(source.frame, source.rights & rights)
            case labels.CNODE_DELETE:
                self.delete(words[0])
            case labels.CNODE_REVOKE:
                self.revoke(words[0])
            case labels.PAGE_MAP:
                return self.map(self.frames[cptr & SLOT], words, caps)
            case labels.PAGE_UNMAP:
                self.unmap(self.frames[cptr & SLOT])
            case labels.UNTYPED_RETYPE:
                return self.retype(cptr & SLOT, words[0], words[1], words[4])
            case labels.ASID_POOL_ASSIGN:
                pass
            case _:
                raise AssertionError(f"invocation {message.label} is not known here")
        return Message()

    def map(self, cap: FrameCap, words: Sequence[int], caps: Sequence[int]) -> Message:
        place = caps[0], words[0]
        if cap.mapped not in (None, place):
            return Message(err.INVALID_ARGUMENT, (0,))
        if place in self.spaces and cap.mapped is None:
            return Message(err.DELETE_FIRST)
        cap.mapped = place
        self.spaces[place] = cap, words[1] & cap.rights
        return Message()

    def unmap(self, cap: FrameCap) -> None:
        if cap.mapped is not None:
            del self.spaces[cap.mapped]
            cap.mapped = None

    def delete(self, slot: int) -> None:
        cap = self.frames.pop(slot, None)
        if cap is not None:
            self.unmap(cap)
        self.untypeds.pop(slot, None)
        self.made_of.pop(slot, None)

    def revoke(self, slot: int) -> None:
        for below in [each for each, untyped in self.made_of.items() if untyped == slot]:
            self.revoke(below)
            self.delete(below)

    def retype(self, untyped: int, kind: int, size_bits: int, slot: int) -> Message:
        start, bits, free = self.untypeds[untyped]
        if untyped not in self.made_of.values():
            free = start
        size = obj.object_size_bits(kind, size_bits)
        place = align_up(free, size)
        if place + (1 << size) > start + (1 << bits):
            return Message(err.NOT_ENOUGH_MEMORY, (start + (1 << bits) - free,))
        assert slot not in self.made_of
        self.untypeds[untyped][2] = place + (1 << size)
        self.made_of[slot] = untyped
        if kind == obj.UNTYPED:
            self.untypeds[slot] = [place, size, place]
        return Message()
