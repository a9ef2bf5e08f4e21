"""Address spaces, threads, time and interrupts: what connects the objects to each other."""

from capkernel.abi import objects as obj
from capkernel.abi import rights as rt
from capkernel.abi.flags import EXECUTE_NEVER, TCB_FPU_DISABLED
from capkernel.abi.words import WORD_BITS
from capkernel.kernel.caps import CNodeCap
from capkernel.kernel.vspace import INDEX_BITS, LEVELS
from capkernel.system.capdl.model import DOMAINS, TCB_SLOTS, Cap, SlotRef, slot_key
from capkernel.tools.capdl.build import Build
from capkernel.tools.capdl.create import copy_as, scratch

TOP_LEVEL = LEVELS - 1
_A0_WORD = 16
"""The place of a0 in what TCB_WriteRegisters takes."""
_PC, _SP = 0, 2


def map_all(build: Build) -> None:
    """Give address spaces their identifiers, and map tables and frames from the root down; then copy table caps."""
    for pool in sorted(name for name, thing in build.spec.objects.items() if thing.kind == "asid_pool"):
        for low, cap in build.slots_in(pool).items():
            build.now = (pool, low)
            if build.fresh.slots.get((pool, low)) != cap:
                _assign(build, pool, low, cap.object)
            _map_below(build, build.any_cap(cap.object), cap.object, 0, obj.GIGA_PAGE_BITS)
    _map_detached(build)
    _copy_tables(build)


def _assign(build: Build, pool: str, low: int, table: str) -> None:
    """Identifiers are given out in order: those in between go to tables that are deleted at the end.

    The first of all identifiers is never given out; it is in the pool that boot made.
    """
    taken = set(build.slots_in(pool))
    if pool in build.given:
        taken |= {0, *build.fresh.slots_in(pool)}
    for gap in range(low):
        if gap not in taken and (pool, gap) not in build.gaps:
            filler = scratch(build, obj.PAGE_TABLE)
            build.driver.call(build.any_cap(pool), "ASIDPool_Assign", [], [filler])
            build.gaps.add((pool, gap))
    build.driver.call(build.any_cap(pool), "ASIDPool_Assign", [], [build.any_cap(table)])


def _map_below(build: Build, root: int, table: str, base: int, bits: int) -> None:
    """Map what the entries of a table say; boot's own entries are there already. ``root`` is an own slot."""
    for index, cap in build.slots_in(table).items():
        build.now = (table, index)
        vaddr = base + (index << bits)
        is_table = build.spec.kind_of(cap.object) == "pt"
        if build.fresh.slots.get((table, index)) != cap:
            if is_table:
                build.driver.call(build.any_cap(cap.object), "PageTable_Map", [vaddr, 0], [root])
            else:
                _map_frame(build, root, (table, index), vaddr, cap)
        if is_table:
            _map_below(build, root, cap.object, vaddr, bits - INDEX_BITS)


def _map_frame(build: Build, root: int, entry: SlotRef, vaddr: int, cap: Cap) -> None:
    """Map through the cap that says that it made this entry, or else through one of the initial task's."""
    source = next((slot for ref, slot in build.at.items() if build.spec.slots[ref].mapping == entry), None)
    if source is None:
        source = build.temp() if build.whole else build.slot()
        frame = build.any_cap(cap.object, cap.rights & rt.READ_WRITE)
        copy_as(build, Cap(cap.object, rights=rt.READ_WRITE), frame, source)
    attributes = 0 if cap.rights & rt.GRANT else EXECUTE_NEVER
    words = [vaddr, cap.rights & rt.READ_WRITE, attributes]
    build.driver.call(source, "Page_Map", words, [root])


