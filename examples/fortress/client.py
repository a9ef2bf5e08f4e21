"""What a client of the fortress does: ask policy for a cap, use it with the key-value server."""

from capkernel.user.loop import PD
from capkernel.user.syscalls import Message

from .words import CNODE_DEPTH, GET, OK, OWN_CNODE, PUT, REQUEST, key_word, text_words, words_text

POLICY = 1
"""The channel to the policy server."""
FIRST_LEASE = 310
"""The cap for namespace n goes to slot 310 + n."""


async def ask(pd: PD, namespace: int, rights: int) -> bool:
    """Ask for a cap; whether it came."""
    await pd.sys.set_receive_slot(OWN_CNODE, FIRST_LEASE + namespace, CNODE_DEPTH)
    answer = await pd.ppcall(POLICY, Message(REQUEST, [namespace, rights]))
    return answer.label == OK and answer.extra_caps == 1


async def put(pd: PD, namespace: int, key: str, text: str) -> int:
    """Write an entry; the server's answer."""
    message = Message(PUT, [namespace, key_word(key), *text_words(text)])
    return (await pd.sys.call(FIRST_LEASE + namespace, message)).label


async def get(pd: PD, namespace: int, key: str) -> str | None:
    """Read an entry; None if the server does not give it."""
    answer = await pd.sys.call(FIRST_LEASE + namespace, Message(GET, [namespace, key_word(key)]))
    return words_text(answer.words) if answer.label == OK else None
