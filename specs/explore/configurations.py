"""The listed configurations."""

from specs.explore.model import BUDGET_ENDS, Configuration, Thread

CLIENT = ("Call ep0",)
SERVER = ("ReplyRecv ep0 reply0",)

CONFIGURATIONS: dict[str, Configuration] = {c.name: c for c in (
    Configuration(
        "rendezvous", "two senders and a receiver of equal priority at one endpoint",
        (Thread(("Send ep0", "NBSend ep0")), Thread(("Send ep0",)), Thread(("Recv ep0 reply0", "NBRecv ep0 reply0"))),
        (BUDGET_ENDS,),
    ),
    Configuration(
        "passive-server", "two clients of a passive server",
        (Thread(CLIENT), Thread(CLIENT), Thread(SERVER, serves=("ep0", "reply0"), passive=True)),
        (BUDGET_ENDS,), live=True,
    ),
    Configuration(
        "call-chain", "a client, a passive server, and a passive server of that",
        (Thread(CLIENT), Thread((*SERVER, "Call ep1"), 110, serves=("ep0", "reply0"), passive=True),
         Thread(("ReplyRecv ep1 reply1",), 120, serves=("ep1", "reply1"), passive=True)),
        (BUDGET_ENDS,), live=True,
    ),
)}  # fmt: skip
