"""The way back, for an honest broker only: a table of pseudonyms and originals, sealed to the broker's public key.

The broker makes a key pair once and gives out the public half::

    openssl genpkey -algorithm X25519 -out broker.pem
    openssl pkey -in broker.pem -pubout -out broker-public.pem

Who de-identifies needs ``broker-public.pem`` and cannot open the table; ``open_lookup`` with ``broker.pem`` does.

The file is a line that names the format, the public half of a key that was made for this file alone (32 bytes), a
nonce (12 bytes), and the table as JSON under ChaCha20-Poly1305 (RFC 8439). The cipher's key is HKDF-SHA-256 (RFC 5869)
of the X25519 secret (RFC 7748), salted with both public keys.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medseg.core.errors import InputError
from medseg.core.files import atomic_file, existing

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

_FORMAT = b"medseg lookup table 1, sealed\n"
_PUBLIC, _NONCE = 32, 12
_LARGEST_KEY = 10_000


@dataclass(frozen=True)
class Original:
    """What one released series was, and what it is called now; identifiers stay out of the ``repr``.

    Attributes:
        patient: Pseudonym of the patient.
        study: Pseudonym of the study.
        series: Pseudonym of the series.
        days: By how many days dates were moved; None if they were not moved.
        issuer: Issuer of the patient ID.
        patient_id: Patient ID.
        accession: Accession number.
        study_uid: Study Instance UID.
        series_uid: Series Instance UID.
    """

    patient: str
    study: str
    series: str
    days: int | None
    issuer: str = field(repr=False)
    patient_id: str = field(repr=False)
    accession: str = field(repr=False)
    study_uid: str = field(repr=False)
    series_uid: str = field(repr=False)


class Broker:
    """Whoever may open lookup tables, known by a public key."""

    def __init__(self, public_key: Path) -> None:
        """Read the key.

        Raises:
            InputError: If the file holds no X25519 public key in PEM form, or the extra ``broker`` is not installed.
        """
        require_cryptography()
        self._key = _public_key(_pem(public_key))

    def seal(self, rows: Sequence[Original], path: Path) -> None:
        """Write the rows so that only the broker can read them; only the owner may read the file at all.

        Raises:
            OutputError: If it cannot be written.
        """
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey  # noqa: PLC0415 - an extra
        from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305  # noqa: PLC0415

        fresh = X25519PrivateKey.generate()
        head = _FORMAT + fresh.public_key().public_bytes_raw()
        cipher = ChaCha20Poly1305(_cipher_key(fresh, self._key, fresh.public_key(), self._key))
        nonce = os.urandom(_NONCE)
        table = json.dumps([asdict(row) for row in rows]).encode()
        with atomic_file(path) as partial:
            partial.write_bytes(head + nonce + cipher.encrypt(nonce, table, head))
        path.chmod(0o600)


def open_lookup(path: Path, private_key: Path) -> list[dict[str, Any]]:
    """The rows of a lookup table, with the keys of ``Original``.

    Args:
        path: What ``medseg deidentify --lookup`` wrote.
        private_key: The broker's X25519 private key, a PEM file without a password.

    Raises:
        InputError: If it is no lookup table, was sealed to another key, or was changed; if the key cannot be read, or
            the extra ``broker`` is not installed.
    """
    require_cryptography()
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305  # noqa: PLC0415

    mine = _private_key(_pem(private_key))
    content = existing(path).read_bytes()
    start = len(_FORMAT) + _PUBLIC
    if not content.startswith(_FORMAT) or len(content) < start + _NONCE:
        raise InputError(f"{path.name!r} is no lookup table of medseg")
    head, nonce, sealed = content[:start], content[start : start + _NONCE], content[start + _NONCE :]
    try:
        fresh = X25519PublicKey.from_public_bytes(head[len(_FORMAT) :])
        table = ChaCha20Poly1305(_cipher_key(mine, fresh, fresh, mine.public_key())).decrypt(nonce, sealed, head)
    except (InvalidTag, ValueError):
        raise InputError(f"{path.name!r} was sealed to another key, or was changed") from None
    rows: list[dict[str, Any]] = json.loads(table)
    return rows


def require_cryptography() -> None:
    """Say how to install what sealing needs, if it is not there.

    Raises:
        InputError: If it is not.
    """
    try:
        import cryptography  # noqa: F401, PLC0415
    except ImportError:
        raise InputError("a lookup table is written sealed or not at all; run `pip install 'medseg[broker]'`") from None


def _cipher_key(
    mine: X25519PrivateKey, other: X25519PublicKey, fresh: X25519PublicKey, broker: X25519PublicKey
) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF  # noqa: PLC0415

    salt = fresh.public_bytes_raw() + broker.public_bytes_raw()
    derived: bytes = HKDF(SHA256(), length=32, salt=salt, info=_FORMAT).derive(mine.exchange(other))
    return derived


def _public_key(pem: bytes) -> X25519PublicKey:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415

    if b"PRIVATE KEY" in pem:
        raise InputError("the broker's key file holds a private key, which stays with the broker; name the public one")
    try:
        key = load_pem_public_key(pem)
    except Exception:  # noqa: BLE001 - many kinds, and all mean that it is none
        key = None
    if not isinstance(key, X25519PublicKey):
        made = "openssl genpkey -algorithm X25519 -out broker.pem; openssl pkey -in broker.pem -pubout -out public.pem"
        raise InputError(
            f"the broker's key file holds no X25519 public key in PEM form; the broker makes one by: {made}"
        )
    return key


def _private_key(pem: bytes) -> X25519PrivateKey:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    try:
        key = load_pem_private_key(pem, None)
    except Exception:  # noqa: BLE001 - many kinds, and all mean that it is none
        key = None
    if not isinstance(key, X25519PrivateKey):
        raise InputError("the key file holds no X25519 private key in PEM form without a password")
    return key


def _pem(path: Path) -> bytes:
    try:
        if existing(path).stat().st_size > _LARGEST_KEY:
            raise InputError(f"{path.name!r} is larger than any key file")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"key file {path.name!r} cannot be read ({error.strerror})") from error
