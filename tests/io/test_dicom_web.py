"""DICOMweb against a server that says what it likes; against Orthanc in test_orthanc."""

from __future__ import annotations

import base64
import itertools
import urllib.parse

import pydicom
import pytest
from network_objects import KEY, authority, files_below, small_series
from web_server import Answer, as_json, as_parts, running_web

from medseg.core.errors import InputError, OutputError, ReadError
from medseg.io import dicom_web
from medseg.io.dicom_net import Retries
from medseg.io.dicom_web import DicomWeb
from medseg.io.http_client import Server
from medseg.io.spool import open_spool

QUICK = Retries(attempts=3, first_wait_s=0.01)
STUDY = "1.2.3"


def web(url, **fields) -> DicomWeb:
    return DicomWeb(Server(url, retries=QUICK, timeout_s=5), **fields)


def study_item(uid, modalities=("CT",), objects=3) -> dict:
    return {
        "0020000D": {"vr": "UI", "Value": [uid]},
        "00080061": {"vr": "CS", "Value": list(modalities)},
        "00201208": {"vr": "IS", "Value": [objects]},
    }


def served(paths):
    return as_parts(*(path.read_bytes() for path in paths))


@pytest.mark.parametrize("most", [3, 2])
def test_found_studies_come_from_all_pages_however_few_the_server_puts_on_one(monkeypatch, most):
    monkeypatch.setattr(dicom_web, "_PAGE", 3)
    items = [study_item(f"1.2.{number}") for number in range(7)]

    def answer(asked):
        query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(asked.path).query))
        start = int(query["offset"])
        return as_json(items[start : start + min(most, int(query["limit"]))])

    with running_web(answer) as server:
        studies = web(server.url + "/pacs/").find_studies({"ModalitiesInStudy": "CT", "StudyDate": "20240101-"})
        first = server.asked[0]
    assert [one.uid for one in studies] == [f"1.2.{number}" for number in range(7)]
    assert studies[0].modalities == ("CT",)
    assert studies[0].objects == 3
    assert "1.2.0" not in repr(studies)
    assert first.path.startswith("/pacs/studies?ModalitiesInStudy=CT&StudyDate=20240101-&includefield=")
    assert first.headers["Accept"] == "application/dicom+json"


def test_server_that_knows_no_pages_does_not_go_on_for_ever(monkeypatch):
    monkeypatch.setattr(dicom_web, "_PAGE", 2)
    with running_web(lambda _: as_json([study_item("1.2.1"), study_item("1.2.2")])) as server:
        assert len(web(server.url).find_studies()) == 2


def test_server_that_finds_without_end_is_left(monkeypatch):
    monkeypatch.setattr(dicom_web, "_PAGE", 2)
    monkeypatch.setattr(dicom_web, "_MOST_FOUND", 9)
    numbers = itertools.count()
    with (
        running_web(lambda _: as_json([study_item(f"1.{next(numbers)}") for _ in range(2)])) as server,
        pytest.raises(ReadError, match="more than 9; narrow the search"),
    ):
        web(server.url).find_studies()


def test_found_series():
    item = {
        "0020000E": {"vr": "UI", "Value": ["1.2.3.4"]},
        "00080060": {"vr": "CS", "Value": ["MR"]},
        "0008103E": {"vr": "LO", "Value": ["t1 axial"]},
        "00201209": {"vr": "IS"},
    }
    with running_web(lambda _: as_json([item, {}, {"0020000E": "odd"}])) as server:
        (series,) = web(server.url).find_series(STUDY, {"Modality": "MR"})
        assert server.asked[0].path.startswith(f"/studies/{STUDY}/series?Modality=MR&")
    assert (series.uid, series.modality, series.description, series.body_part) == ("1.2.3.4", "MR", "t1 axial", "")
    assert series.objects is None


def test_nothing_found():
    for nothing in (Answer(status=204), as_json([])):
        with running_web(lambda _, nothing=nothing: nothing) as server:
            assert web(server.url).find_studies() == ()


