"""Destroying and rebuilding protection domains: who notices what, and what the ended life can still do: nothing."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from capkernel.abi.errors import ILLEGAL_OPERATION
from capkernel.abi.labels import BY_NAME
from capkernel.system.board import find_board
from capkernel.user.allocators import OutOfMemory, OutOfSlots
from capkernel.user.arenas import Arena
from capkernel.user.errors import KernelError
from capkernel.user.initialiser.toolbox import Toolbox
from capkernel.user.vspaces import VSpace
from tests.runtime.lifecycles import SUPERVISOR, boot, distribution, lifecycle, pd
from tests.runtime.pdelf import pd_elf, syscall

LIVES = '<memory_region name="lives" size="0x1000"/>'
MAP_LIVES = '<map mr="lives" vaddr="0x5000000" perms="rw" setvar_vaddr="lives"/>'
SERVER = """
from capkernel.user.syscalls import Message
lives: int = 0
async def init(pd):
    await pd.store(lives, await pd.load(lives) + 1)
async def protected(pd, ch, msg):
    life = await pd.load(lives)
    if life == 1 and msg[0] == 13:
        await pd.store(0, 1)
    return Message(life, msg.words)
"""
CLIENT = """
from capkernel.user.syscalls import Message
async def init(pd):
    for word in WORDS:
        answer = await pd.ppcall(0, Message(0, (word,)))
        await pd.print(f"{pd.name}: {answer.label:#x} for {word}\\n")
"""
RESTARTER = (
    SUPERVISOR
    + """
async def init(pd): pass
async def fault(pd, child, msg):
    await pd.print(f"fault of {child}\\n")
    await lifecycle.destroy(pd.sys, CAP)
    await again(pd)
    return False
"""
)

UNMAPPED = BY_NAME["Page_Map"], 0, ILLEGAL_OPERATION
IDLE = "async def init(pd): pass\n"


def call(client: str, server: str, number: int = 1) -> str:
    """A channel on which a client, on its channel 0, calls."""
    return f'<channel><end pd="{client}" id="0" pp="true"/><end pd="{server}" id="{number}"/></channel>'


SERVING = (
    LIVES + pd("supervisor", 50) + pd("server", 160, MAP_LIVES) + pd("one", 150) + pd("two", 140)
    + call("one", "server", 1) + call("two", "server", 2) + lifecycle("server", more='faults="7"')
)  # fmt: skip


def clients(one: str, two: str) -> dict[str, str]:
    """Two clients that call with these words."""
    return {"one": CLIENT.replace("WORDS", one), "two": CLIENT.replace("WORDS", two)}


def lines(text: str, name: str) -> list[str]:
    return [line.partition(": ")[2] for line in text.splitlines() if line.startswith(name)]


def test_after_a_crash_the_caller_learns_it_and_queued_calls_are_answered_by_the_next_life(tmp_path: Path) -> None:
    run = boot(tmp_path, SERVING, {"supervisor": RESTARTER, "server": SERVER} | clients("(13, 14)", "(15,)")).run()
    assert "fault of 7" in run.output
    assert lines(run.output, "one") == ["0xfffffffffffff for 13", "0x2 for 14"]
    assert lines(run.output, "two") == ["0x2 for 15"]
    assert (run.crashes, run.faults) == ((), ())


def test_the_caller_of_a_passive_server_gets_its_time_back(tmp_path: Path) -> None:
    system = SERVING.replace('name="server" priority="160"', 'name="server" priority="160" passive="true"')
    run = boot(tmp_path, system, {"supervisor": RESTARTER, "server": SERVER} | clients("(13, 14)", "(15, 16)")).run()
    assert lines(run.output, "one") == ["0xfffffffffffff for 13", "0x2 for 14"]
    assert lines(run.output, "two") == ["0x2 for 15", "0x2 for 16"]
    assert (run.crashes, run.faults) == ((), ())


@pytest.mark.parametrize("passive", ["true", "false"])
def test_a_domain_hears_of_the_signals_that_came_while_it_was_down(tmp_path: Path, passive: str) -> None:
    server = """
