"""Random machine code in user mode: whatever it does, nothing outside what it was given changes, no invariant of the
kernel is broken, the host process lives on, and it does the same again.

A child in an address space and a CSpace of its own, with one endpoint cap and four pages, runs code that is noise or
random valid instructions, on random registers; its parent takes its faults and messages and starts it anew.
A campaign is of 10,000 programs; ``CAPKERNEL_CAMPAIGN`` says how many thousands otherwise: 1,000 is a million.
"""

import hashlib
import os
import random
import struct

import pytest

pytest.importorskip("unicorn", reason="machine code needs the extra [riscv]")

from capkernel.abi import bootinfo as bi
from capkernel.abi import objects as obj
from capkernel.abi import registers as reg
from capkernel.abi import syscalls as sc
from capkernel.kernel.caps import CNodeCap, EndpointCap, ThreadCap
from capkernel.kernel.objects import NULL
from capkernel.runtime.loop import Costs, Loop
from capkernel.runtime.riscv import RiscvGlue
from hwmodel.cpu.riscv.engine import find_shim
from specs.invariants import check_view
from specs.invariants.view import View
from tests.kernel.rootcalls import CNODE, Root

CAMPAIGN = int(os.environ.get("CAPKERNEL_CAMPAIGN", "10"))
CODE, DATA, READ_ONLY, BUFFER = 0x10000, 0x20000, 0x21000, 0x22000
RADIX = 4
ENDPOINT = 3
"""Where the child's only cap is."""
BUDGET_US, PERIOD_US, PER_TICK = 20, 1000, 2
"""A program gets 400 instructions; then a timeout fault ends it."""
CHECK_EVERY = 500
SECRETS = 8
WORD = (1 << 64) - 1
READ_WRITE, READ = 3, 2
FOREVER_US = 1 << 40
OPCODES = (0x03, 0x07, 0x0F, 0x13, 0x17, 0x1B, 0x23, 0x27, 0x2F, 0x33, 0x37, 0x3B, 0x43, 0x53, 0x63, 0x67, 0x6F, 0x73)


