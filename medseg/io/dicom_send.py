"""Objects sent by C-STORE, and C-ECHO (PS3.4 annexes A and B); ``dicom_net`` runs these. Loads pynetdicom."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom import dcmread, uid
from pynetdicom import AE, _config, build_context, evt
from pynetdicom.sop_class import Verification

from medseg.core.errors import MedsegError, ReadError

from .dicom_elements import quietly
from .dicom_file import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from .dicom_header import parsing, read_header, text
from .dicom_net import Destination, Retries, SendOutcome, client_context, is_final, is_stored, status_text

_MOST_CONTEXTS = 128
_NATIVE = (str(uid.ExplicitVRLittleEndian), str(uid.ImplicitVRLittleEndian))
_CONVERTIBLE = (*_NATIVE, str(uid.DeflatedExplicitVRLittleEndian), str(uid.RLELossless))
"""What can be sent natively without loss to a receiver that takes nothing else."""
_TIMEOUT_S = 60.0
_SLOWEST_BYTES_A_S = 2**20
_OUT_OF_RESOURCES = 0xA7
_SOP_CLASS, _SOP_INSTANCE = 0x00080016, 0x00080018

_config.STORE_SEND_CHUNKED_DATASET = True  # a file is sent as it is, not decoded and encoded again

_Context = tuple[str, tuple[str, ...]]


@dataclass(frozen=True)
class _Object:
    path: Path
    sop_class: str
    syntax: str

    @property
    def contexts(self) -> tuple[_Context, ...]:
        """Presentation contexts by which it may go: as it is, and natively if it can be converted."""
        native = ((self.sop_class, _NATIVE),) if self.syntax in _CONVERTIBLE else ()
        return (self.sop_class, (self.syntax,)), *native


class _NoAssociationError(Exception):
    """The receiver cannot be talked to.

    Attributes:
        is_lasting: Whether to try again at once will not help.
        is_final: Whether that is because of what was to be sent.
    """

    def __init__(self, reason: str, *, is_lasting: bool = False, is_final: bool = False) -> None:
        super().__init__(reason)
        self.is_lasting, self.is_final = is_lasting, is_final


def send_files(paths: Sequence[Path], destination: Destination, retries: Retries) -> tuple[SendOutcome, ...]:
    """What became of each file, in order."""
    outcomes: dict[Path, SendOutcome] = {}
    objects = []
    for path in dict.fromkeys(paths):
        try:
            objects.append(_read(path))
        except MedsegError as error:
            outcomes[path] = SendOutcome(path, stored=False, status=None, reason=str(error))
    for wait in retries.waits():
        if objects:
            time.sleep(wait)
            objects = _try_all(objects, destination, outcomes)
    return tuple(outcomes[path] for path in paths)


def echo_once(destination: Destination) -> str | None:
    """Why the destination does not answer a C-ECHO; None if it does."""
    try:
        with _association(destination, [(str(Verification), _NATIVE)]) as association:
            status = association.send_c_echo().get("Status")
    except _NoAssociationError as error:
        return str(error)
    return None if status == 0 else "the receiver does not answer a C-ECHO"


def _read(path: Path) -> _Object:
    header = read_header(path, (_SOP_CLASS, _SOP_INSTANCE))
    if header is None:
        raise ReadError("not a DICOM file")
    return _Object(path, text(header.dataset, _SOP_CLASS), header.syntax)


def _try_all(objects: Sequence[_Object], destination: Destination, outcomes: dict[Path, SendOutcome]) -> list[_Object]:
    """Send the objects, note their outcomes, and give those that are worth another try."""
    again = []
    for batch in _batches(objects):
        contexts = list(dict.fromkeys(context for one in batch for context in one.contexts))
        try:
            with _association(destination, contexts) as association:
                again += _try_batch(batch, association, outcomes)
        except _NoAssociationError as error:
            outcomes |= {one.path: _failed(one, str(error), is_final=error.is_final) for one in batch}
            again += [] if error.is_lasting else batch
    return again


def _try_batch(batch: Sequence[_Object], association: Any, outcomes: dict[Path, SendOutcome]) -> list[_Object]:
    """As ``_try_all``, over one association."""
    again = []
    for number, one in enumerate(batch):
        outcomes[one.path], is_lasting = _send(one, association)
        if not is_lasting:
            again.append(one)
        if not is_lasting and outcomes[one.path].status is None:  # the association is lost, though it may not know yet
            outcomes |= {other.path: _failed(other, "the connection was lost") for other in batch[number + 1 :]}
            return [*again, *batch[number + 1 :]]
    return again


def _batches(objects: Sequence[_Object]) -> Iterator[list[_Object]]:
    """Groups of objects that one association can carry: it has at most 128 contexts (PS3.8 section 9.3.2.2)."""
    batch: list[_Object] = []
    contexts: set[_Context] = set()
    for one in objects:
        if len(contexts.union(one.contexts)) > _MOST_CONTEXTS:
            yield batch
            batch, contexts = [], set()
        batch.append(one)
        contexts.update(one.contexts)
    yield batch


def _send(one: _Object, association: Any) -> tuple[SendOutcome, bool]:
    """What became of an object, and whether to try again at once will not help."""
    try:
        with parsing("an object to send"), quietly():
            content = _content(one, association)
            if content is None:
                reason = "the receiver takes no such object in a transfer syntax that it can be sent in"
                return _failed(one, reason, is_final=True), True
            association.dimse_timeout = _TIMEOUT_S + one.path.stat().st_size / _SLOWEST_BYTES_A_S
            status = association.send_c_store(content).get("Status")
    except ReadError as error:
        return _failed(one, str(error)), association.is_established
    if status is None:
        return _failed(one, "the receiver did not answer"), False
    outcome = SendOutcome(one.path, is_stored(status), int(status), status_text(status), is_final(status))
    return outcome, status >> 8 != _OUT_OF_RESOURCES


def _failed(one: _Object, reason: str, *, is_final: bool = False) -> SendOutcome:
    return SendOutcome(one.path, stored=False, status=None, reason=reason, is_final=is_final)


def _content(one: _Object, association: Any) -> Any:
    """The file, or its data set without compression, whichever was agreed on; None if neither."""
    agreed = {(str(one.abstract_syntax), str(one.transfer_syntax[0])) for one in association.accepted_contexts}
    if (one.sop_class, one.syntax) in agreed:
        return one.path
    if one.syntax not in _CONVERTIBLE or not any((one.sop_class, native) in agreed for native in _NATIVE):
        return None
    dataset = dcmread(one.path)
    if one.syntax == str(uid.RLELossless):
        dataset.decompress(generate_instance_uid=False)
    elif one.syntax not in _NATIVE:
        dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    return dataset


@contextlib.contextmanager
def _association(destination: Destination, contexts: Sequence[_Context]) -> Iterator[Any]:
    """An association with the destination, released at the end.

    Raises:
        _NoAssociationError: If there is none to be had.
    """
    connections: list[socket.socket] = []
    try:
        association = _entity(destination).associate(
            destination.host,
            destination.port,
            [build_context(sop_class, list(syntaxes)) for sop_class, syntaxes in contexts],
            ae_title=destination.called,
            tls_args=None if destination.tls is None else (client_context(destination.tls), destination.host),
            evt_handlers=[(evt.EVT_CONN_OPEN, _prepare, [connections])],
        )
        if not association.is_established:
            raise _refusal(association)
        yield association
        if association.is_established:
            association.release()
    except socket.gaierror:
        raise _NoAssociationError("the receiver's host name cannot be resolved") from None
    finally:
        for connection in connections:
            connection.close()


def _entity(destination: Destination) -> Any:
    entity = AE(destination.calling)
    entity.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    entity.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    entity.acse_timeout = entity.connection_timeout = entity.dimse_timeout = _TIMEOUT_S
    entity.network_timeout = None  # its clock runs on while a large object is on its way
    return entity


def _prepare(event: Any, connections: list[socket.socket]) -> None:
    """Let no send wait for ever on a receiver that stopped reading, nor each object on a delayed acknowledgement.

    pynetdicom forgets to close a connection that the other side has closed; so it is noted.
    """
    connection = event.assoc.dul.socket.socket
    connection.settimeout(_TIMEOUT_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connections.append(connection)


def _refusal(association: Any) -> _NoAssociationError:
    if association.is_rejected:
        answer = association.acceptor.primitive
        reason = f"the receiver refused the association ({answer.reason_str.lower()})"
        return _NoAssociationError(reason, is_lasting=answer.result == 1)
    if association.rejected_contexts:
        reason = "the receiver takes none of these kinds of object"
        return _NoAssociationError(reason, is_lasting=True, is_final=True)
    return _NoAssociationError("no connection: refused, not reachable, or a certificate was not accepted")
