"""The other side in tests of the network: a receiver that answers at will, and a sender that misbehaves."""

from __future__ import annotations

import contextlib
import io
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from pynetdicom import AE, evt
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import encode
from pynetdicom.transport import ThreadedAssociationServer

from medseg.io.dicom_net import Destination, NodeLimits, NodeSettings, receiving
from medseg.io.spool import open_spool


@contextlib.contextmanager
def running_node(
    folder, key, *, title="SENDER", most_bytes=2**30, tls=None, allow_any=False, **limits
) -> Iterator[tuple]:
    """Our node on a free port with a spool in ``folder``; without ``allow_any`` it is open to one title."""
    settings = NodeSettings("NODE", 0, (title,), allow_any=allow_any, tls=tls, limits=NodeLimits(**limits))
    with open_spool(folder, key, most_bytes) as spool, receiving(settings, spool) as node:
        yield node, spool


def to(node, **fields) -> Destination:
    return Destination("127.0.0.1", node.port, "NODE", **{"calling": "SENDER", **fields})


@dataclass
class Peer:
    """A receiver; ``answers`` are given one after the other, the last for ever."""

    answers: list[int]
    port: int = 0
    received: list = field(default_factory=list)

    def destination(self, **fields) -> Destination:
        return Destination("127.0.0.1", self.port, "PEER", **fields)

    def store(self, event) -> int:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer < 0:
            event.assoc.abort()
            return 0
        if answer == 0:
            self.received.append((event.context.transfer_syntax, event.request.DataSet.getvalue()))
        return answer


@contextlib.contextmanager
def running_peer(contexts, *answers: int, title="PEER") -> Iterator[Peer]:
    """A receiver that takes ``contexts``: transfer syntaxes by SOP class. A negative answer cuts the association."""
    made = Peer(list(answers or (0,)))
    entity = AE(title)
    entity.require_called_aet = True
    for sop_class, syntaxes in contexts.items():
        entity.add_supported_context(sop_class, list(syntaxes))
    handlers = [(evt.EVT_C_STORE, made.store)]
    server = entity.make_server(("127.0.0.1", 0), evt_handlers=handlers, server_class=ThreadedAssociationServer)
    entity._servers.append(server)
    made.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield made
    finally:
        entity.shutdown()


@contextlib.contextmanager
def association_with(node, sop_class, syntax) -> Iterator:
    """An association from SENDER to our node by bare pynetdicom."""
    entity = AE("SENDER")
    entity.acse_timeout = entity.dimse_timeout = 5
    entity.add_requested_context(sop_class, syntax)
    association = entity.associate("127.0.0.1", node.port, ae_title="NODE")
    assert association.is_established
    connection = association.dul.socket.socket
    try:
        yield association
    finally:
        association.abort()
        connection.close()  # which pynetdicom leaves out where the other side was first


def fragments(association, dataset, size=500, **command) -> list:
    """A C-STORE request in fragments of at most ``size`` bytes; the first ones are the command."""
    request = C_STORE()
    request.MessageID, request.Priority = 1, 2
    request.AffectedSOPClassUID = command.get("sop_class", dataset.SOPClassUID)
    request.AffectedSOPInstanceUID = command.get("instance", dataset.SOPInstanceUID)
    request.DataSet = io.BytesIO(encode(dataset, is_implicit_vr=False, is_little_endian=True))
    message = C_STORE_RQ()
    message.primitive_to_message(request)
    (context,) = association.accepted_contexts
    return list(message.encode_msg(context.context_id, size))


def wait_until(claim: Callable[[], object], seconds=5.0) -> None:
    end = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.005)
