"""Authority that Microkit's format has no words for, written so that Microkit's own tool overlooks it.

A processing instruction anywhere in a `.system` file gives a protection domain a cap in a slot of its own CNode:

    <?capkernel grant pd="policy" kind="endpoint" of="store" slot="300" rights="RWGP" badge="0"?>

| kind         | besides ``pd``, ``slot``  | the cap                                                                  |
|--------------|---------------------------|--------------------------------------------------------------------------|
| endpoint     | ``of``, rights, badge     | a protection domain's endpoint, unbadged unless ``badge`` is given       |
| notification | ``of``, rights, badge     | a protection domain's notification, likewise                             |
| cnode        | ``of``                    | a protection domain's CNode: to receive caps into, to mint and to revoke |
| frame        | ``of``, rights            | a memory region's first frame, unmapped                                  |
| untyped      | size_bits, lasts          | fresh memory of 2 to the power of size_bits bytes, a page when not said  |
| reply        |                           | a further reply object                                                   |
| slots        | at, size_bits, lasts      | an empty CNode of 2 to the power of size_bits slots (256 when not said)  |
| vspace       |                           | the domain's own VSpace                                                  |
| lifecycle    | ``of``, faults            | to stop, destroy, rebuild and start a domain                             |
| asid_pool    |                           | to make address spaces: an ASID pool of the domain's own, for 512        |
| time         | budget, period, lasts     | to let a thread run: a scheduling context, whose microseconds are fixed  |
| sched_control |                          | to set the budget and period of scheduling contexts that one has caps to |

New slots stand ``at`` a slot (1 to 63) of the holder's root CNode, so that the n-th has the address ``at << 58 | n``;
the cap in ``slot`` is for minting into them and receiving. ``capkernel.user.lifecycle`` says what a lifecycle cap does;
with ``faults`` the domain's faults go to the holder, as those of a child of that number.

What a domain makes of its memory, and its slots, end with its life, unless they last (``lasts="yes"``): then its next
life finds them as this one left them, and gets the cap to memory only as long as nothing was made of it (it may be put
into slots that last). Time is taken back from the thread that has it, unless it lasts: then that thread runs on. A
holder of time divides it among threads, but can make no more of it: to set budgets takes ``sched_control``, which is
for a scheduler that all others trust with the processor.

``rights`` are letters of RWGP, of a notification or frame of RW; all of them when not said. ``capkernel check`` shows
what each gives.
"""

from collections.abc import Iterable
from enum import Enum

from attrs import frozen

from capkernel.abi import objects as obj
from capkernel.abi import rights as rt
from capkernel.system.attributes import U64_END
from capkernel.system.badges import CHILD_MASK
from capkernel.system.description import Placed, SystemDescription
from capkernel.system.diagnostics import Problems
from capkernel.system.instructions import GRANT, Instruction, InstructionError, note

FIRST_SLOT, END_SLOT = 266, 512
"""Slots of a domain's CNode that its channels, interrupts and children never use."""
ROOT_SLOTS = 64
"""Of a root CNode; the first leads to the domain's own CNode."""
MAX_FAULTS = CHILD_MASK + 1
_LETTERS = {"R": rt.READ, "W": rt.WRITE, "G": rt.GRANT, "P": rt.GRANT_REPLY}


class GrantKind(Enum):
    """What the cap is to; values as written."""

    ENDPOINT = "endpoint"
    NOTIFICATION = "notification"
    CNODE = "cnode"
    FRAME = "frame"
    UNTYPED = "untyped"
    REPLY = "reply"
    SLOTS = "slots"
    VSPACE = "vspace"
    LIFECYCLE = "lifecycle"
    ASID_POOL = "asid_pool"
    TIME = "time"
    SCHED_CONTROL = "sched_control"


