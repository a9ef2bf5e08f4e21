"""What the initial task does for the holders of lifecycle caps; ``capkernel.user.lifecycle`` has what they ask.

Every operation ends by itself and waits for nobody, so that no client can hold up another. When ``destroy`` has
returned, the life that it ended can do nothing any more, and neither can its devices. This is the order:

1. Its thread is suspended.
2. Its interrupts' caps are revoked, wherever it may have put copies; frames of devices, then those that its devices
   reach, then all others are taken out of its address spaces.
3. What it made of memory that was granted to it is revoked, and granted time is taken back, unless they are to last.
4. Whoever waits for its answer gets ``SERVER_DIED``. (A thread that faulted and was held by it tries again, or stays
   stopped if a fault of its kind is answered by words.) A passive server's time goes back to its caller with that.
5. Its arena is revoked, and with it caps that others held to its thread, its time and its spaces.

What lasts keeps what comes meanwhile: calls wait at the endpoint, signals in the notification.
"""

from collections.abc import Sequence

from capkernel.abi.objects import PAGE_BITS
from capkernel.abi.words import WORD_BITS
from capkernel.user import stubs
from capkernel.user.allocators import OutOfMemory, OutOfSlots
from capkernel.user.errors import KernelError
from capkernel.user.initialiser import domains as dom
from capkernel.user.initialiser import passive
from capkernel.user.initialiser.building import Building, build_anew
from capkernel.user.initialiser.domains import Domain
from capkernel.user.lifecycle import SERVER_DIED, Operation, Refusal, State, Status
from capkernel.user.syscalls import Message

_DEAD = Message(SERVER_DIED)


class Refused(Exception):
    """An operation that is not done."""

    def __init__(self, refusal: Refusal) -> None:
        self.refusal = refusal
        super().__init__(refusal.name)


async def answer(built: Building, domain: Domain, message: Message) -> Message:
    """Do what a lifecycle call asks; returns the reply."""
    refusal = 0
    try:
        await _do(built, domain, message.label, message.words)
    except Refused as refused:
        refusal = refused.refusal
    except (OutOfMemory, OutOfSlots):
        refusal = Refusal.NO_MEMORY
    except KernelError:
        refusal = Refusal.REFUSED
    return Message(refusal, status(domain).words)


def status(domain: Domain) -> Status:
    """How a domain stands."""
    pages = -(-domain.arena.used >> PAGE_BITS)
    return Status(domain.state, domain.incarnation, domain.program, pages)


async def _do(built: Building, domain: Domain, label: int, words: Sequence[int]) -> None:
    if label not in _OPERATIONS:
        raise Refused(Refusal.BAD_OPERATION)
    if len(words) > (label == Operation.REBUILD):
        raise Refused(Refusal.BAD_ARGUMENT)
    match Operation(label):
        case Operation.STOP:
            await stop(built, domain)
        case Operation.DESTROY:
            await destroy(built, domain)
        case Operation.REBUILD:
            await rebuild(built, domain, words[0] if words else domain.program)
        case Operation.START:
            await start(built, domain)
        case Operation.STATUS:
            pass


_OPERATIONS = frozenset(Operation)


async def stop(built: Building, domain: Domain) -> None:
    """Suspend the thread of a domain that was started."""
    if domain.state in (State.RUNNING, State.FAULTED):
        await stubs.tcb_suspend(built.tools.env.sys, domain.living().tcb)
        domain.state = State.STOPPED


async def start(built: Building, domain: Domain) -> None:
    """Begin a new life, or let a stopped one go on."""
    match domain.state:
        case State.DESTROYED:
            raise Refused(Refusal.NOT_BUILT)
        case State.BUILT:
            if domain.spec.passive:
                await passive.prepare(built, domain)
            await dom.start_domain(built.tools, built.plan, domain)
            if built.plan.on_start is not None:
                built.plan.on_start(domain.name, domain.living().tcb)
        case State.STOPPED | State.FAULTED:
            await stubs.tcb_resume(built.tools.env.sys, domain.living().tcb)
        case State.RUNNING:
            return
    domain.state = State.RUNNING


async def rebuild(built: Building, domain: Domain, program: int) -> None:
    """Destroy a domain and build it anew with that program. If that fails it stays destroyed."""
    if program >= len(built.plan.programs_of(domain.name)):
        raise Refused(Refusal.BAD_ARGUMENT)
    await destroy(built, domain)
    domain.program = program
    try:
        await build_anew(built, domain)
    except Exception:
        await destroy(built, domain)
        raise
    domain.incarnation += 1
    domain.state = State.BUILT


async def destroy(built: Building, domain: Domain) -> None:
    """End a domain's life, in the order that the module's text gives. After an error it can be called again."""
    tools, life = built.tools, domain.life
    sys, slots = tools.env.sys, tools.env.slots
    if life is None:
        # Of a life that could not be made to its end, some objects may be there.
        await domain.arena.destroy()
        return
    await stubs.tcb_suspend(sys, life.tcb)
    for handler in domain.irq_handlers.values():
        await stubs.cnode_revoke(sys, slots.cnode, index=handler, depth=WORD_BITS)
    for copies in (life.device_copies, life.io_copies, life.copies):
        while copies:
            await tools.delete(copies[-1])
            copies.pop()
    for number, untyped in domain.untypeds.items():
        if number not in domain.lasting:
            await stubs.cnode_revoke(sys, slots.cnode, index=untyped, depth=WORD_BITS)
    for number, time in domain.times.items():
        if number not in domain.lasting:
            await stubs.sched_context_unbind(sys, time)
    for reply in domain.replies.values():
        await sys.send(reply, _DEAD)
    if built.plan.on_end is not None:
        built.plan.on_end(domain.name)
    await domain.arena.destroy()
    domain.life = None
    domain.is_starting = False
    domain.state = State.DESTROYED
