"""What it costs that an object is on another machine, and what tokens cost.

``python -m bench.remote``. The same operation is asked of a directory of the own machine's and, through two gateways
and two cards, of another's. Virtual time includes the wire's delay of 20 µs each way at most, and no work of the host's
cryptography; host time is that of both machines. Tokens are measured by themselves, beside the library called directly.
"""

import importlib
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from importlib.util import find_spec
from typing import Any

from bench.timing import Figure, least, show
from capkernel.protocols.remote import Terms
from capkernel.tools.demo.remote.machines import Machines

ROUNDS, TOKENS = 50, 200
SLICE_US = 20
NEAR, FAR = 1, 2
LONGEST_US = 20_000_000
BLOCKS = (1, 2, 4, 8)


class Pair:
    """Two machines; the user of one asks."""

    def __init__(self) -> None:
        self.machines = Machines({"a": "remote_measured", "c": "remote_idler"}, slice_us=SLICE_US)
        self.number = 0
        if not self.machines.run_until(lambda: self.machines["a"].words("report", 2)[1] == 1, LONGEST_US):
            raise RuntimeError("the machines do not find each other")

    def ask(self, kind: int, count: int) -> None:
        """Let the user ask so often."""
        self.number += 1
        order = self.number << 8 | kind
        self.machines["a"].write_words("orders", order, count)
        if not self.machines.run_until(lambda: self.machines["a"].words("report", 1)[0] == order, LONGEST_US):
            raise RuntimeError("the user has no answer")

    def cost(self, kind: int) -> tuple[float, float]:
        """Microseconds of virtual time, and kernel entries of both machines, for a call. What the machines do anyway in
        that time is in it.
        """
        stages = self.machines.stages.values()
        began, entries = self.machines.passed_us, sum(stage.system.loop.entries for stage in stages)
        self.ask(kind, ROUNDS)
        spent = sum(stage.system.loop.entries for stage in stages) - entries
        return (self.machines.passed_us - began) / ROUNDS, spent / ROUNDS


def calls() -> list[Figure]:
    """A call nearby and one far away."""
    pair, times = Pair(), {}
    for name, kind in (("near", NEAR), ("far", FAR)):
        pair.ask(kind, ROUNDS)
        virtual_us, entries = pair.cost(kind)
        print(f"{name}: {virtual_us:.0f} µs of virtual time and {entries:.0f} kernel entries for each call")
        times[name] = least(partial(pair.ask, kind, ROUNDS), ROUNDS)
    pair.machines.close()
    return [Figure("Directory.info through two gateways", "call", times["far"], times["near"], "the same nearby")]


def tokens() -> list[Figure]:
    """Making, narrowing, reading and checking tokens, beside the library alone."""
    gateway = importlib.import_module("policies.remote.tokens")
    biscuit: Any = importlib.import_module("biscuit_auth")
    identity = gateway.Identity("c", bytes(range(32)))
    key = biscuit.KeyPair.from_private_key(identity.private).public_key
    terms = Terms(["Directory.info", "Directory.list"], 2_000_000_000)
    data = gateway.mint(identity, "library", 3, bytes(32), terms)
    source = biscuit.UnverifiedBiscuit.from_base64(biscuit.Biscuit.from_bytes(data, key).to_base64()).block_source(0)
    found = [
        _figure(
            "a token is made", lambda: gateway.mint(identity, "library", 3, bytes(32), terms),
            lambda: biscuit.BiscuitBuilder(source).build(identity.private).to_bytes(),
        )
    ]  # fmt: skip
    for blocks in BLOCKS:
        token = gateway.read(data, identity.public)
        while token.biscuit.block_count() < blocks:
            token = gateway.read(gateway.attenuate(token, terms), identity.public)
        print(f"a token of {blocks} blocks has {len(token.data)} bytes")
        whole = token.data
        found += [
            _figure(
                f"a token of {blocks} blocks is read", lambda whole=whole: gateway.read(whole, identity.public),
                lambda whole=whole: biscuit.Biscuit.from_bytes(whole, key),
            ),
            _figure(
                "… is checked for a call", lambda token=token: token.check("Directory.info", 1_000),
                lambda token=token: _authorized(biscuit, token.biscuit),
            ),
            _figure(
                "… is narrowed", lambda token=token: gateway.attenuate(token, terms),
                lambda token=token: token.biscuit.append(biscuit.BlockBuilder("check if now($t), $t < 5")).to_bytes(),
            ),
        ]  # fmt: skip
    return found


def _authorized(biscuit: Any, token: Any) -> None:
    builder = biscuit.AuthorizerBuilder('now(1000); operation("Directory.info"); allow if true')
    limits = builder.limits()
    # Its own limit is a millisecond, which a busy host exceeds.
    limits.max_time = timedelta(seconds=10)
    builder.set_limits(limits)
    builder.build(token).authorize()


def _figure(name: str, work: Callable[[], object], floor: Callable[[], object]) -> Figure:
    def often(each: Callable[[], object]) -> float:
        return least(lambda: [each() for _ in range(TOKENS)], TOKENS)

    return Figure(name, "token", often(work), often(floor), "Biscuit alone")


def main() -> None:
    """Measure and print."""
    if find_spec("biscuit_auth") is None:
        print("Gateways are not measured: there is no biscuit-python (pip install 'capkernel[remote]')")
        return
    show([*calls(), *tokens()], {})


if __name__ == "__main__":
    main()