_KINDS = {kind.value: kind for kind in GrantKind}
_OWN_ATTRIBUTES = {
    GrantKind.ENDPOINT: ("of", "rights", "badge"),
    GrantKind.NOTIFICATION: ("of", "rights", "badge"),
    GrantKind.CNODE: ("of",),
    GrantKind.FRAME: ("of", "rights"),
    GrantKind.UNTYPED: ("size_bits", "lasts"),
    GrantKind.REPLY: (),
    GrantKind.SLOTS: ("at", "size_bits", "lasts"),
    GrantKind.VSPACE: (),
    GrantKind.LIFECYCLE: ("of", "faults"),
    GrantKind.ASID_POOL: (),
    GrantKind.TIME: ("budget", "period", "lasts"),
    GrantKind.SCHED_CONTROL: (),
}
_SIZES = {
    GrantKind.UNTYPED: (range(obj.MIN_UNTYPED_BITS, obj.MAX_UNTYPED_BITS + 1), obj.PAGE_BITS),
    GrantKind.SLOTS: (range(1, 17), 8),
}
"""The values of ``size_bits``, and the one that holds when it is not said."""
_MICROSECONDS = range(100, 1 << 32)
_RIGHTS = {GrantKind.ENDPOINT: "RWGP", GrantKind.NOTIFICATION: "RW", GrantKind.FRAME: "RW"}


@frozen(kw_only=True)
class Grant(Placed):
    """One cap: ``pd`` holds it in ``slot`` of its CNode."""

    pd: str
    kind: GrantKind
    slot: int
    of: str = ""
    rights: int = rt.ALL
    badge: int = 0
    size_bits: int = obj.PAGE_BITS
    at: int = 0
    faults: int | None = None
    lasts: bool = False
    budget: int = 0
    period: int = 0


def read_grants(
    instructions: Iterable[Instruction], system: SystemDescription, problems: Problems
) -> tuple[Grant, ...]:
    """The grants among the instructions of a description that was judged valid; wrong ones are noted."""
    grants: list[Grant] = []
    for instruction in (found for found in instructions if found.verb == GRANT):
        try:
            grant = _grant(instruction, system)
            for other in grants:
                _check_pair(grant, other)
            grants.append(grant)
        except InstructionError as error:
            note(problems, instruction.where, error)
    return tuple(grants)


def receives_messages(system: SystemDescription, grants: Iterable[Grant], pd: str) -> bool:
    """Whether a domain needs an endpoint: anybody can send to it other than by signals, or it is passive."""
    granted = any(
        (grant.kind is GrantKind.ENDPOINT and grant.of == pd) or (grant.faults is not None and grant.pd == pd)
        for grant in grants
    )
    return granted or system.pd(pd).passive or system.receives_calls(pd)


def _check_pair(grant: Grant, other: Grant) -> None:
    """Refuse a grant that wants what another has."""
    first = f"twice, first at {other.where}"
    if grant.faults is not None and other.faults is not None and grant.of == other.of:
        raise InstructionError(f"the faults of '{grant.of}' are handled {first}", "delete one")
    if grant.pd != other.pd:
        return
    if grant.slot == other.slot:
        raise InstructionError(f"slot {grant.slot} of '{grant.pd}' is granted {first}", "choose another slot")
    if grant.at and grant.at == other.at:
        raise InstructionError(f"'{grant.pd}' has slots at {grant.at} {first}", "choose another place")
    if grant.faults is not None and grant.faults == other.faults:
        raise InstructionError(f"'{grant.pd}' handles the faults of a child {grant.faults} {first}", "choose another")


def _grant(instruction: Instruction, system: SystemDescription) -> Grant:
    kind = _kind(instruction)
    own = _OWN_ATTRIBUTES[kind]
    instruction.only(f"a grant of kind {kind.value}", ("pd", "kind", "slot", *own))
    grant = Grant(
        pd=instruction.required("pd"), kind=kind, of=instruction.required("of") if "of" in own else "",
        slot=instruction.number("slot", range(FIRST_SLOT, END_SLOT)), rights=_rights(instruction, kind),
        badge=instruction.number("badge", range(U64_END), 0), where=instruction.where,
        size_bits=instruction.number("size_bits", *_SIZES.get(kind, (range(0), obj.PAGE_BITS))),
        at=instruction.number("at", range(1, ROOT_SLOTS)) if "at" in own else 0,
        faults=instruction.number("faults", range(MAX_FAULTS)) if "faults" in instruction.attributes else None,
        lasts=_lasts(instruction), budget=instruction.number("budget", _MICROSECONDS) if "budget" in own else 0,
        period=instruction.number("period", _MICROSECONDS) if "period" in own else 0,
    )  # fmt: skip
    if grant.budget > grant.period:
        message = f"budget {grant.budget} is more than period {grant.period}"
        raise InstructionError(message, "a budget is a share of a period")
    _check_names(grant, system)
    _check_place(grant, system)
    _check_faults(grant, system)
    return grant


