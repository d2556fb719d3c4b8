"""Sending to a receiver of pynetdicom that takes little, answers what it likes, and goes away."""

from __future__ import annotations

import gc
import io
import socket
import time

import numpy as np
import pydicom
import pytest
from dicom_factories import Grid, series_datasets, voxels, write_file
from network_objects import KEY, small_series
from network_peers import running_node, running_peer, to
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    MRImageStorage,
    RLELossless,
)

from medseg.io.dicom_net import Destination, Retries, echo, send_objects
from medseg.io.dicom_node import storage_classes

QUICK = Retries(attempts=3, first_wait_s=0.01)
EXPLICIT = {CTImageStorage: [ExplicitVRLittleEndian]}


def read_bare(content, syntax):
    implicit = syntax == ImplicitVRLittleEndian
    dataset = pydicom.filereader.read_dataset(io.BytesIO(content), implicit, True)
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    return dataset


def compressed(folder, syntax):
    grid = Grid(columns=64, rows=48, slices=1)
    (dataset, *_) = series_datasets(grid, voxels(grid, low=0, high=1000, dtype=np.uint16))
    array = dataset.pixel_array
    if syntax.is_compressed and not syntax.is_deflated:
        dataset.compress(syntax, generate_instance_uid=False)
    folder.mkdir()
    write_file(folder / "one", dataset, syntax)
    return folder / "one", array


def test_files_go_as_they_are(tmp_path):
    paths = small_series(tmp_path / "in")
    with running_peer(EXPLICIT) as peer:
        outcomes = send_objects(paths, peer.destination(), QUICK)
    assert all(one.stored and one.status == 0 and one.reason == "" for one in outcomes)
    for path, (syntax, content) in zip(paths, peer.received, strict=True):
        assert syntax == ExplicitVRLittleEndian
        assert path.read_bytes().endswith(content)


@pytest.mark.parametrize("stored", [ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, RLELossless])
def test_receiver_that_takes_implicit_only_gets_equal_pixels(tmp_path, stored):
    path, array = compressed(tmp_path / "in", stored)
    with running_peer({CTImageStorage: [ImplicitVRLittleEndian]}) as peer:
        (outcome,) = send_objects([path], peer.destination(), QUICK)
    assert outcome.stored
    ((syntax, content),) = peer.received
    received, sent = read_bare(content, syntax), pydicom.dcmread(path)
    assert syntax == ImplicitVRLittleEndian
    assert np.array_equal(received.pixel_array, array)
    assert received.SOPInstanceUID == sent.SOPInstanceUID
    assert received.PatientName == sent.PatientName


def test_lossy_or_unknown_compression_is_not_undone(tmp_path):
    path, _ = compressed(tmp_path / "in", JPEG2000Lossless)
    (plain,) = small_series(tmp_path / "plain", slices=1)
    with running_peer(EXPLICIT) as peer:
        outcomes = send_objects([path, plain], peer.destination(), QUICK)
    assert [one.stored for one in outcomes] == [False, True]
    assert [one.is_final for one in outcomes] == [True, False]
    assert "the receiver takes no such object" in outcomes[0].reason


def test_compressed_file_goes_as_it_is_where_it_is_taken(tmp_path):
    path, _ = compressed(tmp_path / "in", RLELossless)
    with running_peer({CTImageStorage: [RLELossless, ImplicitVRLittleEndian]}) as peer:
        assert send_objects([path], peer.destination(), QUICK)[0].stored
    ((syntax, content),) = peer.received
    assert syntax == RLELossless
    assert path.read_bytes().endswith(content)


@pytest.mark.parametrize(
    ("answers", "stored", "status", "reason"),
    [
        ((0xB000,), True, 0xB000, "the receiver changed or left out elements (status 0xB000)"),
        ((0xC000,), False, 0xC000, "the receiver cannot understand the object (status 0xC000)"),
        ((0xA900, 0), False, 0xA900, "the object does not fit its SOP class (status 0xA900)"),
        ((0xA700, 0xA700, 0), True, 0, ""),
        ((0xA700,), False, 0xA700, "the receiver is out of resources (status 0xA700)"),
        ((-1, 0), True, 0, ""),
        ((-1,), False, None, "the receiver did not answer"),
    ],
)
def test_answers_and_what_is_tried_again(tmp_path, answers, stored, status, reason):
    paths = small_series(tmp_path / "in", slices=1)
    with running_peer(EXPLICIT, *answers) as peer:
        (outcome,) = send_objects(paths, peer.destination(), QUICK)
    assert (outcome.stored, outcome.status, outcome.reason) == (stored, status, reason)
    assert outcome.is_final == (status in (0xC000, 0xA900))


