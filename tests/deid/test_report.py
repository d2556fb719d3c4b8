from __future__ import annotations

import json
from collections import Counter

import pytest

from medseg.config.deid import DeidProfile, Mode, Option, Unlisted
from medseg.deid.image_table import image_table
from medseg.deid.records import SeriesRecord, UnitRecord
from medseg.deid.report import Report

RECORDS = (
    UnitRecord(
        unit="study-0000000000000001",
        patient="patient-0000000000000001",
        stamp="stamp-1",
        settings="settings-1",
        paths=("patient-0000000000000001/study-0000000000000001",),
        files=6,
        released=4,
        copies=1,
        quarantined={"doubtful: a secondary capture": 1, "the object has no Series Instance UID": 1},
        actions={
            "00100010": {"pseudonym": 5},
            "00080020": {"shift date": 5},
            "00091001": {"remove": 7},
            "00100041": {"remove": 1},
            "00020099": {"remove": 1},
        },
        pixels={"not suspect by rule": 3, "text blanked, searched again": 1, "doubtful": 1},
        notes={"a head series whose face is not taken out": 1},
        series=(SeriesRecord(name="series-1", path="p/s/series-1", modality="MR", attributes={"sex": "F"}),),
    ),
    UnitRecord(
        unit="study-0000000000000002",
        patient="patient-0000000000000001",
        stamp="stamp-2",
        settings="settings-1",
        paths=("patient-0000000000000001/study-0000000000000002",),
        files=2,
        released=2,
        actions={"00100010": {"pseudonym": 2}, "000B1010": {"remove": 3}},
        series=(SeriesRecord(name="series-0", path="p/t/series-0", modality="MR"),),
    ),
    UnitRecord(
        unit="study-3",
        patient="",
        stamp="",
        settings="",
        files=2,
        quarantined={"several patients": 2},
        passed={"other file": 1},
    ),
)


def report(**changes) -> Report:
    profile = DeidProfile(name="research", options=frozenset({Option.RETAIN_MODIFIED_DATES}), **changes)
    return Report(profile, "0a1b2c3d", RECORDS, Counter({"killed": 9}), Counter({"other file": 3, "empty file": 1}))


def test_the_numbers_add_up():
    told = report().to_json()
    assert (told["patients"], told["studies"], told["images"]) == (1, 2, 2)
    assert told["files"] == {
        "released": 6, "quarantined": 4, "equal_copies": 1, "in_failed_studies": 9, "passed_over": 5,
    }  # fmt: skip
    assert told["quarantined"]["several patients"] == 2
    assert told["actions"] == {"remove": 12, "pseudonym": 7, "shift date": 5}
    assert {"tag": "(0010,0010)", "keyword": "PatientName", "action": "pseudonym", "count": 7} in told["attributes"]
    assert {"tag": "private", "keyword": "private attributes", "action": "remove", "count": 10} in told["attributes"]
    keywords = {one["tag"]: one["keyword"] for one in told["attributes"]}
    assert keywords["(0010,0041)"] == "Gender Identity Sequence"  # newer than pydicom's dictionary
    assert keywords["(0002,0099)"] == "unknown attribute"
    assert told["table_edition"] == "2026d"
    assert told["key_fingerprint"] == "0a1b2c3d"
    json.dumps(told, allow_nan=False)


def test_a_report_names_no_study_and_no_patient():
    texts = json.dumps(report().to_json()) + report().to_html()
    assert not any(word in texts for word in ("patient-0", "study-0", "stamp-", "series-1"))


def test_the_page_tells_what_a_person_has_to_know():
    text = report().to_html()
    for part in (
        "6 files released, 4 held back, 9 failed: 2 studies, 2 series and images, 1 patient.",
        '<td class="text">doubtful: a secondary capture</td>',
        "were searched for all that was taken out",
        "replaced by a pseudonym",
        "each of 5 attributes",
        "head series",
        "edition 2026d",
        "fingerprint 0a1b2c3d",
        "by value representation",
    ):
        assert part in text
    assert '<p class="alarm">' not in text


def test_return_mode_is_said_in_red():
    text = report(mode=Mode.RETURN).to_html()
    assert '<p class="alarm">RETURN MODE: the DICOM objects in this folder still name the patient' in text
    assert "were searched for all" not in text
    assert report(mode=Mode.RETURN).to_json()["mode"] == "return"


def test_results_that_were_not_searched_are_called_so():
    unsearched = Report(DeidProfile(unlisted=Unlisted.ALLOW_LIST), "0a1b2c3d", (), proof=False)
    text = unsearched.to_html()
    assert "were not searched for identifiers" in text
    assert "only those on the modality" in text
    assert "none: the Basic Profile" in text
    assert "0 files released: nothing." in text
    assert unsearched.to_json()["proof"] is False
    assert unsearched.summary() == [{"files": "released", "count": 0, "": "nothing"}]


def test_the_summary_is_short():
    rows = {row["files"]: row for row in report().summary()}
    assert rows["released"]["count"] == 6
    assert rows["quarantined"][""] == "several patients; and 2 other reasons"
    assert rows["failed"] == {"files": "failed", "count": 9, "": "killed"}
    assert rows["passed over"]["count"] == 5


@pytest.mark.parametrize(("reason", "unread"), [("a file that may not be read", 2), ("other file", 0)])
def test_what_could_not_be_looked_at_is_counted(reason, unread):
    assert Report(DeidProfile(), "0a1b2c3d", (), unlisted=Counter({reason: 2})).unread == unread


def test_the_table_of_images_has_the_columns_of_a_manifest():
    from medseg.config.deid import KeptAttribute

    lines = image_table(RECORDS, [KeptAttribute.SEX]).splitlines()
    assert lines == [
        "case,patient,image.MR,study,modality,sex",
        "series-0,patient-0000000000000001,p/t/series-0,study-0000000000000002,MR,",
        "series-1,patient-0000000000000001,p/s/series-1,study-0000000000000001,MR,F",
    ]
    other = UnitRecord.model_copy(
        RECORDS[1], update={"series": (SeriesRecord(name="series-2", path="p/t/series-2", modality="CT"),)}
    )
    assert image_table([*RECORDS, other], []).splitlines()[0] == "case,patient,image,study,modality"


def test_images_of_one_name_are_cases_of_their_own_in_the_table_of_images():
    image = SeriesRecord(name="image-1", path="a/image-1.nii", modality="")
    fields = {"stamp": "", "settings": "", "files": 1, "series": (image,)}
    records = [
        UnitRecord(unit=f"images-{number}", patient=patient, **fields) for number, patient in enumerate(["", "p"])
    ]
    rows = [line.split(",")[:2] for line in image_table(records, []).splitlines()[1:]]
    assert rows == [["image-1_images-0", "image-1_images-0"], ["image-1_images-1", "p"]]