def _map_detached(build: Build) -> None:
    """Tables to which no address space leads (any more) are filled in one that is deleted at the end.

    They keep what they hold when what is above them goes. The same makes a table count as mapped, which is what it
    must be for its cap to be copied.
    """
    tops = _detached(build)
    if not tops:
        return
    pool = _scratch_pool(build)
    for table in tops:
        build.now = table
        level, cap = _level(build, table), build.any_cap(table)
        root = cap if level == TOP_LEVEL else scratch(build, obj.PAGE_TABLE)
        build.driver.call(pool, "ASIDPool_Assign", [], [root])
        for _ in range(level + 1, TOP_LEVEL):
            build.driver.call(scratch(build, obj.PAGE_TABLE), "PageTable_Map", [0, 0], [root])
        if root != cap:
            build.driver.call(cap, "PageTable_Map", [0, 0], [root])
        _map_below(build, root, table, 0, obj.PAGE_BITS + INDEX_BITS * level)
    # Last in, first out: with the identifiers gone, nothing that is deleted after this unmaps anything.
    build.temporary.append(pool)


def _detached(build: Build) -> list[str]:
    """The uppermost of the tables that no pool leads to, if anything depends on their having been mapped."""
    spec = build.spec
    attached: set[str] = set()
    work = [cap.object for ref, cap in spec.slots.items() if spec.objects[ref[0]].kind == "asid_pool"]
    while work:
        table = work.pop()
        if table not in attached and spec.kind_of(table) == "pt":
            attached.add(table)
            work += [cap.object for cap in build.slots_in(table).values()]
    tables = {name for name, thing in spec.objects.items() if thing.kind == "pt" and name not in attached}
    inner = {cap.object for ref, cap in spec.slots.items() if ref[0] in tables}
    return sorted(name for name in tables - inner if build.slots_in(name) or _was_mapped(build, name))


def _scratch_pool(build: Build) -> int:
    """An own slot with an ASID pool that is only needed while building; the caller says when it goes."""
    untyped, pool = scratch(build, obj.UNTYPED, obj.ASID_POOL_BITS), build.slot()
    caps = [untyped, build.driver.own]
    build.driver.call(build.special["asid_control"], "ASIDControl_MakePool", [pool, WORD_BITS], caps)
    return pool


def _was_mapped(build: Build, table: str) -> bool:
    """Only a mapped table's cap can have been copied, or given to a thread."""
    refs = build.refs_of(table)
    return len(refs) > 1 or any(build.spec.objects[ref[0]].kind == "tcb" for ref in refs)


def _level(build: Build, table: str) -> int:
    """0 for a table of the last level, by what it holds; an empty one may as well be a root."""
    for cap in build.slots_in(table).values():
        if build.spec.kind_of(cap.object) == "pt":
            return _level(build, cap.object) + 1 if build.slots_in(cap.object) else 1
        return (build.spec.objects[cap.object].number("size") - obj.PAGE_BITS) // INDEX_BITS
    return TOP_LEVEL


def _copy_tables(build: Build) -> None:
    """Page table caps can be copied once the table is mapped."""
    for ref in sorted(build.spec.slots, key=slot_key):
        cap = build.spec.slots[ref]
        wanted = build.spec.objects[ref[0]].kind == "cnode" and ref not in build.at
        if wanted and build.spec.kind_of(cap.object) == "pt":
            build.now = ref
            parent = build.spec.cdt.get(ref)
            source = build.at[parent] if parent in build.at and _same(build, parent, cap) else build.any_cap(cap.object)
            build.at[ref] = build.slot()
            build.driver.copy(source, build.at[ref], rt.ALL)


def _same(build: Build, ref: SlotRef | None, cap: Cap) -> bool:
    return ref is not None and build.spec.slots[ref].object == cap.object


# Threads, time, interrupts


def configure_all(build: Build) -> None:
    """Scheduling contexts first, since threads are bound to them."""
    spec = build.spec
    for name in sorted(spec.objects):
        kind, build.now = spec.objects[name].kind, name
        if kind == "sc" and not _is_as_booted(build, name):
            _configure_context(build, name)
        elif kind == "irq":
            _set_notification(build, name)
    for name in sorted(spec.objects):
        if spec.objects[name].kind == "tcb" and name != build.own_tcb:
            build.now = name
            _configure_thread(build, name)


