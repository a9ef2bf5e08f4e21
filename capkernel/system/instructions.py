"""``<?capkernel VERB name="value" …?>``: what a description says to us and Microkit's own tool overlooks.

Here only the form is read; ``grants``, ``lives``, ``spawnable`` and ``kernel_options`` know what the verbs mean. An
instruction in a comment is none. What is not understood to its last letter is refused: an overlooked word could be a
right too many.
"""

import re
from pathlib import Path

from attrs import frozen

from capkernel.system.attributes import parse_number
from capkernel.system.diagnostics import Location, Problems
from capkernel.system.xmlsource import ProcessingInstruction, parse_document

TARGET = "capkernel"
GRANT, KERNEL, ALTERNATIVE, OWNER, PROGRAMS = VERBS = ("grant", "kernel", "alternative", "owner", "programs")
_VERB = re.compile(r"\s*([^\s=\"']*)")
_ATTRIBUTE = re.compile(r"""\s+([\w-]+)\s*=\s*(?:"([^"]*)"|'([^']*)')""")


class InstructionError(ValueError):
    """What is wrong with an instruction, and (``hint``) what would be right."""

    def __init__(self, message: str, hint: str = "") -> None:
        """Keep both apart, as a diagnostic does."""
        super().__init__(message)
        self.hint = hint


@frozen
class Instruction:
    """One instruction, well-formed and with a known verb; the attributes are as written."""

    verb: str
    attributes: dict[str, str]
    where: Location

    def only(self, what: str, names: tuple[str, ...]) -> None:
        """Refuse an attribute that ``what`` has not."""
        for name in self.attributes:
            if name not in names:
                raise InstructionError(f"{what} has no attribute '{name}'", f"it has: {', '.join(names)}")

    def required(self, name: str) -> str:
        """An attribute that must be there."""
        if name not in self.attributes:
            raise InstructionError(f"the {self.verb} does not say {name}", f'add {name}="…"')
        return self.attributes[name]

    def number(self, name: str, bounds: range, default: int | None = None) -> int:
        """A number within ``bounds``; required when there is no default."""
        if name not in self.attributes and default is not None:
            return default
        text = self.required(name)
        value = parse_number(text)
        if value is None or value not in bounds:
            span = f"a number from {bounds.start} to {bounds.stop - 1}"
            raise InstructionError(f"{name} is '{text}', but must be {span}", "in decimal, or hexadecimal after 0x")
        return value


def load_instructions(path: Path, problems: Problems) -> tuple[Instruction, ...]:
    """The instructions in a `.system` file.

    Malformed ones are noted in ``problems``. Raises DescriptionError when the file is not XML, OSError when it cannot
    be read.
    """
    return read_instructions(path.read_bytes(), str(path), problems)


def read_instructions(text: str | bytes, name: str, problems: Problems) -> tuple[Instruction, ...]:
    """The same for a text; ``name`` stands for the file name in messages."""
    found = []
    for written in parse_document(text, name).instructions:
        if written.target == TARGET:
            try:
                found.append(_instruction(written))
            except InstructionError as error:
                note(problems, written.where, error)
    return tuple(found)


def note(problems: Problems, where: Location, error: InstructionError) -> None:
    """Note what is wrong with the instruction at ``where``."""
    problems.error(where, f"<?{TARGET}?>: {error}", error.hint)


def _instruction(written: ProcessingInstruction) -> Instruction:
    match = _VERB.match(written.text)
    verb = match[1] if match else ""
    if match is None or verb not in VERBS:
        message = f"unknown instruction '{verb}'" if verb else "the instruction says nothing"
        raise InstructionError(message, f"there is: {', '.join(VERBS)}")
    return Instruction(verb, _attributes(written.text, match.end()), written.where)


def _attributes(text: str, position: int) -> dict[str, str]:
    """The attributes from ``position`` to the end; nothing else may stand there."""
    found: dict[str, str] = {}
    while rest := text[position:].strip():
        match = _ATTRIBUTE.match(text, position)
        if match is None:
            message = f"'{rest}' is not understood"
            raise InstructionError(message, 'write name="value", with quotation marks, after a space')
        if match[1] in found:
            raise InstructionError(f"the attribute '{match[1]}' is there twice", "delete one")
        found[match[1]] = match[2] if match[2] is not None else match[3]
        position = match.end()
    return found
