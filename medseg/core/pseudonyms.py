"""Keyed pseudonyms: the same key gives the same name on any machine, and nobody without the key can go back.

A pseudonym carries a check part of its own under the same key, so that what was already replaced is recognised and
left alone: de-identifying twice with one key gives what de-identifying once gives.
"""

from __future__ import annotations

import contextlib
import hmac
import os
import re
import secrets
import stat
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from .errors import InputError

_KEY_BYTES = 32
_DIGITS, _CHECK = 12, 4
_NAME = re.compile(rf"[a-z]+-[0-9a-f]{{{_DIGITS + _CHECK}}}")
_ACCESSION = re.compile(r"A[0-9A-F]{15}")
_UID_ROOT = "2.25."
_UID_CHECK_BITS = 32
_FIRST_SHIFT, _SHIFTS = 365, 3285


@dataclass(frozen=True)
class ProjectKey:
    """A secret of 32 bytes; its ``repr`` shows nothing of it."""

    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.secret) != _KEY_BYTES:
            raise InputError(f"a project key is {_KEY_BYTES} bytes as hexadecimal text, got {len(self.secret)} bytes")

    @property
    def fingerprint(self) -> str:
        """Eight characters that tell keys apart and give nothing away."""
        return self._digest("fingerprint", "").hex()[:8]

    def uid(self, uid: str) -> str:
        """A UID in place of ``uid``: ``2.25.`` and 128 bits (PS3.5 section B.2); one of our own stays as it is."""
        if self.made_uid(uid):
            return uid
        head = self._digest("uid", uid)[:12]
        return _UID_ROOT + str(int.from_bytes(head, "big") << _UID_CHECK_BITS | self._check(head))

    def made_uid(self, uid: str) -> bool:
        """Whether ``uid`` came from this key."""
        number = uid.removeprefix(_UID_ROOT)
        if number == uid or not (number.isascii() and number.isdigit()) or len(number) > 39:
            return False
        value = int(number)
        head = (value >> _UID_CHECK_BITS).to_bytes(13, "big")[-12:]
        return value >> 128 == 0 and value & 0xFFFFFFFF == self._check(head) and number == str(value)

    def name(self, kind: str, value: str) -> str:
        """Short name such as ``series-5f0a91c2d4e87b31`` for a thing of one kind (patient, study, series).

        A name of that kind that came from this key stays as it is.
        """
        if value.startswith(f"{kind}-") and self.made_name(value):
            return value
        digits = self._digest(kind, value).hex()[:_DIGITS]
        return f"{kind}-{digits}{self._check_digits(kind, digits)}"

    def made_name(self, name: str) -> bool:
        """Whether ``name`` came from ``name`` of this key."""
        if not _NAME.fullmatch(name):
            return False
        kind, _, digits = name.partition("-")
        return self._check_digits(kind, digits[:_DIGITS]) == digits[_DIGITS:]

    def patient(self, issuer: str, number: str) -> str:
        """Pseudonym of a patient, whom the issuer and the number tell apart (PS3.3 section C.7.1.1)."""
        return number if self.made_name(number) else self.name("patient", f"{issuer}\0{number}")

    def accession(self, number: str) -> str:
        """Accession number of 16 characters, as the representation SH allows; one of our own stays as it is."""
        own = number.lower()
        if _ACCESSION.fullmatch(number) and own[12:] == self._check_digits("accession", own[1:12]):
            return number
        digits = self._digest("accession", number).hex()[:11]
        return f"A{digits}{self._check_digits('accession', digits)}".upper()

    def days(self, patient: str) -> int:
        """Days by which all dates of a patient move, 1 to 10 years back; ``patient`` is the pseudonym."""
        return -_FIRST_SHIFT - int.from_bytes(self._digest("days", patient)[:8], "big") % _SHIFTS

    def _check(self, head: bytes) -> int:
        return int.from_bytes(self._digest("check", head.hex())[:4], "big")

    def _check_digits(self, kind: str, digits: str) -> str:
        return self._digest(f"check {kind}", digits).hex()[:_CHECK]

    def _digest(self, kind: str, value: str) -> bytes:
        return hmac.digest(self.secret, f"{kind}\0{value}".encode(errors="surrogateescape"), "sha256")


def default_key_path() -> Path:
    """Where the key lies when none is named."""
    return Path.home() / ".config" / "medseg" / "project.key"


def load_key(path: Path | None = None, *, outside: Path | None = None) -> ProjectKey:
    """The project key, made on first use with mode 0600.

    Args:
        path: The key's file; by default one in the user's configuration folder.
        outside: A folder for results, in which the key may not lie.

    Raises:
        InputError: If the file holds no key, others may read it, it lies in ``outside``, or it cannot be kept.
    """
    path = path or default_key_path()
    if outside is not None and path.resolve().is_relative_to(outside.resolve()):
        raise InputError("the project key may not lie in the output folder; whoever gets the results could go back")
    if not path.exists():
        _make_key(path)
    try:
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO) and os.name == "posix":
            raise InputError("others may read the project key's file; run `chmod 600` on it, or name another by --key")
        return ProjectKey(bytes.fromhex(path.read_text(encoding="ascii").strip()))
    except (ValueError, OSError) as error:
        raise InputError(
            "the project key's file holds no key of 64 hexadecimal digits; name another by --key"
        ) from error


def _make_key(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, partial = tempfile.mkstemp(prefix=".key-", dir=path.parent)  # mode 0600
        try:
            with os.fdopen(handle, "w", encoding="ascii") as stream:
                stream.write(secrets.token_hex(_KEY_BYTES) + "\n")
            with contextlib.suppress(FileExistsError):  # another process was first; its key counts
                os.link(partial, path)
        finally:
            Path(partial).unlink()
    except OSError as error:
        raise InputError(f"cannot make a project key ({error.strerror}); name a writable file by --key") from error
