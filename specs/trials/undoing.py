"""What is given and taken back leaves nothing behind: H9."""

from typing import Any

from capkernel.abi import labels, rights
from capkernel.abi import syscalls as sc
from capkernel.kernel import caps as kc
from specs.direct import Direct
from specs.generate import (
    CNODES,
    ENDPOINTS,
    FRAMES,
    NOTIFICATIONS,
    PAGES,
    SCHED_CONTEXTS,
    THREADS,
    UNTYPEDS,
    Chooser,
    RandomChooser,
)
from specs.invariants.resolve import slot_at
from specs.invariants.view import View
from specs.programs import SLOTS, Layout, Syscall
from specs.programs.layout import FREE, TEST_BITS
from specs.structure import Structure
from specs.trials.model import Trial

GIVEN = (ENDPOINTS, NOTIFICATIONS, FRAMES, THREADS, SCHED_CONTEXTS, UNTYPEDS, CNODES)
"""What there is to give."""
MOST_GIFTS = 6


def _original(choose: Chooser, direct: Direct) -> int:
    """A slot with an original cap: only from such a one are copies derived that its Revoke takes away (manual, 3.1.4).

    A copy of a copy is its sibling.
    """
    while True:
        source = choose.of(choose.of(GIVEN))
        slot = slot_at(direct.state.current, source)
        if slot is not None and slot.revocable:
            return source


def _gift(choose: Chooser, sources: list[int], target: int) -> Syscall:
    """A copy, or a badged one, of the cap given or of a gift of it."""
    words = (target, TEST_BITS, choose.of(sources), TEST_BITS, choose.of((rights.ALL, rights.WRITE, rights.READ)))
    mint = choose.number(0, 1)
    return Syscall(
        cap=SLOTS["cnode"], label=labels.CNODE_MINT if mint else labels.CNODE_COPY,
        words=(*words, choose.of((0, 0, 7))) if mint else words, caps=(SLOTS["cnode"],),
    )  # fmt: skip


def _use(choose: Chooser, target: int) -> Syscall:
    """A mapping made by a gift."""
    where = choose.of(PAGES)
    return Syscall(cap=target, label=labels.PAGE_MAP, words=(where, 3, 0), caps=(SLOTS["vspace_root"],))


def _without_watermarks(state: Structure) -> Structure:
    """A state but for how far untypeds have been used, which only their next retype resets."""
    cleaned: dict[str, dict[str, Any]] = {}
    for name, fields in state.items():
        cap = fields.get("cap")
        cleaned[name] = fields | {"cap": cap[:-1]} if cap and cap[0] == kc.UntypedCap.__name__ else fields
    return cleaned


def _mappings(direct: Direct) -> dict[tuple[int, int], int]:
    spaces = View(direct.state, direct.machine).spaces
    return {(asid, leaf.vaddr): leaf.paddr for asid, space in spaces.items() for leaf in space.leaves.values()}


def leaves_nothing(seed: int) -> str | None:
    """H9: a cap is copied, minted on and used for mappings; after Revoke everything is as it was before.

    Catches: S1, S5: a copy that Revoke misses, a mapping that outlives its cap, a flag that is left set.
    """
    choose, direct = RandomChooser(seed), Direct(Layout())
    source, caller = _original(choose, direct), direct.state.current
    direct.call(Syscall(cap=SLOTS["cnode"], label=labels.CNODE_REVOKE, words=(source, TEST_BITS)))
    before, mapped = direct.structure(caller), _mappings(direct)
    sources, given = [source], 0
    for target in FREE[: choose.number(1, MOST_GIFTS)]:
        if direct.call(_gift(choose, sources, target)) is None:
            sources.append(target)
            given += 1
            if source in FRAMES and choose.number(0, 1):
                direct.call(_use(choose, target))
    revoke = Syscall(number=sc.CALL, cap=SLOTS["cnode"], label=labels.CNODE_REVOKE, words=(source, TEST_BITS))
    error = direct.call(revoke)
    if error is not None:
        return f"Revoke of slot {source} failed after {given} gifts: {error}"
    after, now = direct.structure(caller), _mappings(direct)
    if now != mapped:
        return f"mappings after Revoke of slot {source}: {sorted(now.items() ^ mapped.items())}"
    one, other = _without_watermarks(before), _without_watermarks(after)
    for name in sorted((one.keys() | other.keys()) - {"State"}):
        if one.get(name) != other.get(name):
            return f"{name} after Revoke of slot {source}: {one.get(name)} → {other.get(name)}"
    return None


CHECKS = (
    Trial("H9", "grant_then_revoke", "what was given and revoked leaves nothing behind", leaves_nothing),
)  # fmt: skip
