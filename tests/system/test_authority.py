"""Authority graph, take-grant closure, information flow, and findings."""

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from capkernel.abi import rights as rt
from capkernel.system.authority import Right, authority_of, pd_node
from capkernel.system.board import find_board
from capkernel.system.builder import SystemBuilder
from capkernel.system.closure import Closure, Query
from capkernel.system.findings import findings
from capkernel.system.grants import Grant, GrantKind
from capkernel.system.render import rows, to_dot, to_mermaid
from capkernel.system.takegrant import Fact

UART = 0x1000_0000
CNODE, ENDPOINT = GrantKind.CNODE, GrantKind.ENDPOINT


def pds(system, *names, **attributes):
    return [
        system.protection_domain(name, program=f"{name}.elf", priority=rank + 1, **attributes)
        for rank, name in enumerate(names)
    ]


def grant(pd, kind, of="", slot=266, **attributes):
    return Grant(pd=pd, kind=kind, of=of, slot=slot, **attributes)


def ask(system, subject, object, query, *grants):
    graph = authority_of(system.build(), grants)
    return Closure(graph).may(graph.find(subject), graph.find(object), Query(query))


def edges(system):
    graph = authority_of(system.build())
    return {(str(e.subject), e.right.value, str(e.object)) for e in graph.edges}


def rules_found(system):
    return {finding.rule for finding in findings(authority_of(system.build()))}


def test_edges_of_memory_channels_and_devices():
    system = SystemBuilder()
    low, high = pds(system, "low", "high")
    low.map(system.memory_region("shared", size=0x1000), vaddr=0x1000, perms="rx")
    high.map(system.memory_region("uart", size=0x1000, phys_addr=UART), vaddr=0x1000, cached=False)
    high.irq(irq=10)
    system.channel(low, high, pp="a", notify="b")
    assert edges(system) == {
        ("low", "read", "shared"),
        ("low", "execute", "shared"),
        ("high", "read", "uart"),
        ("high", "write", "uart"),
        ("high", "acknowledge", "irq:10"),
        ("irq:10", "signal", "high"),
        ("low", "call", "high"),
        ("high", "notify", "low"),
    }
    graph = authority_of(system.build())
    assert graph.find("uart").full_name == "device:uart"
    assert graph.find("region:shared").name == "shared"
    assert len(rows(graph)) == 6


def test_rendering_escapes_names():
    system = SystemBuilder()
    a, b = pds(system, 'say "a"', "b#\\")
    system.channel(a, b)
    graph = authority_of(system.build())
    assert r'"pd:say \"a\"" -> "pd:b#\\"' in to_dot(graph)
    assert '["say #quot;a#quot;"]' in to_mermaid(graph)


def test_names_are_looked_up_or_listed():
    system = SystemBuilder()
    (pd,) = pds(system, "same")
    pd.map(system.memory_region("same", size=0x1000), vaddr=0)
    graph = authority_of(system.build())
    with pytest.raises(LookupError, match="pd:same or region:same"):
        graph.find("same")
    with pytest.raises(LookupError, match="there is: same, same"):
        graph.find("other")


def test_a_parent_takes_what_its_child_may():
    system = SystemBuilder()
    (top,) = pds(system, "top")
    middle = top.child("middle", id=1, program="m.elf")
    leaf = middle.child("leaf", id=1, program="l.elf")
    leaf.map(system.memory_region("secret", size=0x1000), vaddr=0, perms="r")
    answer = ask(system, "top", "secret", "read")
    assert answer.yes
    assert answer.rules == ("given", "take")
    assert [step.text for step in answer.steps if step.rule == "take"][-1] == ("so top may read secret")
    assert not ask(system, "top", "secret", "write").yes
    assert not ask(system, "leaf", "top", "write").yes
    assert ask(system, "leaf", "middle", "obtain").rules == ("given",)


def test_a_shared_tcb_cap_is_control():
    system = SystemBuilder()
    a, b, c = pds(system, "a", "b", "c")
    a.cap("tcb", b, 1)
    system.channel(b, c, pp="a", notify="")
    assert ask(system, "a", "c", "call").rules == ("given", "take")
    assert ask(system, "a", "b", "write").yes
    assert not ask(system, "c", "b", "call").yes


def test_messages_spread_caps_only_with_the_right_and_to_one_who_can_store_them():
    system = SystemBuilder()
    a, b, c = pds(system, "a", "b", "c")
    system.channel(a, b, pp="a", notify="")
    system.channel(a, c, notify="a")
    node_b, node_c = pd_node("b"), pd_node("c")
    own, message = grant("b", CNODE, "b"), grant("a", ENDPOINT, "b", slot=267)
    without = [(), (own,), (message,), (own, evolve(message, rights=rt.WRITE | rt.GRANT_REPLY))]
    for grants in without:
        assert not Closure(authority_of(system.build(), grants)).may(node_b, node_c, Query.NOTIFY).yes
    answer = Closure(authority_of(system.build(), (own, message))).may(node_b, node_c, Query.NOTIFY)
    assert answer.rules == ("given", "grant")
    assert [step.text for step in answer.steps if "cspace" in step.text] == [
        "b may cspace b: granted cnode in slot 266"
    ]


