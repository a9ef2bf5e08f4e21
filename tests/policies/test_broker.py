"""The broker in its system: who is allowed is served, others are refused with reasons, leases end, rules change."""

import pytest

from capkernel.protocols.brokering import READ
from capkernel.protocols.failures import Gone, NotPermitted
from tests.policies.broker_bench import Person, play


def test_one_is_served_one_is_refused_and_a_lease_ends() -> None:
    seen: dict[str, object] = {}

    async def alice(me: Person) -> None:
        grant, plans = await me.have("plans", us=20_000, purpose="the plan")
        until = (await grant.info()).until_us
        file = await plans.create("plan")
        await file.write(0, b"to be secret")
        await me.timer.sleep_until(until - 1_000)
        assert await file.read(0, 20) == b"to be secret"
        await me.timer.sleep_until(until + 1_000)
        for ask in (file.read(0, 20), plans.list(0), grant.access(), grant.info()):
            with pytest.raises(Gone):
                await ask
        seen["grants"] = await me.broker.grants(0)

    async def bob(me: Person) -> None:
        with pytest.raises(NotPermitted, match="secrecy"):
            await me.broker.request("plans", READ, "to know", 1_000)
        _, bulletin = await me.have("bulletin", READ, us=1_000)
        with pytest.raises(NotPermitted):
            await bulletin.create("graffiti")

    play(alice=alice, bob=bob)
    assert seen["grants"] == []
