"""What no recording of the real kernel exercises (docs/not-checked-against-reality.md): by the manual.

Domain schedules are in ``test_domains_and_interrupts``, full ASID pools and all lookup failures in
``tests/tools/test_explain``.
"""

import pytest

from capkernel.abi import bootinfo as bi
from capkernel.abi import errors as err
from capkernel.abi import faults as flt
from capkernel.abi import message as msg
from capkernel.abi import objects as obj
from capkernel.abi import registers as reg
from capkernel.abi import syscalls as sc
from capkernel.kernel import syscall
from capkernel.runtime.python_system import PythonSystem
from capkernel.user import operations as ops
from capkernel.user import stubs
from capkernel.user.bootstrap import Start, root_environment
from capkernel.user.faults import decode_fault
from capkernel.user.syscalls import Message
from capkernel.user.threads import ThreadSpec, start_thread
from hwmodel.mmu import PageFault
from tests.kernel.rootcalls import CNODE, Root

GIGA = 1 << obj.GIGA_PAGE_BITS
AT = 5 * GIGA
RIGHTS_RW, RIGHTS_R = 3, 2


class Giga(Root):
    """A root thread with a page of 1 GiB."""

    def __init__(self) -> None:
        super().__init__(ram=3 << 30, root_cnode_bits=12)
        large = [n for n, u in enumerate(self.info.untyped_list) if u.size_bits >= 30 and not u.is_device]
        self.untyped = self.info.untyped[0] + large[0]
        self.page = self.make(obj.GIGA_PAGE)
        self.paddr = self.do(self.page, "Page_GetAddress")[0]

    def map(self, vaddr: int, rights: int = RIGHTS_RW, page: int | None = None) -> tuple[int, list[int]]:
        page = self.page if page is None else page
        return self.call(page, "Page_Map", vaddr, rights, 1, caps=(bi.CAP_INIT_VSPACE,))


def test_a_giga_page_is_reached_to_its_last_word_and_not_beyond() -> None:
    root = Giga()
    assert root.paddr % GIGA == 0
    assert root.map(AT) == (err.NO_ERROR, [])
    for offset in (0, GIGA // 2, GIGA - 8):
        root.machine.store(AT + offset, 8, offset + 1)
        assert root.machine.read_word(root.paddr + offset) == offset + 1
    for outside in (AT - 8, AT + GIGA):
        with pytest.raises(PageFault):
            root.machine.load(outside, 8)


def test_a_giga_page_can_be_made_read_only_and_be_unmapped() -> None:
    root = Giga()
    root.map(AT)
    root.machine.store(AT, 8, 7)
    assert root.map(AT, RIGHTS_R)[0] == err.NO_ERROR
    assert root.machine.load(AT, 8) == 7
    with pytest.raises(PageFault):
        root.machine.store(AT, 8, 8)
    root.do(root.page, "Page_Unmap")
    with pytest.raises(PageFault):
        root.machine.load(AT, 8)


def test_where_a_giga_page_cannot_be_mapped() -> None:
    root = Giga()
    assert root.map(AT + (1 << 21))[0] == err.ALIGNMENT_ERROR
    assert root.map(obj.USER_TOP & -GIGA) == (err.INVALID_ARGUMENT, [0])
    # The root task's own image lies in the first GiB: a table is there already.
    error, words = root.map(0)
    assert (error, words[:2]) == (err.FAILED_LOOKUP, [0, err.MISSING_CAPABILITY])
    assert root.do(root.page, "Page_Unmap") == []
    assert root.map(AT)[0] == err.NO_ERROR
    assert root.map(AT + GIGA) == (err.INVALID_ARGUMENT, [0])
    copy = root.copy(root.page)
    assert root.map(AT, page=copy)[0] == err.DELETE_FIRST


def test_a_giga_page_leaves_no_translation_behind_when_it_is_revoked() -> None:
    root = Giga()
    root.map(AT)
    root.machine.load(AT, 8)
    root.do(CNODE, "CNode_Revoke", root.untyped, 64)
    with pytest.raises(PageFault):
        root.machine.load(AT, 8)


def test_a_misaligned_atomic_operation_is_a_user_exception() -> None:
    """On the coroutine CPU; on the scripted one it is recorded, and has the cause of a load."""
    heard: list[str] = []

    async def root(start: Start) -> None:
        env = await root_environment(start)
        endpoint, reply = await env.memory.alloc(obj.ENDPOINT), await env.memory.alloc(obj.REPLY)
        await stubs.tcb_set_priority(env.sys, env.tcb, priority=200, authority=env.tcb)
        spec = ThreadSpec(entry=start.values[1], buffer=0x2000_0000, priority=100, fault_ep=endpoint)
        await start_thread(env, spec)
        for _ in range(2):
            message = await env.sys.recv(endpoint, reply)
            heard.append(str(decode_fault(message.label, message.words)))
            # Go on behind the instruction: the first word of the answer is the pc.
            await env.sys.send(reply, Message(0, (message.words[0] + 4,)))
        await ops.tell_host(1)

    async def clumsy(start: Start) -> None:
        await ops.amo("add", 0x2000_0004, 1)
        await ops.amo("add", 0x2000_0002, 1, 4)

    PythonSystem([root, clumsy]).run(max_entries=2000)
    assert [text.split(",")[0] for text in heard] == ["UserException: misaligned load"] * 2


def test_an_exception_tells_its_handler_number_and_code() -> None:
    root = Root()
    endpoint = root.make(obj.ENDPOINT)
    tcb, reply, context = root.make(obj.TCB), root.make(obj.REPLY), root.make(obj.SCHED_CONTEXT, 8)
    root.do(tcb, "TCB_SetSpace", 0, 0, caps=(endpoint, CNODE, bi.CAP_INIT_VSPACE))
    root.do(root.info.sched_control[0], "SchedControl_ConfigureFlags", 5000, 5000, 0, 0, 0, caps=(context,))
    root.do(tcb, "TCB_SetSchedParams", 0, 255, caps=(bi.CAP_INIT_TCB, context, endpoint))
    root.do(tcb, "TCB_WriteRegisters", 1, 3, 0x40_0000, 0, 0x50_0000)
    root.ecall(sc.RECV, a0=endpoint, a6=reply)
    assert root.state.current is not root.thread
    syscall.handle_user_exception(root.state, 6)
    assert root.state.current is root.thread
    x = root.thread.registers
    assert msg.info_label(x[reg.A1]) == flt.USER_EXCEPTION
    assert msg.info_length(x[reg.A1]) == 4
    assert [x[register] for register in reg.MSG_REGISTERS] == [0x40_0000, 0x50_0000, 6, 0]
