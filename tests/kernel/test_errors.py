"""T9: an error leaves the state unchanged, save the caller's result: swept over the table of invocations.

Nothing takes any time here, so "unchanged" is taken literally.
"""

from dataclasses import replace

import pytest

from capkernel.abi import labels
from capkernel.abi import syscalls as sc
from capkernel.abi.labels import BY_LABEL
from specs.direct import Direct
from specs.generate import LAYOUTS, Focus, RandomChooser, invocation
from specs.programs import SLOTS, Layout, Syscall

IO_LAYOUT = LAYOUTS[1]
VARIANTS = 5
FULL = Syscall(cap=SLOTS["untyped_page"], label=labels.UNTYPED_RETYPE, words=(1, 0, 0, 0, 60, 3), caps=(1,))
"""Three TCBs into 4 KiB: not enough memory."""
COMBINED = {sc.REPLY_RECV: sc.RECV, sc.NBSEND_RECV: sc.RECV, sc.NBSEND_WAIT: sc.WAIT}
"""Each call that sends and receives, and the one that only receives."""


def variants(label: int, how: int) -> list[Syscall]:
    """Calls of one invocation: how = 0 random, 1 nearly right, 2 well-formed."""
    chooser = RandomChooser(label * 10 + how)
    focus = Focus(chooser, IO_LAYOUT, narrow=False)
    focus.specs = (BY_LABEL[label],)
    return [invocation(chooser, focus, how) for _ in range(VARIANTS)]


def test_a_refused_invocation_changes_nothing() -> None:
    direct = Direct(IO_LAYOUT)
    codes: dict[int, set[int]] = {label: set() for label in BY_LABEL}
    for label in BY_LABEL:
        for step in [*variants(label, 0), *variants(label, 1), *variants(label, 2), FULL]:
            caller = direct.state.current
            before = direct.structure(caller)
            error = direct.call(replace(step, number=sc.CALL))
            if error is None:
                direct.rewind()
                continue
            codes[label].add(error.code)
            assert direct.structure(caller) == before, f"{step} → error {error.code}"
            assert direct.state.current is caller
    never_refused = {label for label, found in codes.items() if not found}
    assert not never_refused
    assert set().union(*codes.values()) == set(range(1, 11))


def refused_halves() -> list[Syscall]:
    """First halves that are refused: a kind of cap that they must not invoke, bad arguments, a missing right."""
    return [
        Syscall(dest=SLOTS["tcb1"], label=labels.TCB_SUSPEND),
        Syscall(dest=SLOTS["cnode"], label=labels.CNODE_DELETE, words=(SLOTS["ep0"], 6)),
        Syscall(dest=SLOTS["untyped"], label=labels.UNTYPED_RETYPE, words=(99, 0, 0, 0, 60, 1), caps=(1,)),
        Syscall(dest=SLOTS["frame0"], label=labels.PAGE_MAP, words=(0x123, 3, 0), caps=(SLOTS["vspace_root"],)),
        Syscall(dest=SLOTS["irq_handler"], label=labels.TCB_RESUME),
        Syscall(dest=SLOTS["null"]),
        Syscall(dest=63),
    ]


@pytest.mark.parametrize("number", COMBINED, ids=lambda number: sc.NAMES[number])
@pytest.mark.parametrize("source", ["ep0", "ntfn0"])
def test_a_refused_first_half_leaves_only_the_receive(number: int, source: str) -> None:
    direct = Direct(Layout())
    for step in refused_halves():
        reply = step.dest if number == sc.REPLY_RECV else SLOTS["reply0"]
        step = replace(step, number=number, cap=SLOTS[source], reply=reply)
        direct.rewind()
        caller = direct.state.current
        refused = direct.call(step) is not None
        # ReplyRecv names one cap for both halves: what is no reply cap is refused first, then faults on an endpoint.
        assert refused or (number == sc.REPLY_RECV and source == "ep0")
        both = direct.structure(caller)
        direct.rewind()
        assert direct.call(replace(step, number=COMBINED[number])) is None
        assert both == direct.structure(caller), step