def test_a_reply_carries_caps_to_a_caller_that_can_store_them():
    system = SystemBuilder()
    a, b, c = pds(system, "a", "b", "c")
    system.channel(a, b, pp="a", notify="")
    system.channel(b, c, notify="a")
    b.map(system.memory_region("memory", size=0x1000), vaddr=0)
    assert not ask(system, "a", "c", "notify").yes
    own = grant("a", CNODE, "a")
    assert ask(system, "a", "c", "notify", own).rules == ("given", "reply")
    assert not ask(system, "a", "memory", "read", own).yes


@pytest.mark.parametrize(
    ("subject", "object", "expected"),
    [
        ("sender", "receiver", True),
        ("receiver", "sender", False),
        ("sender", "reader", True),
        ("reader", "receiver", False),
        ("client", "reader", True),
        ("receiver", "client", False),
        ("receiver", "receiver", True),
        ("loner", "reader", False),
    ],
)
def test_influence_follows_information(subject, object, expected):
    system = SystemBuilder()
    client, sender, receiver, reader, _ = pds(system, "client", "sender", "receiver", "reader", "loner")
    memory = system.memory_region("memory", size=0x1000)
    sender.map(memory, vaddr=0, perms="rw")
    reader.map(memory, vaddr=0, perms="r")
    system.channel(sender, receiver, notify="a")
    system.channel(client, sender, pp="a", notify="")
    assert ask(system, subject, object, "influence").yes is expected


def test_influence_names_its_path():
    system = SystemBuilder()
    a, b, c = pds(system, "a", "b", "c")
    memory = system.memory_region("memory", size=0x1000)
    a.map(memory, vaddr=0)
    b.map(memory, vaddr=0, perms="r")
    system.channel(b, c, notify="a")
    answer = ask(system, "a", "c", "influence")
    assert answer.rules == ("write", "read", "notify")
    assert [str(step.edge.object) for step in answer.steps] == ["memory", "memory", "c"]


def test_dma_is_authority_of_the_device():
    system = SystemBuilder(board=find_board("x86_64_generic"))
    (pd,) = pds(system, "driver")
    memory = system.memory_region("ring", size=0x1000)
    pd.map(memory, vaddr=0, perms="r")
    space = system.io_address_space("nic", peripheral_id="0:1.0", domain_id=1)
    space.iomap(memory, iovaddr=0)
    assert ask(system, "iospace:nic", "ring", "write").yes
    assert ask(system, "nic", "driver", "influence").yes


FINDINGS = {}


def finding(function):
    FINDINGS[function.__name__.replace("_", "-")] = function
    return function


@finding
def write_and_execute(system, a, b, memory):
    a.map(memory, vaddr=0, perms="rwx")


@finding
def write_and_execute_between(system, a, b, memory):
    a.map(memory, vaddr=0, perms="rw")
    b.map(memory, vaddr=0, perms="rx")
    return "write-and-execute"


@finding
def useless_map(system, a, b, memory):
    a.map(memory, vaddr=0, perms="")


@finding
def unused_region(system, a, b, memory):
    system.memory_region("spare", size=0x1000)


@finding
def unused_channel(system, a, b, memory):
    system.channel(a, b, notify="")


@finding
def unexpected_sharing(system, a, b, memory):
    a.map(memory, vaddr=0)
    b.map(memory, vaddr=0)


@finding
def unexpected_sharing_of_a_device(system, a, b, memory):
    uart = system.memory_region("uart", size=0x1000, phys_addr=UART)
    a.map(uart, vaddr=0, cached=False)
    b.map(uart, vaddr=0, cached=False)
    return "unexpected-sharing"


@finding
def cached_device(system, a, b, memory):
    a.map(system.memory_region("uart", size=0x1000, phys_addr=UART), vaddr=0)


@finding
def shared_control(system, a, b, memory):
    a.cap("tcb", b, 1)


@finding
def unreachable(system, a, b, memory):
    system.protection_domain("c", program="c.elf", passive=True)


@finding
def no_budget(system, a, b, memory):
    system.protection_domain("c", program="c.elf", budget=0)


@finding
def ineffective(system, a, b, memory):
    a.cap("sc", b, 64)


@pytest.mark.parametrize("name", FINDINGS)
def test_findings(name):
    system = SystemBuilder()
    a, b = pds(system, "a", "b")
    rule = FINDINGS[name](system, a, b, system.memory_region("memory", size=0x1000)) or name
    assert rule in rules_found(system)


def test_domains_that_never_run():
    system = SystemBuilder()
    pds(system, "a", domain="idle")
    system.domains({"idle": None, "work": None, "spare": None}, [("work", "1 us")])
    assert rules_found(system) == {"never-scheduled", "unused-domain"}


