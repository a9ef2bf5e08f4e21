"""Who writes into the audit trail, by channel: the table ``audit`` of names."""

from capkernel.protocols.audit_trail import OWN
from capkernel.user.channel_names import ChannelNameError, read_channel_names


def read_authors(text: str) -> dict[int, str]:
    """The authors. Raises ChannelNameError."""
    found = read_channel_names(text, "audit")
    if OWN in found.values():
        raise ChannelNameError(f"audit: {OWN!r} is the server's own name, and nobody else's")
    return found
