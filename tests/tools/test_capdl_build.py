"""Building from any specification: either what is there is what it says, or it is refused with place and reason."""

import re
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import pytest
import typer
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from capkernel.system.capdl import Cap, Object, Spec, parse, show
from capkernel.system.capdl.checks import impossible
from capkernel.system.capdl.model import CAP_PARAMETERS, CONTAINERS, SPECIAL, TCB_SLOT_NAMES, SlotRef, make_object
from capkernel.tools.capdl.boot import Built, boot_from
from capkernel.tools.capdl.build import BuildError
from capkernel.tools.capdl.command import capdl
from capkernel.tools.capdl.driver import RefusedError
from capkernel.tools.capdl.export import export
from capkernel.tools.conform.populate import start
from capkernel.tools.conform.recordings import read
from capkernel.tools.conform.steps import Stepper

GOLDEN = Path(__file__).parents[1] / "golden"
KINDS = ("ut", "cnode", "tcb", "ep", "notification", "rtreply", "sc", "frame", "pt", "asid_pool", "irq")
HOLDS = {"pt": ("pt", "frame"), "asid_pool": ("pt",), "irq": ("notification",)}
TCB_HOLDS = {
    0: ("cnode",), 1: ("pt",), 4: ("frame",), 5: ("ep",), 6: ("sc",), 7: ("ep",), 8: ("notification",),
}  # fmt: skip
RIGHTS = {"ep": (15, 15, 7, 3, 2, 1), "notification": (3, 3, 2, 1), "frame": (3, 3, 2, 6, 7)}
NOT_EXPORTED = ("fill", "init", "resume")

# Random specifications that could mostly be


def a_thing(kind: str, choose: Random) -> Object:
    one = choose.choice
    match kind:
        case "ut":
            return make_object("ut", bits=one([None, None, 8, 12, 14, 16]))
        case "cnode":
            return make_object("cnode", bits=one([2, 4, 6]))
        case "frame":
            return make_object("frame", size=one([12, 12, 21]))
        case "sc":
            budget = one([None, 500, 1000])
            period, data = (one([None, budget, 2000]), one([None, 3])) if budget else (None, None)
            return make_object("sc", bits=one([None, 8, 9]), budget=budget, period=period, data=data)
        case "tcb":
            return make_object(
                "tcb", addr=one([None, 0x10000, 0x10400]), ip=one([None, 0x100, 0x103]), sp=one([None, 7]),
                prio=one([None, 5, 255]), max_prio=one([None, 255]), init=one([None, (1, 2)]), dom=one([None, 0]),
                resume=one([None, True, False]), fpu_disabled=one([None, True, False]),
            )  # fmt: skip
        case "asid_pool":
            return make_object("asid_pool", asid_high=one([None, None, 1, 2, 4]))
        case _:
            return make_object(kind)


def a_cap(spec: Spec, name: str, choose: Random) -> Cap:
    kind = spec.kind_of(name)
    known = CAP_PARAMETERS[kind]
    guard_size = choose.choice([0, 0, 3, 50]) if "guard" in known else 0
    return Cap(
        name, rights=choose.choice(RIGHTS.get(kind, (0,))), badge=choose.choice([0, 0, 5]) if "badge" in known else 0,
        guard=int(guard_size == 3), guard_size=guard_size,
    )  # fmt: skip


def a_slot(spec: Spec, names: list[str], owner: str, choose: Random) -> None:
    kind = spec.objects[owner].kind
    number = choose.choice(
        {"cnode": range(4), "tcb": list(TCB_HOLDS), "pt": (0, 1, 255, 511), "asid_pool": (0, 1, 5, 90), "irq": (0,)}[
            kind
        ]
    )
    wanted = TCB_HOLDS[number] if kind == "tcb" else HOLDS.get(kind, KINDS)
    possible = [name for name in names if spec.objects[name].kind in wanted or choose.random() < 0.01]
    possible += sorted(SPECIAL) if kind == "cnode" and choose.random() < 0.3 else []
    if possible:
        spec.slots[owner, number] = a_cap(spec, choose.choice(possible), choose)


