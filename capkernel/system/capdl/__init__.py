"""capDL, the field's language for capability distributions: model, reader and normalised printer (RISC-V)."""

from capkernel.system.capdl.model import Cap, Domains, Object, SlotRef, Spec
from capkernel.system.capdl.parser import parse, read
from capkernel.system.capdl.printer import show

__all__ = ["Cap", "Domains", "Object", "SlotRef", "Spec", "parse", "read", "show"]
