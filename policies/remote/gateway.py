"""The gateway: a membrane around a machine, whose other half is around another one (docs/remote.md).

What passes outwards becomes a *thing* and a token that names it; a token that arrives becomes a *reference*, and the
membrane's proxy for that is what programs of this machine hold. What a token allows is checked where the thing is, at
each operation, and before that where the reference is.

Here are neither kernel nor link nor clock: objects of this machine are anything that ``near`` can ask.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from attrs import frozen

from capkernel.protocols.failures import Failure, Gone, Malformed, NotFound, NotPermitted, QuotaExceeded
from capkernel.protocols.interface import (
    Interface,
    Operation,
    Parameter,
    interface_number_of,
    operation_of,
    operations_of,
)
from capkernel.protocols.remote import Revoked, Terms, Uncertain, Unreachable
from capkernel.protocols.wire import failure_in, pack_failure, pack_request, pack_result, unpack_request, unpack_result
from capkernel.user.syscalls import Message
from capkernel.user.tasks import Tasks
from policies.membrane import Membrane, Mode, Reach, Side
from policies.remote import sessions, tokens
from policies.remote.messages import Answered, Asked, Verb, decode, encode, revoked, revoked_in, words_of
from policies.remote.objects import (
    LIFETIME,
    LONGEST,
    OBJECTS,
    SKEW,
    Grant,
    Offer,
    Reference,
    Revocations,
    Thing,
    interface_numbered,
)
from policies.remote.sessions import Asking, Desk, Machine, Office
from policies.remote.tokens import Identity, Token


class NotPresented(Failure, code=122):
    """The token has not been shown here yet, or this gateway was started anew: show it, then ask again."""


class Here(Interface):
    """This machine, as the membrane's beginning; nobody has a cap to it."""


class Checks(sessions.Checks):
    """What a gateway verifies; one that leaves one out is in ``clients.careless_gateway``."""

    def read(self, data: bytes, issuer: bytes, presenter: bytes) -> Token:
        """A token that is shown. Raises NotPermitted for one that is forged or damaged."""
        return tokens.read(data, issuer)

    def holder(self, token: Token, machine: Machine) -> None:
        """Whether it is that machine's to use. Raises NotPermitted."""
        if machine.key not in token.holders:
            raise NotPermitted(f"the token is not bound to {machine.name}")

    def second(self, now: int) -> int:
        """The time at which a token is looked at."""
        return now

    def revoked(self, revocations: Revocations, token: Token) -> None:
        """Whether it was revoked. Raises Gone."""
        revocations.check(token)

    def end(self, grants: dict[tuple[str, bytes], Grant], key: tuple[str, bytes]) -> None:
        """A grant was revoked: forget it. Its token is refused when it is shown again."""
        del grants[key]

    def presented(self, grant: Grant | None, named: bytes, things: Mapping[str, Thing], machine: Machine) -> Grant:
        """The grant that a machine names, if it is known: its token has been shown. Raises NotPresented."""
        if grant is None:
            raise NotPresented("show the token first")
        return grant


@frozen
class World:
    """What a gateway is given: who it and the others are, and how it reaches what is around it.

    ``second`` is the wall clock in seconds since 1970; ``keep`` writes revocations down, before they are told to
    anybody; ``ended`` is told of each proxy that programs of this machine may hold no longer.
    """

    identity: Identity
    machines: dict[str, Machine]
    offers: list[Offer]
    suites: tuple[int, ...]
    near: Reach
    tasks: Tasks
    random: Callable[[int], bytes]
    send: Callable[[Machine, bytes], None]
    now_us: Callable[[], int]
    second: Callable[[], int]
    keep: Callable[[Revocations], Awaitable[None]]
    ended: Callable[[Any], None]


class Far(Reach):
    """Objects of other machines, asked by their gateways; what is of this machine is asked as ``near`` says."""

    def __init__(self, gateway: "Gateway", near: Reach) -> None:
        self.gateway = gateway
        self.near = near

    async def ask(self, target: Any, operation: Operation, values: Mapping[str, Any]) -> Any:
        """Ask. Raises what the target raises, and Unreachable, Uncertain."""
        if isinstance(target, Reference):
            return await self.gateway.ask(target, operation, values)
        return await self.near.ask(target, operation, values)

    def keep(self, found: Any) -> None:
        """An object is kept from now on."""
        if not isinstance(found, Reference):
            self.near.keep(found)

    async def release(self, target: Any) -> None:
        """An object is of no use here any more."""
        if isinstance(target, Reference):
            await self.gateway.release(target)
        else:
            await self.near.release(target)


