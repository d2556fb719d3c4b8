"""From a PACS and back: studies are received, outlined and returned; a server's studies are fetched and outlined."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from functools import partial
from pathlib import Path

import pydicom
import pytest
from batch_studies import CPU, FITS, KEY, Here, write_key, write_model
from dicom_factories import series_datasets, voxels, write_files
from orthanc_server import TITLE, free_port, running_orthanc

from medseg.batch import session
from medseg.batch.manifest import read_manifest
from medseg.batch.outputs import ResultForm
from medseg.batch.records import Status
from medseg.batch.session import BatchOptions
from medseg.core.errors import InputError
from medseg.io.dicom_net import Destination, NodeSettings, Retries, receiving, send_objects
from medseg.io.dicom_web import DicomWeb
from medseg.io.http_client import Server
from medseg.io.spool import open_spool
from medseg.pipelines import listen as pipeline
from medseg.pipelines.batch import predict_web_studies
from medseg.pipelines.listen import ListenOptions, listen

ONCE = Retries(attempts=1)
SOON_S = 20.0
STUDY_UID, OTHER_UID = "1.2.826.0.1.3680043.8.498.1", "1.2.826.0.1.3680043.8.498.9"


class Notes:
    start = advance = finish = staticmethod(lambda *_: None)

    def __init__(self):
        self.texts = []

    def note(self, text):
        self.texts.append(text)

    def port(self) -> int:
        wait_for(lambda: self.texts)
        return int(re.search(r":(\d+)", self.texts[0]).group(1))


def wait_for(condition) -> None:
    ends = time.monotonic() + SOON_S
    while not condition() and time.monotonic() < ends:
        time.sleep(0.05)
    assert condition()


def write_study(place: Path, study=STUDY_UID, **elements) -> list[Path]:
    """Files of a study of one series that fits the tiny model."""
    return write_files(place, series_datasets(FITS, voxels(FITS), StudyInstanceUID=study, **elements))


def folder(path: Path) -> Path:
    path.mkdir()
    return path


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch):
    monkeypatch.setattr(session, "LocalEngine", Here)


@pytest.fixture
def options(tmp_path):
    return BatchOptions((ResultForm.SEG, ResultForm.REPORT), CPU, key=write_key(tmp_path / "project.key"))


@contextlib.contextmanager
def listening(tmp_path: Path, options: BatchOptions, back, quiet_s=0.5):
    """A node that listens in a thread; gives its notes and, in the end, its run."""
    stop, notes, runs = threading.Event(), Notes(), []
    node = NodeSettings("NODE", 0, ("MEDSEG", TITLE))
    wanted = ListenOptions(node, back, quiet_s)
    if not (tmp_path / "model").exists():
        write_model(tmp_path / "model")

    def work():
        runs.append(listen(tmp_path / "model", tmp_path / "out", wanted, options, stop, notes))

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield notes, runs
    finally:
        stop.set()
        thread.join(SOON_S)
        assert not thread.is_alive()


def store(paths, port: int) -> None:
    outcomes = send_objects(paths, Destination("127.0.0.1", port, "NODE"), ONCE)
    assert all(one.stored for one in outcomes)


def in_spool(tmp_path) -> list[Path]:
    return list((tmp_path / "out" / "spool").rglob("*.dcm"))


def test_results_go_back_to_the_pacs_that_sent_the_study(tmp_path, options):
    paths = write_study(tmp_path / "in")
    with running_orthanc(folder(tmp_path / "orthanc")) as orthanc:
        pacs = Destination("127.0.0.1", orthanc.dicom_port, TITLE)
        assert all(one.stored for one in send_objects(paths, pacs, ONCE))
        with listening(tmp_path, options, pacs) as (notes, runs):
            modality = {"AET": "NODE", "Host": "127.0.0.1", "Port": notes.port()}
            orthanc.ask("/modalities/medseg", modality, "PUT")
            orthanc.ask("/modalities/medseg/store", {"Resources": orthanc.ask("/studies")})
            web = DicomWeb(Server(orthanc.web_url, retries=ONCE))
            wait_for(lambda: {one.modality for one in web.find_series(STUDY_UID)} == {"CT", "SEG", "SR"})
            wait_for(lambda: not in_spool(tmp_path))
        assert runs[0].counts == {Status.DONE: 1}
        assert orthanc.ask("/statistics")["CountStudies"] == 1
    assert notes.texts[0].startswith("NODE listens on 127.0.0.1:")
    assert len(notes.texts) == 1


def test_a_pacs_that_sends_on_what_it_stores_makes_no_second_round(tmp_path, options, monkeypatch):
    sent, send = [], pipeline.send_objects
    monkeypatch.setattr(pipeline, "send_objects", lambda paths, **more: sent.append(paths) or send(paths, **more))
    with running_orthanc(folder(tmp_path / "orthanc")) as orthanc:
        pacs = Destination("127.0.0.1", orthanc.dicom_port, TITLE)
        assert all(one.stored for one in send_objects(write_study(tmp_path / "in"), pacs, ONCE))
        with listening(tmp_path, options, pacs, quiet_s=1.5) as (notes, _):
            modality = {"AET": "NODE", "Host": "127.0.0.1", "Port": notes.port()}
            orthanc.ask("/modalities/medseg", modality, "PUT")
            for _ in range(2):
                orthanc.ask("/modalities/medseg/store", {"Resources": orthanc.ask("/studies")})
                wait_for(lambda: sent and not in_spool(tmp_path))
    with read_manifest(tmp_path / "out") as manifest:
        (row,) = manifest.rows()
    assert (len(sent), row.attempts, row.result.status) == (1, 1, Status.DONE)


def test_results_go_to_a_dicomweb_server(tmp_path, options):
    with running_orthanc(folder(tmp_path / "orthanc")) as orthanc:
        web = DicomWeb(Server(orthanc.web_url, retries=ONCE))
        with listening(tmp_path, options, web) as (notes, _):
            store(write_study(tmp_path / "in"), notes.port())
            wait_for(lambda: {one.modality for one in web.find_series(STUDY_UID)} == {"SEG", "SR"})


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # pynetdicom leaves refused sockets open
def test_a_receiver_that_is_away_gets_its_results_later(tmp_path, options, monkeypatch):
    monkeypatch.setattr(pipeline, "send_objects", partial(send_objects, retries=ONCE))
    port = free_port()
    with listening(tmp_path, options, Destination("127.0.0.1", port, "PACS", "NODE")) as (notes, runs):
        store(write_study(tmp_path / "in"), notes.port())
        wait_for(lambda: any("not delivered" in text for text in notes.texts))
        assert "results cannot be sent at present" in notes.texts[1]
        assert in_spool(tmp_path)
        with (
            open_spool(tmp_path / "pacs", KEY) as spool,
            receiving(NodeSettings("PACS", port, ("NODE",)), spool) as receiver,
        ):
            wait_for(lambda: receiver.stored == 2 and not in_spool(tmp_path))
    received = [pydicom.dcmread(path) for path in (tmp_path / "pacs").rglob("*.dcm")]
    assert {one.Modality for one in received} == {"SEG", "SR"}
    assert runs[0].ended == 1


def test_a_study_that_fails_is_set_aside_and_one_that_does_not_fit_is_forgotten(tmp_path, options):
    cut_off = write_study(tmp_path / "cut off")
    dataset = pydicom.dcmread(cut_off[3])
    dataset.PixelData = dataset.PixelData[:-40]
    dataset.save_as(cut_off[3])
    with listening(tmp_path, options, None) as (notes, runs):
        port = notes.port()
        store(cut_off, port)
        store(write_study(tmp_path / "other", OTHER_UID, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), port)
        wait_for(lambda: (tmp_path / "out" / "failed").exists() and not in_spool(tmp_path))
    assert runs[0].counts == {Status.FAILED: 1, Status.SKIPPED: 1}
    (kept,) = (tmp_path / "out" / "failed").iterdir()
    assert len(list(kept.iterdir())) == len(cut_off)


def test_a_late_object_that_does_not_fit_takes_no_result_away(tmp_path, options):
    with listening(tmp_path, options, None) as (notes, runs):
        port = notes.port()
        store(write_study(tmp_path / "in"), port)
        wait_for(lambda: list((tmp_path / "out" / "studies").rglob("seg.dcm")) and not in_spool(tmp_path))
        store(write_study(tmp_path / "late", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])[:1], port)
        wait_for(lambda: any("skipped" in text for text in notes.texts) and not in_spool(tmp_path))
    assert runs[0].counts == {Status.DONE: 1}
    assert len(list((tmp_path / "out" / "studies").rglob("seg.dcm"))) == 1


def test_what_was_in_hand_at_the_end_is_done_by_the_next_run(tmp_path, options):
    with listening(tmp_path, options, None) as (notes, _):
        store(write_study(tmp_path / "in"), notes.port())
    assert in_spool(tmp_path)
    with listening(tmp_path, options, None) as (_, runs):
        wait_for(lambda: not in_spool(tmp_path))
    assert runs[0].counts == {Status.DONE: 1}


class TestWeb:
    @pytest.fixture
    def server(self, tmp_path):
        with running_orthanc(folder(tmp_path / "orthanc")) as orthanc:
            web = DicomWeb(Server(orthanc.web_url, retries=ONCE))
            for number, study in enumerate((STUDY_UID, OTHER_UID)):
                part = write_study(tmp_path / study, study, PatientID=f"P{number}")
                assert all(one.stored for one in web.store(part))
            yield web

    def test_studies_are_fetched_and_done_once(self, tmp_path, options, server):
        model = write_model(tmp_path / "model")
        run = predict_web_studies(model, server, {}, tmp_path / "out", options)
        assert run.counts == {Status.DONE: 2}
        segs = [pydicom.dcmread(path) for path in (tmp_path / "out" / "studies").rglob("seg.dcm")]
        assert {one.StudyInstanceUID for one in segs} == {STUDY_UID, OTHER_UID}
        assert not list((tmp_path / "out" / "spool").rglob("*.dcm"))
        assert predict_web_studies(model, server, {}, tmp_path / "out", options).ended == 0

    def test_a_query_chooses(self, tmp_path, options, server):
        model = write_model(tmp_path / "model")
        assert predict_web_studies(model, server, {"PatientID": "P1"}, tmp_path / "out", options).ended == 1
        with pytest.raises(InputError, match="the server has no study that matches"):
            predict_web_studies(model, server, {"PatientID": "P7"}, tmp_path / "out", options)
