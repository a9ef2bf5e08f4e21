"""Optional compilation of ``capkernel.abi`` and ``capkernel.kernel`` with mypyc, from the very same sources.

``CAPKERNEL_COMPILE=1 pip install '.[compiled]'`` (or ``make compiled``) builds extension modules; without that
variable, or without a C compiler, the package is pure Python.
"""

import os
from glob import glob

from setuptools import setup

extensions = []
if os.environ.get("CAPKERNEL_COMPILE"):
    from mypyc.build import mypycify

    folders = ("capkernel/abi", "capkernel/kernel", "capkernel/kernel/invocations")
    sources = sorted(name for folder in folders for name in glob(f"{folder}/*.py") if not name.endswith("__init__.py"))
    extensions = mypycify(["--python-version=3.11", *sources], opt_level="2", multi_file=True)
    for extension in extensions:
        extension.optional = True

setup(ext_modules=extensions)