async def init(pd): await pd.print("init; ")
async def notified(pd, ch): await pd.print(f"{ch}; ")
async def protected(pd, ch, msg): await pd.print(f"call; ")
"""
    supervisor = (
        SUPERVISOR
        + """
async def init(pd):
    await lifecycle.destroy(pd.sys, CAP)
    await pd.notify(1)
    await pd.notify(2)
    await again(pd)
"""
    )
    client = "async def init(pd):\n    for _ in range(2): await pd.ppcall(0)\n"
    system = (
        pd("supervisor", 50) + pd("server", 40, passive=passive) + pd("one", 20) + lifecycle("server")
        + '<channel><end pd="supervisor" id="1"/><end pd="server" id="6"/></channel>'
        + '<channel><end pd="supervisor" id="2"/><end pd="server" id="7"/></channel>' + call("one", "server")
    )  # fmt: skip
    booted = boot(tmp_path, system, {"supervisor": supervisor, "server": server, "one": client})
    assert booted.run().output == "init; 6; 7; call; call; "
    assert (booted.system.threads["server"].sched_context is None) == (passive == "true")


def test_a_parent_that_holds_a_lifecycle_cap_gets_the_faults_of_its_child_as_before(tmp_path: Path) -> None:
    child = pd("server", 160, MAP_LIVES, id="7")
    system = LIVES + pd("supervisor", 50, child) + pd("one", 150) + call("one", "server") + lifecycle("server")
    programs = {"supervisor": RESTARTER, "server": SERVER, "one": CLIENT.replace("WORDS", "(13, 14)")}
    run = boot(tmp_path, system, programs).run()
    assert "fault of 7" in run.output
    assert lines(run.output, "one") == ["0xfffffffffffff for 13", "0x2 for 14"]


def test_calls_and_signals_to_a_destroyed_domain_wait_for_its_next_life(tmp_path: Path) -> None:
    supervisor = (
        SUPERVISOR
        + """
async def init(pd):
    await lifecycle.destroy(pd.sys, CAP)
async def notified(pd, ch):
    await pd.print("meanwhile the client called and signalled\\n")
    await again(pd)
"""
    )
    client = """
async def init(pd):
    await pd.notify(0)
    await pd.notify(2)
    await pd.print(f"client: {(await pd.ppcall(0)).label}\\n")
"""
    server = """
from capkernel.user.syscalls import Message
signalled = []
async def init(pd): pass
async def notified(pd, ch): signalled.append(ch)
async def protected(pd, ch, msg): return Message(100 + signalled[0])
"""
    system = (
        pd("supervisor", 30) + pd("server", 40) + pd("one", 20) + call("one", "server", 5) + lifecycle("server")
        + '<channel><end pd="one" id="2"/><end pd="supervisor" id="2"/></channel>'
    )  # fmt: skip
    run = boot(tmp_path, system, {"supervisor": supervisor, "server": server, "one": client}).run()
    assert run.output.splitlines() == ["meanwhile the client called and signalled", "client: 105"]


def test_every_operation_can_be_repeated_and_says_how_the_domain_stands(tmp_path: Path) -> None:
    supervisor = (
        SUPERVISOR
        + """
async def init(pd):
    say = pd.print
    for name in "status stop stop start start status destroy destroy status stop rebuild rebuild stop start".split():
        found = await getattr(lifecycle, name)(pd.sys, CAP)
        await say(f"{name}: {found.state.name} {found.incarnation} {found.program} {found.pages}\\n")
"""
    )
    system = pd("supervisor", 50) + pd("a", 40) + lifecycle("a")
    run = boot(tmp_path, system, {"supervisor": supervisor, "a": IDLE}).run()
    pages = next(int(line.split()[-1]) for line in run.output.splitlines())
    assert run.output.splitlines() == [
        f"status: RUNNING 1 0 {pages}", f"stop: STOPPED 1 0 {pages}", f"stop: STOPPED 1 0 {pages}",
        f"start: RUNNING 1 0 {pages}", f"start: RUNNING 1 0 {pages}", f"status: RUNNING 1 0 {pages}",
        "destroy: DESTROYED 1 0 0", "destroy: DESTROYED 1 0 0", "status: DESTROYED 1 0 0", "stop: DESTROYED 1 0 0",
        f"rebuild: BUILT 2 0 {pages}", f"rebuild: BUILT 3 0 {pages}", f"stop: BUILT 3 0 {pages}",
        f"start: RUNNING 3 0 {pages}",
    ]  # fmt: skip


def test_what_is_not_understood_is_refused_and_nothing_is_done(tmp_path: Path) -> None:
    supervisor = (
        SUPERVISOR
        + """
