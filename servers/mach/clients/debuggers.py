"""Scenario MA-5: three who hear of exceptions. The domain's name says whose port it is, and so what it mends."""

from typing import Any

from capkernel.abi.registers import A0, A1, USER_CONTEXT
from capkernel.protocols.client import connect
from capkernel.protocols.failures import Malformed, Unsupported
from capkernel.protocols.mach_exceptions import HostControl, Level, RaisedException, encode_state
from capkernel.protocols.mach_msg import Mail, serve_one
from capkernel.protocols.mach_ports import DEFAULT_LIMIT
from capkernel.user.loop import PD
from servers.mach.clients.debuggee import NOWHERE
from servers.mach.tasks import connection_of, task_of

report: int = 0
data: int = 0
"""The debuggee's memory, in the debugger."""

CONTROL = 302
DEBUGGEE = 2
ASKED, MENDED, LEVEL, STATE, FIRST = 0, 8, 16, 24, 32
"""Offsets: questions; answers that let it go on; the level of the last; 1 if the state that was asked for is the one
that came along; the addresses that were asked about.
"""
DEBUGGEE_DATA = 0x5000_0000
"""Where the debuggee has its memory."""
FIXED, KEPT, GUARDED = 1111, 2222, 3333
SKIP = 4
"""Bytes to the next instruction."""
PC, A0_PLACE, A1_PLACE = 0, USER_CONTEXT.index(A0), USER_CONTEXT.index(A1)


class Program:
    """Any of them."""

    def __init__(self) -> None:
        self.pd: Any = None
        self.thread: Any = None

    async def init(self, pd: PD) -> None:
        """Have the port asked, and answer for ever."""
        self.pd = pd
        connection = connection_of(pd)
        task = task_of(connection)
        port: Any = await task.allocate(DEFAULT_LIMIT)
        right: Any = await port.make_send()
        if pd.name != "keeper":
            control = connect(HostControl, connection, CONTROL)
            if pd.name == "guard":
                await control.set_exception_port(await right.derive())
            else:
                self.thread = await control.thread(DEBUGGEE)
                await self.thread.set_exception_port(Level.THREAD, await right.derive())
        await task.check_in(pd.name, right)
        while True:
            await serve_one(task, port, self.mend)

    async def mend(self, mail: Mail) -> bytes:
        """The state with which it may go on. Raises Unsupported for what this one does not mend."""
        about = RaisedException.decode(mail.data)
        asked = await self.pd.load(report + ASKED)
        await self.pd.store(report + FIRST + 8 * asked, about.subcode)
        await self.pd.store(report + ASKED, asked + 1)
        await self.pd.store(report + LEVEL, about.level.value)
        if about.task != DEBUGGEE or about.subcode not in NOWHERE:
            raise Malformed("that is not to be mended")
        state = list(about.registers)
        number = NOWHERE.index(about.subcode)
        if self.pd.name == "debugger" and number == 0:
            await self.pd.store(report + STATE, int(await self.thread.get_state() == state))
            await self.pd.store(data, FIXED)
            state[A1_PLACE] = DEBUGGEE_DATA
        elif self.pd.name == "keeper" and number <= 1:
            state[PC], state[A0_PLACE] = state[PC] + SKIP, KEPT
        elif self.pd.name == "guard" and number <= 2:
            state[PC], state[A0_PLACE] = state[PC] + SKIP, GUARDED
        else:
            raise Unsupported(f"{self.pd.name} does not mend load {number}")
        await self.pd.store(report + MENDED, await self.pd.load(report + MENDED) + 1)
        return encode_state(state)
