"""``capkernel audit``: was the file of an audit trail changed since it was written?

Needs nothing but the file, the public key, and ``cryptography``. Exit status: 0 nothing was found, 1 something was,
2 wrong usage, 3 nothing was changed, but the trail itself says that records are missing which were not written. What
can be found, and what cannot, is said in ``capkernel/protocols/audit_trail.py``.
"""

import json
import os
import stat
from pathlib import Path
from typing import Annotated, Any

import typer

from capkernel.protocols.audit_trail import Check, Verdict, verify
from capkernel.tools import names

INTACT, CHANGED, GAPS = 0, 1, 3
KEY_BYTES = 32
SHOWN = 80
"""Characters of what was given, in a complaint about it."""


def audit(
    file: Annotated[Path, typer.Argument(help="The trail's file.", parser=names.file)],
    key: Annotated[
        str, typer.Option("--key", help="The public key: 64 hex digits, or a file with them.", callback=names.need_name)
    ],
    head: Annotated[
        Path | None, typer.Option("--head", help="A head of the trail that was kept elsewhere.", parser=names.file)
    ] = None,
    at_least: Annotated[
        int, typer.Option("--at-least", min=0, help="The number of a record that is known to have been acknowledged.")
    ] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
) -> None:
    """Verify an audit trail: every record in its place, none changed, missing or added, all sealed by the key. Records
    that were not written, as the trail says itself, are told, too.
    """
    public_key = _key(key)
    content, head_line = _read(file), None if head is None else _read(head)
    verdict = verify(content, public_key, _checker(public_key), head=head_line, at_least=at_least)
    if as_json:
        typer.echo(json.dumps(_data(verdict, has_head=head is not None), indent=2))
    else:
        _print(file, verdict, has_end=head is not None or at_least > 0)
    raise typer.Exit((GAPS if verdict.missing else INTACT) if verdict.is_intact else CHANGED)


def _checker(public_key: bytes) -> Check:
    """Whether signatures are of this key. Raises BadParameter without ``cryptography``, or for what is no key."""
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError:
        raise typer.BadParameter("this needs `pip install 'capkernel[audit]'`") from None
    try:
        ed25519 = Ed25519PublicKey.from_public_bytes(public_key)
    except ValueError as error:
        raise typer.BadParameter(f"this is no Ed25519 key: {error}") from None

    def check(signature: bytes, data: bytes) -> bool:
        try:
            ed25519.verify(signature, data)
        except InvalidSignature:
            return False
        return True

    return check


def _key(text: str) -> bytes:
    place, given = Path(text), f"{text!r} is neither"
    if len(text) != 2 * KEY_BYTES and os.path.isdir(place):
        given = f"{text} is a directory"
    elif len(text) != 2 * KEY_BYTES and os.path.exists(place):
        # What is in the file is not told: it may be the private key.
        text, given = _read(place).decode(errors="replace").strip(), f"what is in {place} is not"
    elif len(text) > SHOWN:
        given = f"{text[:SHOWN]!r}… is neither"
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise typer.BadParameter(f"a public key is {2 * KEY_BYTES} hex digits, or a file with them; {given}")
    return key


def _read(path: Path) -> bytes:
    try:
        mode = path.stat().st_mode
        if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
            raise typer.BadParameter(f"{path} is a device, and no file: it may have no end")
        return path.read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"{path} cannot be read: {error.strerror}") from None


def _print(file: Path, verdict: Verdict, *, has_end: bool) -> None:
    for finding in verdict.findings:
        typer.echo(f"{file}:{finding.line}: record {finding.record}: {finding.kind.value}: {finding.text}")
    for number, gap in verdict.gaps:
        typer.echo(f"{file}: record {number}: {gap.text}")
    if verdict.open_gap:
        number, gap = verdict.open_gap
        typer.echo(f"{file}: record {number}: {gap.announcement}; no later record says how many they were")
    if not verdict.records and verdict.is_intact:
        typer.echo(f"{file} is empty: there is nothing in it that could be verified")
    typer.echo(f"{verdict.records} records in {verdict.batches} batches are sealed, in order and unchanged")
    if verdict.missing:
        least = "at least " if verdict.is_missing_more else ""
        typer.echo(f"{least}{verdict.missing} records are missing: they were not written, as the trail says")
    if verdict.is_intact and not has_end:
        typer.echo("whether batches are missing at the end is not known: say --head or --at-least")


def _data(verdict: Verdict, *, has_head: bool) -> dict[str, Any]:
    findings = [
        {"kind": finding.kind.value, "record": finding.record, "line": finding.line, "text": finding.text}
        for finding in verdict.findings
    ]
    gaps = [
        {
            "record": number, "missing": gap.count, "is_at_least": gap.is_at_least, "is_open": is_open,
            "authors": gap.authors, "first_us": gap.first_us, "last_us": gap.last_us,
        }
        for is_open, found in ((False, verdict.gaps), (True, [verdict.open_gap] if verdict.open_gap else []))
        for number, gap in found
    ]  # fmt: skip
    return {
        "intact": verdict.is_intact, "records": verdict.records, "batches": verdict.batches, "bytes": verdict.size,
        "state": verdict.chain.state.hex(), "head_compared": has_head, "findings": findings,
        "missing": verdict.missing, "missing_is_at_least": verdict.is_missing_more, "gaps": gaps,
    }  # fmt: skip