def may_be_parent(spec: Spec, ref: SlotRef, child: SlotRef) -> bool:
    cap, made = spec.slots[ref], spec.slots[child]
    is_source = cap.object in (made.object, "irq_control") or spec.kind_of(cap.object) == "ut"
    return ref != child and is_source and spec.objects[ref[0]].kind == "cnode"


def a_spec(choose: Random) -> Spec:
    spec = Spec()
    for number in range(choose.randrange(1, 10)):
        kind, name = choose.choice(KINDS), f"{choose.choice('abcdef')}{number}"
        thing = a_thing(kind, choose)
        members = [f"{name}[{n}]" for n in range(choose.randrange(1, 4))] if choose.random() < 0.3 else [name]
        spec.objects |= dict.fromkeys(members, thing)
    names = list(spec.objects)
    containers = [name for name in names if spec.objects[name].kind in CONTAINERS]
    for _ in range(choose.randrange(20) if containers else 0):
        a_slot(spec, names, choose.choice(containers), choose)
    entries = [ref for ref in spec.slots if spec.objects[ref[0]].kind == "pt"]
    for ref, cap in list(spec.slots.items()):
        made = [entry for entry in entries if spec.slots[entry].object == cap.object]
        if made and spec.kind_of(cap.object) == "frame" and spec.objects[ref[0]].kind == "cnode":
            spec.slots[ref] = evolve(cap, mapping=choose.choice([None, *made]))
    for child in [ref for ref in spec.slots if choose.random() < 0.5]:
        parents = [ref for ref in spec.slots if may_be_parent(spec, ref, child)]
        if parents:
            spec.cdt[child] = choose.choice(parents)
    untypeds = [name for name in names if spec.objects[name].kind == "ut"]
    for name in [name for name in names if untypeds and choose.random() < 0.3]:
        spec.covers[name] = choose.choice(untypeds)
    spec.irqs |= dict(enumerate((name for name in names if spec.objects[name].kind == "irq"), 3))
    return spec


def disagreement(spec: Spec, found: Spec) -> str:
    """What the specification says and the export does not; written apart from ``compare``, which it checks."""
    for name, thing in spec.objects.items():
        for param, value in thing.params:
            got = found.objects[name].get(param)
            if param not in NOT_EXPORTED and value != got and (value or got):
                return f"{param} of {name}: {value} {got}"
    for ref, cap in spec.slots.items():
        kind, made = spec.objects[ref[0]].kind, found.slots.get(ref)
        known = evolve(cap, uncached=False)
        if kind == "tcb" and ref[1] in (6, 8):
            known = evolve(known, rights=0)
        if kind != "pt" and spec.kind_of(cap.object) == "frame":
            known = evolve(known, rights=known.rights & 3)
        if made is None or evolve(made, asid=cap.asid) != known:
            return f"{ref}: {cap} {made}"
    if found.slots.keys() != spec.slots.keys() or found.irqs != spec.irqs:
        return f"{found.slots.keys() ^ spec.slots.keys()} {found.irqs}"
    wrong = [ref for ref, parent in spec.cdt.items() if found.cdt.get(ref) != parent]
    wrong += [(name, 0) for name, parent in spec.covers.items() if found.covers.get(name) != parent]
    return str(wrong) if wrong else ""


@settings(max_examples=150, deadline=None)
@given(st.randoms(use_true_random=False))
def test_what_is_built_is_what_was_said_or_it_is_refused(choose: Random) -> None:
    spec = parse(show(a_spec(choose)), "a.cdl")
    found = built_or_refused(spec)
    if isinstance(found, str):
        assert all(re.match(r"a\.cdl:\d+:\d+: .{10}", line) for line in found.splitlines())
    else:
        assert disagreement(spec, found.export()) == ""
        threads = [(name, thing) for name, thing in spec.objects.items() if thing.kind == "tcb"]
        assert set(found.to_start) == {name for name, thing in threads if thing.get("resume") is not False}


