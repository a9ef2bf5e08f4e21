"""The words of a protection domain's image that the loader sets, as Microkit's tool sets symbols of an ELF file.

| word  | symbol                                                        |
|------:|---------------------------------------------------------------|
|  0..7 | ``microkit_name``, 64 bytes padded with zeros                 |
|     8 | ``microkit_passive``; bit 1: the kernel has no debug console  |
|     9 | ``microkit_irqs``, a bit a channel                            |
|    10 | ``microkit_notifications``                                    |
|    11 | ``microkit_pps``                                              |
|   12… | the program's own variables: its annotated module-level names, and those of its class ``Program`` |

A variable of the class is inherited, so programs that differ in little can have theirs in common.
"""

import importlib.util
import struct
import sys
from collections.abc import Mapping, Sequence
from inspect import get_annotations
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from attrs import field, frozen

from capkernel.abi.words import WORD_MASK

NAME_BYTES: Final = 64
_NAME_WORDS: Final = NAME_BYTES // 8
FIRST_VARIABLE: Final = _NAME_WORDS + 4


def _words(words: Sequence[int]) -> tuple[int, ...]:
    return tuple(words)


@frozen(kw_only=True)
class PDValues:
    """What a domain is told: its name, whether it is passive, and bit masks of its channels by use.

    ``debug`` says whether the kernel has a debug console.
    """

    name: str
    passive: bool = False
    debug: bool = True
    irqs: int = 0
    notifications: int = 0
    pps: int = 0
    variables: tuple[int, ...] = field(default=(), converter=_words)

    @property
    def name_bytes(self) -> bytes:
        """The name, padded with zeros. Raises ValueError if it is too long."""
        name = self.name.encode()
        if len(name) > NAME_BYTES:
            raise ValueError(f"a domain's name has at most {NAME_BYTES} bytes; {self.name!r} has {len(name)}")
        return name.ljust(NAME_BYTES, b"\0")

    def encode(self) -> tuple[int, ...]:
        """The words for the image. Raises ValueError if the name is too long."""
        words = struct.unpack(f"<{_NAME_WORDS}Q", self.name_bytes)
        passive = self.passive | (not self.debug) << 1
        return (*words, passive, self.irqs, self.notifications, self.pps, *self.variables)

    def symbols(self) -> dict[str, bytes]:
        """What libmicrokit's symbols are set to. Raises ValueError if the name is too long."""
        masks = {"irqs": self.irqs, "notifications": self.notifications, "pps": self.pps, "ioports": 0}
        words = {f"microkit_{use}": mask.to_bytes(8, "little") for use, mask in masks.items()}
        return {"microkit_name": self.name_bytes, "microkit_passive": bytes((self.passive,)), **words}

    @classmethod
    def decode(cls, words: Sequence[int]) -> "PDValues":
        """Read the words back. Raises ValueError if there are too few."""
        if len(words) < FIRST_VARIABLE:
            raise ValueError(f"a domain's image has at least {FIRST_VARIABLE} words, not {len(words)}")
        name = struct.pack(f"<{_NAME_WORDS}Q", *words[:_NAME_WORDS]).rstrip(b"\0").decode(errors="replace")
        passive, irqs, notifications, pps = words[_NAME_WORDS:FIRST_VARIABLE]
        return cls(
            name=name, passive=bool(passive & 1), debug=not passive >> 1 & 1, irqs=irqs,
            notifications=notifications, pps=pps, variables=words[FIRST_VARIABLE:],
        )  # fmt: skip

    def set_variables(self, hooks: Any) -> None:
        """Give the variables to the program's names, in the order in which it declares them."""
        for (name, holder), word in zip(_variables(hooks).items(), self.variables, strict=False):
            if not hasattr(holder, name) or getattr(holder, name) & WORD_MASK != word:
                setattr(holder, name, word)


def _variables(hooks: Any) -> dict[str, Any]:
    """The names that a loader may set, in order, and where: those of the module that are annotated as ``int``, and then
    those of its class ``Program`` and what that inherits from, which are set in ``Program`` itself.
    """
    found = {name: hooks for name, kind in getattr(hooks, "__annotations__", {}).items() if _is_int(kind)}
    program = getattr(hooks, "Program", None)
    for base in reversed(program.__mro__) if isinstance(program, type) else ():
        for name, kind in get_annotations(base).items():
            if _is_int(kind):
                found.setdefault(name, program)
    return found


def _is_int(kind: Any) -> bool:
    """``int``, a ``NewType`` of it, or either as text (a module with postponed annotations)."""
    return kind == "int" or getattr(kind, "__supertype__", kind) is int


def variable_words(hooks: Any, settings: Mapping[str, int]) -> tuple[int, ...]:
    """The words for these settings, with what the program itself gives to the other names (0 if nothing).

    Raises ValueError if a name is not declared, or declared with a value that is no word.
    """
    variables = _variables(hooks)
    unknown = settings.keys() - variables.keys()
    if unknown:
        missing = ", ".join(f"{name}: int = 0" for name in sorted(unknown))
        raise ValueError(f"the program declares no `{missing}`; what can be set in it is {[*variables] or 'nothing'}")
    return tuple(settings.get(name, _own_value(holder, name)) for name, holder in variables.items())


def _own_value(holder: Any, name: str) -> int:
    value = getattr(holder, name, 0)
    if not isinstance(value, int) or not -(1 << 63) <= value <= WORD_MASK:
        raise ValueError(f"variable {name} is set to {value!r}, which does not fit into a word of 64 bits")
    return value & WORD_MASK


def load_module(path: Path, name: str) -> ModuleType:
    """Execute a program file as a fresh module, so that two domains with one program share no variables.

    The module is a package of the files beside it: ``from .words import x`` loads ``words.py`` for it alone.
    """
    spec = importlib.util.spec_from_file_location(name, path, submodule_search_locations=[str(path.parent)])
    if spec is None or spec.loader is None:
        raise ValueError(f"{path} is no Python program")
    for former in [known for known in sys.modules if known == name or known.startswith(f"{name}.")]:
        del sys.modules[former]
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
