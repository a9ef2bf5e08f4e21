"""What is tried on file servers: names that are paths, more rights, places beyond the end, caps that are kept."""

from typing import Any, Final

from capkernel.protocols.attacks import Trick
from capkernel.protocols.failures import ServerDied
from capkernel.protocols.files import READ, READ_WRITE, WRITE, Directory
from capkernel.protocols.interface import Cap
from capkernel.protocols.mounts import Mounts
from servers.attackers.attack import OWN_ENDPOINT, Attack

NAMES: Final = (
    "..", ".", "", "/", "../kept", "../neighbour/kept", "mallory/../neighbour", "/neighbour/kept", "a\0b", "x" * 256,
    "\0", "//", "./kept", "...//../kept",
)  # fmt: skip
KEPT: Final = "kept"
"""A file that is there, and that is to stay as it is."""
BEYOND: Final = (-1, 1 << 31, 1 << 62)
ADOPTED: Final = 130
"""Files of a server's own that it is asked to open once more: more than there are slots for caps."""


async def reader(attack: Attack) -> None:
    """A directory that this client may only read."""
    root = attack.stub(Directory)
    await paths(attack, root)
    kept = await root.open(KEPT, READ)
    for what, attempt in (
        ("a file was written", kept.write(0, b"mine")), ("a file was cut off", kept.resize(0)),
        ("a file was made", root.create("mine")), ("a directory was made", root.make_directory("mine")),
        ("a file was removed", root.remove(KEPT)), ("a file was moved", root.rename(KEPT, root, "mine")),
    ):  # fmt: skip
        await attack.refused(Trick.RIGHTS, what, attempt)
    for rights in (WRITE, READ_WRITE, -1, 4, 1 << 40):
        for attempt in (root.open(KEPT, rights), root.restrict(rights), kept.restrict(rights)):
            await attack.refused(Trick.RIGHTS, f"rights {rights}", attempt)
    for place in BEYOND:
        await attack.refused(Trick.INPUT, f"bytes at {place}", kept.read(place, 10))
        await attack.refused(Trick.INPUT, f"{place} bytes", kept.read(0, place))
    await attack.refused(Trick.INPUT, "names from -1 on", root.list(-1))
    await kept.drop()


async def home(attack: Attack) -> None:
    """A directory of this client's own, beside those of others."""
    root = attack.stub(Directory)
    await paths(attack, root)
    for name in NAMES:
        await attack.refused(Trick.PATHS, f"{name!r} was made", root.create(name))
        await attack.refused(Trick.PATHS, f"{name!r} was made a directory", root.make_directory(name))
    own = await root.create("own")
    for name in NAMES:
        await attack.refused(Trick.PATHS, f"something was moved to {name!r}", root.rename("own", root, name))
    for place in BEYOND:
        await attack.refused(Trick.QUOTAS, f"bytes were written at {place}", own.write(place, b"x"))
        await attack.refused(Trick.QUOTAS, f"a file of {place} bytes", own.resize(place))
    inner = await root.make_directory("in")
    await attack.refused(Trick.PATHS, "a directory was moved into itself", root.rename("in", inner, "deeper"))
    await root.remove("own")
    await attack.refused(Trick.INPUT, "a file that was removed was read", own.read(0, 1))


async def paths(attack: Attack, root: Directory) -> None:
    """Names that are paths."""
    for name in NAMES:
        await attack.refused(Trick.PATHS, f"{name!r} was opened", root.open(name, READ))
        await attack.refused(Trick.PATHS, f"{name!r} was entered", root.directory(name, READ))
        if name:
            await attack.refused(Trick.PATHS, f"{name!r} was looked at", root.info(name))


async def mounts(attack: Attack) -> None:
    """The same of the root; and what only who mounts may do."""
    root: Any = attack.stub(Mounts)
    await reader(attack)
    for what, attempt in (
        ("something was mounted", root.mount("mine", root)), ("something was unmounted", root.unmount("tmp")),
        ("an endpoint was mounted", root.mount("mine", Cap(OWN_ENDPOINT))),
    ):  # fmt: skip
        await attack.refused(Trick.RIGHTS, what, attempt)
    for number in range(ADOPTED):
        try:
            kept = await root.open(KEPT, READ)
            again = await root.adopt(kept, READ)
            await again.drop()
            await kept.drop()
        except ServerDied:
            await attack.ledger.count(Trick.CAPS, f"the server died of the cap number {number}", is_refused=False)
            return
        await attack.ledger.allowed(Trick.CAPS)


async def programs(attack: Attack) -> None:
    """Programs that are installed: nobody may change them."""
    root = attack.stub(Directory)
    await paths(attack, root)
    program = await root.open("hello", READ)
    for what, attempt in (
        ("a program was written", program.write(0, b"#!capkernel mallory\n")), ("a program was made", root.create("x")),
        ("a program was removed", root.remove("hello")), ("a program was moved", root.rename("hello", root, "x")),
        ("more rights", root.restrict(READ_WRITE)), ("more rights", root.open("hello", WRITE)),
    ):  # fmt: skip
        await attack.refused(Trick.RIGHTS, what, attempt)
    await program.drop()
