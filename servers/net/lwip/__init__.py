"""lwIP, a TCP/IP stack in C, as a library for servers: virtual time, seeded, no thread, no socket of the host.

It is compiled when capkernel is installed, if the machine has Debian's ``liblwip-dev`` and a C compiler. Whether it can
be used is in `AVAILABLE`; if not, `WHY_NOT` says why, and only making a `Stack` fails. See `servers.net.lwip.stack`.
"""

import os
import sys
from importlib import import_module


def _why_not() -> str:
    """Load the extension; why it cannot be used, or nothing.

    ``memory.c`` and ``replaced.c`` replace functions that the library calls, those of the C library among them.
    RTLD_DEEPBIND makes them come before the C library in the search.
    """
    deepbind = getattr(os, "RTLD_DEEPBIND", 0)
    if not deepbind:
        return "the C library of this machine has no RTLD_DEEPBIND"
    flags = sys.getdlopenflags()
    sys.setdlopenflags(os.RTLD_NOW | deepbind)
    try:
        lib = import_module("servers.net.lwip._lwip").lib
    except ImportError as error:
        return f"lwIP was not built or cannot be loaded ({error}): install liblwip-dev and a C compiler, then capkernel"
    finally:
        sys.setdlopenflags(flags)
    reason = lib.net_unusable()
    if not reason:
        return ""
    message: str = import_module("servers.net.lwip._lwip").ffi.string(reason).decode()
    return f"the lwIP of this machine cannot be used: {message}"


WHY_NOT = _why_not()
AVAILABLE = not WHY_NOT
