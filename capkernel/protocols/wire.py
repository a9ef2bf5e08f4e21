"""How operations travel: the words and caps of requests and replies.

A request's label is interface and operation; its words are the data, its caps those parameters that are caps, in
order. A reply's label is 0, and its words or its cap are the result; or it names a failure, whose text the words are.
"""

from collections.abc import Sequence
from typing import Any

import attrs

from capkernel.abi.errors import INVALID_CAPABILITY
from capkernel.protocols.failures import FIRST_LABEL, Failure, Gone, Malformed, ServerDied, TooLarge, failure_of
from capkernel.protocols.interface import Operation
from capkernel.user.codec import MessageError
from capkernel.user.lifecycle import SERVER_DIED
from capkernel.user.messages import SharedRegion, label_of, pack, unpack
from capkernel.user.syscalls import Message

MAX_TEXT = 400
"""Characters of a failure's text that travel."""


@attrs.frozen
class _Text:
    text: str


def bind(operation: Operation, args: Sequence[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a call by name. Raises TypeError, as a call with wrong arguments does."""
    names = [parameter.name for parameter in operation.parameters]
    if len(args) > len(names):
        raise TypeError(f"{operation.name} takes {len(names)} arguments, not {len(args)}")
    values = dict(zip(names, args, strict=False))
    for name, value in kwargs.items():
        if name not in names or name in values:
            raise TypeError(f"{operation.name} takes {', '.join(names) or 'no arguments'}; {name} is unknown or double")
        values[name] = value
    if len(values) < len(names):
        missing = [name for name in names if name not in values]
        raise TypeError(f"{operation.name} also takes {', '.join(missing)}")
    return values


async def pack_request(operation: Operation, values: dict[str, Any], region: SharedRegion | None) -> Message:
    """The message that asks for an operation, without its caps. Raises MessageError."""
    data: object = operation.request(**{parameter.name: values[parameter.name] for parameter in operation.data})
    return await pack(data, operation.label, region)


async def unpack_request(operation: Operation, message: Message, region: SharedRegion | None) -> dict[str, Any]:
    """The data of a request, by parameter. Raises Malformed, whatever the client sent."""
    try:
        data: object = await unpack(operation.request, message, region)
    except MessageError as error:
        raise Malformed(f"{operation.interface.__name__}.{operation.name}: {error}") from None
    return {parameter.name: getattr(data, parameter.name) for parameter in operation.data}


async def pack_result(operation: Operation, value: Any, region: SharedRegion | None) -> Message:
    """The reply with a result that is data, or with none. Raises TooLarge, or MessageError for a servant's mistake."""
    if operation.reply is None:
        return Message()
    try:
        return await pack(operation.reply(value), 0, region)
    except MessageError as error:
        if "shared" in str(error):
            raise TooLarge(f"{operation.name}: the result does not fit; ask for less at a time") from None
        raise


async def unpack_result(operation: Operation, message: Message, region: SharedRegion | None) -> Any:
    """The result in a reply. Raises the failure that it reports, or Malformed."""
    if message.label == SERVER_DIED:
        raise ServerDied(f"the server stopped before it answered {operation.name}")
    label = label_of(message)
    if label:
        raise await failure_in(message, region)
    if operation.reply is None:
        return None
    try:
        return (await unpack(operation.reply, message, region)).value
    except MessageError as error:
        raise Malformed(f"the reply to {operation.name}: {error}") from None


async def pack_failure(failure: Failure) -> Message:
    """The reply that reports a failure."""
    text = str(failure)
    return await pack(_Text(text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"), failure.label)


async def failure_in(message: Message, region: SharedRegion | None) -> Failure:
    """The failure that a reply reports, whatever it is."""
    label = label_of(message)
    if label == INVALID_CAPABILITY:
        return Gone("there is no cap at this address (any more)")
    if label < FIRST_LABEL:
        return Malformed(f"the cap is no server's: it answered with label {label}")
    try:
        return failure_of(label, (await unpack(_Text, message, region)).text)
    except MessageError:
        return failure_of(label, "no more is known")
