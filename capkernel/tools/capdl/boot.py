"""A running system from a specification, made by ordinary invocations of an initial task.

    built = boot_from(spec)
    show(built.export()) == show(spec)

A specification exported from a whole system describes the initial task too: then that becomes what it describes. Any
other is built beside the initial task, which keeps the memory that it did not need and then stops.
"""

from attrs import evolve, frozen

from capkernel.abi import rights as rt
from capkernel.abi.words import WORD_BITS
from capkernel.kernel.boot import RootImage
from capkernel.kernel.caps import CNodeCap
from capkernel.kernel.config import KernelConfig
from capkernel.kernel.state import State
from capkernel.runtime.loop import Loop
from capkernel.runtime.platform import PRESETS
from capkernel.system.capdl.checks import slot_text
from capkernel.system.capdl.model import TCB_SLOTS, Cap, SlotRef, Spec, make_object, slot_key
from capkernel.tools.capdl.build import BOOT_PREFIX, Build, BuildError, begin, match_boot
from capkernel.tools.capdl.compare import first_difference, remarks
from capkernel.tools.capdl.connect import configure_all, configure_own, guard_word, map_all, set_domains
from capkernel.tools.capdl.create import copy_as, create_all
from capkernel.tools.capdl.driver import Driver, RefusedError
from capkernel.tools.capdl.export import export
from capkernel.tools.capdl.keys import Key, key_of
from capkernel.tools.capdl.limits import refusals
from capkernel.tools.explain.census import holdings
from hwmodel.board import GIB, MIB, QEMU_VIRT_RISCV64, Board

DEFAULT_IMAGE = RootImage(0x10000000, ((0x10000000, b"", 4096),))
DEFAULT_BOARD = QEMU_VIRT_RISCV64.with_ram(1 * GIB + 256 * MIB)


@frozen
class Built:
    """A system that was built. No thread but the initial one has been started; ``start`` does that."""

    state: State
    loop: Loop
    names: dict[Key, str]
    driver: Driver
    whole: bool
    """Whether the initial task is a part of it."""
    to_start: tuple[str, ...]
    """The threads that are to run, by name."""
    remarks: tuple[str, ...] = ()
    """What the specification says and capkernel has no place for, each with its place."""

    def start(self) -> None:
        """Start them, and stop the initial task if it is none of them. Raises BuildError if it cannot."""
        for name in self.to_start:
            cptr = self._thread_cap(name)
            if cptr is None:
                raise BuildError(f"the initial task has no cap to {name} any more")
            self.driver.try_call(cptr, "TCB_Resume", [], [])
        if not self.whole:
            self.driver.try_call(self.driver.tcb, "TCB_Suspend", [], [])

    def _thread_cap(self, name: str) -> int | None:
        for holding in holdings(self.driver.root):
            key = key_of(holding.slot.cap)
            if key is not None and self.names.get(key) == name and holding.address is not None:
                return holding.address
        return None

    def export(self) -> Spec:
        """What was built, by the names of the specification that it was built from."""
        return export(self.state, self.names)


def stopped(spec: Spec) -> Spec:
    """The specification with all threads stopped, as they are before they are started."""
    objects = {
        name: make_object("tcb", **dict(thing.params) | {"resume": False}) if thing.kind == "tcb" else thing
        for name, thing in spec.objects.items()
    }
    return evolve(spec, objects=objects)


def boot_from(
    spec: Spec, config: KernelConfig | None = None, board: Board = DEFAULT_BOARD, image: RootImage = DEFAULT_IMAGE
) -> Built:
    """Boot a kernel and build exactly what the specification says. Raises BuildError."""
    problems = refusals(spec)
    if problems:
        raise BuildError("\n".join(problems))
    driver = Driver(config or PRESETS["golden"], board, image)
    build = begin(driver, spec)
    try:
        _build(build)
    except (RefusedError, BuildError) as error:
        raise BuildError(f"{build.place()} cannot be built: {error}{_of_another_boot(build)}") from error
    to_start = tuple(name for name, thing in sorted(spec.objects.items()) if _starts(build, name))
    built = Built(driver.state, driver.loop, build.names, driver, build.whole, to_start, tuple(remarks(spec)))
    difference = first_difference(build, built.export(), driver.state)
    if difference:
        raise BuildError(difference + _of_another_boot(build))
    return built


def _of_another_boot(build: Build) -> str:
    """What would work, in a further line, if the specification describes what the boot of another system made."""
    foreign = [name for name in build.spec.objects if name.startswith(BOOT_PREFIX) and name not in build.given]
    if not foreign:
        return ""
    return (
        f"\n{len(foreign)} of its objects ({foreign[0]} is one) are what the boot of another system made: an exported "
        "system is built on the kernel, machine and root image that it had, `capdl boot FILE --like SYSTEM`"
    )


def _build(build: Build) -> None:
    match_boot(build)
    create_all(build)
    map_all(build)
    configure_all(build)
    set_domains(build)
    _finish(build)


def _starts(build: Build, name: str) -> bool:
    thing = build.spec.objects[name]
    return thing.kind == "tcb" and name != build.own_tcb and thing.get("resume") is not False


