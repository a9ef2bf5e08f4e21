"""Protection domains: hooks are called as Microkit calls them, whether they are coroutines or plain functions."""

from types import SimpleNamespace
from typing import Any

import pytest

from capkernel.abi import objects as obj
from capkernel.user import bridge, faults, stubs
from capkernel.user import loop as pdloop
from capkernel.user.loop import PD, ChannelError
from capkernel.user.pdimage import PDValues, variable_words
from capkernel.user.syscalls import Message
from capkernel.user.threads import mint_endpoint


class Adder:
    """Answers protected calls with the sum of the words; signals back on request."""

    async def init(self, pd: PD) -> None:
        await pd.print("adder ready\n")

    async def notified(self, pd: PD, ch: int) -> None:
        pd.deferred_notify(ch)

    async def protected(self, pd: PD, ch: int, msg: Message) -> Message:
        return Message(ch, (sum(msg.words), msg.label))


class Asker:
    """Calls and notifies the adder."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    async def init(self, pd: PD) -> None:
        answer = await pd.ppcall(3, Message(8, (1, 2, 39)))
        self.seen.append((answer.label, list(answer.words)))
        await pd.notify(3)

    async def notified(self, pd: PD, ch: int) -> None:
        self.seen.append(ch)


class PlainAsker:
    """The same in plain functions."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def init(self, pd: Any) -> None:
        self.seen.append(self.ask(pd))
        pd.notify(3)

    def ask(self, pd: Any) -> Any:
        answer = pd.ppcall(3, Message(8, (1, 2, 39)))
        return answer.label, list(answer.words)

    def notified(self, pd: Any, ch: int) -> None:
        self.seen.append(ch)


def run_pair(domain: Any, domains: Any, asker: Any, **values: Any) -> Any:
    adder = domain(Adder(), 200, notifications=1 << 5)
    client = domain(asker, 100, **{"notifications": 1 << 3, "pps": 1 << 3, **values})

    async def wire(builder: Any) -> None:
        await builder.channel(client, 3, adder, 5)

    return domains([adder, client], wire)


@pytest.mark.parametrize("kind", [Asker, PlainAsker])
def test_calls_and_notifications_reach_the_other_side(
    domain: Any, domains: Any, kind: type[Asker | PlainAsker]
) -> None:
    asker = kind()
    system = run_pair(domain, domains, asker)
    assert not system.crashes
    assert asker.seen == [(5, [42, 8]), 3]
    assert system.console == "adder ready\n"


def test_a_channel_that_is_not_there_is_named(domain: Any, domains: Any) -> None:
    system = run_pair(domain, domains, Asker(), pps=1 << 7)
    assert "ChannelError: Asker: channel 3 is not for protected calls; [7] would be" in system.crashes[0].report


def test_without_greenlet_a_plain_hook_is_told_what_it_may_do(
    domain: Any, domains: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bridge, "AVAILABLE", False)
    system = run_pair(domain, domains, PlainAsker())
    assert "ppcall() blocks, and in a plain hook that needs greenlet" in system.crashes[0].report


class PlainDeferring:
    """Needs no blocking call, hence no greenlet."""

    got: int | None = None

    def init(self, pd: Any) -> None:
        pd.deferred_notify(3)

    def notified(self, pd: Any, ch: int) -> None:
        self.got = ch


def test_without_greenlet_a_plain_hook_can_defer(domain: Any, domains: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge, "AVAILABLE", False)
    hooks = PlainDeferring()
    assert not run_pair(domain, domains, hooks).crashes
    assert hooks.got == 3


def test_a_missing_hook_is_a_crash_that_says_which(domain: Any, domains: Any) -> None:
    class Deaf:
        async def init(self, pd: PD) -> None:
            pass

    deaf, client = domain(Deaf(), 200), domain(Asker(), 100, notifications=1 << 3, pps=1 << 3)

    async def wire(builder: Any) -> None:
        await builder.channel(client, 3, deaf, 5)

    system = domains([deaf, client], wire)
    assert "Deaf is missing the 'protected' entry point" in system.crashes[0].report


class Child:
    """Reads where nothing is, then crashes."""

    runs = 0

    async def init(self, pd: PD) -> None:
        Child.runs += 1
        if Child.runs == 1:
            await pd.load(0x1234_5000)
        raise RuntimeError("the child is broken")


class Parent:
    """Restarts its child once, and then stops it."""

    def __init__(self, entry: int) -> None:
        self.entry = entry
        self.faults: list[str] = []

    async def init(self, pd: PD) -> None:
        pass

    async def fault(self, pd: PD, child: int, msg: Message) -> bool:
        self.faults.append(f"{child} {faults.decode_fault(msg.label, msg.words).name}")
        if len(self.faults) == 1:
            await pd.pd_restart(child, self.entry)
        else:
            await pd.pd_stop(child)
        return False