def test_an_orderly_system_has_no_findings():
    system = SystemBuilder()
    client, server = pds(system, "client", "server")
    memory = system.memory_region("memory", size=0x1000)
    client.map(memory, vaddr=0)
    server.map(memory, vaddr=0)
    server.map(system.memory_region("uart", size=0x1000, phys_addr=UART), vaddr=0x1000, cached=False)
    system.channel(client, server, pp="a")
    assert rules_found(system) == set()


@st.composite
def random_graphs(draw):
    """Systems of six protection domains with random caps on each other."""
    system = SystemBuilder()
    members = pds(system, *"abcdef")
    memory = system.memory_region("memory", size=0x1000)
    members[5].map(memory, vaddr=0, perms="r")
    pairs = st.tuples(st.integers(0, 5), st.integers(0, 5)).filter(lambda p: p[0] != p[1])
    for slot, (holder, other) in enumerate(draw(st.lists(pairs, max_size=6)), start=1):
        members[holder].cap("tcb", members[other], slot)
    for low, high in draw(st.lists(pairs, max_size=4)):
        system.channel(members[min(low, high)], members[max(low, high)], pp="a", notify="")
    return authority_of(system.build())


@settings(max_examples=60, deadline=None)
@given(random_graphs())
def test_closure_equals_reachability_over_control(graph):
    """Without receivers, A may read exactly when a chain of control leads to a reader."""
    control = {(e.subject, e.object) for e in graph.edges if e.right is Right.CONTROL}
    for start in (node for node in graph.nodes if node.kind.value == "pd"):
        reached, frontier = {start}, [start]
        while frontier:
            node = frontier.pop()
            new = [b for a, b in control if a == node and b not in reached]
            reached.update(new)
            frontier += new
        expected = pd_node("f") in reached
        answer = Closure(graph).may(start, graph.find("memory"), Query.READ)
        assert answer.yes is expected


@st.composite
def random_grants(draw):
    """Grants of every kind among the domains of ``random_graphs``."""
    rights = st.sampled_from([rt.READ, rt.WRITE, rt.READ_WRITE, rt.WRITE | rt.GRANT_REPLY, rt.ALL])
    names = st.sampled_from("abcdef")
    grants = []
    for slot in range(266, 266 + draw(st.integers(0, 6))):
        kind = draw(st.sampled_from(GrantKind))
        of = "memory" if kind is GrantKind.FRAME else draw(names)
        grants.append(grant(draw(names), kind, of, slot, rights=draw(rights) | rt.READ * (kind is GrantKind.FRAME)))
    return tuple(grants)


@settings(max_examples=60, deadline=None)
@given(random_graphs(), random_grants())
def test_more_edges_never_take_authority_away(graph, grants):
    """The closure is monotone, and every right of a domain over another also is an influence."""
    whole = authority_of(graph.system, grants)
    fewer = Closure(evolve(whole, edges=whole.edges[:-1])).facts
    closure = Closure(whole)
    assert set(fewer) <= set(closure.facts)
    assert set(Closure(evolve(graph, edges=graph.edges[:1])).facts) <= set(Closure(graph).facts)
    for fact in closure.facts:
        assert closure.may(fact.subject, fact.object, Query.OBTAIN).yes
        reads = fact.right in (Right.READ, Right.EXECUTE, Right.FRAME_READ, Right.RECEIVE, Right.WAIT, Right.SCHEDULE)
        if not reads:
            assert closure.may(fact.subject, fact.object, Query.INFLUENCE).yes, str(fact)
        if reads or fact.right in (Right.CONTROL, Right.CALL, Right.CSPACE, Right.FAULT):
            assert closure.may(fact.object, fact.subject, Query.INFLUENCE).yes, str(fact)


@settings(max_examples=60, deadline=None)
@given(random_graphs(), random_grants())
def test_the_closure_is_closed(graph, grants):
    """A second look at every pair of facts finds nothing that the first overlooked."""
    closed = Closure(authority_of(graph.system, grants)).facts
    receivers = {fact.subject for fact in closed if fact.right is Right.CSPACE}
    memory = {Right.READ, Right.WRITE, Right.EXECUTE}
    for first in closed:
        for second in closed:
            caps = second.right not in memory | {Right.FAULT, Right.SIGNAL}
            gains = []
            if second.subject == first.object:
                takes = first.right is Right.CONTROL and second.object != first.subject
                copies = caps and (
                    first.right is Right.CSPACE or (first.right is Right.CALL and first.subject in receivers)
                )
                gains += [first.subject] if takes or copies else []
            if second.subject == first.subject and caps:
                places = first.right is Right.CSPACE or (first.right is Right.GRANT and first.object in receivers)
                gains += [first.object] if places else []
            for gainer in gains:
                assert Fact(gainer, second.right, second.object) in closed, (str(first), str(second))