def test_study_is_put_into_the_spool_as_it_comes(tmp_path):
    paths = small_series(tmp_path / "in", StudyInstanceUID=STUDY)
    with running_web(lambda _: served(paths)) as server, open_spool(tmp_path / "spool", KEY) as spool:
        arrivals = web(server.url).fetch_study(STUDY, spool)
        assert {one.study for one in arrivals} == {spool.name(STUDY)}
        kept = files_below(spool.take(spool.name(STUDY)))
        assert sorted(path.read_bytes() for path in kept) == sorted(path.read_bytes() for path in paths)
        web(server.url).fetch_series(STUDY, "1.2.3.4", spool)
    assert [one.path for one in server.asked] == [f"/studies/{STUDY}", f"/studies/{STUDY}/series/1.2.3.4"]
    assert server.asked[0].headers["Accept"].endswith("transfer-syntax=*")


@pytest.mark.parametrize("cut", [1, 1000])
def test_answer_that_is_cut_is_asked_for_again(tmp_path, cut):
    paths = small_series(tmp_path / "in", StudyInstanceUID=STUDY)
    contents = [path.read_bytes() for path in paths]
    answers = [as_parts(*contents, cut=cut), Answer(status=503), as_parts(*contents)]
    with running_web(lambda _: answers.pop(0)) as server, open_spool(tmp_path / "spool", KEY) as spool:
        assert len(web(server.url).fetch_study(STUDY, spool)) == 3
        assert spool.used_bytes == sum(map(len, contents))


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Answer(status=404), "answers with status 404"),
        (Answer(status=401), "wants other credentials"),
        (Answer(status=302, headers={"Location": "http://127.0.0.2/studies"}), "sends us elsewhere"),
        (Answer(b"{}"), "does not answer with multipart/related"),
        (as_parts(b"no DICOM"), "no DICOM object"),
        (as_parts(b"", headers={"Content-Encoding": "gzip"}), "compresses its answer"),
        (Answer(b"x", "multipart/related"), "not a message of many parts"),
    ],
)
def test_answers_that_are_not_followed_or_kept(tmp_path, answer, message):
    with running_web(lambda _: answer) as server, open_spool(tmp_path / "spool", KEY) as spool:
        with pytest.raises(ReadError, match=message):
            web(server.url).fetch_study(STUDY, spool)
        assert len(server.asked) == 1
        assert files_below(tmp_path / "spool") == []
        assert spool.used_bytes == 0


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_server_that_has_no_time_is_asked_again(status):
    with running_web(lambda _: Answer(status=status)) as server:
        with pytest.raises(ReadError, match=f"cannot be used: it answers with status {status}"):
            web(server.url).find_studies()
        assert len(server.asked) == 3


def test_server_that_is_not_there():
    with running_web(lambda _: Answer()) as server:
        url = server.url
    with pytest.raises(ReadError, match=r"the connection failed \(ConnectionRefusedError\)"):
        web(url).find_studies()


def test_nothing_stays_of_a_study_that_does_not_fit(tmp_path):
    paths = small_series(tmp_path / "in", StudyInstanceUID=STUDY)
    most = sum(path.stat().st_size for path in paths) - 1
    with running_web(lambda _: served(paths)) as server, open_spool(tmp_path / "spool", KEY, most) as spool:
        with pytest.raises(OutputError, match="the spool holds its limit"):
            web(server.url).fetch_study(STUDY, spool)
        assert files_below(tmp_path / "spool") == []
        assert spool.used_bytes == 0


def test_nothing_stays_of_a_study_that_is_too_much(tmp_path):
    paths = small_series(tmp_path / "in", StudyInstanceUID=STUDY)
    size = paths[0].stat().st_size
    with running_web(lambda _: served(paths)) as server, open_spool(tmp_path / "spool", KEY) as spool:
        with pytest.raises(OutputError, match="an object is larger"):
            web(server.url, largest_object=size - 1).fetch_study(STUDY, spool)
        with pytest.raises(ReadError, match="sends more than 2 objects"):
            web(server.url, most_objects=2).fetch_study(STUDY, spool)
        with pytest.raises(ReadError, match="an object of another study"):
            web(server.url).fetch_study("1.2.4", spool)
        assert files_below(tmp_path / "spool") == []
        assert spool.used_bytes == 0


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Answer(b"[1"), "does not answer with JSON"),
        (Answer(b"[" * 100_000), "does not answer with JSON"),
        (Answer(b"\xff"), "does not answer with JSON"),
        (as_json({"a": 1}), "a list of data sets"),
        (as_json([1]), "a list of data sets"),
        (Answer(b"<html>", "text/html"), "does not answer with json"),
    ],
)
def test_search_that_is_answered_with_something_else(answer, message):
    with running_web(lambda _: answer) as server, pytest.raises(ReadError, match=message):
        web(server.url).find_studies()