def _finish(build: Build) -> None:
    """Move every cap to where it belongs, and empty what was only needed for building."""
    lingering = _linger(build) if build.whole else []
    if build.whole:
        configure_own(build)
    else:
        _keep_threads(build)
    homes = _handles(build)
    for ref in sorted(build.at, key=slot_key):
        if ref != (build.own_name, build.at[ref]) and build.spec.objects[ref[0]].kind == "cnode":
            _move(build, ref, homes[ref[0]])
    for slot in build.revoked:
        build.driver.call(build.driver.own, "CNode_Revoke", [slot, WORD_BITS], [])
    for slot in reversed(build.temporary):
        build.driver.delete(slot)
    if build.whole:
        _leave(build, lingering)


def _keep_threads(build: Build) -> None:
    """An initial task that is no part of the system keeps what it needs to start the threads."""
    for name, thing in sorted(build.spec.objects.items()):
        if thing.kind == "tcb" and name not in build.originals:
            kept = build.slot()
            build.now = name
            build.driver.copy(build.any_cap(name), kept, rt.ALL)


def _handles(build: Build) -> dict[str, tuple[int, int]]:
    """For each CNode an own slot with a cap to it, without a guard in the way, and its radix."""
    found: dict[str, tuple[int, int]] = {}
    for name in sorted({ref[0] for ref in build.at}):
        thing = build.spec.objects[name]
        if thing.kind == "cnode" and name != build.own_name:
            handle = build.temp()
            copy_as(build, Cap(name), build.any_cap(name), handle)
            found[name] = (handle, thing.number("bits"))
    found[build.own_name] = (build.driver.own, WORD_BITS)
    return found


def _move(build: Build, ref: SlotRef, home: tuple[int, int]) -> None:
    """To its final slot; a CNode cap gets its guard on the way."""
    build.now = ref
    source, cap = build.at[ref], build.spec.slots[ref]
    words = [ref[1], home[1], source, WORD_BITS]
    held = build.driver.cap_at(source)
    if isinstance(held, CNodeCap) and (held.guard, held.guard_size) != (cap.guard, cap.guard_size):
        build.driver.call(home[0], "CNode_Mutate", [*words, guard_word(cap)], [build.driver.own])
    else:
        build.driver.call(home[0], "CNode_Move", words, [build.driver.own])


# The initial task becomes what the specification says


def _linger(build: Build) -> list[int]:
    """Own slots with caps that are needed to the very end and have no place of their own in the specification.

    The caps to the task's own CNode and TCB are either where boot put them, or copies.
    """
    driver, slots = build.driver, []
    for attribute, name in (("own", build.own_name), ("tcb", build.own_tcb)):
        slot = getattr(driver, attribute)
        final = build.spec.slots.get((build.own_name, slot))
        if final is None or final.object != name or build.at.get((build.own_name, slot)) != slot:
            copy = build.slot()
            driver.copy(slot, copy, rt.ALL)
            setattr(driver, attribute, copy)
            slots.append(copy)
    return slots


def _leave(build: Build, lingering: list[int]) -> None:
    """The task's own CSpace and address space, if they are not those of boot; then nothing is left of building."""
    spec, driver, name = build.spec, build.driver, build.own_tcb
    build.now = name
    roots = [(name, TCB_SLOTS["cspace"]), (name, TCB_SLOTS["vspace"])]
    handler = (name, TCB_SLOTS["fault_ep_slot"])
    same = all(spec.slots.get(ref) == build.fresh.slots.get(ref) for ref in (*roots, handler))
    if same and all(spec.cdt.get(ref) == build.fresh.cdt.get(ref) for ref in roots):
        for slot in sorted(lingering, key=lambda slot: slot == driver.own):
            driver.delete(slot)
        return
    if any(ref not in spec.slots for ref in roots):
        raise BuildError("it must have a cspace and a vspace")
    empty = build.slot()
    caps = [_final(build, ref, lingering) if ref in spec.slots else empty for ref in (handler, *roots)]
    driver.call(driver.tcb, "TCB_SetSpace", [guard_word(spec.slots[roots[0]]), 0], caps)
    if lingering:
        _empty_from_inside(build, lingering)


def _final(build: Build, ref: SlotRef, lingering: list[int]) -> int:
    """An own slot from which a root cap can be taken after everything else has been moved away."""
    parent = build.spec.cdt.get(ref)
    if parent is not None and parent[0] == build.own_name:
        return parent[1]
    raise BuildError(f"the cap in {slot_text(build.spec, ref)} was not derived from one in its own CNode")


def _empty_from_inside(build: Build, lingering: list[int]) -> None:
    """Through the task's new CSpace, if that leads to its old CNode."""
    for holding in holdings(build.driver.root):
        cap = holding.slot.cap
        if isinstance(cap, CNodeCap) and cap.cnode is build.driver.cnode and holding.address is not None:
            depth = cap.guard_size + cap.radix
            for slot in lingering:
                words = [cap.guard << cap.radix | slot, depth]
                build.driver.call(holding.address, "CNode_Delete", words, [])
            return
    raise BuildError("its CSpace does not lead to its own CNode, so it cannot tidy up")
