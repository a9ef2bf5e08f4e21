"""What is behind a virtio transport: the part that differs between a disk, a network card and a source of entropy."""

from abc import ABC, abstractmethod
from typing import ClassVar

from hwmodel.faults import FaultInjector
from hwmodel.stateful import Stateful
from hwmodel.virtio.queue import Request

LEFT_IN_QUEUE = -1
"""What `VirtioFunction.step` returns if the request was not needed and stays available."""


class VirtioFunction(Stateful, ABC):
    """A kind of device. The processor hands it one request at a time, and calls `step` until it is done.

    DEVICE_ID and the order of the queues are those of VIRTIO 1.2, section 5.
    """

    __slots__ = ()
    DEVICE_ID: ClassVar[int]
    QUEUES: ClassVar[int] = 1

    @property
    def features(self) -> int:
        """The feature bits of this kind that are offered."""
        return 0

    def configuration(self) -> bytes:
        """Return the configuration space as it reads now."""
        return b""

    def configure(self, offset: int, data: bytes) -> None:
        """Take a store to the configuration space; most of it is read-only and ignores it."""

    def negotiated(self, features: int) -> None:
        """Work with these features from now on; 0 after a reset."""

    def ready_for(self, queue: int) -> bool:
        """Say whether a request of this queue could be worked on now."""
        return True

    @abstractmethod
    def step(self, request: Request, faults: FaultInjector) -> int | None:
        """Do the next piece of the request; None, or when it is done the number of bytes written to it.

        `LEFT_IN_QUEUE` gives the request up as if it had never been taken; nothing may have been written to it. Raises
        `DmaFault`, and `MalformedRing` if the request makes no sense and has no place for an answer.
        """

    def abandon(self) -> None:
        """Forget the request in work: the device or its queue was reset."""

    def before_step(self, faults: FaultInjector) -> None:
        """Let faults happen that do not need a request. Called only before steps in which a fault is planned."""

    def power_cut(self, survival: int, seed: tuple[int, int]) -> None:
        """Lose what is volatile; see `FaultKind.POWER_CUT` for `survival`."""

    def poll(self) -> int:
        """Take in what has arrived from outside; return how much."""
        return 0
