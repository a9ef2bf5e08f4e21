"""capDL text to a ``Spec``: reading declarations. What their names mean is ``resolver``'s business.

    spec = parse(text, "system.cdl")      # raises DescriptionError with file:line:column of each problem

Accepted is the language of the field's own tool for RISC-V: arrays, ranges, nested untypeds, named slots, copies.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from capkernel.system.capdl import syntax as s
from capkernel.system.capdl.lexer import END, NUMBER, WORD, tokenize
from capkernel.system.capdl.model import OBJECT_KINDS, TCB_SLOTS, Spec
from capkernel.system.capdl.parameters import cap_params, object_params
from capkernel.system.capdl.reader import Reader
from capkernel.system.capdl.resolver import resolve
from capkernel.system.diagnostics import DescriptionError, Diagnostic, Location, Problems

T = TypeVar("T")


def read(path: Path) -> Spec:
    """Read a file. Raises DescriptionError, also if it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise DescriptionError([Diagnostic(Location(str(path)), "not UTF-8 text")]) from None
    except OSError as error:
        raise DescriptionError([Diagnostic(Location(str(path)), f"cannot be read: {error.strerror}")]) from None
    return parse(text, str(path))


def parse(text: str, file: str = "<text>") -> Spec:
    """Read a specification. Raises DescriptionError."""
    problems = Problems()
    reader = Reader(tokenize(text, file, problems), text)
    problems.raise_if_any()
    module = _module(reader)
    spec = resolve(module, problems)
    problems.raise_if_any()
    return spec


def _module(reader: Reader) -> s.Module:
    reader.word("arch")
    arch = reader.any_word("the architecture: riscv")
    if arch.text != "riscv":
        raise reader.wrong(arch, f"architecture {arch.text}", "riscv: this kernel knows no other")
    found: list[s.Declaration] = []
    sections: dict[str, Callable[[Reader], list[s.Declaration]]] = {
        "objects": _objects, "caps": _caps, "irq": _irqs, "irq_maps": _irqs, "cdt": _cdt, "domains": _domains,
    }  # fmt: skip
    while reader.peek.kind != END:
        section = reader.any_word("a section: objects, caps, cdt, irq maps or domains")
        if section.text not in sections:
            raise reader.wrong(section, f"unknown section {section.text}", "objects, caps, cdt, irq maps or domains")
        if section.text == "irq":
            reader.word("maps")
        found += sections[section.text](reader)
    return s.Module(arch.text, tuple(found))


def _block(reader: Reader, item: Callable[[Reader], T]) -> list[T]:
    """``{ item item; ... }``."""
    reader.deeper()
    found = []
    while not reader.accept("}"):
        found.append(item(reader))
        reader.accept(";")
    reader.depth -= 1
    return found


def _objects(reader: Reader) -> list[s.Declaration]:
    return list(_block(reader, _object_decl))


def _object_decl(reader: Reader) -> s.ObjectDecl:
    path = [_name_ref(reader)]
    while reader.accept("/"):
        path.append(_name_ref(reader))
    reader.symbol("=")
    kind = reader.any_word("the type of an object")
    if kind.text not in OBJECT_KINDS:
        raise reader.wrong(kind, f"unknown object type {kind.text}", "one of " + ", ".join(OBJECT_KINDS))
    thing = object_params(reader, kind)
    inner: list[s.ObjectDecl | s.NameRef] = []
    if reader.peek.text == "{":
        inner = _block(reader, _covered)
    return s.ObjectDecl(tuple(path), thing, tuple(inner))


def _covered(reader: Reader) -> s.ObjectDecl | s.NameRef:
    """Inside an untyped: a declaration, or the name of what is declared elsewhere."""
    start = reader.at
    ref = _name_ref(reader)
    if reader.peek.text in ("=", "/"):
        reader.at = start
        found: s.ObjectDecl | s.NameRef = _object_decl(reader)
    else:
        found = ref
    reader.accept(",")
    return found


def _name_ref(reader: Reader) -> s.NameRef:
    token = reader.any_word("a name")
    if reader.peek.text != "[":
        return s.NameRef(token.text, None, token.where)
    reader.symbol("[")
    ranges = []
    while not reader.accept("]"):
        ranges.append(_range(reader))
        if reader.peek.text != "]":
            reader.symbol(",")
    return s.NameRef(token.text, tuple(ranges), token.where)


