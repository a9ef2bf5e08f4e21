"""XML text to a tree of ``Element`` with line numbers; nothing of Microkit is known here.

The dialect is the one Microkit's reader takes: UTF-8, no document type declaration (so no
entities of one's own), namespaces resolved, comments skipped. Processing instructions, which Microkit's
reader skips as well, are kept beside the tree with their places.
"""

from collections.abc import Callable, Mapping
from xml.parsers import expat

from attrs import Factory, define, field, frozen

from capkernel.system.diagnostics import NOWHERE, DescriptionError, Diagnostic, Location

_NAMESPACE_SEPARATOR = " "


@frozen
class Element:
    """One XML element.

    ``attributes`` are those without a namespace; ``foreign`` are the local names of those with
    one. ``text_at`` is where the first text stands directly inside that is not white space.
    """

    tag: str
    attributes: Mapping[str, str] = field(factory=dict)
    children: tuple["Element", ...] = ()
    where: Location = NOWHERE
    foreign: tuple[str, ...] = ()
    text_at: Location | None = None


@frozen
class ProcessingInstruction:
    """``<?target text?>``, wherever it stands outside comments; ``text`` is not looked into."""

    target: str
    text: str
    where: Location


@frozen
class Document:
    """What a file holds: its outermost element, and its processing instructions in file order."""

    root: Element
    instructions: tuple[ProcessingInstruction, ...] = ()


@define
class _Open:
    """An element whose end tag has not come yet."""

    tag: str
    attributes: dict[str, str]
    foreign: tuple[str, ...]
    where: Location
    children: list[Element] = Factory(list)
    text_at: Location | None = None

    def close(self) -> Element:
        return Element(
            self.tag,
            self.attributes,
            tuple(self.children),
            self.where,
            self.foreign,
            self.text_at,
        )


class _TreeBuilder:
    """Receives expat's events."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.root: Element | None = None
        self.instructions: list[ProcessingInstruction] = []
        self._stack: list[_Open] = []
        self._parser = expat.ParserCreate("utf-8", _NAMESPACE_SEPARATOR)
        self._parser.ordered_attributes = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text
        self._parser.ProcessingInstructionHandler = self._instruction
        self._parser.StartDoctypeDeclHandler = self._doctype

    def parse(self, data: bytes) -> Document:
        self._parser.Parse(data, True)
        assert self.root is not None, "expat reports a document without an element itself"
        return Document(self.root, tuple(self.instructions))

    def _here(self) -> Location:
        return Location(self.name, self._parser.CurrentLineNumber, self._parser.CurrentColumnNumber + 1)

    def _start(self, name: str, pairs: list[str]) -> None:
        own: dict[str, str] = {}
        foreign: list[str] = []
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            if _NAMESPACE_SEPARATOR in key:
                foreign.append(_local(key))
            else:
                own[key] = value
        self._stack.append(_Open(_local(name), own, tuple(foreign), self._here()))

    def _end(self, _name: str) -> None:
        element = self._stack.pop().close()
        if self._stack:
            self._stack[-1].children.append(element)
        else:
            self.root = element

    def _text(self, text: str) -> None:
        if self._stack and text.strip() and self._stack[-1].text_at is None:
            self._stack[-1].text_at = self._here()

    def _instruction(self, target: str, text: str) -> None:
        self.instructions.append(ProcessingInstruction(target, text, self._here()))

    def _doctype(self, *_details: object) -> None:
        raise _refusal(self._here(), "a document type declaration is not allowed", "delete the <!DOCTYPE> line")


def _local(name: str) -> str:
    """The part of a name after its namespace."""
    return name.rsplit(_NAMESPACE_SEPARATOR, 1)[-1]


def _refusal(where: Location, message: str, hint: str = "") -> DescriptionError:
    return DescriptionError([Diagnostic(where, message, hint)])


def parse_xml(data: bytes | str, name: str) -> Element:
    """The root element of ``data``; the rest is as for ``parse_document``."""
    return parse_document(data, name).root


def parse_document(data: bytes | str, name: str) -> Document:
    """The root element of ``data`` and its processing instructions; ``name`` is the file name for messages.

    Raises ``DescriptionError`` with the line when the text is not well-formed XML in UTF-8.
    """
    data = data.encode() if isinstance(data, str) else data
    _require_utf8(data, name)
    builder = _TreeBuilder(name)
    parse: Callable[[bytes], Document] = builder.parse
    try:
        return parse(data)
    except expat.ExpatError as error:
        where = Location(name, error.lineno, error.offset + 1)
        reason = f"not well-formed XML: {expat.ErrorString(error.code)}"
        raise _refusal(where, reason) from None


def _require_utf8(data: bytes, name: str) -> None:
    try:
        data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _refusal(Location(name, line), "the file is not UTF-8 text", "save it with UTF-8 encoding") from None
