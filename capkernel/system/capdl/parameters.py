"""The parameters of objects, ``(4k, paddr: 0x1000)``, and of caps, ``(RW, badge: 3)``."""

import re
from collections.abc import Callable

from attrs import evolve

from capkernel.abi import rights as rt
from capkernel.system.capdl import syntax as s
from capkernel.system.capdl.lexer import END, NUMBER, Token
from capkernel.system.capdl.model import PARAMETERS, Object, Value, make_object
from capkernel.system.capdl.reader import Reader

_UNITS = {"k": 1 << 10, "M": 1 << 20}
_TRUTHS = ("resume", "fpu_disabled")
_REQUIRED = {"cnode": "bits", "frame": "size"}
_FRAME_BITS = (12, 21, 30)
_MAX_BITS = 63
RIGHTS = {"R": rt.READ, "W": rt.WRITE, "G": rt.GRANT, "X": rt.GRANT, "P": rt.GRANT_REPLY}
_RIGHTS = re.compile(r"[RWGXP]+\Z")


def object_params(reader: Reader, kind: Token) -> Object:
    """The parameters after an object's type, checked against what that type has."""
    found: dict[str, Value] = {}
    if reader.accept("("):
        while not reader.accept(")"):
            at = reader.peek
            name, value = _object_param(reader)
            if name not in PARAMETERS[kind.text]:
                known = ", ".join(PARAMETERS[kind.text]) or "no parameters"
                raise reader.wrong(at, f"a {kind.text} has no parameter {name}", known)
            if name in found:
                raise reader.wrong(at, f"{name} is given twice", "each parameter once")
            found[name] = value
            if reader.peek.text != ")":
                reader.symbol(",")
    needed = _REQUIRED.get(kind.text)
    if needed and needed not in found:
        raise reader.wrong(kind, f"a {kind.text} without {needed}", "its size, such as (4k) or (12 bits)")
    return make_object(kind.text, **found)


def _object_param(reader: Reader) -> tuple[str, Value]:
    if reader.peek.kind == NUMBER:
        return _size(reader)
    token = reader.any_word("a parameter")
    reader.symbol(":")
    if token.text == "fill":
        return "fill", _fill(reader)
    if token.text in _TRUTHS:
        return token.text, reader.truth()
    if token.text == "init":
        return "init", _numbers(reader)
    return token.text, reader.number(f"the value of {token.text}")


def _size(reader: Reader) -> tuple[str, Value]:
    """``12 bits``, ``4k`` or ``2M``; a size in bytes is kept as log2."""
    at = reader.peek
    number = reader.number("a size")
    unit = reader.any_word("bits, k or M")
    if unit.text == "bits":
        if number > _MAX_BITS:
            raise reader.wrong(at, f"2**{number} is more than there can be", f"at most {_MAX_BITS} bits")
        return "bits", number
    size = number * _UNITS.get(unit.text, 0)
    if size not in [1 << bits for bits in _FRAME_BITS]:
        raise reader.wrong(at, f"no frame has {number}{unit.text}", "4k, 2M or 1024M")
    return "size", size.bit_length() - 1


def _numbers(reader: Reader) -> tuple[int, ...]:
    reader.symbol("[")
    found = []
    while not reader.accept("]"):
        found.append(reader.number("a number"))
        if reader.peek.text != "]":
            reader.symbol(",")
    return tuple(found)


def _fill(reader: Reader) -> tuple[str, ...]:
    """``[{words} , {words}]``: what is to be loaded into a frame; kept as text, with single spaces."""
    reader.symbol("[")
    found = []
    while not reader.accept("]"):
        start = reader.peek
        reader.symbol("{")
        while reader.peek.text != "}":
            if reader.peek.kind == END:
                raise reader.wrong(start, "a fill that does not end", "'}'")
            reader.next()
        found.append(" ".join(reader.text[start.end : reader.peek.end - 1].split()))
        reader.symbol("}")
        if reader.peek.text != "]":
            reader.symbol(",")
    return tuple(found)


def cap_params(reader: Reader, place: Callable[[Reader], s.Place]) -> s.CapParams:
    """The parameters after a cap's object."""
    params = s.CapParams()
    if reader.accept("("):
        while not reader.accept(")"):
            params = _cap_param(reader, params, place)
            if reader.peek.text != ")":
                reader.symbol(",")
    return params


def _cap_param(reader: Reader, params: s.CapParams, place: Callable[[Reader], s.Place]) -> s.CapParams:
    token = reader.any_word("a parameter of a cap")
    if _RIGHTS.match(token.text):
        return evolve(params, rights=_rights(token))
    if token.text in ("cached", "uncached"):
        return evolve(params, uncached=token.text == "uncached")
    if token.text in ("reply", "master_reply"):
        raise reader.wrong(token, f"a {token.text} cap", "an rtreply object: the MCS kernel has no other reply caps")
    reader.symbol(":")
    match token.text:
        case "masked":
            return evolve(params, masked=_checked_rights(reader))
        case "asid":
            return evolve(params, asid=_pair(reader))
        case "mapping":
            return evolve(params, mapping=place(reader))
        case "badge":
            return evolve(params, badge=reader.number("a badge"))
        case "guard":
            return evolve(params, guard=reader.number("a guard"))
        case "guard_size":
            return evolve(params, guard_size=reader.number("a number of bits"))
        case "core":
            return evolve(params, core=reader.number("a core"))
    known = "rights, badge, guard, guard_size, core, asid or mapping"
    raise reader.wrong(token, f"unknown parameter {token.text}", known)


def _checked_rights(reader: Reader) -> int:
    token = reader.any_word("rights")
    if not _RIGHTS.match(token.text):
        raise reader.wrong(token, f"{token.text} are no rights", "letters of RWGXP")
    return _rights(token)


def _rights(token: Token) -> int:
    found = 0
    for letter in token.text:
        found |= RIGHTS[letter]
    return found


def _pair(reader: Reader) -> tuple[int, int]:
    reader.symbol("(")
    high = reader.number("the high part")
    reader.symbol(",")
    low = reader.number("the low part")
    reader.symbol(")")
    return high, low