def test_after_a_cut_connection_only_the_rest_is_sent_again(tmp_path):
    paths = small_series(tmp_path / "in", slices=5)
    with running_peer(EXPLICIT, 0, 0, -1, 0) as peer:
        outcomes = send_objects(paths, peer.destination(), QUICK)
    assert all(one.stored for one in outcomes)
    assert len(peer.received) == 5


def test_receiver_that_takes_nothing_of_this_kind(tmp_path):
    paths = small_series(tmp_path / "in", slices=2)
    with running_peer({MRImageStorage: [ExplicitVRLittleEndian]}) as peer:
        outcomes = send_objects(paths, peer.destination(), QUICK)
        assert {one.reason for one in outcomes} == {"the receiver takes none of these kinds of object"}
        assert all(one.is_final for one in outcomes)
        assert echo(peer.destination()) == "the receiver takes none of these kinds of object"


def test_files_that_cannot_be_read_do_not_keep_the_others(tmp_path):
    (path,) = small_series(tmp_path / "in", slices=1)
    (tmp_path / "text").write_text("no DICOM")
    (tmp_path / "cut").write_bytes(path.read_bytes()[:300])
    with running_peer(EXPLICIT) as peer:
        outcomes = send_objects([tmp_path / "text", path, tmp_path / "cut"], peer.destination(), QUICK)
    assert [one.stored for one in outcomes] == [False, True, False]
    assert outcomes[0].reason == "not a DICOM file"


def test_file_that_vanishes_on_the_way(tmp_path, monkeypatch):
    path, other = small_series(tmp_path / "in", slices=2)
    with running_peer(EXPLICIT) as peer:
        monkeypatch.setattr(peer, "answers", Vanishing(other))
        outcomes = send_objects([path, other], peer.destination(), QUICK)
    assert [one.stored for one in outcomes] == [True, False]
    assert outcomes[1].reason == "a file cannot be read (No such file or directory)"


class Vanishing(list):
    """Answers 0, and removes a file."""

    def __init__(self, path):
        super().__init__([0])
        self.path = path

    def __getitem__(self, index):
        self.path.unlink(missing_ok=True)
        return super().__getitem__(index)


def test_receiver_that_takes_its_time_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr("medseg.io.dicom_send._TIMEOUT_S", 0.2)
    with running_peer(EXPLICIT) as peer:
        monkeypatch.setattr(peer, "answers", Slow([0]))
        outcomes = send_objects(small_series(tmp_path / "in"), peer.destination(), Retries(1))
    reasons = [one.reason for one in outcomes]
    assert reasons == ["the receiver did not answer", "the connection was lost", "the connection was lost"]


class Slow(list):
    def __getitem__(self, index):
        time.sleep(1)
        return super().__getitem__(index)


def test_nothing_to_send():
    assert send_objects([], Destination("127.0.0.1", 104, "PEER"), QUICK) == ()


def test_more_kinds_of_object_than_one_association_can_carry(tmp_path):
    (tmp_path / "in").mkdir()
    grid = Grid(slices=1)
    paths = []
    for number, sop_class in enumerate(storage_classes()):
        (dataset,) = series_datasets(grid, voxels(grid), SOPClassUID=sop_class, StudyInstanceUID="1.2.3")
        paths.append(tmp_path / "in" / str(number))
        write_file(paths[-1], dataset, ImplicitVRLittleEndian)
    assert len(paths) > 64  # each asks for two contexts, and 128 is the most
    with running_node(tmp_path / "spool", KEY) as (node, _):
        assert all(one.stored for one in send_objects(paths, to(node), QUICK))
        assert node.stored == len(paths)


@pytest.mark.filterwarnings("ignore:Exception ignored.*socket:pytest.PytestUnraisableExceptionWarning")
def test_nobody_there(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nobody = Destination("127.0.0.1", taken.getsockname()[1], "PEER")
        (outcome,) = send_objects(small_series(tmp_path / "in", slices=1), nobody, QUICK)
        assert outcome.reason == "no connection: refused, not reachable, or a certificate was not accepted"
        assert echo(nobody) == outcome.reason
        unknown = Destination("no.such.host.invalid", 104, "PEER")
        assert echo(unknown) == "the receiver's host name cannot be resolved"
        gc.collect()


def test_echo_that_is_not_answered_with_success(tmp_path, monkeypatch):
    with running_node(tmp_path / "spool", KEY) as (node, _):
        monkeypatch.setattr("pynetdicom.association.Association.send_c_echo", lambda _: pydicom.Dataset())
        assert echo(to(node)) == "the receiver does not answer a C-ECHO"


def test_waits_grow_up_to_a_minute():
    assert Retries(attempts=9, first_wait_s=1).waits() == (0, 1, 2, 4, 8, 16, 32, 60, 60)
    assert Retries(attempts=1).waits() == (0,)