async def init(pd):
    for label, words in ((0, ()), (6, ()), (2**52 - 1, ()), (2, (1,)), (3, (0, 0)), (3, (1,)), (3, (2**64 - 1,))):
        answer = await pd.sys.call(CAP, Message(label, words))
        await pd.print(f"{label:#x} {answer.label} {answer.words[0]}\\n")
    await lifecycle.destroy(pd.sys, CAP)
    try:
        await lifecycle.start(pd.sys, CAP)
    except LifecycleError as error:
        await pd.print(f"{error}\\n")
    await pd.sys.send(CAP, Message(3))
    await pd.print((await lifecycle.status(pd.sys, CAP)).state.name)
"""
    )
    hello = "async def init(pd): pass\n"
    system = pd("supervisor", 50) + pd("a", 40) + lifecycle("a")
    run = boot(tmp_path, system, {"supervisor": supervisor, "a": hello}).run()
    assert run.output.splitlines() == [
        "0x0 1 2", "0x6 1 2", "0xfffffffffffff 1 2", "0x2 2 2", "0x3 2 2", "0x3 2 2", "0x3 2 2",
        "start was refused: NOT_BUILT; the domain is DESTROYED", "BUILT",
    ]  # fmt: skip


def test_a_rebuild_that_fails_wherever_leaves_the_domain_destroyed_and_can_be_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The n-th step that needs memory or a slot fails, for every n until there is none."""
    supervisor = (
        SUPERVISOR
        + """
async def init(pd):
    while True:
        try:
            await lifecycle.rebuild(pd.sys, CAP)
            break
        except LifecycleError as error:
            await pd.print(f"{error.refusal.name} {error.status.state.name} {error.status.pages}\\n")
    await lifecycle.start(pd.sys, CAP)
"""
    )
    system = pd("supervisor", 50) + pd("a", 40, '<irq irq="11" id="3"/>') + lifecycle("a")
    booted = boot(tmp_path, system, {"supervisor": supervisor, "a": IDLE})
    before, steps = distribution(booted), Counter[str]()
    errors = {"alloc": OutOfMemory("none"), "copy_into": OutOfSlots("none"), "map": KernelError(*UNMAPPED)}

    def failing(owner: type, name: str) -> None:
        inner = getattr(owner, name)

        async def step(*args: Any, **words: Any) -> Any:
            steps["all"] += 1
            if steps["all"] > steps["passed"]:
                steps["passed"] += 1
                steps["all"] = 0
                raise errors[name]
            return await inner(*args, **words)

        monkeypatch.setattr(owner, name, step)

    for owner, name in ((Arena, "alloc"), (Toolbox, "copy_into"), (VSpace, "map")):
        failing(owner, name)
    output = booted.run().output.splitlines()
    assert len(output) > 15
    assert set(output) == {"NO_MEMORY DESTROYED 0", "REFUSED DESTROYED 0"}
    assert distribution(booted) == before


def test_an_alternative_program_takes_the_place_of_the_first(tmp_path: Path) -> None:
    supervisor = (
        SUPERVISOR
        + """
async def init(pd):
    for program in (2, None, 1, 0):
        found = await again(pd, program=program)
        await pd.print(f"now {found.program}\\n")
        await pd.compute(1000)
async def notified(pd, ch): pass
"""
    )
    system = pd("supervisor", 40) + pd("a", 50) + lifecycle("a")
    for name in ("b", "c"):
        system += f'<?capkernel alternative pd="a" program="{name}.elf"?>'
    programs = {name: f"async def init(pd): await pd.print('{name} of ' + pd.name + '; ')\n" for name in "abc"}
    run = boot(tmp_path, system, programs | {"supervisor": supervisor}).run()
    assert run.output == "a of a; c of a; now 2\nc of a; now 2\nb of a; now 1\na of a; now 0\n"


