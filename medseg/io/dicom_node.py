"""The server of a DICOM node: who is let in, with which classes and transfer syntaxes; ``dicom_net.receiving`` runs it.

Loads pynetdicom, so it is imported where it is needed only.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import socketserver
import threading
from collections.abc import Iterator
from typing import Any

from pydicom import uid
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.sop_class import Verification
from pynetdicom.transport import RequestHandler, ThreadedAssociationServer

from medseg.core.errors import InputError

from .dicom_classes import LABEL_MAP_STORAGE
from .dicom_encoding import DECODERS
from .dicom_file import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from .dicom_net import STORED, NodeSettings, server_context
from .dicom_reception import Reception
from .pace import Pace
from .spool import Spool

_OTHER_CLASSES = (
    *(uid.SegmentationStorage, uid.RTStructureSetStorage, uid.RTDoseStorage, uid.RTPlanStorage),
    *(uid.BasicTextSRStorage, uid.EnhancedSRStorage, uid.ComprehensiveSRStorage, uid.Comprehensive3DSRStorage),
    *(uid.KeyObjectSelectionDocumentStorage, uid.GrayscaleSoftcopyPresentationStateStorage),
    *(uid.SpatialRegistrationStorage, uid.RealWorldValueMappingStorage, uid.EnhancedUSVolumeStorage),
    *(uid.ParametricMapStorage, LABEL_MAP_STORAGE),
)
_SYNTAXES = [
    *(uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian, uid.DeflatedExplicitVRLittleEndian),
    *(uid.ExplicitVRBigEndian, *DECODERS),
]
_LARGEST_FRAGMENT = 2**17
_POLL_S = 0.05
_log = logging.getLogger(__name__)


class Node:
    """A node at work; ``dicom_net.receiving`` makes and ends it.

    Attributes:
        port: On which it listens.
        stored: Objects that were acknowledged since the start.
        refused: Objects that were not.
        rejected: Associations that were not accepted.
    """

    def __init__(self, settings: NodeSettings, spool: Spool) -> None:
        self.stored, self.refused, self.rejected = 0, 0, 0
        self._open = 0
        self._counting = threading.Lock()
        self._limits = settings.limits
        self._spool = spool
        self._pace = Pace(settings.limits)
        self._context = None if settings.tls is None else server_context(settings.tls)
        self._entity = _entity(settings)
        self._server = self._listening(settings)
        self.port = int(self._server.server_address[1])
        serve = self._server.serve_forever
        self._thread = threading.Thread(target=serve, args=(_POLL_S,), name="medseg DICOM node", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening and cut what is open; what was acknowledged is in the spool."""
        # AssociationServer.shutdown takes itself off a list that only AE.start_server puts it on.
        socketserver.BaseServer.shutdown(self._server)
        self._server.server_close()
        self._thread.join()
        for association in self._entity.active_associations:
            association.abort()

    def attend(self, handler: Any) -> None:
        """See one connection through: room, encryption, association; ``handler`` is pynetdicom's, in its own thread."""
        with self._counting:
            self._open += 1
            is_crowded = self._open > 2 * self._limits.associations
        try:
            if not is_crowded and self._is_safe(handler):
                association = handler.associated()
                reception = Reception(association, self._spool, self._limits, self._pace, self._count)
                association.bind(evt.EVT_REJECTED, self._count_rejected)
                association.start()
                association.join()
                reception.close()
        finally:
            handler.request.close()
            with self._counting:
                self._open -= 1

    def _is_safe(self, handler: Any) -> bool:
        """Set the connection up; whether it is encrypted, if it has to be."""
        handler.request.settimeout(self._limits.network_timeout_s)
        handler.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._context is None:
            return True
        try:
            with _cut_after(self._limits.network_timeout_s, handler.request):
                handler.request = self._context.wrap_socket(handler.request, server_side=True)
        except OSError as error:  # ssl.SSLError too
            _log.warning("refused a connection without acceptable TLS (%s)", type(error).__name__)
            return False
        return True

    def _count(self, status: int) -> None:
        with self._counting:
            self.stored += status == STORED
            self.refused += status != STORED

    def _count_rejected(self, event: Any) -> None:
        with self._counting:
            self.rejected += 1
        title = event.assoc.requestor.ae_title
        _log.warning("refused an association with AE title %.20r", title)

    def _listening(self, settings: NodeSettings) -> Any:
        try:
            server = self._entity.make_server(
                (settings.host, settings.port),
                server_class=ThreadedAssociationServer,
                request_handler=_handler(self),
            )
        except OSError as error:
            raise InputError(f"cannot listen on port {settings.port} ({error.strerror}); name another") from None
        server.daemon_threads = True
        for event in (evt.EVT_PDU_RECV, evt.EVT_PDU_SENT, evt.EVT_DIMSE_RECV, evt.EVT_DIMSE_SENT):
            for handler, _ in list(server.get_handlers(event)):  # these write all that comes to the log
                server.unbind(event, handler)
        return server


def _handler(node: Node) -> type[RequestHandler]:
    class Handler(RequestHandler):
        """One connection; pynetdicom's own would do the TLS handshake in the thread that listens."""

        def handle(self) -> None:
            node.attend(self)

        def associated(self) -> Any:
            return self._create_association()

    return Handler


@contextlib.contextmanager
def _cut_after(seconds: float, connection: socket.socket) -> Iterator[None]:
    """Shut the connection down if the block takes longer, whatever comes on it meanwhile."""
    with connection.dup() as same:
        timer = threading.Timer(seconds, same.shutdown, [socket.SHUT_RDWR])
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()


def _entity(settings: NodeSettings) -> Any:
    entity = AE(settings.ae_title)
    entity.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    entity.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    entity.require_called_aet = True
    entity.require_calling_aet = [] if settings.allow_any else list(settings.allowed)
    entity.maximum_associations = settings.limits.associations
    entity.maximum_pdu_size = _LARGEST_FRAGMENT
    timeout = settings.limits.network_timeout_s
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = timeout
    entity.add_supported_context(Verification)
    for sop_class in storage_classes():
        entity.add_supported_context(sop_class, _SYNTAXES)
    return entity


def storage_classes() -> tuple[str, ...]:
    """SOP classes that are received: all images, segmentations, contours, doses and reports."""
    known = [str(context.abstract_syntax) for context in AllStoragePresentationContexts]
    images = [one for one in known if "Image Storage" in uid.UID(one).name]
    return tuple(dict.fromkeys([*images, *map(str, _OTHER_CLASSES)]))