def test_search_that_is_answered_at_too_great_length(monkeypatch):
    monkeypatch.setattr("medseg.io.http_client._MOST_JSON", 10)
    with (
        running_web(lambda _: as_json([study_item("1.2.3")])) as server,
        pytest.raises(ReadError, match="is longer than"),
    ):
        web(server.url).find_studies()


def stored_answer(asked, failed=(), warned=(), status=200, silent=(), reason=0xA700) -> Answer:
    uids = [uid for uid in asked if uid not in silent]
    item = lambda uid, **codes: {"00081155": {"vr": "UI", "Value": [uid]}, **codes}  # noqa: E731
    code = lambda value: {"vr": "US", "Value": [value]}  # noqa: E731
    good = [item(uid, **({"00081196": code(0xB000)} if uid in warned else {})) for uid in uids if uid not in failed]
    bad = [item(uid, **{"00081197": code(reason)}) for uid in uids if uid in failed]
    return as_json({"00081199": {"vr": "SQ", "Value": good}, "00081198": {"vr": "SQ", "Value": bad}}, status=status)


def test_each_stored_file_has_its_answer(tmp_path):
    paths = small_series(tmp_path / "in", slices=4)
    uids = [str(pydicom.dcmread(path).SOPInstanceUID) for path in paths]
    (tmp_path / "text").write_text("no DICOM")
    answer = stored_answer(uids, failed=uids[1:2], warned=uids[2:3], silent=uids[3:], status=202)
    with running_web(lambda _: answer) as server:
        outcomes = web(server.url).store([*paths, tmp_path / "text"])
        (asked,) = server.asked
    assert [(one.stored, one.status) for one in outcomes] == [
        (True, 0),
        (False, 0xA700),
        (True, 0xB000),
        (False, None),
        (False, None),
    ]
    assert "out of resources" in outcomes[1].reason
    assert "does not say" in outcomes[3].reason
    assert outcomes[4].reason == "not a DICOM file"
    assert (asked.method, asked.path) == ("POST", "/studies")
    assert all(path.read_bytes() in asked.body for path in paths)


def test_file_that_the_server_has_already_counts_as_stored(tmp_path):
    (path,) = small_series(tmp_path / "in", slices=1)
    uid = str(pydicom.dcmread(path).SOPInstanceUID)
    with running_web(lambda _: stored_answer([uid], failed=[uid], status=409, reason=0x0111)) as server:
        (outcome,) = web(server.url).store([path])
    assert (outcome.stored, outcome.status, outcome.is_final) == (True, 0x0111, False)


@pytest.mark.parametrize(("reason", "final"), [(0x0122, True), (0xA700, False)])
def test_refusal_for_what_the_object_is_stays_one(tmp_path, reason, final):
    (path,) = small_series(tmp_path / "in", slices=1)
    uid = str(pydicom.dcmread(path).SOPInstanceUID)
    with running_web(lambda _: stored_answer([uid], failed=[uid], status=409, reason=reason)) as server:
        (outcome,) = web(server.url).store([path])
    assert (outcome.stored, outcome.is_final) == (False, final)


def test_files_go_in_requests_of_bounded_size(tmp_path, monkeypatch):
    paths = small_series(tmp_path / "in", slices=5)
    uids = [str(pydicom.dcmread(path).SOPInstanceUID) for path in paths]
    monkeypatch.setattr(dicom_web, "_POSTED_OBJECTS", 2)
    with running_web(lambda _: stored_answer(uids)) as server:
        assert all(one.stored for one in web(server.url).store(paths))
        assert len(server.asked) == 3
        monkeypatch.setattr(dicom_web, "_POSTED_BYTES", 1)
        assert all(one.stored for one in web(server.url).store(paths))
        assert len(server.asked) == 8
    assert web("http://127.0.0.1:1").store([]) == ()


