"""Authority that Microkit's format has no words for, written so that Microkit's own tool overlooks it.

A processing instruction anywhere in a `.system` file gives a protection domain a cap in a slot of its own CNode:

    <?capkernel grant pd="policy" kind="endpoint" of="store" slot="300" rights="RWGP" badge="0"?>

| kind         | ``of``                | the cap                                                                     |
|--------------|-----------------------|-----------------------------------------------------------------------------|
| endpoint     | a protection domain   | its endpoint, unbadged unless ``badge`` is given, with ``rights``            |
| notification | a protection domain   | its notification, likewise                                                   |
| cnode        | a protection domain   | its CNode: to receive caps into, and to mint and revoke                      |
| frame        | a memory region       | its first frame, unmapped, with ``rights``                                   |
| untyped      | (``size_bits``)       | fresh memory                                                                 |
| reply        | (nothing)             | a further reply object                                                       |

Another says how the kernel is to be configured: `<?capkernel kernel debug="off"?>` leaves out its debug system calls.
"""

import re
from collections.abc import Iterable
from enum import Enum
from pathlib import Path

from attrs import frozen

from capkernel.abi import rights as rt
from capkernel.system.description import Placed, SystemDescription
from capkernel.system.diagnostics import DescriptionError, Diagnostic, Location

FIRST_SLOT, END_SLOT = 266, 512
"""Slots of a domain's CNode that its channels, interrupts and children never use."""
_INSTRUCTION = re.compile(r"<\?capkernel\s+grant\s+(.*?)\?>", re.DOTALL)
_ATTRIBUTE = re.compile(r"""([\w-]+)\s*=\s*(?:"([^"]*)"|'([^']*)')""")
_KERNEL = re.compile(r"<\?capkernel\s+kernel\s+(.*?)\?>", re.DOTALL)
_SWITCH = {"on": True, "off": False}
_RIGHTS = {"R": rt.READ, "W": rt.WRITE, "G": rt.GRANT, "P": rt.GRANT_REPLY}


class GrantKind(Enum):
    """What the cap is to; values as written."""

    ENDPOINT = "endpoint"
    NOTIFICATION = "notification"
    CNODE = "cnode"
    FRAME = "frame"
    UNTYPED = "untyped"
    REPLY = "reply"


@frozen(kw_only=True)
class Grant(Placed):
    """One cap: ``pd`` holds it in ``slot`` of its CNode."""

    pd: str
    kind: GrantKind
    slot: int
    of: str = ""
    rights: int = rt.ALL
    badge: int = 0
    size_bits: int = 12


@frozen(kw_only=True)
class KernelOptions:
    """What a description wants of the kernel. ``debug``: whether it answers the debug system calls."""

    debug: bool = True


def load_kernel_options(path: Path) -> KernelOptions:
    """The kernel's options in a `.system` file. Raises DescriptionError."""
    text, options = path.read_text(encoding="utf-8"), KernelOptions()
    for match in _KERNEL.finditer(text):
        attributes = dict(_pairs(match[1]))
        if attributes.keys() != {"debug"} or attributes["debug"] not in _SWITCH:
            where = Location(file=str(path), line=text.count("\n", 0, match.start()) + 1)
            message = 'a kernel instruction says debug="on" or debug="off", and nothing else'
            raise DescriptionError((Diagnostic(where=where, message=message),))
        options = KernelOptions(debug=_SWITCH[attributes["debug"]])
    return options


def load_grants(path: Path, system: SystemDescription) -> tuple[Grant, ...]:
    """The grants in a `.system` file. Raises DescriptionError, with every wrong one."""
    return read_grants(path.read_text(encoding="utf-8"), str(path), system)


def read_grants(text: str, name: str, system: SystemDescription) -> tuple[Grant, ...]:
    """The grants in the text of a description that was judged valid."""
    grants, complaints = [], []
    for match in _INSTRUCTION.finditer(text):
        where = Location(file=name, line=text.count("\n", 0, match.start()) + 1)
        try:
            grants.append(_grant(dict(_pairs(match[1])), where, system))
        except ValueError as error:
            complaints.append(Diagnostic(where=where, message=str(error)))
    _check_slots(grants, complaints)
    if complaints:
        raise DescriptionError(tuple(complaints))
    return tuple(grants)


def _pairs(text: str) -> Iterable[tuple[str, str]]:
    for match in _ATTRIBUTE.finditer(text):
        yield match[1], match[2] if match[2] is not None else match[3]


def _grant(attributes: dict[str, str], where: Location, system: SystemDescription) -> Grant:
    unknown = attributes.keys() - {"pd", "kind", "of", "slot", "rights", "badge", "size_bits"}
    if unknown:
        raise ValueError(f"a grant has no attribute {sorted(unknown)[0]!r}")
    kinds = {kind.value: kind for kind in GrantKind}
    kind = kinds.get(attributes.get("kind", ""))
    if kind is None:
        raise ValueError(f"a grant's kind is one of {', '.join(kinds)}, not {attributes.get('kind')!r}")
    grant = Grant(
        pd=attributes.get("pd", ""), kind=kind, of=attributes.get("of", ""), slot=_number(attributes, "slot", 0),
        rights=_rights(attributes.get("rights", "RWGP")), badge=_number(attributes, "badge", 0),
        size_bits=_number(attributes, "size_bits", 12), where=where,
    )  # fmt: skip
    _check_names(grant, system)
    if not FIRST_SLOT <= grant.slot < END_SLOT:
        raise ValueError(f"a grant's slot lies in {FIRST_SLOT}..{END_SLOT - 1}, not {grant.slot}")
    return grant


def _check_names(grant: Grant, system: SystemDescription) -> None:
    domains = [pd.name for pd in system.protection_domains]
    if grant.pd not in domains:
        raise ValueError(f"there is no protection domain {grant.pd!r} to hold the cap")
    if grant.kind in (GrantKind.ENDPOINT, GrantKind.NOTIFICATION, GrantKind.CNODE) and grant.of not in domains:
        raise ValueError(f"there is no protection domain {grant.of!r} whose {grant.kind.value} could be granted")
    if grant.kind is GrantKind.FRAME and grant.of not in [region.name for region in system.memory_regions]:
        raise ValueError(f"there is no memory region {grant.of!r}")


def _check_slots(grants: list[Grant], complaints: list[Diagnostic]) -> None:
    taken: set[tuple[str, int]] = set()
    for grant in grants:
        if (grant.pd, grant.slot) in taken:
            message = f"slot {grant.slot} of {grant.pd!r} is granted twice"
            complaints.append(Diagnostic(where=grant.where, message=message))
        taken.add((grant.pd, grant.slot))


def _number(attributes: dict[str, str], name: str, default: int) -> int:
    text = attributes.get(name)
    if text is None:
        return default
    try:
        return int(text, 0)
    except ValueError:
        raise ValueError(f"{name} is a number, not {text!r}") from None


def _rights(text: str) -> int:
    wrong = set(text) - _RIGHTS.keys()
    if wrong:
        raise ValueError(f"rights are letters of RWGP, not {text!r}")
    return sum(_RIGHTS[letter] for letter in set(text))
