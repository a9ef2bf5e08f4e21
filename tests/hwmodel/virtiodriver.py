"""A small virtio-mmio driver for the tests: rings and buffers in RAM, behind the board's IOMMU where it has one."""

import struct

from hwmodel.machine import Machine
from hwmodel.virtio import registers as reg
from hwmodel.virtio.queue import INDIRECT, NEXT, WRITE

RAM = 1 << 24
PAGES = 48
IOVA = 0x40_0000
FEATURES = reg.REQUIRED_FEATURES


class Memory:
    """Pages that a device may use: on a board with an IOMMU in scrambled order, and nothing else mapped."""

    def __init__(self, machine: Machine, request_id: int | None, slot: int = 0) -> None:
        self.machine = machine
        base = machine.board.ram.base + 0x20_0000 + slot * 0x20_0000
        self.frames = [base + 0x1_0000 + 4096 * (page * 7 % PAGES) for page in range(PAGES)]
        self.behind_iommu = machine.iommu is not None
        self.start = IOVA if self.behind_iommu else self.frames[0]
        if not self.behind_iommu:
            self.frames = [base + 0x1_0000 + 4096 * page for page in range(PAGES)]
        elif request_id is not None:
            self.map_all(base, request_id)

    def map_all(self, table: int, request_id: int) -> None:
        machine = self.machine
        machine.write_word(table + 8 * (IOVA >> 21), table + 4096 | 3)
        for page, frame in enumerate(self.frames):
            machine.write_word(table + 4096 + 8 * ((IOVA >> 12) + page & 511), frame | 3)
        machine.iommu_set_context(request_id, 5, table, 2)
        machine.iommu_invalidate(5)

    def _place(self, iova: int) -> int:
        page, offset = divmod(iova - self.start, 4096)
        return self.frames[page] + offset

    def poke(self, iova: int, data: bytes) -> None:
        while data:
            length = 4096 - iova % 4096
            self.machine.write_bytes(self._place(iova), data[:length])
            iova, data = iova + length, data[length:]

    def peek(self, iova: int, size: int) -> bytes:
        parts = []
        while size:
            length = min(size, 4096 - iova % 4096)
            parts.append(self.machine.read_bytes(self._place(iova), length))
            iova, size = iova + length, size - length
        return b"".join(parts)


class Queue:
    """One virtqueue: three rings from `place` on, which is a page boundary."""

    def __init__(self, driver: "Driver", number: int, size: int, place: int) -> None:
        self.driver, self.number, self.size = driver, number, size
        self.descriptors, self.available, self.used = place, place + 16 * size, place + 22 * size + 6 + 3 & ~3
        self.next_free = self.submitted = self.seen = 0

    def set_up(self) -> None:
        driver = self.driver
        driver.memory.poke(self.descriptors, bytes(self.used + 8 * self.size + 6 - self.descriptors))
        driver.store(reg.QUEUE_SEL, self.number)
        driver.store(reg.QUEUE_SIZE, self.size)
        for register, address in (
            (reg.QUEUE_DESC_LOW, self.descriptors),
            (reg.QUEUE_DRIVER_LOW, self.available),
            (reg.QUEUE_DEVICE_LOW, self.used),
        ):
            driver.store(register, address & 0xFFFFFFFF)
            driver.store(register + 4, address >> 32)
        driver.store(reg.QUEUE_READY, 1)

    def descriptor(self, index: int, address: int, length: int, flags: int, following: int = 0) -> None:
        self.driver.memory.poke(self.descriptors + 16 * index, struct.pack("<QIHH", address, length, flags, following))

    def offer(self, head: int) -> None:
        """Make a chain available, without notifying."""
        memory = self.driver.memory
        memory.poke(self.available + 4 + 2 * (self.submitted % self.size), struct.pack("<H", head))
        self.submitted = self.submitted + 1 & 0xFFFF
        memory.poke(self.available + 2, struct.pack("<H", self.submitted))

    def submit(self, segments: list[tuple[int, int, bool]], *, indirect: int = 0) -> int:
        """Chain segments (address, length, writable), in a table at `indirect` if given; return the head."""
        count = 1 if indirect else len(segments)
        indices = [(self.next_free + i) % self.size for i in range(count)]
        self.next_free = (self.next_free + count) % self.size
        if indirect:
            self.descriptor(indices[0], indirect, 16 * len(segments), INDIRECT)
            indices = list(range(len(segments)))
        entries = []
        for i, (address, length, writable) in enumerate(segments):
            last = i + 1 == len(segments)
            flags = (WRITE if writable else 0) | (0 if last else NEXT)
            entries.append((indices[i], struct.pack("<QIHH", address, length, flags, 0 if last else indices[i + 1])))
        for index, entry in entries:
            self.driver.memory.poke((indirect or self.descriptors) + 16 * index, entry)
        head = (self.next_free - count) % self.size
        self.offer(head)
        return head

    def notify(self) -> None:
        self.driver.store(reg.QUEUE_NOTIFY, self.number)

    def completions(self) -> list[tuple[int, int]]:
        """Return the (head, bytes written) that the device has put into the used ring since the last call."""
        memory = self.driver.memory
        (index,) = struct.unpack("<H", memory.peek(self.used + 2, 2))
        found = []
        while self.seen != index:
            found.append(struct.unpack("<II", memory.peek(self.used + 4 + 8 * (self.seen % self.size), 8)))
            self.seen = self.seen + 1 & 0xFFFF
        return found