def test_machine_code_and_python_take_turns_in_the_same_memory(tmp_path: Path) -> None:
    pytest.importorskip("unicorn", reason="machine code needs unicorn: pip install 'capkernel[riscv]'")
    supervisor = (
        SUPERVISOR
        + """
async def init(pd):
    for program in (1, 2, 0, 2, 1, 0, 0):
        await again(pd, program=program)
        await pd.compute(1000)
"""
    )
    more = "".join(f'<?capkernel alternative pd="a" program="{name}.elf"?>' for name in ("snake", "other"))
    system = pd("supervisor", 40) + pd("a", 50) + lifecycle("a") + more
    other = [*syscall(-12, ord("#")), *syscall(-12, ord("#")), *syscall(-7, 1, 4)]
    (tmp_path / "a.elf").write_bytes(pd_elf())
    (tmp_path / "other.elf").write_bytes(pd_elf(other))
    programs = {"supervisor": supervisor, "snake": "async def init(pd): await pd.print('~')\n"}
    run = boot(tmp_path, system, programs).run()
    assert run.output.partition("monitor")[0] == "!~##!##~!!"


PARENT = (
    SUPERVISOR
    + """
async def init(pd):
    await pd.print(f"{pd.name}: begins\\n")
async def fault(pd, child, msg):
    await pd.print(f"{pd.name}: child {child} faulted\\n")
    await pd.pd_stop(child)
    return False
async def notified(pd, ch):
    await pd.print(f"{pd.name}: stops child 1\\n")
    await pd.pd_stop(1)
"""
)


def test_children_outlive_their_parent_and_the_next_one_controls_them(tmp_path: Path) -> None:
    supervisor = (
        SUPERVISOR
        + """
async def init(pd):
    await lifecycle.destroy(pd.sys, CAP)
async def notified(pd, ch):
    await again(pd)
    await pd.notify(1)
"""
    )
    child = """
async def init(pd):
    await pd.print("child: I am still here\\n")
    await pd.notify(0)
    await pd.print("child: nobody reads this\\n")
"""
    wild = "async def init(pd): await pd.store(0, 1)\n"
    system = (
        pd("supervisor", 60) + pd("keeper", 90, pd("child", 20, id="1") + pd("wild", 10, id="2")) + lifecycle("keeper")
        + '<channel><end pd="child" id="0"/><end pd="supervisor" id="2"/></channel>'
        + '<channel><end pd="supervisor" id="1"/><end pd="keeper" id="9"/></channel>'
    )  # fmt: skip
    programs = {"supervisor": supervisor, "keeper": PARENT, "child": child, "wild": wild}
    run = boot(tmp_path, system, programs).run()
    assert run.output.splitlines() == [
        "keeper: begins", "child: I am still here", "keeper: begins", "keeper: stops child 1",
        "keeper: child 2 faulted",
    ]  # fmt: skip
    assert run.faults == ()


def test_a_cap_for_one_domain_does_nothing_to_another_and_no_cap_nothing_at_all(tmp_path: Path) -> None:
    attacker = (
        SUPERVISOR
        + """
from capkernel.user import stubs
from capkernel.user.errors import KernelError
async def init(pd):
    for badge in (0, 1, 2, 3, 1 << 62 | 3, 1 << 63 | 3, 3 << 62 | 3):
        try:
            await stubs.cnode_mint(pd.sys, 301, dest_index=400, dest_depth=64, src_index=300, src_depth=64, rights=15,
                                   badge=badge, src_root=301)
            await pd.print(f"minted {badge:#x}\\n")
        except KernelError as error:
            pass
    for slot in range(4, 512):
        if slot not in (300, 301):
            for label in range(1, 6):
                await pd.sys.nbsend(slot, Message(label))
    for label in range(8):
        for words in ((), (2,), (3,), (1 << 62 | 3,)):
            await pd.sys.call(CAP, Message(label, words))
"""
    )
    victim = "async def init(pd): await pd.print('victim: begins\\n')\nasync def protected(pd, ch, msg): pass\n"
    system = (
        pd("supervisor", 50) + pd("a", 40) + pd("victim", 30) + lifecycle("a")
        + '<?capkernel grant pd="supervisor" kind="cnode" of="supervisor" slot="301"?>'
    )  # fmt: skip
    booted = boot(tmp_path, system, {"supervisor": attacker, "a": "async def init(pd): pass", "victim": victim})
    before = booted.system.threads["victim"]
    run = booted.run()
    assert run.output == "victim: begins\n"
    assert (run.crashes, run.faults) == ((), ())
    assert booted.system.threads["victim"] is before


