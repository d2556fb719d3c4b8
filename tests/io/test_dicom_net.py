"""A node in this process: who is let in, what is refused, and that a cut connection leaves nothing."""

from __future__ import annotations

import contextlib
import logging
import socket
import struct
import sys
import time

import pydicom
import pytest
from cryptography.hazmat.primitives import serialization
from dicom_factories import MARKER
from network_objects import KEY, authority, files_below, pixels, small_series
from network_peers import association_with, running_node, to, wait_until
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from medseg.core.errors import InputError
from medseg.io.dicom_net import (
    Destination,
    NodeLimits,
    NodeSettings,
    Retries,
    TlsFiles,
    echo,
    is_final,
    is_stored,
    receiving,
    send_objects,
    status_text,
)
from medseg.io.dicom_node import storage_classes

ONCE = Retries(attempts=1)
CT = (CTImageStorage, ExplicitVRLittleEndian)
unclosed = pytest.mark.filterwarnings("ignore:Exception ignored.*socket:pytest.PytestUnraisableExceptionWarning")
"""pynetdicom drops a socket that did not connect without closing it."""


def test_what_is_sent_is_what_lies_in_the_spool(tmp_path):
    paths = small_series(tmp_path / "in", slices=30)
    with running_node(tmp_path / "spool", KEY) as (node, spool):
        assert echo(to(node)) is None
        outcomes = send_objects(paths, to(node))
        assert [(one.path, one.stored, one.status, one.reason) for one in outcomes] == [
            (path, True, 0, "") for path in paths
        ]
        (study,) = spool.quiet(0, now=time.time() + 1)
        kept = files_below(spool.take(study))
        assert (node.stored, node.refused, node.rejected) == (30, 0, 0)
    assert pixels(kept) == pixels(paths)
    sent = {pydicom.dcmread(path).SOPInstanceUID: pydicom.dcmread(path) for path in paths}
    for path in kept:
        dataset = pydicom.dcmread(path)
        assert dataset == sent[dataset.SOPInstanceUID]
        assert dataset.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
        assert dataset.file_meta.ImplementationVersionName == "MEDSEG"


@pytest.mark.parametrize(
    ("titles", "reason"),
    [
        ({"calling": "STRANGER"}, "calling ae title not recognised"),
        ({"called": "OTHER"}, "called ae title not recognised"),
    ],
)
def test_unknown_titles_are_rejected_when_they_call(tmp_path, titles, reason):
    with running_node(tmp_path / "spool", KEY) as (node, _):
        destination = Destination("127.0.0.1", node.port, **{"called": "NODE", "calling": "SENDER", **titles})
        assert echo(destination) == f"the receiver refused the association ({reason})"
        (outcome,) = send_objects(small_series(tmp_path / "in", slices=1), destination)  # final: not tried again
        assert (outcome.stored, outcome.status) == (False, None)
        assert node.rejected == 2


def test_node_for_all_titles(tmp_path):
    with running_node(tmp_path / "spool", KEY, allow_any=True) as (node, _):
        (outcome,) = send_objects(small_series(tmp_path / "in", slices=1), to(node, calling="ANYBODY"))
        assert outcome.stored


def test_too_many_associations_are_rejected_for_now(tmp_path):
    with running_node(tmp_path / "spool", KEY, associations=1) as (node, _):
        with association_with(node, *CT):
            assert echo(to(node)) == "the receiver refused the association (local limit exceeded)"
        wait_until(lambda: echo(to(node)) is None)


# pynetdicom's threads take it ill when one that has said nothing goes away while they end
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_too_many_connections_are_not_even_asked(tmp_path):
    with running_node(tmp_path / "spool", KEY, associations=1) as (node, _), contextlib.ExitStack() as stack:
        silent = [stack.enter_context(socket.create_connection(("127.0.0.1", node.port))) for _ in range(2)]
        wait_until(lambda: node._open == len(silent))
        third = stack.enter_context(socket.create_connection(("127.0.0.1", node.port)))
        third.settimeout(5)
        assert third.recv(1) == b""


def test_caller_that_says_nothing_is_cut_off(tmp_path):
    with running_node(tmp_path / "spool", KEY, network_timeout_s=0.2) as (node, _):
        with socket.create_connection(("127.0.0.1", node.port), timeout=5) as silent:
            assert silent.recv(1) == b""
        with socket.create_connection(("127.0.0.1", node.port), timeout=5) as slow:
            slow.sendall(struct.pack(">BBL", 1, 0, 100) + b"x")  # and the rest never comes
            assert slow.recv(100) in (b"", b"\x07\x00\x00\x00\x00\x04\x00\x00\x00\x00")


@pytest.mark.parametrize("is_encrypted", [False, True])
def test_caller_that_drips_is_cut_off(tmp_path, is_encrypted):
    tls = TlsFiles(*authority(tmp_path / "ca").issue("server")) if is_encrypted else None
    start = b"\x16\x03\x01\x10\x00" if is_encrypted else struct.pack(">BBL", 1, 0, 10_000)
    with (
        running_node(tmp_path / "spool", KEY, network_timeout_s=0.3, tls=tls) as (node, _),
        socket.create_connection(("127.0.0.1", node.port), timeout=5) as drips,
    ):
        drips.sendall(start)
        end = time.monotonic() + 5
        with contextlib.suppress(ConnectionError):
            while time.monotonic() < end:
                drips.sendall(b"\0")
                time.sleep(0.02)
        assert time.monotonic() < end
        wait_until(lambda: node._open == 0)


