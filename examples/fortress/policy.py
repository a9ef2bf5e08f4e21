"""The policy server: makes attenuated caps to the key-value server on request, and takes them back.

It knows its clients by channel, never by what they say. Each cap that it hands out stays in a slot of its own, so
that revoking that slot takes away the client's copy, and every copy of that.

It also reads and writes on a client's behalf. For this it looks at no rules at all: it uses a cap that carries the
*client's* rights, so the key-value server refuses what the client itself may not do. Nobody can talk it into using
its own authority.
"""

from capkernel.abi import rights as rt
from capkernel.user import stubs
from capkernel.user.loop import PD
from capkernel.user.syscalls import Message

from .words import (
    CNODE_DEPTH,
    DIARY,
    FETCH,
    GET,
    MALFORMED,
    NAMESPACE_NAMES,
    OK,
    OWN_CNODE,
    PUT,
    READ,
    READ_WRITE,
    REFUSED,
    RELEASE,
    REQUEST,
    SHARED,
    STORE,
    VAULT,
    badge_for,
    say,
)

KV = 300
"""The key-value server's endpoint, without a badge: only for minting."""
DEPUTY, LEASES = 320, 330
"""First slots: of the caps to act with for each client; of those handed out, 8 to a client."""
ALICE, BOB, MALLORY, PULSE = 1, 2, 3, 4
CLIENTS = {ALICE: "alice", BOB: "bob", MALLORY: "mallory"}
ENTITLED = {
    ALICE: {SHARED: READ_WRITE, DIARY: READ_WRITE, VAULT: READ_WRITE},
    BOB: {SHARED: READ},
    MALLORY: {SHARED: READ},
}
TERMS = {VAULT: 8}
"""Namespaces that are lent only for so many periods."""
terms = {}
"""Periods left, by (client, namespace)."""
leases = set()
"""The (client, namespace) for which a cap is out."""


async def init(pd: PD) -> None:
    for client in CLIENTS:
        await mint(pd, DEPUTY + client, badge_for(SHARED, ENTITLED[client][SHARED]))


async def protected(pd: PD, ch: int, msg: Message) -> Message:
    match msg.label, len(msg):
        case (label, 2) if label == REQUEST:
            return await lend(pd, ch, msg[0], msg[1])
        case (label, 1) if label == RELEASE and (ch, msg[0]) in leases:
            await take_back(pd, ch, msg[0])
            return Message(OK)
        case (label, _) if label in (FETCH, STORE):
            answer = await pd.sys.call(DEPUTY + ch, Message(GET if label == FETCH else PUT, msg.words))
            return Message(answer.label, answer.words)
    return Message(MALFORMED)


async def notified(pd: PD, ch: int) -> None:
    """A period is over, and with it perhaps a term."""
    for (client, namespace), left in list(terms.items()):
        terms[client, namespace] = left - 1
        if left == 1:
            await take_back(pd, client, namespace)
            await say(pd, f"{CLIENTS[client]}'s time in the {NAMESPACE_NAMES[namespace]} is over: cap revoked")


async def lend(pd: PD, client: int, namespace: int, rights: int) -> Message:
    """A cap for what the client asks for, if it is entitled to all of it."""
    entitled = ENTITLED[client].get(namespace, 0)
    if not rights or rights & ~entitled:
        return Message(REFUSED)
    if (client, namespace) in leases:
        await take_back(pd, client, namespace)
    slot = LEASES + 8 * client + namespace
    await mint(pd, slot, badge_for(namespace, rights))
    leases.add((client, namespace))
    if namespace in TERMS:
        terms[client, namespace] = TERMS[namespace]
    return Message(OK, caps=[slot])


async def take_back(pd: PD, client: int, namespace: int) -> None:
    """Revoke what was derived from our cap, which is the client's copy, then delete ours."""
    slot = LEASES + 8 * client + namespace
    await stubs.cnode_revoke(pd.sys, OWN_CNODE, index=slot, depth=CNODE_DEPTH)
    await stubs.cnode_delete(pd.sys, OWN_CNODE, index=slot, depth=CNODE_DEPTH)
    leases.discard((client, namespace))
    terms.pop((client, namespace), None)


async def mint(pd: PD, slot: int, badge: int) -> None:
    """A cap to the key-value server that can only be called, with a badge."""
    await stubs.cnode_mint(
        pd.sys, OWN_CNODE, dest_index=slot, dest_depth=CNODE_DEPTH, src_root=OWN_CNODE, src_index=KV,
        src_depth=CNODE_DEPTH, rights=rt.WRITE | rt.GRANT_REPLY, badge=badge,
    )  # fmt: skip
