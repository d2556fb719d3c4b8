"""Both doors against a real PACS: Debian's Orthanc with its DICOMweb plugin."""

from __future__ import annotations

import time

import dicomweb_client
import pydicom
import pytest
from dicom_factories import Grid, series_datasets, voxels, write_file
from network_objects import KEY, files_below, pixels, small_series
from network_peers import running_node
from orthanc_server import TITLE, running_orthanc
from pydicom.uid import RLELossless

from medseg.core.errors import ReadError
from medseg.io.dicom_net import Destination, Retries, echo, send_objects
from medseg.io.dicom_web import DicomWeb
from medseg.io.http_client import Server
from medseg.io.spool import open_spool

ONCE = Retries(attempts=1)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running_orthanc(tmp_path_factory.mktemp("orthanc")) as running:
        yield running


@pytest.fixture
def orthanc(server):
    """An empty one."""
    server.clear()
    return server


def destination(orthanc, **fields) -> Destination:
    return Destination("127.0.0.1", orthanc.dicom_port, **{"called": TITLE, **fields})


def web(orthanc) -> DicomWeb:
    return DicomWeb(Server(orthanc.web_url, retries=ONCE))


def fetched(orthanc, tmp_path, study_uid) -> list:
    with open_spool(tmp_path / "fetched", KEY) as spool:
        arrivals = web(orthanc).fetch_study(study_uid, spool)
        (study,) = {one.study for one in arrivals}
        return files_below(spool.take(study))


def test_thirty_objects_stored_found_and_retrieved_with_equal_pixels(orthanc, tmp_path):
    assert echo(destination(orthanc)) is None
    paths = small_series(tmp_path / "in", slices=30)
    assert all(one.stored and one.status == 0 for one in send_objects(paths, destination(orthanc), ONCE))
    (study,) = web(orthanc).find_studies({"ModalitiesInStudy": "CT"})
    assert (study.modalities, study.objects) == (("CT",), 30)
    (series,) = web(orthanc).find_series(study.uid, {"Modality": "CT"})
    assert (series.modality, series.description, series.objects) == ("CT", "axial thin", 30)
    assert web(orthanc).find_studies({"ModalitiesInStudy": "MR"}) == ()
    assert pixels(fetched(orthanc, tmp_path, study.uid)) == pixels(paths)
    with open_spool(tmp_path / "series", KEY) as spool:
        assert len(web(orthanc).fetch_series(study.uid, series.uid, spool)) == 30


def test_stored_over_the_web_and_read_by_dicomweb_client(orthanc, tmp_path):
    paths = small_series(tmp_path / "in", slices=30)
    assert all(one.stored and one.status == 0 for one in web(orthanc).store(paths))
    client = dicomweb_client.DICOMwebClient(orthanc.web_url)
    (study,) = client.search_for_studies()
    received = client.retrieve_study(study["0020000D"]["Value"][0])
    assert {str(one.SOPInstanceUID): one.pixel_array.tobytes() for one in received} == pixels(paths)


def test_orthanc_sends_to_our_node(orthanc, tmp_path):
    paths = small_series(tmp_path / "in", slices=30)
    send_objects(paths, destination(orthanc), ONCE)
    with running_node(tmp_path / "spool", KEY, title=TITLE) as (node, spool):
        modality = {"AET": "NODE", "Host": "127.0.0.1", "Port": node.port}
        orthanc.ask("/modalities/medseg", modality, "PUT")
        assert orthanc.ask("/modalities/medseg/echo", {}, "POST") is not None
        answer = orthanc.ask("/modalities/medseg/store", {"Resources": orthanc.ask("/studies")})
        assert (answer["InstancesCount"], answer["FailedInstancesCount"]) == (30, 0)
        (study,) = spool.quiet(0, now=time.time() + 1)
        assert pixels(files_below(spool.take(study))) == pixels(paths)
        assert node.stored == 30


def test_compressed_and_label_map_objects_keep_their_form(orthanc, tmp_path):
    grid = Grid(slices=2)
    image, label_map = series_datasets(grid, voxels(grid, low=0), StudyInstanceUID="1.2.3")
    image.compress(RLELossless, generate_instance_uid=False)
    label_map.SOPClassUID = "1.2.840.10008.5.1.4.1.1.66.7"
    write_file(tmp_path / "image", image, RLELossless)
    write_file(tmp_path / "label map", label_map)
    paths = [tmp_path / "image", tmp_path / "label map"]
    assert all(one.stored for one in send_objects(paths, destination(orthanc), ONCE))
    kept = {one.SOPInstanceUID: one for one in map(pydicom.dcmread, fetched(orthanc, tmp_path, "1.2.3"))}
    assert kept[image.SOPInstanceUID].file_meta.TransferSyntaxUID == RLELossless
    assert kept[image.SOPInstanceUID].PixelData == image.PixelData
    assert kept[label_map.SOPInstanceUID].SOPClassUID == label_map.SOPClassUID


def test_orthanc_refuses_what_is_not_for_it(orthanc, tmp_path):
    assert "called ae title not recognised" in echo(destination(orthanc, called="OTHER"))
    with open_spool(tmp_path / "spool", KEY) as spool, pytest.raises(ReadError, match="status 404"):
        web(orthanc).fetch_study("1.2.3.4", spool)
    assert web(orthanc).find_studies() == ()
