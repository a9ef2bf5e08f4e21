"""System call numbers, as they stand in register a7 (libsel4 ``syscall.xml``, MCS)."""

from typing import Final

CALL: Final = -1
REPLY_RECV: Final = -2
NBSEND_RECV: Final = -3
NBSEND_WAIT: Final = -4
SEND: Final = -5
NBSEND: Final = -6
RECV: Final = -7
NBRECV: Final = -8
WAIT: Final = -9
NBWAIT: Final = -10
YIELD: Final = -11

DEBUG_PUT_CHAR: Final = -12
DEBUG_DUMP_SCHEDULER: Final = -13
DEBUG_HALT: Final = -14
DEBUG_CAP_IDENTIFY: Final = -15
DEBUG_SNAPSHOT: Final = -16
DEBUG_NAME_THREAD: Final = -17

NAMES: Final[dict[int, str]] = {
    CALL: "Call", REPLY_RECV: "ReplyRecv", NBSEND_RECV: "NBSendRecv", NBSEND_WAIT: "NBSendWait",
    SEND: "Send", NBSEND: "NBSend", RECV: "Recv", NBRECV: "NBRecv", WAIT: "Wait", NBWAIT: "NBWait",
    YIELD: "Yield", DEBUG_PUT_CHAR: "DebugPutChar", DEBUG_DUMP_SCHEDULER: "DebugDumpScheduler",
    DEBUG_HALT: "DebugHalt", DEBUG_CAP_IDENTIFY: "DebugCapIdentify", DEBUG_SNAPSHOT: "DebugSnapshot",
    DEBUG_NAME_THREAD: "DebugNameThread",
}  # fmt: skip
NUMBERS: Final[dict[str, int]] = {name: number for number, name in NAMES.items()}
