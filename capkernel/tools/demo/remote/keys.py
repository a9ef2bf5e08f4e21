"""Settings and keys of gateways, made where they are needed: none is ever part of the project."""

from collections.abc import Sequence
from pathlib import Path

from attrs import field, frozen
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

SETTINGS, SECRET = "gateway.toml", "gateway.key"
"""The files that a description with a gateway wants."""
SECRET_BYTES = 32
MOST_MACHINES = 255
"""That one plan has addresses for."""


@frozen
class Offered:
    """Something of a machine's that another gets by asking; None are all operations."""

    machine: str
    name: str
    to: str
    operations: tuple[str, ...] | None = None
    seconds: int = 3600


@frozen
class Plan:
    """Who is on the wire: ``secrets`` are keys by machine."""

    secrets: dict[str, bytes]
    offers: Sequence[Offered]
    suites: Sequence[str] = ("encrypted",)
    extra: dict[str, str] = field(factory=dict)
    """Further lines of a machine's settings."""

    def public(self, machine: str) -> str:
        """A machine's public key."""
        key = Ed25519PrivateKey.from_private_bytes(self.secrets[machine]).public_key()
        return key.public_bytes(Encoding.Raw, PublicFormat.Raw).hex()

    def address(self, machine: str) -> bytes:
        """The address of a machine's card."""
        return b"\2\0\0\0\0" + bytes([1 + sorted(self.secrets).index(machine)])

    def write(self, machine: str, folder: Path) -> None:
        """Write a machine's files; the secret one only for its owner's eyes."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / SETTINGS).write_text(self.settings(machine))
        secret = folder / SECRET
        secret.touch(mode=0o600)
        secret.write_text(self.secrets[machine].hex() + "\n")

    def settings(self, machine: str) -> str:
        """A machine's settings: it knows all others, and its user may ask for all that is offered to it."""
        lines = [
            f'name = "{machine}"', f"suites = {_list(self.suites)}", 'protocols = ["files", "remote_copying"]',
            self.extra.get(machine, ""),
        ]  # fmt: skip
        for other in sorted(self.secrets):
            if other != machine:
                address = self.address(other).hex(":")
                lines += ["[[machine]]", f'name = "{other}"', f'key = "{self.public(other)}"', f'address = "{address}"']
        for name, slot, interface in (("library", 310, "Directory"), ("copier", 311, "Copier")):
            lines += ["[[thing]]", f'name = "{name}"', f"slot = {slot}", f'interface = "{interface}"']
        for each in self.offers:
            if each.machine == machine:
                lines += ["[[offer]]", f'name = "{each.name}"', f'machine = "{each.to}"', f"seconds = {each.seconds}"]
                lines += [] if each.operations is None else [f"operations = {_list(each.operations)}"]
        lookup = [f"{each.machine}/{each.name}" for each in self.offers if each.to == machine]
        lines += ["[[client]]", "channel = 2", f"lookup = {_list(lookup)}", 'may = ["issue", "accept", "withdraw"]']
        return "\n".join(lines) + "\n"


def _list(words: Sequence[str]) -> str:
    return "[" + ", ".join(f'"{word}"' for word in words) + "]"
