"""Small programs, each run with the specification beside the kernel, and again under all invariants."""

from dataclasses import dataclass

from capkernel.abi import labels
from capkernel.abi import syscalls as sc
from capkernel.kernel.objects import TCB, Cap, CNode
from specs.check import checked
from specs.programs import SLOTS, Layout, Program, Step, Syscall, world_of
from specs.programs.layout import TEST_BITS
from specs.refinement.check import beside, script

CNODE = SLOTS["cnode"]


@dataclass
class Outcome:
    """What is there after a program: threads by worker (the root's is -1), and who took each step."""

    threads: dict[int, TCB]
    test: CNode
    ran: list[str]

    def cap(self, name: str) -> Cap:
        """The cap in a named slot of the test CNode."""
        return self.test.slot(SLOTS[name]).cap


def agreed(layout: Layout, *steps: Step) -> Outcome:
    """Run a program; raises AssertionError with a script if specification, invariants and kernel do not agree.

    Each step must be taken, so a step that names a thread must find that running.
    """
    program = Program(layout, steps)
    execution, _ = beside(program)
    assert execution.problem is None, script(program)
    assert execution.taken == len(steps), f"only {execution.taken} steps were taken: {execution.ran}"
    skipped = [text for text in execution.ran if text.startswith("skipped")]
    assert not skipped, execution.ran
    assert checked(program).problem is None
    return outcome(layout, execution.ran)


def outcome(layout: Layout, ran: list[str]) -> Outcome:
    """What the last program in a layout has left."""
    world = world_of(layout)
    node = next(cap for cap in _cnodes(world.threads[-1]) if cap.radix == TEST_BITS)
    return Outcome(world.threads, node, ran)


def _cnodes(thread: TCB) -> list[CNode]:
    """All CNodes that are reached from a thread's CSpace."""
    found: list[CNode] = []
    open_nodes = [getattr(thread.cspace_slot.cap, "cnode", None)]
    while open_nodes:
        node = open_nodes.pop()
        if node is not None and node not in found:
            found.append(node)
            open_nodes += [getattr(slot.cap, "cnode", None) for slot in node.slots.values()]
    return found


def call(cap: str, label: int, *words: int, caps: tuple[str, ...] = (), thread: int | None = None) -> Syscall:
    """An invocation of the cap in a named slot."""
    return Syscall(sc.CALL, SLOTS[cap], label, words, tuple(SLOTS[name] for name in caps), thread=thread)


def destroy(name: str, thread: int = -1) -> tuple[Syscall, Syscall]:
    """Revoke the cap in a named slot, then delete it."""
    where = SLOTS[name], TEST_BITS
    return (
        call("cnode", labels.CNODE_REVOKE, *where, thread=thread),
        call("cnode", labels.CNODE_DELETE, *where, thread=thread),
    )


def recv(source: str, reply: str = "null", thread: int | None = None) -> Syscall:
    """Receive from an endpoint or notification."""
    return Syscall(sc.RECV, SLOTS[source], reply=SLOTS[reply], thread=thread)


def wait(source: str, thread: int | None = None) -> Syscall:
    """Wait, without a reply object."""
    return Syscall(sc.WAIT, SLOTS[source], thread=thread)


def send(dest: str, *words: int, number: int = sc.SEND, thread: int | None = None) -> Syscall:
    """Send a message; with another number, a Call or NBSend."""
    return Syscall(number, SLOTS[dest], 0, words, thread=thread)
