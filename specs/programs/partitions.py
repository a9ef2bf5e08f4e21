"""A world of two labels that share two channels: what a system description would set up, and its policy.

``alice`` sends, calls and signals through ``forth``, ``bob`` receives from it and signals back through ``back``. Each
has memory, a CSpace, an address space and an untyped of its own. The root task that built it all is stopped.
"""

from capkernel.abi import bootinfo as bi
from capkernel.abi import labels, rights
from capkernel.abi import objects as obj
from capkernel.abi import registers as reg
from capkernel.kernel.caps import FrameCap, ThreadCap, UntypedCap
from specs.invariants.authority import CALL, DELETE_DERIVED, NOTIFY, READ, RECEIVE, REPLY, RESET, SEND, Edge, Policy
from specs.programs.layout import ASK, BUFFERS, CODE, SLOTS, TEST_BITS, Builder
from specs.programs.model import Layout, Worker

ALICE, BOB, FORTH, BACK, CODE_PAGE = "alice", "bob", "forth", "back", "code"
AREA_BITS, CHANNEL_BITS, UNTYPED_BITS = 18, 12, 16
GUARD_58 = 58
LAYOUT = Layout(partitioned=True, workers=(
    Worker(priority=120), Worker(priority=50), Worker(priority=110, budget=2_000, period=5_000),
))  # fmt: skip
"""Two threads of alice, the second of which runs when nobody else does, and one of bob."""
OWNERS = (ALICE, ALICE, BOB)
EDGES = frozenset((
    Edge(ALICE, SEND, FORTH), Edge(ALICE, CALL, FORTH), Edge(ALICE, NOTIFY, FORTH), Edge(ALICE, RESET, FORTH),
    Edge(BOB, RECEIVE, FORTH), Edge(BOB, RESET, FORTH), Edge(BOB, REPLY, ALICE), Edge(BOB, DELETE_DERIVED, ALICE),
    Edge(BOB, NOTIFY, BACK), Edge(BOB, RESET, BACK), Edge(ALICE, RECEIVE, BACK), Edge(ALICE, RESET, BACK),
    Edge(ALICE, READ, CODE_PAGE), Edge(BOB, READ, CODE_PAGE),
))  # fmt: skip


