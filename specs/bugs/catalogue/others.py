"""Rows that are not planted: what this kernel cannot do wrong, what real seL4 does as well, what is no kernel's."""

from specs.bugs.model import Elsewhere, Faithful, Impossible

_SERVER = "a server's; see tests/servers"
_PROCESS = "of the CPU made of host processes"


class S50(Impossible):
    """A dead task's code carries the old generation.

    Hubris names tasks by number and generation; who sends to a task that was restarted is told the new generation by a
    code, which carried the old one, so that clients kept talking to the dead.
    """

    origin = "Hubris 096c4c85a"
    reason = "threads are named by caps, not by numbers that are used again; the last cap goes with the thread"
    shown_by = "tests/bugs/test_impossible.py"


class S53(Elsewhere):
    """mremap is allowed by the filter."""

    origin = "ours"
    reason = _PROCESS


class S55(Elsewhere):
    """A read-only descriptor can be opened again for writing."""

    origin = "ours"
    reason = _PROCESS


class S58(Faithful):
    """A plain Send hangs a passive server for ever.

    A passive server runs on its caller's time. A Send lends none: the server has the message, leaves the queue, and
    never runs again, whoever calls. Anybody with a cap to send can do that to it.
    """

    origin = "seL4 issue 1616"
    caught_by = ("L6",)
    mended_by = "fix_send_to_passive"


class S59(Faithful):
    """Budget is amplified through passive servers.

    When lent time ends while a server of high priority runs on it, the next refill may be used at once, since nobody
    else has that priority. The caller goes on in front of its equals with a budget that is full again.
    """

    origin = "seL4 issue 1365"
    caught_by = ("T11",)
    mended_by = "fix_lent_turns"


class S60(Faithful):
    """One long atomic call starves the others.

    The queue of an endpoint or notification has no bound, and is emptied in one piece when that is destroyed or a
    badge's sends are cancelled. Whoever can make many threads can keep everybody waiting.
    """

    origin = "seL4 issues 1736, 1737"
    caught_by = ("T15", "L3")
    mended_by = "fix_atomic_cancel"


class S61(Elsewhere):
    """The file server dies, the supervisor panics."""

    origin = "MINIX issue 295"
    caught_by = ("L6",)
    reason = _SERVER


class S62(Elsewhere):
    """A quota is not exact across a restart."""

    origin = "Genode issues 2468, 2525"
    reason = _SERVER


class S63(Elsewhere):
    """An inverted comparison: the supervisor spins on a crash loop."""

    origin = "Hubris issue 2239"
    caught_by = ("L3",)
    reason = _SERVER


class S64(Elsewhere):
    """A receive ID is reused after an unblock: the answer reaches the wrong caller."""

    origin = "QNX, documented hazard"
    caught_by = ("T8", "T10")
    reason = _SERVER


class S65(Elsewhere):
    """Ownership on the error path: a cap is released twice."""

    origin = "Mach CVE-2022-32866 class"
    caught_by = ("T6", "T8")
    reason = _SERVER


class S66(Elsewhere):
    """A hostile virtio device completes with a bad descriptor."""

    origin = "RT-Thread issue 11326 class"
    reason = _SERVER


class S67(Elsewhere):
    """The disk driver, taken over, reaches kernel memory by DMA."""

    origin = "HinaOS crack"
    caught_by = ("G31",)
    reason = _SERVER
