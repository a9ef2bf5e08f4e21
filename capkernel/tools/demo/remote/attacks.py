"""Attacks on gateways: by a machine whose gateway is the attacker's, and by somebody on the wire.

Each fails; and each succeeds against a gateway that leaves out the one check that stops it, so the attack is real.
"""

import struct
from collections.abc import Callable
from importlib.util import find_spec

from capkernel.tools.demo.remote.keys import Offered
from capkernel.tools.demo.remote.machines import EPOCH, Machines
from capkernel.tools.demo.story import Story

TITLE = "forged, stolen, spliced, expired and revoked tokens; calls replayed, moved and laid open"
LONGEST_US = 3_000_000
TOKEN, TOKEN_SIZE, FILES = 0x100, 0xF8, 4
COUNT, ISSUE, REVOKE = 2, 3, 4
"""Orders to the lender."""
ACCEPT, CREATE, REMOVE, LOOK, LOOKUP = range(1, 6)
"""Orders to the borrower."""
HELLO, RECORD = 1, 4
"""Kinds of packets: the first byte after a frame's header of 16."""
FOR_A, FOR_M = 0, 1
NOW = int(EPOCH.timestamp())
SOON, LATER = 1, 10_000
SKEW = 5


class Scene:
    """The lender's machine c, and one that borrows; orders are carried out one by one."""

    def __init__(self, borrower: str, left_out: str, seed: int, suites: tuple[str, ...] = ("encrypted",)) -> None:
        self.borrower = borrower
        is_rogue = borrower == "m"
        careless = {"c": "careless_gateway"} | ({} if is_rogue else {borrower: "careless_gateway"})
        gateways = (careless if left_out else {}) | ({borrower: "rogue_gateway"} if is_rogue else {})
        line = f'leaves_out = ["{left_out}"]'
        self.machines = Machines(
            {"c": "lender", borrower: "borrowing"}, seed=seed, gateways=gateways, suites=suites,
            offers=(Offered("c", "library", "m", ("Directory.list",)),), absent=("a",) if is_rogue else ("m",),
            extra=dict.fromkeys(("c", borrower), line) if left_out else {},
        )  # fmt: skip
        self.number = 0

    def order(self, machine: str, kind: int, *words: int) -> bool:
        """Have an order carried out; whether the borrower says that it worked."""
        self.number += 1
        order = self.number << 8 | kind
        self.machines[machine].write_words("orders", order, *words)
        self.machines.run_until(lambda: self.machines[machine].words("report", 1)[0] == order, LONGEST_US)
        done, worked = self.machines[machine].words("report", 2)
        return done == order and bool(worked)

    def issued(self, holder: int, seconds: int = LATER, *, narrow: bool = False) -> bytes:
        """A token of the lender's, as if it had been overheard or found."""
        self.order("c", ISSUE, holder, NOW + seconds, narrow)
        report = self.machines["c"].system.read_region("report")
        return report[TOKEN : TOKEN + int.from_bytes(report[TOKEN_SIZE:TOKEN], "little")]

    def takes(self, token: bytes) -> bool:
        """Whether the borrower can begin with a token."""
        padded = token.ljust((len(token) + 7) // 8 * 8, b"\0")
        return self.order(self.borrower, ACCEPT, len(token), *struct.unpack(f"<{len(padded) // 8}Q", padded))

    def writes(self) -> bool:
        """Whether the borrower makes a file."""
        return self.order(self.borrower, CREATE)

    def abuses(self, token: bytes) -> bool:
        """Whether the borrower makes a file by a token."""
        return self.takes(token) and self.writes()

    @property
    def files(self) -> int:
        """How many files there are."""
        self.order("c", COUNT)
        return self.machines["c"].words("report", FILES + 1)[FILES]

    def records(self, start: int) -> list[bytes]:
        """Frames of records that the borrower has sent since then."""
        sent = self.machines.wire.seen[start:]
        source = self.machines.plan.address(self.borrower)
        return [frame for frame in sent if frame[6:12] == source and frame[16] == RECORD]


def _forged(scene: Scene) -> bool:
    from capkernel.tools.demo.remote.forging import forged

    plan = scene.machines.plan
    return scene.abuses(forged(scene.issued(FOR_A), bytes.fromhex(plan.public("m")), plan.secrets["m"]))


def _stripped(scene: Scene) -> bool:
    from capkernel.tools.demo.remote.forging import stripped

    return scene.abuses(stripped(scene.issued(FOR_M, narrow=True)))


def _stolen(scene: Scene) -> bool:
    return scene.abuses(scene.issued(FOR_A))


def _expired(scene: Scene) -> bool:
    token = scene.issued(FOR_M, SOON)
    scene.takes(token)
    scene.machines.run(time_us=1_000_000 * (SOON + 1))
    return scene.writes()


def _revoked(scene: Scene) -> bool:
    used = scene.abuses(scene.issued(FOR_M))
    scene.order("c", REVOKE)
    return used and scene.writes()


def _unshown(scene: Scene) -> bool:
    return scene.order("m", LOOKUP) and scene.writes()


def _replayed(scene: Scene) -> bool:
    scene.takes(scene.issued(FOR_A))
    start = len(scene.machines.wire.seen)
    scene.writes()
    call = scene.records(start)
    scene.order("a", REMOVE)
    for frame in call:
        scene.machines.wire.inject(frame)
        scene.machines.run(time_us=20_000)
    return scene.files > 0


def _moved(scene: Scene) -> bool:
    wire = scene.machines.wire
    scene.takes(scene.issued(FOR_A))
    start = len(wire.seen)
    scene.writes()
    call = scene.records(start)
    scene.order("a", REMOVE)
    wire.part("a", "c")
    scene.order("a", LOOK)
    wire.heal()
    start = len(wire.seen)
    scene.order("a", LOOK)
    new = scene.records(start)[0]
    for frame in call:
        wire.inject(frame[:17] + new[17:25] + frame[25:])
        scene.machines.run(time_us=20_000)
    return scene.files > 0


def _laid_open(scene: Scene) -> bool:
    def between(frame: bytes) -> list[bytes]:
        # A hello ends with how many suites are offered, and their numbers: make them one, the weakest.
        if frame[16] != HELLO or frame[-3:] != b"\x02\x01\x02":
            return [frame]
        packet = frame[16:-3] + b"\x01\x01"
        return [frame[:14] + len(packet).to_bytes(2, "big") + packet]

    scene.machines.wire.between = between
    scene.abuses(scene.issued(FOR_A))
    return any(b"Directory" in frame or b"gateway" in frame for frame in scene.machines.wire.seen)


ROGUE: tuple[tuple[str, str, Callable[[Scene], bool]], ...] = (
    ("a token signed with the attacker's own key", "signatures", _forged),
    ("a token without the block that narrows it", "signatures", _stripped),
    ("a token that was made for another machine", "holder", _stolen),
    ("a token whose time is over", "expiry", _expired),
    ("a token that was revoked, by a gateway that cuts nothing", "revocation", _revoked),
    ("the name of an object in place of a token", "presented", _unshown),
)
WIRE: tuple[tuple[str, str, Callable[[Scene], bool], tuple[str, ...]], ...] = (
    ("a call that is sent again", "numbers", _replayed, ("encrypted",)),
    ("a call of another session", "session", _moved, ("encrypted",)),
    ("an offer of nothing but the weakest suite", "transcript", _laid_open, ("authenticated", "encrypted")),
)
BRIEFLY = ("numbers",)


def story(story: Story, *, everywhere: bool = False) -> None:
    """Each attack, and again with its check left out; few of the latter if it is to be brief."""
    if find_spec("biscuit_auth") is None:
        story.skip("there is no biscuit-python: pip install 'capkernel[remote]'")
        return
    scene = Scene("m", "", story.seed)
    story.claim("what the attacker was given it may use", scene.abuses(scene.issued(FOR_M)))
    for what, _, attack in ROGUE:
        before = scene.files
        worked = attack(scene)
        made = scene.files - before
        # The one that was revoked was used before that.
        story.claim(f"{what} is of no use", not worked and made <= (attack is _revoked), f"{made} files made")
    story.trace_hash = scene.machines.trace_hash
    for what, check, attack in ROGUE:
        if check in BRIEFLY or not story.is_brief:
            story.claim(f"without {check}: {what} works", attack(Scene("m", check, story.seed)))
    for what, check, attack, suites in WIRE:
        if check in BRIEFLY or not story.is_brief:
            story.claim(f"{what} is of no use", not attack(Scene("a", "", story.seed, suites)))
            story.claim(f"without {check}: {what} works", attack(Scene("a", check, story.seed, suites)))