def built_or_refused(spec: Spec) -> Built | str:
    """The built system, or the reason why not."""
    try:
        return boot_from(spec)
    except BuildError as error:
        return str(error)


# Whole systems with one thing changed


@cache
def whole_systems() -> tuple[Spec, ...]:
    found = []
    for group in ("capspace", "vspace", "tcb", "ipc"):
        for count, recorded in enumerate(read(GOLDEN / f"{group}.jsonl.gz")):
            if count == 4:
                break
            world = start(recorded.program)
            stepper = Stepper(world, group)
            for record in recorded.program["ops"]:
                stepper.step(record)
            found.append(export(world.loop.state))
    return tuple(found)


def changed(spec: Spec, choose: Random) -> Spec:
    """A copy with one difference."""
    spec = evolve(spec, objects=dict(spec.objects), slots=dict(spec.slots), cdt=dict(spec.cdt))
    ref, other = (choose.choice(sorted(spec.slots)) for _ in range(2))
    cap = spec.slots[ref]
    match choose.randrange(6):
        case 0:
            del spec.slots[ref]
        case 1:
            spec.slots[ref] = evolve(cap, object=choose.choice(sorted(spec.objects)))
        case 2 if "rights" in CAP_PARAMETERS[spec.kind_of(cap.object)]:
            spec.slots[ref] = evolve(cap, rights=choose.randrange(8))
        case 3:
            spec.cdt[ref] = other
        case 4:
            spec.cdt.pop(choose.choice(sorted(spec.cdt)))
        case _:
            name = choose.choice(sorted(n for n, thing in spec.objects.items() if thing.kind == "tcb"))
            spec.objects[name] = make_object("tcb", **dict(spec.objects[name].params) | {"prio": 7, "max_prio": 9})
    return spec


@settings(max_examples=60, deadline=None)
@given(st.randoms(use_true_random=False))
def test_a_whole_system_with_a_change_is_built_or_refused(choose: Random) -> None:
    spec = changed(choose.choice(whole_systems()), choose)
    found = built_or_refused(spec)
    if isinstance(found, str):
        assert len(found) > 20
    else:
        assert disagreement(_without_own_registers(spec), found.export()) == ""


def _without_own_registers(spec: Spec) -> Spec:
    objects = {
        name: make_object("tcb", **dict(thing.params) | {"ip": None, "sp": None})
        if thing.kind == "tcb" and name.startswith("boot_") else thing
        for name, thing in spec.objects.items()
    }  # fmt: skip
    return evolve(spec, objects=objects)


# What was wrong once


BUILT = {
    "a cspace without a vspace": "t = tcb c = cnode (4 bits) } caps { t { cspace: c }",
    "many of both":
        "t[3] = tcb c = cnode (4 bits) p = pt } caps { t[0] { cspace: c } t[1] { vspace: p } t[2] { cspace: c }",
    "a buffer address without a frame": "t = tcb (addr: 0x1000) u = tcb (addr: 0x2000)",
    "a root without the guard of its parent":
        "t = tcb c = cnode (4 bits) } caps { c { 1: c (guard_size: 60) } t { cspace: c } } "
        "cdt { (c, 1) { (t, cspace) }",
    "the last slot of a pool": "a = asid_pool p = pt } caps { a { 511: p }",
    "a pool by number": "a = asid_pool (asid_high: 3) b = asid_pool p = pt } caps { a { 5: p }",
    "pools that leave room": "a = asid_pool b = asid_pool (asid_high: 1) c = cnode (2 bits) } caps { c { 1: a 2: b }",
    "a pool in an untyped": "a = asid_pool u = ut { a }",
    "in an untyped of the tree":
        "u = ut (16 bits) v = ut (14 bits) { w } w = ut { e } e = ep c = cnode (2 bits) } caps { c { 1: u 2: v } } "
        "cdt { (c, 1) { (c, 2) }",
    "a schedule": "} domains { schedule: [(0, 10)]",
}  # fmt: skip