def test_a_parent_hears_of_faults_and_restarts_its_child(domain: Any, domains: Any) -> None:
    Child.runs = 0
    entry = 0x20_0000
    parent, child = domain(Parent(entry), 200), domain(Child(), 100)

    async def wire(builder: Any) -> None:
        await builder.parent(parent, child, 4)

    system = domains([parent, child], wire)
    assert parent.hooks.faults == ["4 VMFault", "4 UserException"]
    assert Child.runs == 2
    assert "the child is broken" in system.crashes[0].report


class Counter:
    """Takes timer interrupts."""

    region: int = 0
    times: list[int]

    def __init__(self) -> None:
        self.times = []

    async def init(self, pd: PD) -> None:
        pass

    async def notified(self, pd: PD, ch: int) -> None:
        self.times.append(ch)
        pd.deferred_irq_ack(ch)


def test_interrupts_are_acknowledged_at_the_start_and_come_again_after_each(domain: Any, domains: Any) -> None:
    counter = domain(Counter(), 100, irqs=1 << 2)

    async def wire(builder: Any) -> None:
        env = builder.env
        handler = env.slots.alloc()
        await stubs.irq_control_get(env.sys, env.irq_control, irq=11, index=handler, depth=64, root=env.cnode)
        note = await mint_endpoint(env, counter.notification, 1 << 2)
        await stubs.irq_handler_set_notification(env.sys, handler, notification=note)
        await builder.put(counter, pdloop.BASE_IRQ_CAP + 2, handler)

    system = domains([counter], wire, ticks=100_000)
    for _ in range(3):
        system.machine.irqchip.set_level(11, True)
        system.machine.irqchip.set_level(11, False)
        system.run(max_entries=20)
    assert not system.crashes
    assert counter.hooks.times == [2, 2, 2]


def test_a_passive_domain_says_that_it_is_initialised(domain: Any, domains: Any) -> None:
    class Quiet:
        async def init(self, pd: PD) -> None:
            pass

    quiet = domain(Quiet(), 100, passive=True)
    heard = []

    async def wire(builder: Any) -> None:
        env = builder.env
        endpoint, reply = await env.memory.alloc(obj.ENDPOINT), await env.memory.alloc(obj.REPLY)
        await builder.put(quiet, pdloop.MONITOR_EP, endpoint, 1)
        await builder.start(quiet)
        heard.append((await env.sys.recv(endpoint, reply)).badge)

    domains([quiet], wire)
    assert heard == [1]


def test_the_loader_sets_the_variables_that_a_program_declares() -> None:
    class Program:
        buffer: int = 5
        size: int = 6

    words = variable_words(Program, {"size": 0x1000})
    values = PDValues(name="p", passive=True, irqs=1, pps=3, variables=words)
    again = PDValues.decode(values.encode())
    assert again == values
    again.set_variables(Program)
    assert (Program.buffer, Program.size) == (5, 0x1000)
    with pytest.raises(ValueError, match="declares no `sise: int = 0`"):
        variable_words(Program, {"sise": 1})
    with pytest.raises(ValueError, match="at most 64 bytes"):
        PDValues(name="x" * 65).encode()


def test_only_words_are_for_the_loader_and_a_constant_stays_what_it_is() -> None:
    class Program:
        greeting: str = "hello"
        step: int = -1

    assert variable_words(Program, {}) == ((1 << 64) - 1,)
    PDValues(name="p", variables=variable_words(Program, {})).set_variables(Program)
    assert (Program.greeting, Program.step) == ("hello", -1)
    with pytest.raises(ValueError, match="declares no `greeting: int = 0`"):
        variable_words(Program, {"greeting": 1})
    Program.step = 1 << 64
    with pytest.raises(ValueError, match="step is set to 18446744073709551616"):
        variable_words(Program, {})


def test_waiting_outside_of_the_bridge_is_refused() -> None:
    with pytest.raises(bridge.BridgeError, match="only wait inside"):
        bridge.wait(None)


def test_channels_beyond_the_last_are_refused() -> None:
    pd = PD(PDValues(name="p", notifications=(1 << 64) - 1))
    with pytest.raises(ChannelError, match="channel 62"):
        pd.deferred_notify(62)


def test_variables_of_a_class_are_inherited_and_set_in_each_program_alone() -> None:
    class Server:
        region: int = 5
        own: str = ""

    class Common(Server):
        size: int = 7

    def module() -> Any:
        return SimpleNamespace(__annotations__={"first": int}, first=1, Program=type("Program", (Common,), {}))

    one, other = module(), module()
    words = variable_words(one, {"region": 9})
    assert words == (1, 9, 7)
    PDValues(name="p", variables=words).set_variables(one)
    assert (one.Program().region, other.Program().region, Server.region) == (9, 5, 5)
    with pytest.raises(ValueError, match="declares no `own: int = 0`"):
        variable_words(one, {"own": 1})
