"""The listed configurations: small systems, each about one thing that the protocol has to get right.

Objects have the names of ``specs.programs.SLOTS``. ``ep0_badged`` is a badged copy of ``ep0``; a notification is
signalled through ``ntfn0_badge1`` and ``ntfn0_badge2``. The device's line signals ``ntfn0``.
"""

from specs.explore.model import BUDGET_ENDS, INTERRUPT, PREEMPT, Configuration, Thread

SERVE = ("ReplyRecv ep0 reply0",)
"""A server that always answers."""
ENDS = (BUDGET_ENDS,)


def _client(*more: str, priority: int = 100, period: int = 1) -> Thread:
    return Thread(("Call ep0", *more), priority, period=period)


def _server(*more: str, priority: int = 100, passive: bool = True) -> Thread:
    """One that waits at ep0 with reply0."""
    return Thread((*SERVE, *more), priority, serves=("ep0", "reply0"), passive=passive)


_MESSAGES = (
    Configuration(
        "rendezvous", "two senders and a receiver of equal priority at one endpoint",
        (Thread(("Send ep0", "NBSend ep0")), Thread(("Send ep0",)), Thread(("Recv ep0 reply0", "NBRecv ep0 reply0"))),
        ENDS,
    ),
    Configuration(
        "two-endpoints", "two threads send and receive through two endpoints in any order",
        (Thread(("Send ep0", "Recv ep1 reply0")), Thread(("Recv ep0 reply1", "Send ep1"))), ENDS,
    ),
    Configuration(
        "priorities-at-a-queue", "senders of three priorities, which change while they wait",
        (Thread(("Send ep0", "SetPriority tcb1 90", "SetPriority tcb1 130"), 100),
         Thread(("Send ep0", "SetPriority tcb0 80"), 110),
         Thread(("Recv ep0 reply0", "SetPriority tcb0 140", "SetPriority tcb2 70"), 105)), ENDS,
    ),
    Configuration(
        "badged-sends", "senders by a badged and an unbadged cap; the badged ones are cancelled",
        (Thread(("Send ep0", "Call ep0")), Thread(("Send ep0_badged", "Call ep0_badged")),
         Thread(("CancelBadgedSends ep0_badged", "Recv ep0 reply0", "NBRecv ep0 reply0"))), ENDS,
    ),
    Configuration(
        "endpoint-goes", "the endpoint is revoked and deleted under senders and a receiver",
        (Thread(("Call ep0", "Send ep0_badged")), Thread(("Recv ep0 reply0", "ReplyRecv ep0 reply0")),
         Thread(("Revoke ep0", "Delete ep0", "Delete ep0_badged", "Yield"))), ENDS,
    ),
    Configuration(
        "no-reply-object", "receiving without a reply object: a caller stops for ever",
        (Thread(("Call ep0",)), Thread(("Wait ep0", "Poll ep0", "Recv ep0 reply0")),
         Thread(("Resume tcb0", "Send ep0"))), ENDS,
    ),
)
_SIGNALS = (
    Configuration(
        "signals", "two signallers and a waiter; signals are ORed together and never lost",
        (Thread(("Signal ntfn0_badge1",)), Thread(("Signal ntfn0_badge2", "Poll ntfn0")),
         Thread(("Wait ntfn0", "Poll ntfn0"))), ENDS,
    ),
    Configuration(
        "bound-notification", "a server receives messages and the signals of its bound notification",
        (Thread(("Signal ntfn0_badge1", "Call ep0")), Thread(("Send ep0", "Signal ntfn0_badge2")),
         Thread(("Recv ep0 reply0", "ReplyRecv ep0 reply0", "Poll ntfn0", "Wait ntfn0"), bound="ntfn0")), ENDS,
    ),
    Configuration(
        "binding-changes", "a notification is bound and unbound while threads wait and receive",
        (Thread(("Wait ntfn0", "Recv ep0 reply0")), Thread(("Signal ntfn0_badge1", "BindNotification tcb0 ntfn0")),
         Thread(("UnbindNotification tcb0", "BindNotification tcb0 ntfn0", "Send ep0"))), ENDS,
    ),
    Configuration(
        "notification-goes", "a notification is revoked and deleted under a waiter and a bound receiver",
        (Thread(("Wait ntfn0", "Poll ntfn0")), Thread(("Recv ep0 reply0", "Signal ntfn0_badge1"), bound="ntfn1"),
         Thread(("Revoke ntfn0", "Delete ntfn0", "Delete ntfn1", "Send ep0"))), ENDS,
    ),
    Configuration(
        "woken-on-lent-time", "a thread without time runs on the notification's context while it deals with a signal",
        (Thread(("Signal ntfn0_badge1", "Yield")), Thread(("Wait ntfn0", "Poll ntfn0", "Yield"), 110),
         Thread(("Poll ntfn0", "Wait ntfn0"), serves=("ntfn0", "reply0"), passive=True)), ENDS,
        lends=(("sc2", "ntfn0"),),
    ),
    Configuration(
        "lent-time-and-messages", "a passive server woken by its bound notification's time, and called by clients",
        (Thread(("Signal ntfn0_badge1", "Call ep0")), Thread(("Call ep0",)),
         Thread((*SERVE, "Recv ep0 reply0"), 110, serves=("ep0", "reply0"), passive=True, bound="ntfn0")), ENDS,
        lends=(("sc2", "ntfn0"),),
    ),
    Configuration(
        "interrupts", "a driver waits for interrupts and acknowledges them",
        (Thread(("Wait ntfn0", "Ack"), 120), Thread(("Signal ntfn0_badge2", "Poll ntfn0"))), (BUDGET_ENDS, INTERRUPT),
    ),
    Configuration(
        "interrupted-server", "a passive server's bound notification is signalled by a device",
        (_client("Ack"), Thread((*SERVE, "Ack", "Recv ep0 reply0"), 110, serves=("ep0", "reply0"), passive=True,
                                bound="ntfn0")), (BUDGET_ENDS, INTERRUPT), lends=(("sc1", "ntfn0"),),
    ),
)  # fmt: skip
_CALLS = (
    Configuration(
        "passive-server", "two clients of a passive server that always answers",
        (_client(), _client(), _server()), ENDS, live=True,
    ),
    Configuration(
        "active-server", "two clients of a server with time of its own",
        (_client(), _client(priority=90), _server("Yield", passive=False)), ENDS, live=True,
    ),
    Configuration(
        "urgent-client", "clients of three priorities and a passive server below them",
        (_client("Yield", priority=120), _client("Yield", priority=110), _server(priority=90)), ENDS, live=True,
    ),
    Configuration(
        "forgetful-server", "a passive server that may receive again without answering",
        (_client("Resume tcb1"), _client("Resume tcb0"), _server("Recv ep0 reply0", "Recv ep0 reply1", "Reply reply1")),
        ENDS,
    ),
    Configuration(
        "answers-later", "a server keeps one caller waiting while it serves the other",
        (_client(), _client(), _server("Recv ep0 reply1", "ReplyRecv ep0 reply1", "Reply reply0", "Reply reply1",
                                       priority=110)), ENDS,
    ),
    Configuration(
        "call-chain", "a client, a passive server, and a passive server of that",
        (_client(), Thread((*SERVE, "Call ep1"), 110, serves=("ep0", "reply0"), passive=True),
         Thread(("ReplyRecv ep1 reply1",), 120, serves=("ep1", "reply1"), passive=True)), ENDS, live=True,
    ),
    Configuration(
        "cut-chain", "a thread in the middle of a call chain is suspended and resumed",
        (_client("Suspend tcb1", "Resume tcb1"),
         Thread((*SERVE, "Call ep1", "Suspend tcb0"), 110, serves=("ep0", "reply0"), passive=True),
         Thread(("ReplyRecv ep1 reply1", "Suspend tcb1", "Suspend tcb0", "Resume tcb0"), 120, serves=("ep1", "reply1"),
                passive=True)), ENDS,
    ),
    Configuration(
        "broken-chain", "the reply objects of a call chain are deleted from either end",
        (_client("Delete reply0"), Thread((*SERVE, "Call ep1"), 110, serves=("ep0", "reply0"), passive=True),
         Thread(("ReplyRecv ep1 reply1", "Delete reply0", "Delete reply1"), 120, serves=("ep1", "reply1"),
                passive=True)), ENDS,
    ),
    Configuration(
        "passed-on", "a server sends what it was lent on to another, which answers the first caller",
        (_client("Send ep1"),
         Thread(("NBSendRecv ep1 ep0 reply1", *SERVE), 110, serves=("ep0", "reply0"), passive=True),
         Thread(("NBSendRecv reply0 ep1 reply2", "NBSendRecv reply1 ep1 reply2", "Recv ep1 reply2"), 120,
                serves=("ep1", "reply2"), passive=True)), ENDS,
    ),
    Configuration(
        "calls-each-other", "two threads with time call each other through two endpoints",
        (Thread(("Call ep0", "Recv ep1 reply0", "ReplyRecv ep1 reply0")),
         Thread(("Call ep1", "Recv ep0 reply1", "ReplyRecv ep0 reply1"))), ENDS,
    ),
    Configuration(
        "shared-reply", "two receivers use one reply object",
        (_client("Resume tcb1"), Thread(("Recv ep0 reply0", "Reply reply0", *SERVE)),
         Thread(("Recv ep0 reply0", *SERVE))), ENDS,
    ),
    Configuration(
        "send-to-passive", "a plain Send to a server without time leaves it without (issue 1616)",
        (Thread(("Send ep0", "Call ep0", "NBSend ep0")), _client("Send ep0"), _server("Recv ep0 reply0")), ENDS,
    ),
    Configuration(
        "send-and-wait", "a thread signals and waits in one system call",
        (Thread(("NBSendWait ntfn0_badge1 ntfn1", "Signal ntfn0_badge2")),
         Thread(("NBSendWait ntfn1 ntfn0", "Poll ntfn0")), Thread(("NBSendWait ep0 ntfn1", "Recv ep0 reply0"))), ENDS,
    ),
)  # fmt: skip
_FAULTS = (
    Configuration(
        "faults", "a thread faults; its handler answers, forgets it, or stops it",
        (Thread(("Fault", "Yield"), fault="ep1"),
         Thread(("Recv ep1 reply1", "ReplyRecv ep1 reply1", "Reply reply1", "Suspend tcb0", "Resume tcb0"))), ENDS,
    ),
    Configuration(
        "passive-handler", "a passive fault handler runs on the time of who faulted",
        (Thread(("Fault", "Call ep0"), fault="ep1"), Thread((*SERVE, "Fault"), 110, serves=("ep0", "reply0"),
                                                            passive=True, fault="ep1"),
         Thread(("ReplyRecv ep1 reply1", "Recv ep1 reply1"), 120, serves=("ep1", "reply1"), passive=True)), ENDS,
    ),
    Configuration(
        "handler-goes", "the handler's endpoint is revoked and deleted while faults are queued",
        (Thread(("Fault", "Delete ep0"), fault="ep1"),
         Thread(("Call ep0", "Recv ep1 reply1", "Resume tcb0"), fault="ep1"),
         Thread(("Revoke ep1", "Delete ep1", "Recv ep0 reply0"))), ENDS,
    ),
    Configuration(
        "timeouts", "a periodic client's budget ends while a passive server uses it; a handler is told",
        (Thread(("Call ep0",), 100, period=3, timeout="ep1"),
         Thread((*SERVE, "Yield"), 110, serves=("ep0", "reply0"), passive=True, timeout="ep1"),
         Thread(("ReplyRecv ep1 reply1", "Recv ep1 reply1", "Reply reply0"), 120, serves=("ep1", "reply1"))), ENDS,
    ),
    Configuration(
        "own-timeout", "periodic threads are told that their own budget ended",
        (Thread(("Yield", "Send ep0"), 100, period=2, timeout="ep1"),
         Thread(("Recv ep0 reply0", "Yield"), 90, period=4, timeout="ep1"),
         Thread(("ReplyRecv ep1 reply1", "Recv ep1 reply1", "Resume tcb0"), 80)), ENDS,
    ),
)  # fmt: skip
_TIME = (
    Configuration(
        "round-robin", "three threads of one priority take turns",
        (Thread(("Yield", "SetPriority tcb1 110", "SetPriority tcb1 100")), Thread(("Yield", "SetPriority tcb1 100")),
         Thread(("Yield",))), ENDS, live=True,
    ),
    Configuration(
        "periodic", "three periodic threads wait for their refills",
        (Thread(("Yield", "Wait ntfn0"), 120, period=3), Thread(("Yield", "Signal ntfn0_badge1"), 110, period=2),
         Thread(("Signal ntfn0_badge1", "Yield"), 100, period=4)), ENDS,
    ),
    Configuration(
        "periodic-clients", "periodic clients of a passive server: their budget may end in its hands",
        (_client("Yield", period=3), _client(priority=90, period=2), _server(priority=110)), ENDS, live=True,
    ),
    Configuration(
        "yield-to", "threads let each other's contexts run",
        (Thread(("YieldTo sc1", "YieldTo sc2", "Suspend tcb1", "Resume tcb1")), Thread(("YieldTo sc0", "Yield")),
         Thread(("YieldTo sc0", "YieldTo sc1"), 90)), ENDS,
    ),
    Configuration(
        "yield-to-and-calls", "a context that is yielded to has been lent to a server",
        (_client("YieldTo sc1", "YieldTo sc0"), _client("YieldTo sc0"), _server("YieldTo sc0", "YieldTo sc1")), ENDS,
    ),
    Configuration(
        "yielded-to-goes", "who is yielded to is unbound, suspended, deleted",
        (Thread(("YieldTo sc1", "Delete sc1", "Unbind sc1")), Thread(("YieldTo sc0", "Delete tcb0", "Unbind sc0")),
         Thread(("Delete sc1", "Delete tcb1", "Bind sc0 tcb0", "YieldTo sc1"))), ENDS,
    ),
    Configuration(
        "bind-and-unbind", "contexts are taken from threads and given to others",
        (Thread(("Unbind sc1", "Bind sc1 tcb1", "Bind sc1 tcb2")), Thread(("UnbindObject sc2 tcb2", "Bind sc2 tcb1",
                                                                            "Yield")),
         Thread(("Unbind sc0", "Bind sc0 tcb0", "Unbind sc1"))), ENDS,
    ),
    Configuration(
        "rebound-while-lent", "a caller whose time was lent is given other time, and answered",
        (_client("Unbind sc2", "Bind sc2 tcb0"),
         Thread(("Bind sc2 tcb0", "Unbind sc0", "Unbind sc2", "Bind sc0 tcb0"), 90),
         Thread((*SERVE, "Recv ep0 reply0", "Bind sc2 tcb0"), 110, serves=("ep0", "reply0"), passive=True)), ENDS,
    ),
    Configuration(
        "context-of-notification", "a context is bound to a notification and taken away while it is lent",
        (Thread(("Signal ntfn0_badge1", "Bind sc2 ntfn0", "UnbindObject sc2 ntfn0", "Unbind sc2")),
         Thread(("Signal ntfn0_badge2", "Bind sc2 tcb2")),
         Thread(("Wait ntfn0", "Poll ntfn0"), 110, serves=("ntfn0", "reply0"), passive=True)), ENDS,
        lends=(("sc2", "ntfn0"),),
    ),
)  # fmt: skip
_DESTRUCTION = (
    Configuration(
        "suspend-and-resume", "threads are stopped and started while they send, receive and wait for answers",
        (_client("Suspend tcb1"), Thread(("Recv ep0 reply0", *SERVE, "Suspend tcb0", "Resume tcb0")),
         Thread(("Suspend tcb0", "Resume tcb0", "Suspend tcb1", "Resume tcb1", "Call ep0"))), ENDS,
    ),
    Configuration(
        "client-goes", "a client is deleted while a passive server runs on its time",
        (_client(), _client("Delete tcb0", "Delete sc0"), _server("Delete tcb0", "Delete tcb1", "Delete sc0")), ENDS,
    ),
    Configuration(
        "server-goes", "a passive server is deleted, suspended or resumed with a caller's time",
        (_client("Delete tcb2", "Bind sc2 tcb0"), _client("Suspend tcb2", "Resume tcb2"),
         _server("Suspend tcb2", "Delete tcb2")), ENDS,
    ),
    Configuration(
        "reply-goes", "reply objects are deleted while callers wait and while servers receive",
        (_client("Delete reply0"), Thread(("Recv ep0 reply0", "Recv ep0 reply1", *SERVE, "Delete reply1")),
         Thread(("Delete reply0", "Delete reply1", "Call ep0"))), ENDS,
    ),
    Configuration(
        "context-goes", "contexts are deleted while they are lent, waited for, and used",
        (_client("Delete sc1"), _client("Delete sc0", priority=90), _server("Delete sc0", "Delete sc2")), ENDS,
    ),
    Configuration(
        "periodic-goes", "contexts and threads that wait for a refill are suspended, unbound, deleted",
        (Thread(("Yield", "Call ep0"), 110, period=3), Thread(("Yield", "Delete sc0", "Suspend tcb0", "Resume tcb0",
                                                                "Unbind sc0", "Bind sc0 tcb0"), 100, period=2),
         _server(priority=90)), ENDS,
    ),
    Configuration(
        "everything-goes", "any of two threads deletes any object of the other's",
        (_client("Delete tcb1", "Delete sc1", "Delete reply0", "Revoke ep0"),
         Thread((*SERVE, "Delete tcb0", "Delete sc0", "Delete ep0", "Delete ep0_badged"))), ENDS,
    ),
    Configuration(
        "interrupted-revoke", "a Revoke is interrupted at its first preemption point and made again",
        (Thread(("Revoke ep1", "Delete ep1", "Ack"), fault="ep1"),
         Thread(("Wait ntfn0", "Fault", "Ack"), 110, fault="ep1"),
         Thread(("Recv ep1 reply1", "Reply reply1", "Signal ntfn0_badge1"), 105)), (BUDGET_ENDS, PREEMPT),
    ),
    Configuration(
        "interrupted-delete", "the deletion of a thread is interrupted, and its driver runs in between",
        (Thread(("Delete tcb2", "Delete tcb0", "Ack")), Thread(("Wait ntfn0", "Delete tcb2", "Resume tcb2", "Ack",
                                                                  "Delete tcb0"), 110),
         Thread(("Call ep0", "Recv ep0 reply0", "Delete tcb2", "Yield"), fault="ep0", timeout="ep0")),
        (BUDGET_ENDS, PREEMPT, INTERRUPT),
    ),
)  # fmt: skip
_ANY_MESSAGE = ("Send ep0", "NBSend ep0", "Call ep0", "Recv ep0 reply0", "NBRecv ep0 reply0", "ReplyRecv ep0 reply0")
_WIDE = (
    Configuration(
        "any-message", "three threads do anything that can be done with one endpoint and three reply objects",
        (Thread(_ANY_MESSAGE), Thread(("Call ep0", "Send ep0", "Recv ep0 reply1", "ReplyRecv ep0 reply1")),
         Thread(("Call ep0", "Recv ep0 reply2", "ReplyRecv ep0 reply2", "Reply reply0", "Reply reply1"))), ENDS,
    ),
    Configuration(
        "any-message-of-priorities", "the same, of three priorities",
        (Thread(_ANY_MESSAGE, 100), Thread(("Call ep0", "Send ep0", "Recv ep0 reply1", "ReplyRecv ep0 reply1"), 110),
         Thread(("Call ep0", "Recv ep0 reply2", "ReplyRecv ep0 reply2", "Reply reply0", "Reply reply1"), 120)), ENDS,
    ),
    Configuration(
        "any-call", "calls through two endpoints in both directions, on time that may not be one's own",
        (Thread(("Call ep0", "Call ep1", "Recv ep0 reply0", "ReplyRecv ep0 reply0", "Reply reply1")),
         Thread(("Call ep0", "Call ep1", "Recv ep1 reply1", "ReplyRecv ep1 reply1", "Reply reply0"), period=2),
         Thread(("ReplyRecv ep0 reply2", "ReplyRecv ep1 reply2", "Recv ep0 reply2", "Call ep0", "Call ep1",
                 "NBSendRecv ep1 ep0 reply2"), serves=("ep0", "reply2"), passive=True)), ENDS,
    ),
    Configuration(
        "any-context", "contexts are bound, unbound, lent and yielded to in every way",
        (_client("Unbind sc1", "Unbind sc2", "Bind sc1 tcb1", "Bind sc2 tcb2", "YieldTo sc1", "YieldTo sc2", "Yield"),
         _client("Unbind sc0", "Bind sc0 tcb0", "Bind sc0 tcb2", "Bind sc2 tcb0", "UnbindObject sc2 tcb2",
                 "YieldTo sc0", "YieldTo sc2"),
         _server("Recv ep0 reply0", "Unbind sc0", "Unbind sc1", "Bind sc2 tcb0", "Bind sc0 tcb0", "YieldTo sc1"),
         ), ENDS,
    ),
    Configuration(
        "any-cancel", "whatever a thread does, another may stop it, start it, or change its priority",
        (_client("Suspend tcb1", "Resume tcb1", "Suspend tcb2", "Resume tcb2", "SetPriority tcb1 90",
                 "SetPriority tcb1 100", "Send ep0"),
         _client("Suspend tcb0", "Resume tcb0", "Suspend tcb2", "Resume tcb2", "SetPriority tcb0 110",
                 "SetPriority tcb0 100"),
         Thread(("Recv ep0 reply0", "ReplyRecv ep0 reply0", "NBRecv ep0 reply0", "Suspend tcb0", "Resume tcb0",
                 "Suspend tcb1", "Resume tcb1"))), ENDS,
    ),
    Configuration(
        "any-signal", "two notifications, one of them bound and with time to lend, and an endpoint",
        (Thread(("Signal ntfn0_badge1", "Signal ntfn1", "Send ep0", "Wait ntfn1", "Poll ntfn1", "Call ep0")),
         Thread(("Signal ntfn0_badge2", "NBSendWait ntfn1 ntfn0", "Wait ntfn1", "Suspend tcb2", "Resume tcb2",
                 "UnbindNotification tcb2", "BindNotification tcb2 ntfn0")),
         Thread(("Recv ep0 reply0", "ReplyRecv ep0 reply0", "Wait ntfn0", "Poll ntfn0", "NBRecv ep0 reply0",
                 "Signal ntfn1"), serves=("ep0", "reply0"), passive=True, bound="ntfn0")),
        (BUDGET_ENDS, INTERRUPT), lends=(("sc2", "ntfn0"),),
    ),
    Configuration(
        "any-fault", "threads fault, time out and are handled by each other",
        (Thread(("Fault", "Call ep0", "Recv ep1 reply0", "ReplyRecv ep1 reply0", "Suspend tcb1", "Resume tcb1"),
                period=2, fault="ep0", timeout="ep1"),
         Thread(("Fault", "Call ep1", "Recv ep0 reply1", "ReplyRecv ep0 reply1", "Suspend tcb0", "Resume tcb0"),
                period=3, fault="ep1", timeout="ep0"),
         Thread(("Recv ep0 reply2", "Recv ep1 reply2", "ReplyRecv ep0 reply2", "ReplyRecv ep1 reply2", "Fault",
                 "CancelBadgedSends ep0_badged"), fault="ep0")), ENDS,
    ),
    Configuration(
        "any-end", "anything may be deleted while calls, faults and signals are under way",
        (_client("Delete tcb1", "Delete sc2", "Delete reply0", "Revoke ep0", "Delete ep0", "Resume tcb1", "Fault"),
         _client("Delete sc0", "Delete ep0_badged", "Send ep0_badged", "Suspend tcb0", "Delete ntfn1", "Delete tcb2"),
         Thread((*SERVE, "Recv ep0 reply0", "Delete reply0", "Delete sc0", "Delete tcb0", "Reply reply0"),
                serves=("ep0", "reply0"), passive=True, bound="ntfn1", fault="ep0")), ENDS,
    ),
    Configuration(
        "any-period", "periodic threads and lent time: budgets end in every place",
        (_client("Yield", "YieldTo sc1", "Suspend tcb2", "Resume tcb2", period=3), _client("Yield", "Wait ntfn0",
                                                                                           "YieldTo sc0", period=2),
         Thread((*SERVE, "Recv ep0 reply0", "Signal ntfn0_badge1", "Unbind sc0", "Bind sc0 tcb0", "Yield"), 110,
                serves=("ep0", "reply0"), period=4)), ENDS,
    ),
    Configuration(
        "any-timeout", "periodic clients of a passive server; timeouts are handled, or not",
        (_client("Yield", "Suspend tcb1", "Resume tcb1", period=3), Thread(
            (*SERVE, "Recv ep0 reply0", "Yield", "Reply reply0"), 110, serves=("ep0", "reply0"), passive=True,
            timeout="ep1"),
         Thread(("ReplyRecv ep1 reply1", "Recv ep1 reply1", "Reply reply0", "Call ep0", "Resume tcb1", "Suspend tcb0",
                 "Resume tcb0"), 100, period=2)), ENDS,
    ),
)  # fmt: skip

CONFIGURATIONS: dict[str, Configuration] = {
    configuration.name: configuration
    for group in (_MESSAGES, _SIGNALS, _CALLS, _FAULTS, _TIME, _DESTRUCTION, _WIDE) for configuration in group
}  # fmt: skip