ENGINE = """
SOURCE, DESTINATION, LENGTH, CONTROL, STATUS = range(0, 0x28, 8)
registers: int = 0
async def copy(pd):
    for register, value in ((STATUS, 6), (SOURCE, 0x10000), (DESTINATION, 0x11000), (LENGTH, 8), (CONTROL, 1)):
        await pd.store(registers + register, value)
    await pd.compute(10_000)
    status = await pd.load(registers + STATUS)
    return "copied" if status & 2 and not status & 4 else "refused"
"""
WITH_DMA = """
<memory_region name="transfer" size="0x2000"/>
<memory_region name="registers" size="0x1000" phys_addr="0x10100000"/>
<io_address_space name="engine" peripheral_id="0:3.0" domain_id="3">
    <iomap mr="transfer" iovaddr="0x10000" perms="rw"/>
</io_address_space>
"""
MAP_ENGINE = '<map mr="registers" vaddr="0x3000000" perms="rw" cached="false" setvar_vaddr="registers"/>'


@pytest.mark.parametrize("owned", [True, False])
def test_a_device_reaches_memory_only_while_the_domain_that_owns_its_io_address_space_lives(
    tmp_path: Path, owned: bool
) -> None:
    supervisor = (
        SUPERVISOR
        + ENGINE
        + """
async def init(pd):
    await pd.print(f"at first {await copy(pd)}; ")
    await lifecycle.destroy(pd.sys, CAP)
    await pd.print(f"after destroy {await copy(pd)}; ")
    await lifecycle.rebuild(pd.sys, CAP)
    await pd.print(f"after rebuild {await copy(pd)}")
"""
    )
    system = WITH_DMA + pd("supervisor", 50, MAP_ENGINE) + pd("driver", 40, MAP_ENGINE) + lifecycle("driver")
    if owned:
        system += '<?capkernel owner io_address_space="engine" pd="driver"?>'
    programs = {"supervisor": supervisor, "driver": ENGINE}
    run = boot(tmp_path, system, programs, board=find_board("virt_iommu")).run()
    then = "refused" if owned else "copied"
    assert run.output.startswith(f"at first copied; after destroy {then}; after rebuild copied")


def test_a_driver_cannot_leave_its_interrupt_to_a_friend(tmp_path: Path) -> None:
    """The cap is handed over while the driver lives, and works; when it is destroyed it is gone."""
    driver = """
from capkernel.user.loop import BASE_IRQ_CAP
from capkernel.user.syscalls import Message
async def init(pd):
    await pd.sys.call(300, Message(1, (), (BASE_IRQ_CAP + 3,)))
async def notified(pd, ch): pass
"""
    friend = (
        SUPERVISOR
        + """
from capkernel.user import stubs
from capkernel.user.errors import KernelError
async def init(pd):
    await pd.sys.set_receive_slot(301, 400, 64)
async def ack(pd):
    try:
        await stubs.irq_handler_ack(pd.sys, 400)
        return "works"
    except KernelError as error:
        return error.name
async def protected(pd, ch, msg):
    await pd.print(f"{msg.extra_caps} cap, {await ack(pd)}; ")
async def notified(pd, ch):
    await lifecycle.destroy(pd.sys, CAP)
    await pd.print(f"then {await ack(pd)}")
"""
    )
    system = (
        pd("supervisor", 50) + pd("driver", 60, '<irq irq="11" id="3"/>') + pd("late", 10) + lifecycle("driver")
        + '<?capkernel grant pd="driver" kind="endpoint" of="supervisor" slot="300" rights="WG"'
        + ' badge="0x8000000000000001"?><?capkernel grant pd="supervisor" kind="cnode" of="supervisor" slot="301"?>'
        + '<channel><end pd="late" id="0"/><end pd="supervisor" id="2"/></channel>'
    )  # fmt: skip
    programs = {"supervisor": friend, "driver": driver, "late": "async def init(pd): await pd.notify(0)\n"}
    assert boot(tmp_path, system, programs).run().output == "1 cap, works; then InvalidCapability"


