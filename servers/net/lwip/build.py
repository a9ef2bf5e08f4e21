"""How ``_lwip`` is compiled: cffi's wrapper and the files in C beside this one, against the machine's lwIP library.

``setup.py`` runs this file at installation. Nothing of it is needed afterwards.
"""

from pathlib import Path

import cffi
from setuptools import Extension

HEADERS = Path("/usr/include/lwip")
"""Where Debian's ``liblwip-dev`` puts them, the options that its library was built with among them."""

HERE = Path(__file__).parent


def extension(generated: str) -> Extension:
    """The extension module; its C source is written below the folder `generated`. Run from the project's folder."""
    builder = cffi.FFI()
    builder.cdef((HERE / "glue.h").read_text())
    folder = "servers/net/lwip"
    builder.set_source(
        "servers.net.lwip._lwip",
        '#include "glue.h"',
        sources=[f"{folder}/{file.name}" for file in sorted(HERE.glob("*.c"))],
        include_dirs=[folder, str(HEADERS)],
        depends=[f"{folder}/{file.name}" for file in sorted(HERE.glob("*.h"))],
        libraries=["lwip"],
        extra_compile_args=["-O2", "-Wall", "-Wno-unused-function", "-fno-builtin-abort"],
    )
    module: object = builder.distutils_extension(generated)
    assert isinstance(module, Extension)
    return module