@pytest.mark.parametrize(("answer", "reason"), [(Answer(status=500), "status 500"), (as_json([]), "does not say")])
def test_store_that_fails_is_the_outcome_of_each_file(tmp_path, answer, reason):
    with running_web(lambda _: answer) as server:
        outcomes = web(server.url).store(small_series(tmp_path / "in"))
    assert len(outcomes) == 3
    assert all(not one.stored and reason in one.reason for one in outcomes)


def test_file_that_vanishes_before_it_is_posted(tmp_path, monkeypatch):
    paths = small_series(tmp_path / "in", slices=1)
    monkeypatch.setattr(dicom_web, "_batches", lambda sizes: [path.unlink() or [path] for path in sizes])
    (outcome,) = web("http://127.0.0.1:1").store(paths)
    assert outcome.reason == "a file cannot be read (No such file or directory)"


def test_access_token_is_sent_from_a_file_of_ones_own(tmp_path):
    token = tmp_path / "token"
    token.write_text("secret-token\n")
    token.chmod(0o600)
    with running_web(lambda _: as_json([])) as server:
        DicomWeb(Server(server.url, token)).find_studies()
        token.write_text("user:word")
        DicomWeb(Server(server.url, token)).find_studies()
        sent = [one.headers["Authorization"] for one in server.asked]
    assert sent == ["Bearer secret-token", "Basic " + base64.b64encode(b"user:word").decode()]


@pytest.mark.parametrize(
    ("content", "mode", "message"),
    [
        (b"secret", 0o644, "others may read"),
        (b"", 0o600, "has to hold one line"),
        (b"one\ntwo", 0o600, "has to hold one line"),
        (b"\xff", 0o600, "cannot be read"),
        (None, 0, "cannot be read"),
    ],
)
def test_token_files_that_are_not_used(tmp_path, content, mode, message):
    token = tmp_path / "token"
    if content is not None:
        token.write_bytes(content)
        token.chmod(mode)
    with pytest.raises(InputError, match=message):
        DicomWeb(Server("http://127.0.0.1:1", token)).find_studies()


def test_https_with_checked_certificates(tmp_path):
    ours, theirs = authority(tmp_path / "ours"), authority(tmp_path / "theirs")
    with running_web(lambda _: as_json([]), ours.issue("server")) as server:
        assert DicomWeb(Server(server.url, ca=ours.path)).find_studies() == ()
        for ca in (theirs.path, None):
            with pytest.raises(ReadError, match="certificate is not accepted"):
                DicomWeb(Server(server.url, ca=ca)).find_studies()
        with pytest.raises(ReadError, match="certificate is not accepted"):
            DicomWeb(Server(server.url.replace("127.0.0.1", "localhost"), ca=ours.path)).find_studies()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://host/x", "begins with https"),
        ("file:///etc/passwd", "begins with https"),
        ("host/dicom-web", "begins with https"),
        ("https://", "begins with https"),
        ("https://user:word@host/", "holds no user"),
        ("https://host/?token=1", "holds no user"),
        ("https://host:99999/", "no address"),
        ("https://[::1/", "no address"),
    ],
)
def test_addresses_that_are_refused(url, message):
    with pytest.raises(InputError, match=message):
        Server(url)


def test_token_goes_over_https_only(tmp_path):
    with pytest.raises(InputError, match="over https only"):
        Server("http://pacs.example/", token=tmp_path / "token")


def test_what_is_no_uid_or_keyword_is_never_asked_for(tmp_path):
    one = web("http://127.0.0.1:1")
    with pytest.raises(InputError, match="a UID is at most 64 digits"):
        one.find_series("1.2/../../instances")
    with pytest.raises(InputError, match="'Nothing' is no DICOM keyword"):
        one.find_studies({"Nothing": "x"})
    with open_spool(tmp_path / "spool", KEY) as spool, pytest.raises(InputError, match="a UID is at most 64 digits"):
        one.fetch_series(STUDY, "x", spool)