def test_memory_that_was_granted_is_fresh_in_the_next_life(tmp_path: Path) -> None:
    server = """
from capkernel.abi import objects as obj
from capkernel.user import stubs
async def init(pd):
    await stubs.untyped_retype(pd.sys, 310, object_type=obj.ENDPOINT, size_bits=0, node_index=0, node_depth=0,
                               node_offset=1, num_objects=1, root=311)
    await pd.print(f"made; ")
"""
    supervisor = SUPERVISOR + "async def init(pd):\n    await again(pd)\n    await again(pd)\n"
    grants = (
        '<?capkernel grant pd="a" kind="untyped" slot="310" size_bits="12"?>'
        '<?capkernel grant pd="a" kind="slots" at="5" size_bits="3" slot="311"?>'
    )
    system = pd("supervisor", 50) + pd("a", 60) + lifecycle("a") + grants
    assert boot(tmp_path, system, {"supervisor": supervisor, "a": server}).run().output == "made; " * 3


def test_new_slots_have_addresses_of_their_own_and_receive_caps(tmp_path: Path) -> None:
    server = """
from capkernel.user.syscalls import Message
async def init(pd):
    await pd.sys.set_receive_slot(311, 6, 64)
async def protected(pd, ch, msg):
    await pd.print(f"{msg.extra_caps} cap; ")
    await pd.sys.signal(5 << 58 | 6)
"""
    client = """
from capkernel.user.syscalls import Message
async def init(pd): await pd.sys.call(300, Message(0, (), (312,)))
async def notified(pd, ch): await pd.print(f"signalled on {ch}")
"""
    system = (
        pd("server", 50) + pd("client", 60)
        + '<?capkernel grant pd="server" kind="slots" at="5" size_bits="3" slot="311"?>'
        + '<?capkernel grant pd="client" kind="notification" of="client" slot="312" badge="8"?>'
        + '<?capkernel grant pd="client" kind="endpoint" of="server" slot="300" rights="WG"'
        + ' badge="0x8000000000000001"?>'
    )  # fmt: skip
    run = boot(tmp_path, system, {"server": server, "client": client}).run()
    assert run.output == "1 cap; signalled on 3"


def test_a_domain_with_its_own_vspace_maps_what_it_was_granted(tmp_path: Path) -> None:
    program = """
from capkernel.user import stubs
async def init(pd):
    await stubs.page_map(pd.sys, 310, vaddr=0x201000, rights=3, attr=1, vspace=311)
    await pd.store(0x201000, 77)
    await pd.print(str(await pd.load(0x201000)))
"""
    system = (
        '<memory_region name="page" size="0x1000"/>' + pd("a", 50)
        + '<?capkernel grant pd="a" kind="frame" of="page" slot="310"?>'
        + '<?capkernel grant pd="a" kind="vspace" slot="311"?>'
    )  # fmt: skip
    assert boot(tmp_path, system, {"a": program}).run().output == "77"


def test_after_a_rebuild_everybody_holds_what_he_held(tmp_path: Path) -> None:
    supervisor = SUPERVISOR + "async def init(pd):\n    await again(pd)\n"
    booted = boot(tmp_path, SERVING, {"supervisor": supervisor, "server": SERVER} | clients("()", "()"))
    before, thread = distribution(booted), booted.system.threads["server"]
    booted.run()
    assert booted.system.threads["server"] is not thread
    assert distribution(booted) == before
