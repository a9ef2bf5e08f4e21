"""capDL text: what is read means what it says, what is wrong is said with its place, and normalised text is stable."""

import re
from random import Random
from time import process_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capkernel.abi import rights as rt
from capkernel.system.capdl import Cap, Domains, Spec, parse, show
from capkernel.system.capdl.checks import impossible
from capkernel.system.capdl.model import CAP_PARAMETERS, CONTAINERS, SPECIAL, TCB_SLOT_NAMES, make_object
from capkernel.system.capdl.printer import plain
from capkernel.system.diagnostics import DescriptionError, Diagnostic

# Random specifications

WORDS = st.integers(0, (1 << 64) - 1)
NAMES = st.from_regex(r"[a-z][a-zA-Z0-9_@]{0,8}(\.[a-z0-9_]{1,3}|-[a-z0-9_]{1,3})?", fullmatch=True).filter(
    lambda name: name not in SPECIAL
)
KINDS = ("ut", "cnode", "tcb", "ep", "notification", "rtreply", "sc", "frame", "pt", "asid_pool", "irq")


def maybe(strategy: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.none() | strategy


@st.composite
def objects(draw: st.DrawFn, kind: str) -> object:
    bits = st.integers(4, 38)
    match kind:
        case "ut":
            return make_object("ut", bits=draw(maybe(bits)), paddr=draw(maybe(WORDS)))
        case "cnode":
            return make_object("cnode", bits=draw(st.integers(1, 20)))
        case "frame":
            fill = st.tuples(st.sampled_from(['0 4096 CDL_FrameFill_FileData "a" 0', "0 16 CDL_FrameFill_BootInfo"]))
            return make_object(
                "frame", size=draw(st.sampled_from([12, 21, 30])), paddr=draw(maybe(WORDS)), fill=draw(maybe(fill))
            )
        case "sc":
            times = {name: draw(maybe(WORDS)) for name in ("period", "budget", "data")}
            return make_object("sc", bits=draw(maybe(bits)), **times)
        case "tcb":
            numbers = {name: draw(maybe(WORDS)) for name in ("addr", "ip", "sp", "prio", "max_prio", "affinity", "dom")}
            truths = {name: draw(maybe(st.booleans())) for name in ("resume", "fpu_disabled")}
            init = draw(maybe(st.lists(WORDS, max_size=3).map(tuple)))
            return make_object("tcb", **numbers, **truths, init=init, fault_ep=draw(maybe(WORDS)))
        case "asid_pool":
            return make_object("asid_pool", asid_high=draw(maybe(st.integers(0, 127))))
        case _:
            return make_object(kind)


@st.composite
def specs(draw: st.DrawFn) -> Spec:
    spec = Spec()
    for name in draw(st.lists(NAMES, unique=True, max_size=12)):
        thing = draw(objects(draw(st.sampled_from(KINDS))))
        size = draw(st.none() | st.integers(1, 3))
        for member in [name] if size is None else [f"{name}[{n}]" for n in range(size)]:
            spec.objects[member] = thing
    names = list(spec.objects)
    containers = [name for name in names if spec.objects[name].kind in CONTAINERS]
    for _ in range(draw(st.integers(0, 16)) if containers else 0):
        owner = draw(st.sampled_from(containers))
        is_tcb = spec.objects[owner].kind == "tcb"
        number = draw(st.sampled_from(list(TCB_SLOT_NAMES)) if is_tcb else st.integers(0, 2000))
        target = draw(st.sampled_from([*names, *sorted(SPECIAL)]))
        spec.slots[owner, number] = draw(caps(spec, target, containers))
    slots = list(spec.slots)
    for child in draw(st.lists(st.sampled_from(slots), unique=True)) if slots else []:
        spec.cdt[child] = draw(st.sampled_from(slots))
    untypeds = [name for name in names if spec.objects[name].kind == "ut"]
    for name in draw(st.lists(st.sampled_from(names), unique=True)) if untypeds else []:
        spec.covers[name] = draw(st.sampled_from(untypeds))
    for name in [name for name in names if spec.objects[name].kind == "irq"]:
        spec.irqs[draw(st.integers(0, 200))] = name
    if draw(st.booleans()):
        schedule = draw(st.lists(st.tuples(st.integers(0, 15), WORDS), max_size=4))
        spec.domains = Domains(tuple(schedule), draw(st.none() | st.integers(0, 3)), draw(st.integers(0, 3)))
    return spec


@st.composite
def caps(draw: st.DrawFn, spec: Spec, target: str, containers: list[str]) -> Cap:
    known = CAP_PARAMETERS[spec.kind_of(target)]
    rights = st.integers(0, 7 if spec.kind_of(target) == "frame" else 15)
    return Cap(
        target,
        rights=draw(rights) if "rights" in known else 0,
        badge=draw(WORDS) if "badge" in known else 0,
        guard=draw(WORDS) if "guard" in known else 0,
        guard_size=draw(st.integers(0, 63)) if "guard_size" in known else 0,
        uncached=draw(st.booleans()) if "uncached" in known else False,
        asid=draw(st.none() | st.tuples(WORDS, WORDS)) if "asid" in known else None,
        mapping=draw(st.none() | st.tuples(st.sampled_from(containers), st.integers(0, 511)))
        if "mapping" in known else None,
        core=draw(st.integers(0, 3)) if "core" in known else 0,
    )  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(specs())
def test_reading_a_normalised_text_gives_back_what_it_was_made_from(spec: Spec) -> None:
    text = show(spec)
    again = parse(text)
    assert again == spec
    assert show(again) == text


@settings(max_examples=70, deadline=None)
@given(specs(), st.randoms(use_true_random=False))
def test_any_damage_is_either_read_or_refused_with_a_place(spec: Spec, random: Random) -> None:
    text = show(spec)
    at = random.randrange(len(text))
    damaged = text[:at] + random.choice(["", "}", "{", "(", " x ", "7", "=", "\0", "--", "/*"]) + text[at + 1 :]
    problems: tuple[Diagnostic, ...] = ()
    try:
        again = parse(damaged, "a.cdl")
    except DescriptionError as error:
        problems = error.diagnostics
    if problems:
        assert all(re.match(r"a\.cdl:\d+:\d+: ", str(problem)) for problem in problems)
    else:
        assert parse(show(again)) == again


def odd(spec: Spec, random: Random) -> Spec:
    """Arrays with members that differ or are missing, which no text says."""
    for name in [name for name in spec.objects if "[" in name]:
        if spec.objects[name].kind == "tcb":
            spec.objects[name] = make_object("tcb", **dict(spec.objects[name].params) | {"prio": random.randrange(3)})
    free = [name for name in spec.objects if name not in referred(spec)]
    for name in random.sample(free, min(2, len(free))):
        del spec.objects[name]
    return spec


def referred(spec: Spec) -> set[str]:
    mapped = {cap.mapping[0] for cap in spec.slots.values() if cap.mapping is not None}
    held = {name for (owner, _), cap in spec.slots.items() for name in (owner, cap.object)}
    return mapped | held | set(spec.covers) | set(spec.covers.values()) | set(spec.irqs.values())


@settings(max_examples=70, deadline=None)
@given(specs(), st.randoms(use_true_random=False))
def test_arrays_with_different_members_lose_nothing(spec: Spec, random: Random) -> None:
    spec = odd(spec, random)
    again = parse(show(spec))
    assert again == plain(spec)
    assert plain(again) == again
    assert show(again) == show(spec)
    assert (len(again.objects), len(again.slots), len(again.cdt)) == (len(spec.objects), len(spec.slots), len(spec.cdt))


def test_what_differs_in_a_member_has_another_text() -> None:
    one, two = (
        Spec({"t[0]": make_object("tcb", prio=1), "t[1]": make_object("tcb", prio=prio), "t_1": make_object("ep")})
        for prio in (2, 3)
    )
    assert show(one) != show(two)
    assert parse(show(two)).objects["t_1_"].get("prio") == 3
    assert parse(show(two)).objects["t_1"].kind == "ep"


VOCABULARY = """
arch riscv objects caps cdt irq maps domains schedule { } ( ) [ ] , ; : = / < > - .. -- /* */ 0 1 2 07 0x1f 63 64
99999999999999999999999 ut cnode tcb ep notification rtreply sc frame pt asid_pool irq_control domain sched_control
asid_control a b c a.b bits 4k 2M paddr size fill prio init guard badge mapping asid masked RW RX child_of cspace
core uncached resume True irq_table no_start " $
"""
TOKENS = st.sampled_from([*VOCABULARY.split(), "\n"])
SHAPES = st.sampled_from(
    ["a = ut { b }", "a[3] = ut", "a[1] = ut { b[] }", "b[2] = ep", "c = cnode (4 bits)", "c { 1: b[] }", "c { x = a }",
     "c { <x> (masked: R) }", "(c, 1) { (c, 2) }", "objects {", "} caps {", "} cdt {", "} irq maps {", "x = (c, 1)"]
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(TOKENS | SHAPES, max_size=40), st.booleans())
def test_any_words_are_either_read_or_refused(words: list[str], is_started: bool) -> None:
    read_or_refused(" ".join([*(["arch riscv objects {"] if is_started else []), *words]))


@settings(max_examples=70, deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_either_read_or_refused(text: str) -> None:
    read_or_refused(text)
    read_or_refused("arch riscv " + text)


def read_or_refused(text: str) -> None:
    try:
        spec = parse(text, "a.cdl")
    except DescriptionError:
        return
    assert all(re.match(r"a\.cdl:\d+:\d+: ", problem) for problem in impossible(spec))
    assert plain(spec) is spec
    assert parse(show(spec)) == spec


# What texts mean


def test_arrays_ranges_and_following_slots() -> None:
    spec = parse("""
        arch riscv
        objects { e[5] = ep  n = notification  c = cnode (6 bits) }
        caps { c { 0x3: e[1..2, 4] (RW)  n (W, badge: 7);  20: e[] } }
    """)
    held = spec.slots_in("c")
    assert [(slot, cap.object) for slot, cap in held.items()] == [
        (3, "e[1]"), (4, "e[2]"), (5, "e[4]"), (6, "n"), *[(20 + n, f"e[{n}]") for n in range(5)],
    ]  # fmt: skip
    assert held[3].rights == rt.READ_WRITE
    assert (held[6].rights, held[6].badge) == (rt.WRITE, 7)


def test_nested_untypeds_and_qualified_names_say_what_lies_where() -> None:
    spec = parse("""
        arch riscv
        objects {
          m = ut (20 bits, paddr: 0x80000000) { t = tcb, inner = ut (12 bits) { e } other }
          e = ep   other = ep
          outer/middle/deep[2] = notification
        }
    """)
    assert spec.covers == {
        "t": "m", "inner": "m", "other": "m", "e": "inner", "middle": "outer", "deep[0]": "middle", "deep[1]": "middle",
    }  # fmt: skip
    assert spec.objects["outer"].kind == "ut"


def test_named_slots_copies_and_parents() -> None:
    spec = parse("""
        arch riscv
        objects { e = ep  a = cnode (4 bits)  b = cnode (4 bits)  t = tcb }
        caps {
          a { 1: first = e (RWGP, badge: 3) }
          b { 1: <first> (masked: RG)  2: <root> - child_of first  3: e (R) - child_of (a, 1) }
          root = (t, cspace)
          t { cspace: b (guard_size: 60) }
        }
        cdt { (a, 1) { (b, 1) { (t, cspace) } } }
    """)
    assert spec.slots["b", 1] == Cap("e", rights=rt.READ | rt.GRANT, badge=3)
    assert spec.slots["b", 2] == Cap("b", guard_size=60)
    assert spec.cdt == {("b", 2): ("a", 1), ("b", 3): ("a", 1), ("b", 1): ("a", 1), ("t", 0): ("b", 1)}


def test_threads_time_interrupts_and_domains() -> None:
    spec = parse("""
        arch riscv
        objects {
          t = tcb (addr: 0x1000, ip: 0x2000, prio: 5, init: [1, 0x2], resume: False)
          s = sc (8 bits, period: 100, budget: 50, data: 9)   i[2] = irq   n = notification  c = cnode (4 bits)
        }
        caps { t { sc_slot: s  bound_notification: n }  i[1] { 0: n (badge: 1) }  c { 5: sched_control (core: 0) } }
        irq maps { 33: i[] }
        domains { schedule: [(0, 10), (1, 20)]  domain_set_start: no_start  index_shift: 1 }
    """)
    assert dict(spec.objects["t"].params)["init"] == (1, 2)
    assert spec.objects["t"].get("resume") is False
    assert spec.irqs == {33: "i[0]", 34: "i[1]"}
    assert spec.domains == Domains(((0, 10), (1, 20)), None, 1)


def test_comments_and_numbers() -> None:
    text = "arch riscv /* a /* nested */ one */ objects { -- c = ep\n c = cnode (010 bits) d = cnode (0o10 bits) }"
    spec = parse(text)
    # As the field's own tool reads it, a leading zero means nothing.
    assert [spec.objects[name].get("bits") for name in "cd"] == [10, 8]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("arch arm11 objects { }", "x.cdl:1:6: architecture arm11 (expected riscv: this kernel knows no other)"),
        ("arch riscv\nobjects {\n e = endpoint }", "x.cdl:3:6: unknown object type endpoint"),
        ("arch riscv objects { e = ep (4 bits) }", "x.cdl:1:30: a ep has no parameter bits"),
        ("arch riscv objects { f = frame (3k) }", "no frame has 3k (expected 4k, 2M or 1024M)"),
        ("arch riscv objects { c = cnode }", "a cnode without bits"),
        ("arch riscv objects { e = ep e = ep }", "x.cdl:1:29: e is declared twice"),
        ("arch riscv objects { e = ep } caps { e { 0: e } }", "a ep has no slots"),
        ("arch riscv objects { c = cnode (2 bits) } caps { c { 1: d } }", "x.cdl:1:57: unknown object d"),
        ("arch riscv objects { c = cnode (2 bits) } caps { c { 1: <d> } }", "no slot has the name d"),
        ("arch riscv objects { e[2] = ep c = cnode (2 bits) } caps { c { 1: e[1..4] } }", "e has no members 1..4"),
        ("arch riscv objects { c = cnode (2 bits) t = tcb } caps { c { 1: t (RW) } }", "a cap to a tcb has no rights"),
        ("arch riscv objects { c = cnode (2 bits) } caps { c { 1: c 1: c (guard: 1) } }", "0x1 of c is filled twice"),
        ("arch riscv objects { t = tcb } caps { t { stack: t } }", "x.cdl:1:43: unknown slot stack"),
        ("arch riscv /* objects", "x.cdl:1:12: a comment that does not end"),
        ("arch riscv objects { e = ep (paddr: 0x10000000000000000) }", "is too large"),
        ("arch riscv objects { e = ep } caps { e { 184467440737095516160: e } }", "is too large"),
        ("arch riscv objects { c = cnode (" + 9000 * "1" + " bits) }", "is too large"),
        ("arch riscv objects { c = cnode (100000000000000 bits) }", "x.cdl:1:33: 2**100000000000000 is more than"),
        ("arch riscv objects { u = ut (64 bits) }", "more than there can be (expected at most 63 bits)"),
        ("arch riscv objects { domain/x = ep }", "x.cdl:1:22: domain is the name of a special cap (another name)"),
        ("arch riscv objects { domain = ep }", "x.cdl:1:22: domain is the name of a special cap"),
        ("arch riscv objects { c = cnode (2 bits) } caps { c { domain[1] } }", "domain is no array"),
        ("arch riscv objects { u[2] = ut u[0] = ut (8 bits) }", "x.cdl:1:32: parameters of only u[0]"),
        ("arch riscv objects { u[2] = ut u[0] = ut (8 bits) { e } e = ep }", "x.cdl:1:32: parameters of only u[0]"),
        ("arch riscv objects { u = ut (8 bits) u = ut (9 bits) }", "u is declared again with other parameters"),
        ("arch riscv objects { u[2] = ut u[2] = ut }", "u has no members 2..2"),
        ("arch riscv objects { e[2] = ep e[0] = ut }", "e[0] is declared twice"),
        ("arch riscv objects { u[2] = ut u = ut }", "u is declared twice"),
        ("arch riscv objects { " + 3000 * "u = ut {" + 3001 * "}", "more than 100 blocks inside each other"),
        ("arch riscv objects { } cdt { " + 3000 * "(a, 1) {" + 3001 * "}", "more than 100 blocks inside each other"),
        ("arch riscv objects { e[1048577] = ep }", "x.cdl:1:22: e has too many members"),
        ("arch riscv objects { e[1048576] = ep f[1] = ep }", "x.cdl:1:38: there are too many objects"),
        (
            "arch riscv objects { c = cnode (2 bits) } caps { c { <a> (masked: R) a = c } }",
            "a cap to a cnode has no rights",
        ),
        ("arch riscv objects { $ }", "x.cdl:1:22: unexpected '$' (expected a name)"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, problem: str) -> None:
    with pytest.raises(DescriptionError) as refused:
        parse(text, "x.cdl")
    assert problem in str(refused.value)


def test_what_can_be_said_but_cannot_be() -> None:
    spec = parse("""
        arch riscv
        objects { c = cnode (2 bits) d = cnode (60 bits) u = ut { u } }
        caps { c { 9: c (guard: 2, guard_size: 1)  1: d (guard_size: 8) } }
        cdt { (c, 9) { (c, 9) (c, 2) } }
    """)
    found = "\n".join(impossible(spec))
    assert found.startswith("<text>:3:")
    for part in (
        "no slot 0x9",
        "d cannot have 60 bits",
        "names slot 0x2 of c",
        "derived from itself",
        "guard 0x2",
        "lies in itself",
    ):
        assert part in found


def test_a_member_of_an_array_of_untypeds_lies_somewhere_alone() -> None:
    spec = parse("arch riscv objects { u[3] = ut e = ep m = ut { u[1] = ut { e } } }")
    assert spec.covers == {"u[1]": "m", "e": "u[1]"}


def test_an_untyped_declared_again_keeps_what_was_said() -> None:
    spec = parse("arch riscv objects { u = ut (12 bits) { e } e = ep u = ut (12 bits, paddr: 0x1000) { f } f = ep }")
    assert dict(spec.objects["u"].params) == {"bits": 12, "paddr": 0x1000}
    assert spec.covers == {"e": "u", "f": "u"}


def test_copies_of_copies_in_any_order() -> None:
    count = 2000
    copies = " ".join(f"{n}: n{n} = <n{n + 1}>" for n in range(count))
    spec = parse(
        f"arch riscv objects {{ c = cnode (12 bits) e = ep }} caps {{ c {{ {copies} {count}: n{count} = e (RW) }} }}"
    )
    assert set(spec.slots.values()) == {Cap("e", rights=rt.READ_WRITE)}
    assert len(spec.slots) == count + 1


def test_reading_takes_time_in_proportion() -> None:
    """So many members took minutes when each looked at all of them."""
    count, begin = 10_000, process_time()
    copies = "c { 0x8000: <x[]> }"
    objects = f"e[{count}] = ep c = cnode (16 bits) d[{count}] = cnode (1 bits)"
    spec = parse(f"arch riscv objects {{ {objects} }} caps {{ c {{ 0: x[] = e[] }} {copies} d[] {{ 0: e[7] }} }}")
    assert parse(show(spec)) == spec
    assert len(spec.slots) == 3 * count
    assert impossible(spec) == []
    assert process_time() - begin < 30