class Driver:
    """A driver of the device in one slot. Pages 0 to 7 are for rings, the others, from `buffers` on, for data."""

    def __init__(self, machine: Machine, name: str = "virtio0", *, slot: int = 0) -> None:
        self.machine = machine
        self.window = machine.board.device(name)
        self.memory = Memory(machine, self.window.request_id, slot)
        self.device = machine.devices[name]
        self.queues: list[Queue] = []
        self.buffers = self.memory.start + 8 * 4096

    def load(self, offset: int) -> int:
        return self.machine.bus.read(self.window.region.base + offset, 4)

    def store(self, offset: int, value: int) -> None:
        self.machine.bus.write(self.window.region.base + offset, 4, value)

    def set_features(self, features: int) -> None:
        for half in range(2):
            self.store(reg.DRIVER_FEATURES_SEL, half)
            self.store(reg.DRIVER_FEATURES, features >> 32 * half & 0xFFFFFFFF)

    def start(self, features: int = FEATURES, *, queues: int = 1, size: int = 8) -> "Driver":
        """Bring the device up with `queues` queues of `size` descriptors (section 3.1.1)."""
        self.store(reg.STATUS, 0)
        self.store(reg.STATUS, reg.ACKNOWLEDGE | reg.DRIVER)
        self.set_features(features)
        self.store(reg.STATUS, reg.ACKNOWLEDGE | reg.DRIVER | reg.FEATURES_OK)
        assert self.load(reg.STATUS) & reg.FEATURES_OK
        self.queues = [Queue(self, i, size, self.memory.start + i * 2 * 4096) for i in range(queues)]
        for queue in self.queues:
            queue.set_up()
        self.store(reg.STATUS, reg.ACKNOWLEDGE | reg.DRIVER | reg.FEATURES_OK | reg.DRIVER_OK)
        self.machine.mask_irq(self.window.irq, False)
        return self

    def settle(self) -> None:
        """Let time pass until the machine has nothing more to do by itself."""
        while (tick := self.machine.next_event()) is not None:
            self.machine.advance(tick - self.machine.now())

    @property
    def status(self) -> int:
        return self.load(reg.STATUS)

    @property
    def broken(self) -> bool:
        return bool(self.status & reg.DEVICE_NEEDS_RESET)


class Disk(Driver):
    """A driver of a disk: one request at a time."""

    def request(self, kind: int, sector: int, data: bytes = b"", *, length: int = 0) -> tuple[int | None, bytes]:
        """Do a request that sends `data` or takes `length` bytes; return status (None: no answer) and bytes."""
        self.post(kind, sector, data, length=length)
        self.settle()
        return self.answer(length)

    def post(self, kind: int, sector: int, data: bytes = b"", *, length: int = 0) -> None:
        place = self.buffers
        self.memory.poke(place, struct.pack("<IIQ", kind, 0, sector))
        self.memory.poke(place + 16, data)
        self.memory.poke(self.status_place, b"\xee")
        segments = [(place, 16, False)]
        segments += [(place + 16, len(data), False)] if data else []
        segments += [(place + 0x1_0000, length, True)] if length else []
        self.queues[0].submit([*segments, (self.status_place, 1, True)])
        self.queues[0].notify()

    @property
    def status_place(self) -> int:
        return self.buffers + 0x2_0000

    def answer(self, length: int = 0) -> tuple[int | None, bytes]:
        done = self.queues[0].completions()
        self.store(reg.INTERRUPT_ACK, 3)
        if not done:
            return None, b""
        return self.memory.peek(self.status_place, 1)[0], self.memory.peek(self.buffers + 0x1_0000, length)