def _lasts(instruction: Instruction) -> bool:
    text = instruction.attributes.get("lasts", "no")
    if text not in ("yes", "no"):
        raise InstructionError(f"lasts is '{text}', but must be 'yes' or 'no'")
    return text == "yes"


def _check_place(grant: Grant, system: SystemDescription) -> None:
    taken = next((cap for cap in system.pd(grant.pd).cap_mappings if cap.slot == grant.at), None)
    if taken is not None:
        message = f"slot {grant.at} of the root CNode of '{grant.pd}' has cap_{taken.kind.value} of '{taken.pd}'"
        raise InstructionError(message, "choose another place")


def _check_faults(grant: Grant, system: SystemDescription) -> None:
    """A domain's faults have one handler, who can tell them from those of its children."""
    if grant.faults is None:
        return
    if grant.pd == grant.of:
        raise InstructionError(f"'{grant.pd}' cannot handle its own faults")
    parent = system.pd(grant.of).parent
    if parent is not None:
        raise InstructionError(f"the faults of '{grant.of}' go to its parent '{parent}'", "leave out faults")
    child = next((child for child in system.children(grant.pd) if child.child_id == grant.faults), None)
    if child is not None:
        raise InstructionError(f"'{grant.pd}' has a child {grant.faults} already: '{child.name}'", "choose another")


def _kind(instruction: Instruction) -> GrantKind:
    text = instruction.required("kind")
    if text not in _KINDS:
        raise InstructionError(f"a grant's kind is not '{text}'", f"there is: {', '.join(_KINDS)}")
    return _KINDS[text]


def _rights(instruction: Instruction, kind: GrantKind) -> int:
    """The rights as bits; of kinds whose caps have none, all."""
    letters = _RIGHTS.get(kind)
    if letters is None:
        return rt.ALL
    text = instruction.attributes.get("rights", letters)
    if not text or set(text) - set(letters) or len(set(text)) < len(text):
        message = f"rights are '{text}', but of kind {kind.value} must be letters of {letters}, each once"
        raise InstructionError(message)
    if not set(text) & set("R" if kind is GrantKind.FRAME else "RW"):
        needed = "R (to write, a frame needs RW)" if kind is GrantKind.FRAME else "R to receive or W to send"
        raise InstructionError(f"rights '{text}' of kind {kind.value} allow nothing", f"add {needed}")
    return sum(_LETTERS[letter] for letter in text)


def _check_names(grant: Grant, system: SystemDescription) -> None:
    domains = [pd.name for pd in system.protection_domains]
    if grant.pd not in domains:
        raise InstructionError(f"there is no protection domain '{grant.pd}' to hold the cap", _known(domains))
    if grant.kind is GrantKind.FRAME:
        _check_region(grant.of, system)
    elif "of" in _OWN_ATTRIBUTES[grant.kind] and grant.of not in domains:
        message = f"there is no protection domain '{grant.of}' whose {grant.kind.value} could be granted"
        raise InstructionError(message, _known(domains))


def _check_region(name: str, system: SystemDescription) -> None:
    sizes = {region.name: region.size for region in system.memory_regions}
    if name not in sizes:
        raise InstructionError(f"there is no memory region '{name}' whose frame could be granted", _known(sizes))
    if not sizes[name]:
        raise InstructionError(f"the memory region '{name}' is empty: it has no frame", "give it a size")


def _known(names: Iterable[str]) -> str:
    return f"there is: {', '.join(sorted(names)) or 'none'}"
