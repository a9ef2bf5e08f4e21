"""When a protection domain lived: seen from outside, by looking after each kernel entry whether its thread is there."""

from attrs import define, field

from capkernel.tools.demo.stage import Stage
from hwmodel.cpu.trap import Trap
from hwmodel.virtio.transport import VirtioMmio

TICKS_PER_US = 10


@define
class Lives:
    """The lives of a domain on a stage: ticks at which each began, and ended.

    ``dma_between`` counts what the domain's device read and wrote in RAM while the domain was dead.
    """

    stage: Stage
    pd: str
    device: VirtioMmio | None = None
    began: list[int] = field(factory=list)
    ended: list[int] = field(factory=list)
    dma_between: int = 0
    _thread: object = None
    _dma: int = 0

    def __attrs_post_init__(self) -> None:
        """Look from now on."""
        self.stage.system.loop.observers.append(self.look)

    def look(self, trap: Trap) -> None:
        """One kernel entry is over."""
        thread, dma = self.stage.system.threads.get(self.pd), self._accesses()
        if thread is not self._thread:
            now = self.stage.system.machine.now()
            (self.ended if thread is None else self.began).append(now)
            if thread is not None and self._thread is not None:
                self.ended.append(now)
        elif thread is None and self.began:
            self.dma_between += dma - self._dma
        self._thread, self._dma = thread, dma

    @property
    def gaps_us(self) -> list[float]:
        """From each end to the next beginning, in microseconds of virtual time."""
        return [(began - ended) / TICKS_PER_US for ended, began in zip(self.ended, self.began[1:], strict=False)]

    def _accesses(self) -> int:
        return self.device.port.reads + self.device.port.writes if self.device else 0
