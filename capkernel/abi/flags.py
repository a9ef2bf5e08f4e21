"""Bits that arguments of invocations and fields of objects are made of (libsel4)."""

from typing import Final

TCB_FPU_DISABLED: Final = 1
"""TCB flag: floating-point instructions raise an exception."""
READ_SUSPEND: Final = 1
"""TCB_ReadRegisters: suspend the thread first."""
WRITE_RESUME: Final = 1
"""TCB_WriteRegisters: resume the thread afterwards."""
EXECUTE_NEVER: Final = 1
"""Attribute of Page_Map: instructions cannot be fetched from the page."""