@pytest.mark.parametrize("name", BUILT)
def test_what_can_be_is_built(name: str) -> None:
    spec = parse(f"arch riscv objects {{ {BUILT[name]} }}")
    assert disagreement(spec, boot_from(spec).export()) == ""


REFUSED = {
    "p = pt e = ep a = asid_pool } caps { p { 0: e } a { 1: p }": "slot 0x0 of p cannot hold the ep e: only a pt or",
    "p = pt } caps { p { 3: domain }": "slot 0x3 of p cannot hold the domain",
    "a = asid_pool f = frame (4k) } caps { a { 3: f }": "cannot hold the frame f: only a pt",
    "i = irq e = ep } caps { i { 0: e }": "only a notification",
    "t = tcb e = ep } caps { t { cspace: e }": "cspace of t cannot hold the ep e: only a cnode",
    "t = tcb r = rtreply } caps { t { caller_slot: r }": "caller_slot of t is none of the MCS kernel",
    "t = tcb (affinity: 1)": "only core 0",
    "t = tcb (fault_ep: 1)": "fault_ep, which is for the kernel without MCS",
    "t = tcb (init: [1, 2, 3, 4, 5, 6, 7, 8, 9])": "9 words of init",
    "t = tcb f = frame (4k) } caps { t { ipc_buffer_slot: f (RW) }": "no addr",
    "c = cnode (4 bits) } caps { c { 1: sched_control (core: 7) }": "only core 0",
    "c = cnode (4 bits) u = ut (12 bits) } caps { c { 1: u 2: irq_control } } cdt { (c, 1) { (c, 2) }":
        "a irq_control is not made from a ut",
    "c = cnode (4 bits) } caps { c { 1: irq_control 2: irq_control } } cdt { (c, 1) { (c, 2) }":
        "only caps to interrupts descend from irq_control",
    "c = cnode (4 bits) u = ut (12 bits) } caps { c { 1: u 2: sched_control (core: 0) } } cdt { (c, 1) { (c, 2) }":
        "a sched_control is not made from a ut",
    "u = ut { i } i = irq } irq maps { 3: i": "an interrupt is not made of memory",
    "c = cnode (4 bits) e = ep f = ep } caps { c { 0: e 1: f } } cdt { (c, 1) { (c, 0) }": "they are different objects",
    "c = cnode (4 bits) e = ep } caps { c { 0: e 1: domain } } cdt { (c, 1) { (c, 0) }": "is not made from a domain",
    "c = cnode (4 bits) e = ep } caps { c { 0: e (R) 1: e (RWG) } } cdt { (c, 0) { (c, 1) }": "it has more rights",
    "c = cnode (4 bits) e = ep } caps { c { 0: e (badge: 1) 1: e } } cdt { (c, 0) { (c, 1) }": "cannot be changed",
    "c = cnode (4 bits) e = ep } caps { c { 0: e (RWG) 1: e (R) } } cdt { (c, 0) { (c, 1) }":
        "slot 0x1 of c would be derived from nothing that is described, not from slot 0x0 of c",
    "c = cnode (4 bits) n = notification } caps { c { 1: n (RWG) }": r"would hold n \(RW\), not n \(RWG\)",
    "p = pt f = frame (4k) c = cnode (4 bits) } caps { c { 1: f (RW, mapping: (p, 3)) }": "slot 0x3 of p, which is e",
    "a = asid_pool (asid_high: 0)": "asid_high of a would be 0x1, not 0x0",
    "a = asid_pool c = cnode (2 bits) } caps { c { 1: a 2: a } } cdt { (c, 1) { (c, 2) }":
        "slot 0x2 of c would be derived from nothing",
    "s = sc (data: 4)": "data of s would be 0x0, not 0x4",
    "s = sc (period: 4)": "period of s would be nothing",
    "s = sc (4 bits)": "s cannot have 4 bits",
    "p[2] = pt } caps { p[0] { 0: p[1] } p[1] { 0: p[0] }": "below more than 2 others",
    "p[3] = pt } caps { p[0..1] { 0: p[2] }": r"is in p\[0\] and in p\[1\]",
    "i = irq } irq maps { 3: i 4: i": "interrupt 3 and interrupt 4",
    "u = ut (12 bits) { v } v = ut (12 bits)": "it is all of u",
    "x = frame (4k, paddr: 0x1000)": "0x1000 is not in the untyped",
    "e[6000] = ep": "CNode is too small",
    "t = tcb (max_prio: 256)": "t cannot have max_prio 256",
    "e = ep u = ut (34 bits)": r"u cannot be built: it has 2\*\*34 bytes, and 2 objects .* no unused untyped",
    "} domains { schedule: [(1, 10)]": "the domain schedule cannot be built",
}  # fmt: skip


