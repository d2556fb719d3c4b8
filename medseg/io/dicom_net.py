"""The DICOM network: a node that receives into a spool, objects sent to another one, and what both have to know.

Needs pynetdicom (extra ``pacs``), which ``dicom_node`` and ``dicom_send`` load when they are used. DICOM over HTTP is
in ``dicom_web``.
"""

from __future__ import annotations

import contextlib
import logging
import re
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from medseg.core.errors import InputError

from .spool import Spool

if TYPE_CHECKING:
    from .dicom_node import Node

STORED, DUPLICATE = 0x0000, 0x0111
_CLASS_NOT_SUPPORTED, _OTHER_CLASS, _NOT_UNDERSTOOD = 0x0122, 0xA9, 0xC
_TITLE = re.compile(r"[!-\[\]-~]([ -\[\]-~]{0,14}[!-\[\]-~])?")
_LARGEST_PORT = 65535


@dataclass(frozen=True)
class TlsFiles:
    """Certificates for an encrypted connection (PS3.15 section B.9), as PEM files.

    Attributes:
        certificate: Our own, with what lies between it and the authority; a node needs one, a sender only where the
            other side asks for it.
        key: The certificate's private key, without a password.
        ca: Authorities that may vouch for the other side. For a node, None means that callers show no certificate;
            for a sender, that the system's authorities count.
    """

    certificate: Path | None = None
    key: Path | None = field(default=None, repr=False)
    ca: Path | None = None

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise InputError("a certificate needs its private key and the other way round; name both files")


@dataclass(frozen=True)
class NodeLimits:
    """What one node takes before it refuses.

    Attributes:
        object_bytes: Of one object.
        objects_a_minute: From one caller.
        associations: At a time, from all callers.
        network_timeout_s: How long a caller may be silent in the middle of something.
    """

    object_bytes: int = 2**31
    objects_a_minute: int = 12_000
    associations: int = 10
    network_timeout_s: float = 60.0

    def __post_init__(self) -> None:
        if min(self.object_bytes, self.objects_a_minute, self.associations, self.network_timeout_s) <= 0:
            raise InputError("the limits of a DICOM node must be larger than 0")


@dataclass(frozen=True)
class NodeSettings:
    """How a node listens and to whom.

    Attributes:
        ae_title: Its own application entity title (PS3.8 section 7.1.1.3).
        port: 0 takes any free one.
        allowed: Titles of those who may send.
        host: Address to listen on; the default hears this machine only.
        allow_any: Let everybody send who can reach the port.
        tls: Encrypt; with authorities, callers have to show a certificate.
        limits: What is refused.
    """

    ae_title: str
    port: int
    allowed: tuple[str, ...] = ()
    host: str = "127.0.0.1"
    allow_any: bool = False
    tls: TlsFiles | None = None
    limits: NodeLimits = field(default_factory=NodeLimits)

    def __post_init__(self) -> None:
        for title in (self.ae_title, *self.allowed):
            check_title(title)
        _check_port(self.port, 0)
        if not self.allowed and not self.allow_any:
            raise InputError(
                "nobody may send to this node; name the AE titles that may by --allow TITLE, or say --allow-any"
            )
        if self.tls is not None and self.tls.certificate is None:
            raise InputError("a DICOM node with TLS needs a certificate of its own and its key")


@dataclass(frozen=True)
class Destination:
    """Where objects are sent.

    Attributes:
        host: Name or address.
        port: Usually 104 or 11112, with TLS 2762.
        called: AE title of the receiver.
        calling: AE title that we give.
        tls: Encrypt; None sends in the clear.
    """

    host: str
    port: int
    called: str
    calling: str = "MEDSEG"
    tls: TlsFiles | None = None

    def __post_init__(self) -> None:
        check_title(self.called)
        check_title(self.calling)
        _check_port(self.port, 1)


@dataclass(frozen=True)
class Retries:
    """How often something is tried when the network or the other side fails, and how long is waited in between."""

    attempts: int = 4
    first_wait_s: float = 1.0

    def waits(self) -> tuple[float, ...]:
        """Seconds before each attempt: none before the first, then twice as long each time, at most a minute."""
        return (0.0, *(min(60.0, self.first_wait_s * 2**number) for number in range(self.attempts - 1)))


@dataclass(frozen=True)
class SendOutcome:
    """What became of one object.

    Attributes:
        path: Its file.
        stored: Whether the receiver has it, maybe with a warning.
        status: The receiver's answer (PS3.4 section B.2.3); None if there was none.
        reason: Why it is not stored, or what the receiver warns of; empty if all is well.
        is_final: Whether the receiver refused it for what it is, so that it will never be stored.
    """

    path: Path = field(repr=False)
    stored: bool
    status: int | None
    reason: str
    is_final: bool = False


