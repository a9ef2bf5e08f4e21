"""Engines that need not be installed. Nothing here imports the kernel."""

from contextlib import AbstractContextManager
from importlib import import_module
from typing import Any

_HOW = {"atheris": "pip install 'capkernel[fuzz]' (Python 3.11 to 3.13)", "hypothesis": "pip install hypothesis"}


class MissingError(Exception):
    """What an engine needs is not installed."""


def needed(module: str) -> Any:
    """An engine's module. Raises MissingError."""
    try:
        import_module(f"{module}.strategies" if module == "hypothesis" else module)
        return import_module(module)
    except ImportError as error:
        raise MissingError(f"{module} is not installed: {_HOW[module]}") from error


def instrumented() -> AbstractContextManager[None]:
    """A context in which atheris adds its counters to modules of the kernel that are imported. Raises MissingError."""
    found: AbstractContextManager[None] = needed("atheris").instrument_imports(include=["capkernel.kernel"])
    return found
