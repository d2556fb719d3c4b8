"""Keyed pseudonyms: the same key gives the same name on any machine, and nobody without the key can go back."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from .errors import InputError

_KEY_BYTES = 32


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
        """A UID in place of ``uid``: ``2.25.`` and 128 bits (PS3.5 section B.2)."""
        return f"2.25.{int.from_bytes(self._digest('uid', uid)[:16], 'big')}"

    def name(self, kind: str, value: str) -> str:
        """Short name such as ``series-5f0a91c2d4e8`` for a thing of one kind (patient, study, series)."""
        return f"{kind}-{self._digest(kind, value).hex()[:12]}"

    def _digest(self, kind: str, value: str) -> bytes:
        return hmac.new(self.secret, f"{kind}\0{value}".encode(), hashlib.sha256).digest()


def default_key_path() -> Path:
    """Where the key lies when none is named."""
    return Path.home() / ".config" / "medseg" / "project.key"


def load_key(path: Path | None = None) -> ProjectKey:
    """The project key, made on first use with mode 0600.

    Args:
        path: The key's file; by default one in the user's configuration folder.

    Raises:
        InputError: If the file holds no key, or the key cannot be kept.
    """
    path = path or default_key_path()
    if not path.exists():
        _make_key(path)
    try:
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