class Gateway:
    """One machine's gateway. ``checks`` is all that keeps others from more than they were given."""

    def __init__(self, world: World, checks: Checks | None = None) -> None:
        self.world = world
        self.identity = world.identity
        self._self = Machine(world.identity.name, world.identity.public, b"")
        self.checks = checks or Checks()
        self.revocations = Revocations()
        self.membrane = Membrane(Here(), Here, Mode.FULL, Far(self, world.near), self._ended)
        self.things: dict[str, Thing] = {}
        self.grants: dict[tuple[str, bytes], Grant] = {}
        self.references: dict[tuple[str, bytes], Reference] = {}
        office = Office(world.identity, world.suites, world.random, world.send, self.checks, world.now_us)
        self.asking = {name: Asking(office, machine) for name, machine in world.machines.items()}
        self.desk = Desk(office, self._asked)
        self._life = world.random(8).hex()
        """Part of the names of things, so that none is named as one before this gateway was started."""
        self._number = 0

    # The link

    async def take(self, address: bytes, packet: bytes) -> None:
        """A packet arrived from an address; whatever it is."""
        machine = next((each for each in self.world.machines.values() if each.address == address), None)
        if not packet:
            return
        if machine is not None:
            self.asking[machine.name].take(packet)
        await self.desk.take(machine, self.world.machines, packet)

    async def tick(self) -> None:
        """Time has passed."""
        for asking in self.asking.values():
            asking.tick()
        self.desk.tick()
        second = self.checks.second(self.world.second())
        for thing in [each for each in self.things.values() if each.of and each.until <= second]:
            await self._drop(thing)

    # What this machine's programs want

    def name(self, thing: str, target: Any, interface: type[Interface]) -> None:
        """Give an object a name by which offers mean it."""
        self.things[thing] = Thing(thing, self.membrane.passed(target, interface, Side.INSIDE), interface)

    async def lookup(self, machine: str, name: str) -> Any:
        """A proxy for what another machine offers to this one. Raises NotFound, Unreachable, Uncertain."""
        answer = await self._question(self._machine(machine), Asked(Verb.LOOKUP, text=name))
        return self._inside(self._referred(_token_of(answer), self._machine(machine)))

    async def accept(self, data: bytes) -> Any:
        """A proxy for what a token leads to; the object itself, if it is this machine's own. Raises a Failure."""
        return self._inside(await self._arrived(data, None, None))

    def issue(self, target: Any, interface: type[Interface], machine: str, terms: Terms) -> bytes:
        """A token for an object of this machine. Raises NotFound, Malformed, QuotaExceeded."""
        second = self.world.second()
        if not second < terms.until <= second + LONGEST:
            raise Malformed(f"a token ends after now and within {LONGEST} s; it is {second}, not {terms.until}")
        proxy = self.membrane.passed(target, interface, Side.INSIDE)
        return self._given(proxy, interface, self._machine(machine), None, terms)

    def attenuate(self, data: bytes, terms: Terms) -> bytes:
        """A token that allows no more than these terms. Raises NotPermitted, Malformed, NotFound."""
        return tokens.attenuate(tokens.read(data, self._key(data)), terms)

    def delegate(self, data: bytes, machine: str) -> bytes:
        """A token for another machine besides. Raises NotPermitted, Malformed, NotFound."""
        return tokens.delegate(tokens.read(data, self._key(data)), self.identity, self._machine(machine).key)

    async def revoke(self, data: bytes) -> Revoked:
        """End a token, here or at whoever made it. Raises NotPermitted, Unreachable, Uncertain."""
        issuer = tokens.issuer_of(data)
        if issuer != self.identity.name:
            answer = await self._question(self._machine(issuer), Asked(Verb.REVOKE, tokens=[data]))
            return revoked_in(answer)
        token = tokens.read(data, self.identity.public)
        return await self._revoke_blocks(token.ids[-1])

    async def withdraw(self, name: str, machine: str) -> Revoked:
        """End an offer for ever. Raises NotFound."""
        if not any((offer.name, offer.machine) == (name, machine) for offer in self.world.offers):
            raise NotFound(f"nothing is offered to {machine!r} by the name {name!r}")
        self.revocations.offers.add((name, self._machine(machine).key))
        return await self._cut()

    # References: objects of other machines

    async def ask(self, reference: Reference, operation: Operation, values: Mapping[str, Any]) -> Any:
        """Ask for an operation of another machine's object. Raises what it raises, and Unreachable, Uncertain."""
        if reference.is_cut:
            raise Gone("the way here was cut")
        reference.token.check(_name(operation), self.checks.second(self.world.second() - SKEW))
        given = [self._outward(values[each.name], each, reference.machine) for each in operation.caps]
        message = await pack_request(operation, dict(values), None)
        asked = Asked(Verb.CALL, reference.grant, message.label, words_of(message), given)
        try:
            answer = await self._question(reference.machine, asked)
        except NotPresented:
            await self._present(reference)
            answer = await self._question(reference.machine, asked)
        wanted = operation.result
        if wanted is not None and wanted.is_cap:
            return await self._arrived(_token_of(answer), wanted, reference.machine)
        return await unpack_result(operation, Message(answer.label, answer.words), None)

    async def release(self, reference: Reference) -> None:
        """Tell its machine that nobody here needs an object any more; if that is lost, its token ends some day."""
        known = self.references.pop((reference.machine.name, reference.grant), None)
        if known is None or reference.is_cut or self.asking[reference.machine.name].session is None:
            return
        await self._begin(self._question(reference.machine, Asked(Verb.RELEASE, reference.grant)))

    async def _present(self, reference: Reference) -> None:
        await self._question(reference.machine, Asked(Verb.PRESENT, tokens=[reference.token.data]))

    async def _question(self, machine: Machine, asked: Asked) -> Answered:
        """Ask a gateway. Raises the failure that it answers, Unreachable, Uncertain."""
        answer = decode(Answered, await self.asking[machine.name].ask(encode(asked)))
        if answer.label:
            raise await failure_in(Message(answer.label, answer.words), None)
        return answer

    def _inside(self, found: Any) -> Any:
        """What comes from outside, for programs of this machine."""
        return self.membrane.passed(found, found.interface, Side.OUTSIDE)

    def _referred(self, data: bytes, issuer: Machine) -> Reference:
        """The reference that a token of another machine becomes. Raises NotPermitted, QuotaExceeded."""
        token = self.checks.read(data, issuer.key, issuer.key)
        self.checks.holder(token, self._self)
        known = self.references.get((issuer.name, token.grant))
        if known is None:
            if sum(each.machine is issuer for each in self.references.values()) >= OBJECTS:
                raise QuotaExceeded(f"this machine uses {OBJECTS} objects of {issuer.name} already")
            known = Reference(issuer, token, interface_numbered(token.interface))
            self.references[issuer.name, token.grant] = known
        return known

    async def _arrived(self, data: bytes, wanted: Parameter | None, sender: Machine | None) -> Any:
        """What a token leads to that came from a machine, or from a program (None). Raises a Failure.

        A token of a third machine is shown there at once, so whoever handed it over may let go of his own.
        """
        issuer = tokens.issuer_of(data)
        if issuer == self.identity.name:
            found = self._returned(data, sender)
        else:
            found = self._referred(data, self._machine(issuer))
            if found.machine is not sender:
                await self._present(found)
        if wanted is not None and (wanted.interface is None or not issubclass(found.interface, wanted.interface)):
            raise Malformed(f"{wanted.name} is a {found.interface.__name__}")
        return found

    def _returned(self, data: bytes, sender: Machine | None) -> Any:
        """An object of this machine comes back. Raises NotPermitted, Gone.

        It becomes the object itself; so a machine that may not do all with it cannot hand it back, or it would get done
        by others what it may not do. (A program of this machine may hold any object of this machine's that it has a
        token for only if the token is bound to this machine.)
        """
        token = self.checks.read(data, self.identity.public, b"")
        grant = self._grant_of(token, sender or self._self)
        for operation in operations_of(grant.thing.interface).values():
            grant.check(_name(operation), self.checks.second(self.world.second()))
        return grant.thing.proxy

    # Things: objects of this machine

    def _outward(self, value: Any, parameter: Parameter, machine: Machine, under: Grant | None = None) -> bytes:
        """The token for what is handed to another machine. Raises a Failure."""
        if isinstance(value, Reference):
            if value.machine is machine:
                return value.token.data
            return tokens.delegate(value.token, self.identity, machine.key)
        if parameter.interface is None:
            raise NotPermitted("what has no interface does not leave its machine")
        return self._given(value, parameter.interface, machine, under, Terms(None, self.world.second() + LIFETIME))

    def _given(
        self, proxy: Any, interface: type[Interface], machine: Machine, under: Grant | None, terms: Terms
    ) -> bytes:
        """A token for an object that was not named by the description. Raises QuotaExceeded."""
        if isinstance(proxy, Reference):
            raise NotPermitted("this is another machine's: delegate its token")
        if sum(thing.of == machine.name for thing in self.things.values()) >= OBJECTS:
            raise QuotaExceeded(f"{machine.name} uses {OBJECTS} objects of this machine already")
        self._number += 1
        thing = Thing(f"{self._life}-{self._number}", proxy, interface, machine.name, under, terms.until)
        self.things[thing.name] = thing
        return self._granted(thing, machine, terms)

    def _granted(self, thing: Thing, machine: Machine, terms: Terms) -> bytes:
        """A token for a machine, known here already."""
        data = tokens.mint(self.identity, thing.name, thing.interface.number, machine.key, terms)
        token = tokens.read(data, self.identity.public)
        self.grants[machine.name, token.grant] = Grant(token, thing, machine)
        return data

    def _grant_of(self, token: Token, machine: Machine) -> Grant:
        """What a token leads to that a machine shows. Raises NotPermitted, Gone."""
        self.checks.holder(token, machine)
        thing = self.things.get(token.object)
        if thing is None or thing.interface.number != token.interface:
            raise Gone("what the token led to is no more")
        grant = Grant(token, thing, machine)
        self._check(grant)
        return grant

    def _check(self, grant: Grant) -> None:
        """Whether a grant is good still. Raises Gone."""
        for each in grant.chain():
            self.checks.revoked(self.revocations, each.token)
        if grant.thing.name not in self.things:
            raise Gone("what the token led to is no more")

    async def _drop(self, thing: Thing) -> None:
        """A thing ends, and with it what leads to it."""
        self.things.pop(thing.name, None)
        for key in [key for key, grant in self.grants.items() if grant.thing is thing]:
            del self.grants[key]
        if all(each.proxy is not thing.proxy for each in self.things.values()):
            await self.membrane.forget(thing.proxy)

    # What other machines ask

    async def _asked(self, machine: Machine, body: bytes, answer: Callable[[bytes], None]) -> None:
        async def serve() -> None:
            try:
                answered = await self._serve(machine, decode(Asked, body))
            except Failure as failure:
                message = await pack_failure(failure)
                answered = Answered(message.label, words_of(message))
            answer(encode(answered))

        await self._begin(serve())

    async def _serve(self, machine: Machine, asked: Asked) -> Answered:
        match asked.verb:
            case Verb.LOOKUP:
                return Answered(tokens=[self._looked_up(machine, asked.text)])
            case Verb.PRESENT:
                token = self.checks.read(_token_of(asked), self.identity.public, machine.key)
                self.grants[machine.name, token.grant] = self._grant_of(token, machine)
            case Verb.CALL:
                return await self._call(machine, asked)
            case Verb.RELEASE:
                await self._released(machine, asked.grant)
            case Verb.CUT:
                await self._cut_here(machine, asked.tokens)
            case Verb.REVOKE:
                token = self.checks.read(_token_of(asked), self.identity.public, machine.key)
                self.checks.holder(token, machine)
                return revoked(await self._revoke_blocks(token.ids[-1]))
        return Answered()

    def _looked_up(self, machine: Machine, name: str) -> bytes:
        for offer in self.world.offers:
            if (offer.name, offer.machine) == (name, machine.name) and name in self.things:
                if (name, machine.key) in self.revocations.offers:
                    break
                terms = Terms(offer.operations, self.world.second() + offer.seconds)
                return self._granted(self.things[name], machine, terms)
        raise NotFound(f"nothing is offered to {machine.name} by the name {name!r}")

    async def _call(self, machine: Machine, asked: Asked) -> Answered:
        known = self.grants.get((machine.name, asked.grant))
        grant = self.checks.presented(known, asked.grant, self.things, machine)
        self._check(grant)
        interface = grant.thing.interface
        operation = operations_of(interface).get(operation_of(asked.label))
        if operation is None or operation.label != asked.label:
            raise Malformed(f"{interface.__name__} {interface_number_of(asked.label)} has no such operation")
        grant.check(_name(operation), self.checks.second(self.world.second()))
        values = await unpack_request(operation, Message(asked.label, asked.words), None)
        if len(asked.tokens) != len(operation.caps):
            raise Malformed(f"{operation.name} takes {len(operation.caps)} caps")
        for parameter, data in zip(operation.caps, asked.tokens, strict=True):
            values[parameter.name] = await self._arrived(data, parameter, machine)
        self._check(grant)
        result = await getattr(grant.thing.proxy, operation.name)(**values)
        self._check(grant)
        if operation.result is not None and operation.result.is_cap:
            return Answered(tokens=[self._outward(result, operation.result, machine, grant)])
        message = await pack_result(operation, result, None)
        return Answered(words=words_of(message))

    async def _released(self, machine: Machine, name: bytes) -> None:
        grant = self.grants.pop((machine.name, name), None)
        if grant is None or not grant.thing.of:
            return
        if all(each.thing is not grant.thing for each in self.grants.values()):
            await self._drop(grant.thing)

    # Revocation

    async def _revoke_blocks(self, block: bytes) -> Revoked:
        second = self.world.second()
        self.revocations.forget_old(second)
        self.revocations.blocks[block] = second + LONGEST
        return await self._cut()

    async def _cut(self) -> Revoked:
        """Write down what was revoked; nothing of it is done from here on. Then tell those who have proxies, and wait
        until each has said that it cut them or does not answer.
        """
        await self.world.keep(self.revocations)
        ended: dict[str, list[bytes]] = {}
        for (name, grant), known in list(self.grants.items()):
            try:
                for each in known.chain():
                    self.revocations.check(each.token)
            except Gone:
                self.checks.end(self.grants, (name, grant))
                ended.setdefault(name, []).append(grant)
        told, silent = [], []
        for name, grants in sorted(ended.items()):
            try:
                await self._question(self._machine(name), Asked(Verb.CUT, tokens=grants))
                told.append(name)
            except (Unreachable, Uncertain):
                silent.append(name)
        for thing in [each for each in self.things.values() if each.of and self._is_unheld(each)]:
            await self._drop(thing)
        return Revoked(told, silent)

    def _is_unheld(self, thing: Thing) -> bool:
        return all(grant.thing is not thing for grant in self.grants.values())

    async def _cut_here(self, machine: Machine, grants: list[bytes]) -> None:
        """What another machine revoked is of no use here any more."""
        for name in grants:
            reference = self.references.pop((machine.name, name), None)
            if reference is not None:
                reference.is_cut = True
                proxy = self.membrane.proxies.get(id(reference))
                if proxy is not None:
                    await self.membrane.forget(proxy)

    # Parts

    def _ended(self, proxy: Any) -> None:
        """Nothing passes through a proxy any more."""
        if proxy.faces is Side.INSIDE:
            self.world.ended(proxy)
        for name in [name for name, thing in self.things.items() if thing.proxy is proxy]:
            del self.things[name]

    async def _begin(self, work: Awaitable[Any]) -> None:
        """Do something besides; that another machine is silent is no mistake of this one."""

        async def done(result: Any, error: BaseException | None) -> None:
            if error is not None and not isinstance(error, Failure):
                raise error

        await self.world.tasks.start(work, done)

    def _machine(self, name: str) -> Machine:
        """Another machine. Raises NotFound."""
        if name not in self.world.machines:
            raise NotFound(f"no machine {name!r} is known here")
        return self.world.machines[name]

    def _key(self, data: bytes) -> bytes:
        """The public key of whoever made a token, as it says. Raises Malformed, NotFound."""
        issuer = tokens.issuer_of(data)
        return self.identity.public if issuer == self.identity.name else self._machine(issuer).key


def _name(operation: Operation) -> str:
    """An operation as tokens name it."""
    return f"{operation.interface.__name__}.{operation.name}"


def _token_of(said: Asked | Answered) -> bytes:
    """The one token in a message. Raises Malformed."""
    if len(said.tokens) != 1:
        raise Malformed(f"a message has {len(said.tokens)} tokens where one is wanted")
    return said.tokens[0]