@pytest.mark.parametrize("text", REFUSED)
def test_what_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(BuildError, match=REFUSED[text]) as refused:
        boot_from(parse(f"arch riscv objects {{ {text} }}", "a.cdl"))
    assert re.match(r"a\.cdl:1:\d+: ", str(refused.value))


def test_what_has_no_place_is_remarked(tmp_path: Path) -> None:
    file = tmp_path / "a.cdl"
    text = "objects { c = cnode (4 bits) f = frame (4k, fill: [{0 4 x}]) } caps { c { 1: f (RWX, uncached) } }"
    file.write_text("arch riscv " + text, encoding="utf-8")
    found = _run("boot", str(file))
    assert found.exit_code == 0
    assert f"{file}:1:41: f is not filled" in found.stderr
    assert "uncached in slot 0x1 of c has no meaning" in found.stderr


def test_the_command_says_where(tmp_path: Path) -> None:
    file = tmp_path / "a.cdl"
    file.write_text("arch riscv\nobjects {\n  t = tcb (prio: 300) }", encoding="utf-8")
    found = _run("boot", str(file))
    assert (found.exit_code, found.stdout) == (1, "")
    assert f"{file}:3:3: t cannot have prio 300: priorities are 0 .. 255" in found.stderr


def _run(*arguments: str) -> Any:
    app = typer.Typer()
    app.command()(capdl)
    return CliRunner().invoke(app, list(arguments))


def test_an_initial_task_without_its_buffer_is_refused() -> None:
    spec = whole_systems()[0]
    (own,) = (name for name, thing in spec.objects.items() if thing.kind == "tcb" and name.startswith("boot_"))
    (frame,) = (cap.object for ref, cap in spec.slots.items() if ref == (own, 4))
    slots = {ref: cap for ref, cap in spec.slots.items() if cap.object != frame}
    cdt = {child: parent for child, parent in spec.cdt.items() if {child, parent} <= set(slots)}
    objects = {name: thing for name, thing in spec.objects.items() if name != frame}
    objects[own] = make_object("tcb", **dict(objects[own].params) | {"addr": 0})
    found = built_or_refused(evolve(spec, objects=objects, slots=slots, cdt=cdt))
    assert isinstance(found, str)
    assert "buffer" in found


def test_an_answer_that_is_no_error_number_can_be_said() -> None:
    assert "answer 99" in str(RefusedError("Page_Map", 99, []))


def test_what_could_be_is_not_called_impossible() -> None:
    assert set(TCB_HOLDS) | {2, 3} == set(TCB_SLOT_NAMES)
    assert all(impossible(spec) == [] for spec in whole_systems())
