"""One connection of a DICOM node: fragments of objects go to the spool as they come, within bounds.

pynetdicom keeps a whole object in memory, as long as the caller likes it to be, and believes the length of any PDU.
``Reception`` gives it a stream for the data set that writes to the spool, and looks at lengths before they are read.
"""

from __future__ import annotations

import io
import logging
import re
import time
from collections.abc import Callable
from typing import Any

from pynetdicom import evt
from pynetdicom.dimse_messages import C_STORE_RQ, DIMSEMessage
from pynetdicom.pdu import P_DATA_TF

from medseg.core.errors import MedsegError, OutputError, ReadError

from .dicom_file import file_head
from .dicom_header import text
from .dicom_net import STORED, NodeLimits
from .incoming import Incoming
from .pace import Pace
from .spool import Spool

_OUT_OF_RESOURCES, _OTHER_OBJECT, _NOT_UNDERSTOOD = 0xA700, 0xA900, 0xC000
_LARGEST_PDU = 2**20
_PIECE = 2**16
_LARGEST_COMMAND = 2**16
_MOST_WAITING = 16
_CLASS, _INSTANCE = 0x00000002, 0x00001000
_UID = re.compile(r"[0-9.]{1,64}")
_log = logging.getLogger(__name__)


class Reception:
    """What one caller sends until the connection ends; ``close`` then leaves nothing that is not complete.

    Args:
        association: Of pynetdicom, not yet started.
        spool: Where objects go.
        limits: What is refused.
        pace: Of all callers.
        count: Told the status of each answer.
    """

    def __init__(
        self, association: Any, spool: Spool, limits: NodeLimits, pace: Pace, count: Callable[[int], None]
    ) -> None:
        self._association = association
        self._spool = spool
        self._limits = limits
        self._pace = pace
        self._count = count
        self._is_broken = False
        self._unanswered: _DataSet | None = None
        association.dul.socket.recv = self._receive
        association.bind(evt.EVT_PDU_RECV, self._before_fragment)
        association.bind(evt.EVT_C_STORE, self._answer)

    def close(self) -> None:
        """Discard an object that is not complete."""
        if self._unanswered is not None:
            self._unanswered.discard()

    def _receive(self, size: int) -> bytearray:
        """Bytes for pynetdicom, fewer if the caller goes; it takes an OSError for a connection that was cut."""
        if self._is_broken or size > _LARGEST_PDU:
            raise OSError("cut by the node")
        received, end = bytearray(), time.monotonic() + self._limits.network_timeout_s
        while len(received) < size:
            piece = self._association.dul.socket.socket.recv(min(size - len(received), _PIECE))
            if not piece:
                break
            received += piece
            if time.monotonic() > end:
                raise OSError("a message comes too slowly")
        return received

    def _before_fragment(self, event: Any) -> None:
        """Have the next data set written by ``_DataSet``; runs before pynetdicom looks at the fragments of a PDU."""
        if not isinstance(event.pdu, P_DATA_TF):
            return
        provider = self._association.dimse
        if provider.message is None:
            provider.message = DIMSEMessage()
            provider.message.data_set = _DataSet(self._begin, provider.message)
        self._is_broken = self._is_broken or (
            provider.message.encoded_command_set.tell() > _LARGEST_COMMAND
            or provider.message.data_set.received > 2 * self._limits.object_bytes
            or provider.msg_queue.qsize() > _MOST_WAITING
        )

    def _begin(self, stream: _DataSet, message: Any) -> Incoming:
        """The file of an object of which the first fragment is here.

        Raises:
            ReadError: If the request is not as it should be.
            OutputError: If the caller asks for too much, or no file can be made.
        """
        if self._unanswered is not None:
            self._is_broken = True  # one operation at a time was negotiated (PS3.7 section D.3.3.3)
            raise OutputError("a second object comes before the first is answered")
        sop_class, instance = (text(message.command_set, tag) for tag in (_CLASS, _INSTANCE))
        syntaxes = {one.context_id: str(one.transfer_syntax[0]) for one in self._association.accepted_contexts}
        is_store = isinstance(message, C_STORE_RQ) and message.context_id in syntaxes
        if not is_store or not _UID.fullmatch(sop_class) or not _UID.fullmatch(instance):
            raise ReadError("a request with a data set that is no C-STORE of an object with UIDs")
        if not self._pace.allows(self._caller(), time.monotonic()):
            raise OutputError(f"more than {self._limits.objects_a_minute} objects a minute from one caller")
        incoming = self._spool.receive(self._limits.object_bytes)
        try:
            incoming.write(file_head(sop_class, instance, syntaxes[message.context_id]))
        except MedsegError:
            incoming.discard()
            raise
        self._unanswered = stream
        return incoming

    def _caller(self) -> str:
        """Who sends: the title where titles are checked, else the address, which cannot be made up at will."""
        requestor = self._association.requestor
        return str(requestor.ae_title if self._association.ae.require_calling_aet else requestor.address)

    def _answer(self, event: Any) -> int:
        """The status of a C-STORE whose data set has come whole (PS3.4 table B.2-1)."""
        stream, status = event.request.DataSet, STORED
        expected = str(event.request.AffectedSOPClassUID), str(event.request.AffectedSOPInstanceUID)
        try:
            self._spool.keep(stream.incoming(), expected)
        except MedsegError as error:
            _log.warning("refused an object: %s", error)
            status = _status(error)
        finally:
            stream.discard()
            self._unanswered = None
        self._count(status)
        return status


class _DataSet(io.BytesIO):
    """Takes the fragments of a data set where pynetdicom wants a stream in memory; empty as such."""

    def __init__(self, begin: Callable[[_DataSet, Any], Incoming], message: Any) -> None:
        super().__init__()
        self.received = 0
        self._begin = begin
        self._message = message
        self._incoming: Incoming | None = None
        self._refusal: MedsegError | None = None

    def write(self, fragment: bytes, /) -> int:  # type: ignore[override]
        """Put a fragment into the spool; once that failed, fragments are dropped until the request is answered."""
        self.received += len(fragment)
        if self._refusal is None:
            try:
                if self._incoming is None:
                    self._incoming = self._begin(self, self._message)
                self._incoming.write(fragment)
            except MedsegError as error:
                self._refusal = error
                self.discard()
        return len(fragment)

    def incoming(self) -> Incoming:
        """The object, all of which has come.

        Raises:
            MedsegError: Why it was refused.
        """
        if self._refusal is not None:
            raise self._refusal
        if self._incoming is None:
            raise ReadError("a C-STORE without a data set")
        return self._incoming

    def discard(self) -> None:
        """Leave nothing of it, if it was not kept."""
        if self._incoming is not None:
            self._incoming.discard()


def _status(error: MedsegError) -> int:
    if isinstance(error, OutputError):
        return _OUT_OF_RESOURCES
    return _NOT_UNDERSTOOD if isinstance(error, ReadError) else _OTHER_OBJECT
