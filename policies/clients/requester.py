"""Has a secret, and trusts a program with it of which it knows nothing, if that cannot pass it on."""

from typing import Any

from capkernel.protocols.again import insist
from capkernel.protocols.confinement import Factories, Factory
from capkernel.protocols.failures import Failure
from capkernel.protocols.files import READ, Directory
from capkernel.protocols.interface import Cap
from capkernel.protocols.processes import State
from capkernel.protocols.spawn import ending, give_up
from capkernel.user.loop import PD
from policies.clients.exchange import Party

report: int = 0

FILES, FACTORIES, FROM_BUILDER = 310, 311, 312
DONE, TIGHT, HOLES, REFUSED, RUNS, USEFUL, LEAKS = range(7)
"""Words of the report: the end; factories without holes; with some; that are none; processes trusted with the secret;
those that did their work; what they say that they could pass on.
"""
OFFERED = 3


class Program:
    """The client."""

    is_careful = True
    """Whether it looks at the certificate."""

    async def init(self, pd: PD) -> None:
        """Look at what is offered; use what is tight."""
        me, words = Party(pd, report), [0] * 7
        factories: Any = me.at(Factories, FACTORIES)
        secret = await me.at(Directory, FILES).create("secret")
        await secret.write(0, b"secret: 42")
        for _ in range(OFFERED):
            try:
                factory: Any = await insist(factories.adopt, await me.take(FROM_BUILDER, Factory))
            except Failure:
                words[REFUSED] += 1
                continue
            certificate: Any = await insist(factory.certificate)
            is_tight = not certificate.holes
            words[TIGHT if is_tight else HOLES] += 1
            if is_tight or not self.is_careful:
                words[RUNS] += 1
                status = await self._used(factory, await secret.restrict(READ))
                words[USEFUL] += status.state is State.EXITED and status.code % 100 == 42
                words[LEAKS] += status.code // 100
        words[DONE] = 1
        await me.tell(*words)

    async def _used(self, factory: Any, secret: Any) -> Any:
        """Have a process made, and trust it with the secret."""
        process: Any = await insist(factory.create)
        given = await secret.derive()
        await insist(process.give, "secret", Cap(given.cap))
        await given.forget()
        status = await ending(process)
        await give_up(process)
        return status

    async def notified(self, pd: PD, ch: int) -> None:
        """Nobody does."""