class PartitionBuilder(Builder):
    """The root thread as it builds the partitions. Of its own CSpace it uses only the root task's own CNode."""

    def build(self) -> None:
        """Everything, in order; the root thread stops itself at the end."""
        self.areas: list[tuple[int, int, str]] = []
        forth, back = self._area(CHANNEL_BITS, FORTH), self._area(CHANNEL_BITS, BACK)
        self.shared = {
            "ep0": self._child(forth, obj.ENDPOINT), "ntfn0": self._child(forth, obj.NOTIFICATION),
            "ntfn1": self._child(back, obj.NOTIFICATION),
        }  # fmt: skip
        image = self.own.slot(self.info.user_image_frames[0]).cap
        assert isinstance(image, FrameCap)
        self.areas.append((image.paddr, image.paddr + 4096, CODE_PAGE))
        nodes = {label: self._partition(label) for label in (ALICE, BOB)}
        for index, worker in enumerate(self.world.layout.workers):
            self._worker(index, worker, nodes[OWNERS[index]])
        self.world.policy = Policy(tuple(self.areas), EDGES)
        self._stop()

    def _slot(self) -> int:
        self.free += 1
        return self.free - 1

    def _area(self, bits: int, label: str) -> int:
        """An untyped of its own for a label; returns its own slot."""
        slot = self.new(obj.UNTYPED, bits)
        cap = self.own.slot(slot).cap
        assert isinstance(cap, UntypedCap)
        self.areas.append((cap.paddr, cap.paddr + (1 << bits), label))
        return slot

    def _child(self, untyped: int, kind: int, bits: int = 0) -> int:
        """Make an object from an own untyped into an own slot."""
        slot = self._slot()
        self.invoke(untyped, labels.UNTYPED_RETYPE, (kind, bits, 0, 0, slot, 1), (bi.CAP_INIT_CNODE,))
        return slot

    def _give(self, node: int, name: str, source: int, mask: int = rights.ALL, badge: int | None = None) -> None:
        """Copy (mint) an own cap into a partition's CSpace."""
        words = (SLOTS[name], TEST_BITS, source, 64, mask)
        label = labels.CNODE_COPY if badge is None else labels.CNODE_MINT
        self.invoke(node, label, words if badge is None else (*words, badge), (bi.CAP_INIT_CNODE,))

    def _partition(self, label: str) -> tuple[int, int, int]:
        """CNode, VSpace and area of a label, filled but for its threads."""
        area = self._area(AREA_BITS, label)
        node = self._child(area, obj.CNODE, TEST_BITS)
        self._give(node, "cnode", node)
        vspace = self._vspace(area)
        self._give(node, "vspace1", vspace)
        self.invoke(area, labels.UNTYPED_RETYPE, (obj.UNTYPED, UNTYPED_BITS, 0, 0, SLOTS["untyped"], 1), (node,))
        kinds = (("ep1", obj.ENDPOINT), ("reply0", obj.REPLY), ("frame0", obj.PAGE), ("frame1", obj.PAGE),
                 ("table_low", obj.PAGE_TABLE), ("sc_spare", obj.SCHED_CONTEXT), ("tcb_fresh", obj.TCB))  # fmt: skip
        for name, kind in kinds:
            bits = obj.MIN_SCHED_CONTEXT_BITS if kind == obj.SCHED_CONTEXT else 0
            self.invoke(area, labels.UNTYPED_RETYPE, (kind, bits, 0, 0, SLOTS[name], 1), (node,))
        forth, back = (rights.WRITE, rights.READ) if label == ALICE else (rights.READ, rights.WRITE)
        self._give(node, "ep0", self.shared["ep0"], forth | rights.GRANT_REPLY if label == ALICE else forth)
        self._give(node, "ntfn0", self.shared["ntfn0"], forth, badge=1)
        self._give(node, "ntfn1", self.shared["ntfn1"], back, badge=2)
        return node, vspace, area

    def _vspace(self, area: int) -> int:
        """An address space in which only the code page is mapped."""
        vspace, page = self._child(area, obj.PAGE_TABLE), self._slot()
        self.invoke(bi.CAP_INIT_ASID_POOL, labels.ASID_POOL_ASSIGN, (), (vspace,))
        for _ in range(2):
            self.invoke(self._child(area, obj.PAGE_TABLE), labels.PAGE_TABLE_MAP, (CODE, 0), (vspace,))
        words = (page, 64, self.info.user_image_frames[0], 64, rights.READ)
        self.invoke(bi.CAP_INIT_CNODE, labels.CNODE_COPY, words, (bi.CAP_INIT_CNODE,))
        self.invoke(page, labels.PAGE_MAP, (CODE, rights.READ, 0), (vspace,))
        return vspace

    def _name(self, index: int) -> str:
        """A worker's name."""
        return f"{OWNERS[index]}{index}"

    def _place(self, index: int) -> int:
        """The n of the slots ``tcbn`` and ``scn`` in which a worker's caps are."""
        return index

    def _worker(self, index: int, worker: Worker, partition: tuple[int, int, int]) -> int:
        """A thread of a partition; returns the own slot of its TCB."""
        node, vspace, area = partition
        tcb, sched_context = self._child(area, obj.TCB), self._child(area, obj.SCHED_CONTEXT, 8)
        self._give(node, f"tcb{self._place(index)}", tcb)
        self._give(node, f"sc{self._place(index)}", sched_context)
        words = (worker.budget, worker.period, worker.extra_refills, 0, 0)
        self.invoke(self.info.sched_control[0], labels.SCHED_CONTROL_CONFIGURE_FLAGS, words, (sched_context,))
        buffer = self._child(area, obj.PAGE)
        address = BUFFERS + 0x1000 * index
        self.invoke(tcb, labels.TCB_CONFIGURE, (GUARD_58, 0, address), (node, vspace, buffer))
        caps = (bi.CAP_INIT_TCB, sched_context, self.free + 1)
        self.invoke(tcb, labels.TCB_SET_SCHED_PARAMS, (worker.mcp, worker.priority), caps)
        cap = self.own.slot(tcb).cap
        assert isinstance(cap, ThreadCap)
        self.world.threads[index] = cap.tcb
        cap.tcb.registers[reg.FAULT_IP] = cap.tcb.registers[reg.NEXT_IP] = ASK
        cap.tcb.name = self._name(index)
        self.invoke(tcb, labels.TCB_RESUME)
        return tcb

    def _stop(self) -> None:
        """The root thread suspends itself; its CSpace stays, and with it what the partitions' caps come from."""
        self.start(labels.TCB_SUSPEND)
