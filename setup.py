"""What is compiled, where there is a C compiler; without one the package is pure Python and does the same.

The RISC-V CPU's shim, always. lwIP's wrapper, where the machine has lwIP: the network servers need it.
``capkernel.abi``, ``capkernel.kernel``, the invariants that watch it and what a fuzzer does in each step with mypyc,
from the very same sources, if ``CAPKERNEL_COMPILE`` is set: ``CAPKERNEL_COMPILE=1 pip install '.[compiled]'``, or
``make compiled``.
"""

import os
from glob import glob
from runpy import run_path

from setuptools import Extension, setup


def lwip() -> list[Extension]:
    """lwIP's wrapper, unless the library's headers or cffi are missing."""
    try:
        build = run_path("servers/net/lwip/build.py")
    except ImportError:
        return []
    return [build["extension"]("build/lwip")] if build["HEADERS"].exists() else []


FUZZING = ("coverage", "decoder", "records", "rewind")
extensions = [Extension("hwmodel.cpu.riscv._shim", ["hwmodel/cpu/riscv/_shim.c"]), *lwip()]
if os.environ.get("CAPKERNEL_COMPILE"):
    from mypyc.build import mypycify

    folders = ("capkernel/abi", "capkernel/kernel", "capkernel/kernel/invocations", "specs/invariants")
    # The recorder makes its methods at run time, and others inherit it.
    left_out = ("__init__.py", "recorder.py")
    sources = sorted(name for folder in folders for name in glob(f"{folder}/*.py") if not name.endswith(left_out))
    # What a fuzzer does in each step beside; the driver and its session have interpreted heirs.
    sources += ["specs/programs/loading.py", *(f"specs/fuzz/{name}.py" for name in FUZZING)]
    others = len(extensions)
    extensions += mypycify(["--python-version=3.11", *sources], opt_level="2", multi_file=True)
    for extension in extensions[others:]:
        # Nobody else's functions take the place of these: calls between them are direct.
        extension.extra_compile_args += ["-fno-semantic-interposition", "-fvisibility=hidden"]
for extension in extensions:
    extension.optional = True

setup(ext_modules=extensions)