def _range(reader: Reader) -> s.Range:
    first = reader.number("an index") if reader.peek.kind == NUMBER else None
    if reader.accept(".."):
        return first, reader.number("an index") if reader.peek.kind == NUMBER else None
    if first is None:
        raise reader.wrong(reader.peek, f"{reader.peek.text!r} is no index", "a number, or a range such as 0..3")
    return first, first


def _caps(reader: Reader) -> list[s.Declaration]:
    return list(_block(reader, _cap_decl))


def _cap_decl(reader: Reader) -> s.CapDecl | s.NameDecl:
    ref = _name_ref(reader)
    if reader.accept("="):
        return s.NameDecl(ref.name, _place(reader))
    return s.CapDecl(ref, tuple(_block(reader, _mapping)))


def _mapping(reader: Reader) -> s.Mapping:
    where = reader.peek.where
    slot = _maybe_slot(reader)
    given = None
    start = reader.at
    if reader.peek.kind == WORD:
        given = _name_ref(reader)
        if not reader.accept("="):
            given, reader.at = None, start
    is_copy = reader.accept("<")
    target = _name_ref(reader)
    if is_copy:
        reader.symbol(">")
    params = cap_params(reader, _place)
    parent = None
    if reader.peek.text == "-":
        reader.symbol("-")
        reader.word("child_of")
        parent = _place(reader)
    return s.Mapping(slot, given, target, is_copy, params, parent, where)


def _maybe_slot(reader: Reader) -> int | None:
    """``number:`` or ``cspace:`` and the like, if there is one."""
    start = reader.at
    token = reader.next()
    if reader.accept(":"):
        if token.kind == NUMBER:
            return reader.value(token)
        if token.text in TCB_SLOTS:
            return TCB_SLOTS[token.text]
        raise reader.wrong(token, f"unknown slot {token.text}", "a number, or one of " + ", ".join(TCB_SLOTS))
    reader.at = start
    return None


def _place(reader: Reader) -> s.Place:
    """``(object, slot)``, or the name of a slot."""
    where = reader.peek.where
    if not reader.accept("("):
        return s.Place(None, 0, _name_ref(reader), where)
    container = _name_ref(reader)
    reader.symbol(",")
    token = reader.next()
    if token.kind != NUMBER and token.text not in TCB_SLOTS:
        raise reader.wrong(token, f"unknown slot {token.text}", "a number, or one of " + ", ".join(TCB_SLOTS))
    reader.symbol(")")
    return s.Place(container, reader.value(token) if token.kind == NUMBER else TCB_SLOTS[token.text], None, where)


def _irqs(reader: Reader) -> list[s.Declaration]:
    return list(_block(reader, lambda inner: s.IrqDecl(_maybe_slot(inner), _name_ref(inner))))


def _cdt(reader: Reader) -> list[s.Declaration]:
    return [item for item in _block(reader, _cdt_item) if isinstance(item, s.CdtDecl)]


def _cdt_item(reader: Reader) -> s.CdtDecl | s.Place:
    place = _place(reader)
    if reader.peek.text != "{":
        return place
    return s.CdtDecl(place, tuple(_block(reader, _cdt_item)))


def _domains(reader: Reader) -> list[s.Declaration]:
    where = reader.peek.where
    schedule: tuple[tuple[int, int], ...] | None = None
    start, has_start, shift = None, False, None
    reader.symbol("{")
    while not reader.accept("}"):
        item = reader.any_word("schedule, domain_set_start or index_shift")
        reader.symbol(":")
        if item.text == "schedule":
            schedule = _schedule(reader)
        elif item.text == "domain_set_start":
            has_start = True
            if reader.peek.text == "no_start":
                reader.next()
            else:
                start = reader.number("an index, or no_start")
        elif item.text == "index_shift":
            shift = reader.number("an index")
        else:
            raise reader.wrong(item, f"unknown item {item.text}", "schedule, domain_set_start or index_shift")
    return [s.DomainDecl(schedule, start, has_start, shift, where)]


def _schedule(reader: Reader) -> tuple[tuple[int, int], ...]:
    reader.symbol("[")
    items = []
    while not reader.accept("]"):
        reader.symbol("(")
        domain = reader.number("a domain")
        reader.symbol(",")
        items.append((domain, reader.number("a duration")))
        reader.symbol(")")
        if reader.peek.text != "]":
            reader.symbol(",")
    return tuple(items)