def _is_as_booted(build: Build, name: str) -> bool:
    return name in build.given and build.fresh.objects[name] == build.spec.objects[name]


def _configure_context(build: Build, name: str) -> None:
    thing = build.spec.objects[name]
    if thing.get("budget") is None:
        return
    budget = thing.number("budget")
    words = [budget, thing.number("period", budget), 0, thing.number("data"), 0]
    build.driver.call(build.special["sched_control"], "SchedControl_ConfigureFlags", words, [build.any_cap(name)])


def _set_notification(build: Build, name: str) -> None:
    ref = (name, 0)
    if ref in build.spec.slots:
        build.driver.call(build.any_cap(name), "IRQHandler_SetNotification", [], [source_of(build, ref)])


def source_of(build: Build, ref: SlotRef) -> int:
    """An own slot from which the cap in a TCB's or irq's slot can be taken, so that it has the right parent."""
    cap, parent = build.spec.slots[ref], build.spec.cdt.get(ref)
    if parent in build.at and _same(build, parent, cap):
        source = build.at[parent]
        if _fits(build, build.spec.slots[parent], cap):
            return source
    else:
        source = build.any_cap(cap.object, cap.rights)
    kind = build.spec.kind_of(cap.object)
    if kind == "pt" or (kind == "cnode" and _takes_guard(build, source, cap)):
        return source
    made = build.temp()
    copy_as(build, cap, source, made)
    return made


def _fits(build: Build, parent: Cap, cap: Cap) -> bool:
    """Whether the TCB's slot takes the cap as it is; a CNode's guard is given besides."""
    return (parent.rights, parent.badge) == (cap.rights, cap.badge)


def _takes_guard(build: Build, source: int, cap: Cap) -> bool:
    """Whether a CSpace root made from this cap gets the right guard: the word 0 leaves that of the cap."""
    held = build.driver.cap_at(source)
    return guard_word(cap) != 0 or (isinstance(held, CNodeCap) and held.guard_size == 0)


def guard_word(cap: Cap) -> int:
    """The word that gives a CSpace root its guard; 0 leaves the guard as it is."""
    return cap.guard << 6 | cap.guard_size


def _configure_thread(build: Build, name: str) -> None:
    driver, thing = build.driver, build.spec.objects[name]
    tcb, empty = build.any_cap(name), build.slot()
    _set_space(build, name, tcb, empty)
    if thing.number("addr"):
        _set_buffer(build, name, tcb)
    _set_scheduling(build, name, tcb, empty)
    _set_bindings(build, name, tcb)
    _set_registers(build, name, tcb)
    if thing.number("dom"):
        driver.call(build.special["domain"], "DomainSet_Set", [thing.number("dom")], [tcb])
    if thing.get("fpu_disabled"):
        driver.call(tcb, "TCB_SetFlags", [0, TCB_FPU_DISABLED], [])


def _set_space(build: Build, name: str, tcb: int, empty: int) -> None:
    """A thread is given both roots at once; one that is to have only one of them loses the other at the end."""
    held = build.slots_in(name)
    cspace, vspace = held.get(TCB_SLOTS["cspace"]), held.get(TCB_SLOTS["vspace"])
    if cspace is None and vspace is None:
        return
    roots = [
        source_of(build, (name, 0)) if cspace is not None else _stand_in(build, obj.CNODE),
        source_of(build, (name, 1)) if vspace is not None else _stand_in(build, obj.PAGE_TABLE),
    ]
    build.driver.call(tcb, "TCB_SetSpace", [guard_word(cspace) if cspace is not None else 0, 0], [empty, *roots])


def _set_bindings(build: Build, name: str, tcb: int) -> None:
    """Timeout handler and notification."""
    held, handler = build.slots_in(name), TCB_SLOTS["temp_fault_ep_slot"]
    if handler in held:
        build.driver.call(tcb, "TCB_SetTimeoutEndpoint", [], [source_of(build, (name, handler))])
    if TCB_SLOTS["bound_notification"] in held:
        notification = readable(build, held[TCB_SLOTS["bound_notification"]].object)
        build.driver.call(tcb, "TCB_BindNotification", [], [notification])


