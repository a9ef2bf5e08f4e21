"""Domain schedules, and interrupts from the line to the notification."""

import pytest

from capkernel.abi import bootinfo as bi
from capkernel.abi import errors as err
from capkernel.abi import objects as obj
from capkernel.abi import syscalls as sc
from capkernel.kernel import syscall
from capkernel.kernel.caps import NotificationCap
from capkernel.kernel.objects import NTFN_ACTIVE, NTFN_IDLE
from tests.kernel.rootcalls import CNODE, Root

DOMAIN = bi.CAP_DOMAIN
LINE = 10


def test_schedule_entries_are_checked_in_the_real_order() -> None:
    root = Root(num_domains=4, domain_schedule_length=8)
    assert root.call(DOMAIN, "DomainSet_ScheduleConfigure", 0, 1) == (err.TRUNCATED_MESSAGE, [])
    assert root.call(DOMAIN, "DomainSet_ScheduleConfigure", 7, 9, 1 << 60) == (err.RANGE_ERROR, [0, 6])
    assert root.call(DOMAIN, "DomainSet_ScheduleConfigure", 6, 4, 1 << 60) == (err.RANGE_ERROR, [0, 3])
    assert root.call(DOMAIN, "DomainSet_ScheduleConfigure", 6, 3, 1 << 56) == (err.INVALID_ARGUMENT, [2])
    assert root.call(DOMAIN, "DomainSet_ScheduleConfigure", 6, 3, 0) == (err.INVALID_ARGUMENT, [1])
    assert root.call(DOMAIN, "DomainSet_ScheduleConfigure", 0, 0, 0) == (err.INVALID_ARGUMENT, [2])
    assert root.call(DOMAIN, "DomainSet_ScheduleSetStart") == (err.TRUNCATED_MESSAGE, [])
    assert root.call(DOMAIN, "DomainSet_ScheduleSetStart", 8) == (err.RANGE_ERROR, [0, 7])
    assert root.call(DOMAIN, "DomainSet_ScheduleSetStart", 3) == (err.INVALID_ARGUMENT, [0])
    assert root.call(DOMAIN, "DomainSet_Set") == (err.TRUNCATED_MESSAGE, [])
    assert root.call(DOMAIN, "DomainSet_Set", 4) == (err.INVALID_ARGUMENT, [0])
    assert root.call(DOMAIN, "DomainSet_Set", 3) == (err.TRUNCATED_MESSAGE, [])
    assert root.call(DOMAIN, "DomainSet_Set", 3, caps=(DOMAIN,)) == (err.INVALID_ARGUMENT, [1])


def test_domains_follow_each_other_and_wrap_at_the_end_marker() -> None:
    root = Root(num_domains=3, domain_schedule_length=6)
    for index, (domain, ticks) in enumerate([(1, 3000), (0, 5000), (2, 4000)]):
        root.do(DOMAIN, "DomainSet_ScheduleConfigure", index, domain, ticks)
    root.do(DOMAIN, "DomainSet_ScheduleSetStart", 0)
    seen = []
    for _ in range(7):
        running = root.state.current is root.thread
        seen.append((root.state.domain, root.state.domain_time, running))
        upcoming = root.machine.next_event()
        assert upcoming is not None
        root.machine.advance(max(1, upcoming - root.machine.now()))
        before = root.state.domain
        while root.state.domain == before:
            root.machine.advance(1)
            syscall.handle_interrupt(root.state)
    assert [domain for domain, _, _ in seen] == [1, 0, 2, 1, 0, 2, 1]
    assert {(domain, ticks) for domain, ticks, _ in seen} == {(1, 3000), (0, 5000), (2, 4000)}
    assert all(running == (domain == 0) for domain, _, running in seen)


class Line:
    """An interrupt line with a handler that signals a notification."""

    def __init__(self, *, edge: bool) -> None:
        self.root = Root()
        self.handler, notification = self.root.slot(), self.root.make(obj.NOTIFICATION)
        words = (LINE, int(edge), self.handler, 64)
        self.root.do(bi.CAP_IRQ_CONTROL, "IRQControl_GetTrigger", *words, caps=(CNODE,))
        badged, _ = self.root.mint(notification, 0x40)
        self.root.do(self.handler, "IRQHandler_SetNotification", caps=(badged,))
        cap = self.root.cap(notification)
        assert isinstance(cap, NotificationCap)
        self.notification = cap.notification
        self.cap = notification

    def deliver(self) -> int:
        """Take a pending interrupt if there is one; returns the signals that arrived, and takes them."""
        if self.root.machine.irq_pending():
            syscall.handle_interrupt(self.root.state)
        if self.notification.state != NTFN_ACTIVE:
            return 0
        self.root.ecall(sc.NBWAIT, a0=self.cap)
        assert self.notification.state == NTFN_IDLE
        return self.root.thread.registers[10]


def test_a_level_line_comes_again_only_when_it_was_acknowledged() -> None:
    line = Line(edge=False)
    line.root.machine.irqchip.set_level(LINE, True)
    assert line.deliver() == 0x40
    assert line.deliver() == 0
    line.root.do(line.handler, "IRQHandler_Ack")
    assert line.deliver() == 0x40
    line.root.machine.irqchip.set_level(LINE, False)
    line.root.do(line.handler, "IRQHandler_Ack")
    assert line.deliver() == 0


def test_an_edge_that_comes_during_service_is_not_lost() -> None:
    line = Line(edge=True)
    line.root.machine.irqchip.pulse(LINE)
    assert line.deliver() == 0x40
    line.root.machine.irqchip.pulse(LINE)
    assert line.deliver() == 0
    line.root.do(line.handler, "IRQHandler_Ack")
    assert line.deliver() == 0x40


@pytest.mark.parametrize("how", ["clear", "delete", "revoke"])
def test_an_interrupt_without_handler_signals_nobody(how: str) -> None:
    line = Line(edge=False)
    match how:
        case "clear":
            line.root.do(line.handler, "IRQHandler_Clear")
        case "delete":
            line.root.do(CNODE, "CNode_Delete", line.handler, 64)
        case _:
            line.root.do(CNODE, "CNode_Revoke", bi.CAP_IRQ_CONTROL, 64)
    line.root.machine.irqchip.set_level(LINE, True)
    assert line.deliver() == 0
    assert not line.root.machine.irq_pending()


def test_a_line_is_issued_once_until_its_handler_is_gone() -> None:
    line = Line(edge=False)
    line.root.machine.irqchip.set_level(LINE, True)
    assert line.deliver() == 0x40
    words = (LINE, line.root.slot(), 64)
    assert line.root.call(bi.CAP_IRQ_CONTROL, "IRQControl_Get", *words, caps=(CNODE,)) == (err.REVOKE_FIRST, [])
    line.root.do(CNODE, "CNode_Delete", line.handler, 64)
    line.root.do(bi.CAP_IRQ_CONTROL, "IRQControl_Get", *words, caps=(CNODE,))
    line.root.do(words[1], "IRQHandler_SetNotification", caps=(line.cap,))
    assert line.root.machine.irq_pending()