@contextlib.contextmanager
def receiving(settings: NodeSettings, spool: Spool) -> Iterator[Node]:
    """A DICOM node that answers C-ECHO and puts what comes by C-STORE into ``spool``, for as long as the block runs.

    An object is acknowledged when it is on the disk. It is refused with status A700 if it or the spool is too large,
    the disk is full or too many come; with A900 if it is another object than was announced; with C000 if it is none.

    Raises:
        InputError: If pynetdicom is not installed, the port is taken, or a certificate cannot be read.
    """
    _need_pynetdicom()
    from .dicom_node import Node  # noqa: PLC0415 - loads pynetdicom

    node = Node(settings, spool)
    try:
        yield node
    finally:
        node.close()


def send_objects(
    paths: Sequence[Path], destination: Destination, retries: Retries | None = None
) -> tuple[SendOutcome, ...]:
    """What became of each of the files when they were sent by C-STORE, in their order.

    A file goes as it is. If the receiver does not take its transfer syntax, and it is native, deflated or RLE, it goes
    without compression. What fails by the network, or because the receiver has no room, is tried again.

    Raises:
        InputError: If pynetdicom is not installed or a certificate cannot be read.
    """
    _need_pynetdicom()
    from .dicom_send import send_files  # noqa: PLC0415 - loads pynetdicom

    return send_files(paths, destination, retries or Retries())


def echo(destination: Destination) -> str | None:
    """Why a destination does not answer a C-ECHO, as a part of a sentence; None if it does.

    Raises:
        InputError: If pynetdicom is not installed or a certificate cannot be read.
    """
    _need_pynetdicom()
    from .dicom_send import echo_once  # noqa: PLC0415 - loads pynetdicom

    return echo_once(destination)


def check_title(title: str) -> None:
    """Refuse what is no application entity title.

    Raises:
        InputError: If it is not 1 to 16 characters of ASCII, without backslash or outer spaces (PS3.5 table 6.2-1).
    """
    if not _TITLE.fullmatch(title):
        raise InputError(f"{title!r} is no AE title: 1 to 16 characters of ASCII without backslash")


def status_text(status: int) -> str:
    """What an answer to C-STORE means, in words (PS3.4 table B.2-1, PS3.7 section C)."""
    if status == STORED:
        return ""
    if status == DUPLICATE:
        return f"the receiver has the object already (status 0x{status:04X})"
    families = {
        0xA7: "the receiver is out of resources",
        _OTHER_CLASS: "the object does not fit its SOP class",
        0x01: "the receiver refused the object",
        0x02: "the receiver did not accept the request",
        0xB0: "the receiver changed or left out elements",
    }
    default = "the receiver cannot understand the object" if status >> 12 == _NOT_UNDERSTOOD else "an unknown answer"
    return f"{families.get(status >> 8, default)} (status 0x{status:04X})"


def is_stored(status: int) -> bool:
    """Whether the receiver has the object: success or a warning (PS3.4 table B.2-1), or it had it before.

    The same instance UID says the same object: those of results are derived from their content.
    """
    return status in (STORED, DUPLICATE) or status >> 12 == 0xB


def is_final(status: int) -> bool:
    """Whether the receiver refused the object for what it is (PS3.4 table B.2-1), and not for how things stand."""
    return status == _CLASS_NOT_SUPPORTED or status >> 8 == _OTHER_CLASS or status >> 12 == _NOT_UNDERSTOOD


def server_context(tls: TlsFiles) -> ssl.SSLContext:
    """TLS for a node; callers have to show a certificate if there are authorities.

    Raises:
        InputError: If a file is missing or holds something else.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if tls.ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
    _load(context, tls)
    return context


def client_context(tls: TlsFiles) -> ssl.SSLContext:
    """TLS for a sender: the receiver's certificate and host name are always checked.

    Raises:
        InputError: If a file is missing or holds something else.
    """
    context = ssl.create_default_context() if tls.ca is None else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _load(context, tls)
    return context


def _need_pynetdicom() -> None:
    """Make sure of pynetdicom, and that it logs nothing: it quotes UIDs and whole requests.

    Raises:
        InputError: If it is not installed.
    """
    try:
        import pynetdicom  # noqa: F401, PLC0415 - an extra
    except ImportError:
        raise InputError("the DICOM network needs pynetdicom; run `pip install 'medseg[pacs]'`") from None
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL + 1)


def _load(context: ssl.SSLContext, tls: TlsFiles) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        if tls.ca is not None:
            context.load_verify_locations(tls.ca)
        if tls.certificate is not None:
            context.load_cert_chain(tls.certificate, tls.key, _no_password)
    except OSError as error:  # ssl.SSLError too
        raise InputError(f"a TLS certificate or key cannot be read ({type(error).__name__}); PEM is wanted") from None


def _no_password() -> str:
    """Keeps OpenSSL from asking the terminal."""
    return ""


def _check_port(port: int, lowest: int) -> None:
    if not lowest <= port <= _LARGEST_PORT:
        raise InputError(f"port {port} is not from {lowest} to {_LARGEST_PORT}")