def test_length_of_a_message_is_not_believed(tmp_path):
    with running_node(tmp_path / "spool", KEY) as (node, _):
        with socket.create_connection(("127.0.0.1", node.port), timeout=5) as caller:
            caller.sendall(struct.pack(">BBL", 1, 0, 2**32 - 1) + bytes(1000))
            with contextlib.suppress(ConnectionResetError):
                assert caller.recv(1) == b""
        assert echo(to(node)) is None


def test_all_images_segmentations_contours_and_reports_are_taken():
    classes = storage_classes()
    assert len(classes) == len(set(classes)) > 60
    assert {
        "1.2.840.10008.5.1.4.1.1.2",
        "1.2.840.10008.5.1.4.1.1.4.1",
        "1.2.840.10008.5.1.4.1.1.128",
        "1.2.840.10008.5.1.4.1.1.66.4",
        "1.2.840.10008.5.1.4.1.1.66.7",
        "1.2.840.10008.5.1.4.1.1.481.3",
        "1.2.840.10008.5.1.4.1.1.88.34",
    } <= set(classes)


def test_logs_say_nothing_of_what_came(tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    paths = small_series(tmp_path / MARKER, slices=2)
    uids = [str(pydicom.dcmread(path)[tag].value) for path in paths for tag in ("SOPInstanceUID", "StudyInstanceUID")]
    with running_node(tmp_path / "spool", KEY, objects_a_minute=1) as (node, _):
        outcomes = send_objects(paths, to(node), ONCE)
        echo(to(node, calling="STRANGER"))
    said = caplog.text + repr(outcomes)
    assert "refused an object: more than 1 objects a minute" in said
    assert "STRANGER" in said
    assert not [word for word in (MARKER, *uids) if word in said]


@unclosed
def test_mutual_tls(tmp_path):
    ours, theirs = authority(tmp_path / "ours"), authority(tmp_path / "theirs")
    paths = small_series(tmp_path / "in", slices=2)
    server, client, stranger = ours.issue("server"), ours.issue("client"), theirs.issue("stranger")
    with running_node(tmp_path / "spool", KEY, tls=TlsFiles(*server, ours.path), network_timeout_s=2) as (node, _):
        with socket.create_connection(("127.0.0.1", node.port)):  # a handshake that never comes holds up nobody
            good = to(node, tls=TlsFiles(*client, ours.path))
            assert echo(good) is None
            assert all(one.stored for one in send_objects(paths, good))
        for tls in (None, TlsFiles(ca=ours.path), TlsFiles(*stranger, ours.path), TlsFiles(*client, theirs.path)):
            assert "no connection" in echo(to(node, tls=tls))
        assert echo(Destination("localhost", node.port, "NODE", "SENDER", TlsFiles(*client, ours.path))) is not None


def test_certificates_that_cannot_be_read(tmp_path):
    (tmp_path / "text").write_text("no certificate")
    with pytest.raises(InputError, match="certificate or key cannot be read"):
        echo(Destination("127.0.0.1", 104, "X", tls=TlsFiles(ca=tmp_path / "text")))
    with pytest.raises(InputError, match="certificate or key cannot be read"):
        echo(Destination("127.0.0.1", 104, "X", tls=TlsFiles(ca=tmp_path / "nothing")))


def test_key_with_a_password_is_not_asked_for(tmp_path):
    certificate, key = authority(tmp_path / "ca").issue("server")
    locked = serialization.load_pem_private_key(key.read_bytes(), None).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"word"),
    )
    key.write_bytes(locked)
    with pytest.raises(InputError, match="certificate or key cannot be read"):
        echo(Destination("127.0.0.1", 104, "X", tls=TlsFiles(certificate, key)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: NodeSettings("NODE", 104), "nobody may send"),
        (lambda: NodeSettings("", 104, ("A",)), "no AE title"),
        (lambda: NodeSettings("NODE", 104, ("A" * 17,)), "no AE title"),
        (lambda: NodeSettings("NO\\DE", 104, ("A",)), "no AE title"),
        (lambda: NodeSettings(" NODE", 104, ("A",)), "no AE title"),
        (lambda: NodeSettings("NODE", 70000, ("A",)), "port 70000"),
        (lambda: NodeSettings("NODE", 104, ("A",), tls=TlsFiles()), "needs a certificate"),
        (lambda: NodeLimits(associations=0), "larger than 0"),
        (lambda: TlsFiles(certificate="x"), "needs its private key"),
        (lambda: Destination("host", 0, "A"), "port 0"),
        (lambda: Destination("host", 104, "A\n"), "no AE title"),
    ],
)
def test_settings_that_cannot_be(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_port_that_is_taken(tmp_path):
    with (
        running_node(tmp_path / "spool", KEY) as (node, spool),
        pytest.raises(InputError, match="cannot listen on port"),
        receiving(NodeSettings("NODE", node.port, ("A",)), spool),
    ):
        pass


def test_without_pynetdicom_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynetdicom", None)
    with pytest.raises(InputError, match=r"pip install 'medseg\[pacs\]'"):
        echo(Destination("127.0.0.1", 104, "PEER"))


@pytest.mark.parametrize(
    ("status", "stored", "final", "said"),
    [
        (0x0000, True, False, ""),
        (0xB000, True, False, "changed or left out"),
        (0xB007, True, False, "changed or left out"),
        (0xA700, False, False, "out of resources"),
        (0xA901, False, True, "does not fit its SOP class"),
        (0xC123, False, True, "cannot understand"),
        (0x0111, True, False, "has the object already"),
        (0x0122, False, True, "refused the object"),
        (0x0124, False, False, "refused the object"),
        (0x0211, False, False, "did not accept the request"),
        (0xFFFF, False, False, "an unknown answer"),
    ],
)
def test_answers_in_words(status, stored, final, said):
    assert (is_stored(status), is_final(status)) == (stored, final)
    assert said in status_text(status)
