"""A client that does not wait for ever: it sends four requests, and writes down how each of them ended and when.

1. A read with a short timeout: the device has nothing for a long time.
2. A computation that takes longer than its timeout: the server is not listening when that runs out.
3. At once afterwards a read without any timeout: nobody has given this one up.
4. A read with a long timeout: the device has something before.
"""

from typing import Final

from capkernel.protocols.client import Connection as StubConnection
from capkernel.protocols.client import connect
from capkernel.protocols.qnx_process import Timeouts
from capkernel.user.loop import BASE_ENDPOINT_CAP, PD
from servers.qnx.connection import Connection
from servers.qnx.errors import QnxError

report: int = 0

SERVER, MANAGER = 0, 1
COMPUTE, READ = 1, 2
SHORT_US, LONG_US = 2_000, 200_000
COMPUTING: Final = 40_000
"""Ticks: twice the short timeout."""
REQUESTS: Final = ((READ, (), SHORT_US), (COMPUTE, (COMPUTING,), SHORT_US), (READ, (), None), (READ, (), LONG_US))


async def init(pd: PD) -> None:
    """Send them."""
    timeouts = connect(Timeouts, StubConnection(pd.sys), BASE_ENDPOINT_CAP + MANAGER)
    connection = Connection(pd, SERVER, timeouts=timeouts, server="device_server")
    for count, (kind, words, timeout) in enumerate(REQUESTS):
        before, errno = await pd.clock(), 0
        try:
            await connection.send(kind, words, timeout_us=timeout)
        except QnxError as error:
            errno = error.errno
        await pd.store(report + 8 + 16 * count, errno)
        await pd.store(report + 16 + 16 * count, (await pd.clock() - before) // 10)
        await pd.store(report, count + 1)
