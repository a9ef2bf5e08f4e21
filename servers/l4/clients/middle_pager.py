"""The middle one of three nested pagers: one task, and a pager. It is that pager's only source of memory."""

from servers.l4.clients.ageing_pager import AgeingPager
from servers.l4.pager import Window


class Program(AgeingPager):
    """The pager."""

    windows = (Window(0, 0x3000_0000, 14, 0x1000_0000), Window(1, 0x1000_0000, 14, 0x1000_4000))