def configure_own(build: Build) -> None:
    """What of the initial task's own thread is not as after boot, but for its CSpace and address space."""
    spec, driver, name = build.spec, build.driver, build.own_tcb
    thing, before = spec.objects[name], build.fresh.objects[name]
    held, had = build.slots_in(name), build.fresh.slots_in(name)
    build.now = name
    _set_bindings(build, name, driver.tcb)
    if thing.get("addr") != before.get("addr") or held.get(4) != had.get(4):
        _set_buffer(build, name, driver.tcb)
    if thing.get("fpu_disabled"):
        driver.call(driver.tcb, "TCB_SetFlags", [0, TCB_FPU_DISABLED], [])
    for method, parameter in (("TCB_SetPriority", "prio"), ("TCB_SetMCPriority", "max_prio")):
        driver.call(driver.tcb, method, [thing.number(parameter)], [driver.tcb])


def _stand_in(build: Build, object_type: int) -> int:
    """An object whose caps are all revoked when building is done; one of each type is enough."""
    if object_type in build.stand_ins:
        return build.stand_ins[object_type]
    slot = scratch(build, object_type, int(object_type == obj.CNODE))
    if object_type == obj.PAGE_TABLE:
        pool = _scratch_pool(build)
        build.temporary.append(pool)
        build.driver.call(pool, "ASIDPool_Assign", [], [slot])
    build.revoked.append(slot)
    build.stand_ins[object_type] = slot
    return slot


def readable(build: Build, name: str) -> int:
    """An own slot with a cap to a notification that has the right to read, which binding takes."""
    for ref in build.refs_of(name):
        if ref in build.at and build.spec.slots[ref].rights & rt.READ:
            return build.at[ref]
    return build.any_cap(name)


def _set_buffer(build: Build, name: str, tcb: int) -> None:
    ref, address = (name, TCB_SLOTS["ipc_buffer_slot"]), build.spec.objects[name].number("addr")
    frame = source_of(build, ref) if ref in build.spec.slots else _stand_in(build, obj.PAGE)
    build.driver.call(tcb, "TCB_SetIPCBuffer", [address], [frame])


def _set_scheduling(build: Build, name: str, tcb: int, empty: int) -> None:
    held, thing = build.slots_in(name), build.spec.objects[name]
    context = held.get(TCB_SLOTS["sc_slot"])
    handler = (name, TCB_SLOTS["fault_ep_slot"])
    caps = [
        build.driver.tcb, empty if context is None else build.any_cap(context.object),
        source_of(build, handler) if handler in build.spec.slots else empty,
    ]  # fmt: skip
    build.driver.call(tcb, "TCB_SetSchedParams", [thing.number("max_prio"), thing.number("prio")], caps)


def _set_registers(build: Build, name: str, tcb: int) -> None:
    thing = build.spec.objects[name]
    arguments = thing.get("init")
    values = [0] * (_A0_WORD if arguments else _SP + 1)
    values[_PC], values[_SP] = thing.number("ip"), thing.number("sp")
    if isinstance(arguments, tuple):
        values += [word for word in arguments if isinstance(word, int)]
    build.driver.call(tcb, "TCB_WriteRegisters", [0, len(values), *values], [])


def set_domains(build: Build) -> None:
    """The domain schedule, entry by entry; the initial task stays in the domain that it is in."""
    domains = build.spec.domains
    if domains is None or build.fresh.domains == domains:
        return
    build.now = DOMAINS
    for index, (domain, duration) in enumerate(domains.schedule, domains.index_shift):
        words = [index, domain, duration]
        build.driver.call(build.special["domain"], "DomainSet_ScheduleConfigure", words, [])
    if domains.start is not None:
        start = domains.start + domains.index_shift
        build.driver.call(build.special["domain"], "DomainSet_ScheduleSetStart", [start], [])