class Nursery:
    """A parent that is driven by the test, and a child that runs machine code."""

    def __init__(self, compiled, seed):
        root = self.root = Root(ram=1 << 26, debug=False)
        self.machine, self.state = root.machine, root.state
        self.chance = random.Random(seed)
        self.digest = hashlib.sha256()
        self.cpu = RiscvGlue(self.machine, PER_TICK, compiled=compiled)
        self.loop = Loop(self.state, self.machine, self.cpu, Costs(syscall=10, work_unit=1))
        self.loop.stop_reason = lambda: "parent" if self.state.current is self.root.thread else None
        self._give_time(bi.CAP_INIT_SCHED_CONTEXT, FOREVER_US, FOREVER_US)
        self.secrets = [root.frame() for _ in range(SECRETS)]
        for index, (_, paddr) in enumerate(self.secrets):
            self.machine.write_bytes(paddr, bytes([index + 1]) * 4096)
        self._make_child()
        self.pool = [self._valid() for _ in range(4096)]
        self.programs = 0
        self.quiet = self._everything_else()

    def _make_child(self):
        root = self.root
        vspace, pool = root.make(obj.PAGE_TABLE), bi.CAP_INIT_ASID_POOL
        root.do(pool, "ASIDPool_Assign", caps=(vspace,))
        for _ in range(2):
            root.do(root.make(obj.PAGE_TABLE), "PageTable_Map", CODE, 0, caps=(vspace,))
        self.pages = {}
        for vaddr, rights in ((CODE, READ_WRITE), (DATA, READ_WRITE), (READ_ONLY, READ), (BUFFER, READ_WRITE)):
            slot, paddr = root.frame()
            root.do(slot, "Page_Map", vaddr, rights, int(vaddr != CODE), caps=(vspace,))
            self.pages[vaddr] = slot, paddr
        self.endpoint, self.reply = root.make(obj.ENDPOINT), root.make(obj.REPLY)
        self.cspace = root.make(obj.CNODE, RADIX)
        guarded = root.slot()
        root.do(CNODE, "CNode_Mint", guarded, 64, self.cspace, 64, 15, 64 - RADIX, caps=(CNODE,))
        send_only = root.mint(self.endpoint, 77, 1)[0]
        root.do(self.cspace, "CNode_Copy", ENDPOINT, RADIX, send_only, 64, 15, caps=(CNODE,))
        self.tcb, self.context = root.make(obj.TCB), root.make(obj.SCHED_CONTEXT, 8)
        root.do(self.tcb, "TCB_Configure", 0, 0, BUFFER, caps=(guarded, vspace, self.pages[BUFFER][0]))
        self._give_time(self.context, BUDGET_US, PERIOD_US)
        fault = root.mint(self.endpoint, 88, 9)[0]
        root.do(self.tcb, "TCB_SetSchedParams", 0, 100, caps=(bi.CAP_INIT_TCB, self.context, fault))
        root.do(self.tcb, "TCB_SetTimeoutEndpoint", caps=(fault,))
        cap = root.cap(self.tcb)
        assert isinstance(cap, ThreadCap)
        self.child = cap.tcb

    def _give_time(self, context, budget, period):
        control = self.root.info.sched_control[0]
        self.root.do(control, "SchedControl_ConfigureFlags", budget, period, 0, 0, 0, caps=(context,))

    # Programs

    def _valid(self):
        """An instruction that may well do something."""
        chance = self.chance
        word = chance.getrandbits(32) | 3
        opcode = chance.choice(OPCODES)
        word = word & ~0x7F | opcode
        if opcode in (0x03, 0x07, 0x13, 0x23, 0x27, 0x67) and chance.random() < 0.8:
            word = word & 0x01FF_FFFF  # small offsets
        return 0x73 if opcode == 0x73 and chance.random() < 0.7 else word

    def _code(self):
        chance = self.chance
        if chance.random() < 0.4:
            return chance.randbytes(64)
        return struct.pack("<16I", *chance.choices(self.pool, k=16))

    def _register(self):
        chance = self.chance
        near = (CODE, DATA, READ_ONLY, BUFFER, ENDPOINT, 1 << 12, (-chance.randrange(1, 20)) & WORD)
        return chance.choice((*near, chance.getrandbits(64)))

    def run_one(self):
        """A program, from a fresh start to its first fault, timeout or word to the parent."""
        root, machine, cpu = self.root, self.machine, self.cpu.cpu
        machine.write_bytes(self.pages[CODE][1], self._code())
        self._give_time(self.context, BUDGET_US, PERIOD_US)
        words = [CODE + 2 * self.chance.randrange(8), *(self._register() for _ in range(31))]
        root.do(self.tcb, "TCB_WriteRegisters", 1, 32, *words)
        root.ecall(sc.RECV, a0=self.endpoint, a6=self.reply)
        assert self.loop.run(max_entries=10_000) == "parent"
        x = root.thread.registers
        told = tuple(x[reg.A0 : reg.A5 + 1]), tuple(self.child.registers), cpu.instructions, machine.now()
        self.digest.update(repr(told).encode())
        root.do(self.tcb, "TCB_Suspend")
        self.programs += 1

    # What must not change

    def _everything_else(self):
        """The child's CSpace, the parent's secrets, what the child may only read, the child's standing."""
        cspace = self.root.cap(self.cspace)
        assert isinstance(cspace, CNodeCap)
        caps = [cspace.cnode.slot(index).cap for index in range(1 << RADIX)]
        held = [None if cap is NULL else (type(cap).__name__, getattr(cap, "badge", 0)) for cap in caps]
        assert [index for index, cap in enumerate(held) if cap] == [ENDPOINT]
        assert isinstance(caps[ENDPOINT], EndpointCap)
        secrets = [self.machine.read_bytes(paddr, 4096) for _, paddr in self.secrets]
        read_only = self.machine.read_bytes(self.pages[READ_ONLY][1], 4096)
        return held, secrets, read_only, self.child.priority, self.child.mcp, self.child.domain

    def check(self):
        """Nothing has leaked, and the state is one that a kernel may be in."""
        assert self._everything_else() == self.quiet
        assert [str(violation) for violation in check_view(View(self.state, self.machine))] == []


def run(programs, compiled, seed=0):
    nursery = Nursery(compiled, seed)
    for number in range(1, programs + 1):
        nursery.run_one()
        if number % CHECK_EVERY == 0 or number == programs:
            nursery.check()
    return nursery.digest.hexdigest(), nursery.cpu.cpu.instructions


@pytest.mark.parametrize("seed", range(2))
def test_random_code_escapes_nowhere_and_does_the_same_again(seed):
    plain = run(600, False, seed)
    assert run(600, False, seed) == plain
    if find_shim() is not None:
        assert run(600, True, seed) == plain


@pytest.mark.campaign
def test_a_campaign_of_random_code(capsys):
    compiled = find_shim() is not None
    for seed in range(1000, 1000 + CAMPAIGN):
        assert run(1000, compiled, seed) == run(1000, compiled, seed)
        with capsys.disabled():
            print(f"\rrandom code: {1000 * (seed - 999):,} programs, twice each", end="", flush=True)
