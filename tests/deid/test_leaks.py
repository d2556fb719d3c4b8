"""The marked study through the engine, by every set of options: no marker, no original UID, nothing broken."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, timedelta
from functools import cache, lru_cache
from pathlib import Path

import pydicom
import pytest
from deid_runs import KEY, Output, clean_path
from marked_study import INTERVAL_DAYS, SAFE_CREATOR, Marked, write_marked_study
from pydicom.dataset import Dataset
from pydicom.uid import UID

from medseg.config.deid import DeidProfile, Mode, Option, SafePrivate, Unlisted
from medseg.deid.engine import Engine

DATES = frozenset({Option.RETAIN_FULL_DATES, Option.RETAIN_MODIFIED_DATES})
OPTION_SETS: dict[str, frozenset[Option]] = {
    "basic": frozenset(),
    **{str(option): frozenset({option}) for option in Option},
    "all with full dates": frozenset(Option) - {Option.RETAIN_MODIFIED_DATES},
    "all with modified dates": frozenset(Option) - {Option.RETAIN_FULL_DATES},
    "research": frozenset(
        {
            *(Option.RETAIN_MODIFIED_DATES, Option.RETAIN_PATIENT_CHARACTERISTICS, Option.RETAIN_SAFE_PRIVATE),
            *(Option.CLEAN_DESCRIPTORS, Option.CLEAN_STRUCTURED_CONTENT, Option.CLEAN_GRAPHICS),
        }
    ),
}
SAFE = SafePrivate(creator=SAFE_CREATOR, group=0x0019, element=0x01, representation="DS")
PATIENT_AND_STUDY = (
    *("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex", "PatientComments"),
    *("StudyInstanceUID", "StudyDate", "StudyTime", "StudyID"),
    *("AccessionNumber", "ReferringPhysicianName", "StudyDescription", "PhysiciansOfRecord", "PatientAge"),
)
_REFERENCES = ("ReferencedSOPInstanceUID", "FrameOfReferenceUID", "ReferencedFrameOfReferenceUID")
_REFERENCES += ("StudyInstanceUID", "SeriesInstanceUID", "DimensionOrganizationUID")
_DAYS = ("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate", "StructureSetDate")


@pytest.fixture(scope="module")
def marked(tmp_path_factory: pytest.TempPathFactory) -> Marked:
    return write_marked_study(tmp_path_factory.mktemp("marked"))


@pytest.fixture(scope="module")
def run(marked: Marked):
    """Outputs by object, for a set of options and a mode; each is made once."""

    @cache
    def outputs(options: frozenset[Option], mode: Mode, unlisted: Unlisted = Unlisted.BY_REPRESENTATION):
        safe = (SAFE,) if Option.RETAIN_SAFE_PRIVATE in options else ()
        engine = Engine(DeidProfile(options=options, mode=mode, safe_private=safe, unlisted=unlisted), KEY)
        return {name: clean_path(path, engine) for name, path in marked.files.items()}

    return outputs


def contains(raw: bytes, text: str) -> bool:
    """Whether the text stands in the bytes in any case and encoding; plain on purpose."""
    return any(spelling in lower(raw) for spelling in spellings(text))


@cache
def spellings(text: str) -> tuple[bytes, ...]:
    return tuple(text.lower().encode(codec) for codec in ("ascii", "utf-16-le", "utf-16-be", "utf-32-le"))


@lru_cache(maxsize=1)
def lower(raw: bytes) -> bytes:
    return raw.lower()


def contains_number(raw: bytes, digits: str) -> bool:
    """Whether the digits stand there and do not go on to the left: a date, with or without a time behind it."""
    return digits.encode() in raw and re.search(rb"(?<![0-9.])" + re.escape(digits.encode()), raw) is not None


def contains_uid(raw: bytes, uid: str) -> bool:
    return uid.encode() in raw and re.search(rb"(?<![0-9.])" + re.escape(uid.encode()) + rb"(?![0-9])", raw) is not None


def leaks(marked: Marked, outputs: dict[str, Output], options: frozenset[Option], mode: Mode) -> list[str]:
    """What is in the outputs that may not be there: place and file."""
    back = mode is Mode.RETURN
    places = [(one.text, one.place) for one in marked.tokens if not (one.kept_by & options or (back and one.returned))]
    uids = [*marked.hidden_uids, *(uid for uid, kept_by in marked.uids.items() if not (back or kept_by & options))]
    dates = set(() if back or Option.RETAIN_FULL_DATES in options else marked.dates) | set(marked.hidden_dates)
    found = []
    for name, output in outputs.items():
        found += [f"{place} in {name}" for text, place in places if contains(output.raw, text)]
        found += [f"UID in {name}" for uid in uids if contains_uid(output.raw, uid)]
        found += [f"date {day} in {name}" for day in dates if contains_number(output.raw, day)]
    return found


def test_each_marker_is_in_the_input(marked):
    raw = b"".join(path.read_bytes() for path in marked.files.values())
    assert len(marked.tokens) >= 43
    assert [token.place for token in marked.tokens if not contains(raw, token.text)] == []
    assert all(contains_uid(raw, uid) for uid in {*marked.uids, *marked.hidden_uids})
    assert all(contains_number(raw, day) for day in (*marked.dates, *marked.hidden_dates))


@pytest.mark.parametrize("name", OPTION_SETS)
def test_nothing_leaks_on_release(name, marked, run):
    options = OPTION_SETS[name]
    assert leaks(marked, run(options, Mode.RELEASE), options, Mode.RELEASE) == []


@pytest.mark.parametrize("name", OPTION_SETS)
def test_nothing_leaks_on_release_with_allow_list(name, marked, run):
    options = OPTION_SETS[name]
    assert leaks(marked, run(options, Mode.RELEASE, Unlisted.ALLOW_LIST), options, Mode.RELEASE) == []


@pytest.mark.parametrize("name", OPTION_SETS)
def test_only_patient_and_study_stay_on_return(name, marked, run):
    options = OPTION_SETS[name] | {Option.RETAIN_FULL_DATES}
    outputs = run(options - {Option.RETAIN_MODIFIED_DATES}, Mode.RETURN)
    found = leaks(marked, outputs, options, Mode.RETURN)
    assert [place for place in found if not place.startswith("date 19520317")] == []


@pytest.mark.parametrize("name", ["basic", "research"])
def test_returned_objects_attach(name, marked, run):
    options = OPTION_SETS[name] - DATES
    for key, output in run(options, Mode.RETURN).items():
        source, returned = read(marked.files[key]), output.dataset
        for keyword in PATIENT_AND_STUDY:
            assert returned[keyword].value == source[keyword].value, keyword
        assert uids(returned) <= uids(source)
        assert (returned.SOPInstanceUID, returned.SeriesInstanceUID) == (
            source.SOPInstanceUID,
            source.SeriesInstanceUID,
        )
        assert returned.SeriesDate == source.SeriesDate
        assert "PatientIdentityRemoved" not in returned
        assert output.cleaned.patient == KEY.patient(source.IssuerOfPatientID, source.PatientID)


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("name", OPTION_SETS)
def test_references_resolve(name, mode, run):
    outputs = {key: one.dataset for key, one in run(OPTION_SETS[name] - date_options(mode), mode).items()}
    known = {str(dataset[keyword].value) for dataset in outputs.values() for keyword in defining(dataset)}
    referenced = {key: references(dataset) for key, dataset in outputs.items()}
    assert {key: refs - known for key, refs in referenced.items() if refs - known} == {}
    for visit in "01":
        images = {outputs[f"{visit}/ct{k}"].SOPInstanceUID for k in range(3)}
        for key in ("rtstruct", "seg", "sr"):
            assert images <= referenced[f"{visit}/{key}"], key
        assert outputs[f"{visit}/seg"].SOPInstanceUID in referenced[f"{visit}/sr"]
        frames = {outputs[f"{visit}/{key}"].FrameOfReferenceUID for key in ("ct0", "ct2", "seg", "rtstruct")}
        assert len(frames) == 1
        assert frames <= referenced[f"{visit}/rtstruct"]


def test_structures_and_segments_keep_their_references_one_by_one(marked, run):
    outputs = run(frozenset(), Mode.RELEASE)
    for key, count in {"0/rtstruct": 7, "1/seg": 6}.items():
        expected = [KEY.uid(uid) for uid in all_references(read(marked.files[key]))]
        assert all_references(outputs[key].dataset) == expected
        assert len(expected) == count


@pytest.mark.parametrize("name", [name for name, options in OPTION_SETS.items() if "modified" in str(sorted(options))])
def test_days_between_visits_stay(name, marked, run):
    outputs = run(OPTION_SETS[name], Mode.RELEASE)
    patient = outputs["0/ct0"].cleaned.patient
    moved = {day: f"{_date(day) + timedelta(days=KEY.days(patient)):%Y%m%d}" for day in marked.dates}
    compared = 0
    for key, output in outputs.items():
        source = read(marked.files[key])
        for keyword in _DAYS:
            if keyword in source:
                assert output.dataset[keyword].value == moved[source[keyword].value], keyword
                compared += 1
        assert output.dataset.StudyTime == source.StudyTime
    assert compared >= 2 * (3 * 4 + 3 + 3)
    first, second = (_date(outputs[f"{visit}/ct0"].dataset.StudyDate) for visit in "01")
    assert (second - first).days == INTERVAL_DAYS


def test_full_dates_are_kept(marked, run):
    for key, output in run(frozenset({Option.RETAIN_FULL_DATES}), Mode.RELEASE).items():
        assert output.dataset.StudyDate == read(marked.files[key]).StudyDate
        assert output.dataset.PatientBirthDate == ""


def test_one_patient_in_all_objects(run):
    outputs = run(frozenset(), Mode.RELEASE).values()
    assert len({(one.dataset.PatientID, str(one.dataset.PatientName), one.cleaned.patient) for one in outputs}) == 1
    assert len({one.cleaned.study for one in outputs}) == 2
    assert len({one.cleaned.instance for one in outputs}) == len(outputs)


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("name", OPTION_SETS)
def test_files_are_whole(name, mode, marked, run):
    for key, output in run(OPTION_SETS[name] - date_options(mode), mode).items():
        source, dataset = read(marked.files[key]), output.dataset
        assert output.raw[:128] == b"\0" * 128
        assert dataset.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID
        assert dataset.file_meta.MediaStorageSOPClassUID == source.SOPClassUID
        assert dataset.get("PixelData") == source.get("PixelData")
        assert dataset.get("ImagePositionPatient") == source.get("ImagePositionPatient")
        assert all(UID(uid).is_valid for uid in uids(dataset))
        private = [element.tag for element in dataset.iterall() if element.tag.is_private]
        safe = Option.RETAIN_SAFE_PRIVATE in OPTION_SETS[name]
        assert private == ([0x00190010, 0x00191001] if safe else [])


def test_known_words_stay(run):
    outputs = run(frozenset({Option.CLEAN_DESCRIPTORS}), Mode.RELEASE)
    assert outputs["0/seg"].dataset.SegmentSequence[0].SegmentLabel == "liver"
    assert outputs["0/rtstruct"].dataset.StructureSetROISequence[0].ROIName == "liver"
    assert outputs["0/ct0"].dataset.AnatomicRegionSequence[0].CodeValue == "818981001"


@pytest.mark.parametrize("name", OPTION_SETS)
def test_the_codes_say_what_was_done(name, run):
    codes = {
        Option.CLEAN_GRAPHICS: "113103",
        Option.CLEAN_STRUCTURED_CONTENT: "113104",
        Option.CLEAN_DESCRIPTORS: "113105",
        Option.RETAIN_FULL_DATES: "113106",
        Option.RETAIN_MODIFIED_DATES: "113107",
        Option.RETAIN_PATIENT_CHARACTERISTICS: "113108",
        Option.RETAIN_DEVICE_IDENTITY: "113109",
        Option.RETAIN_UIDS: "113110",
        Option.RETAIN_SAFE_PRIVATE: "113111",
        Option.RETAIN_INSTITUTION_IDENTITY: "113112",
    }  # no pixel step ran, so none is named
    options = OPTION_SETS[name]
    dates = {Option.RETAIN_FULL_DATES: "UNMODIFIED", Option.RETAIN_MODIFIED_DATES: "MODIFIED"}
    for output in run(options, Mode.RELEASE).values():
        dataset = output.dataset
        named = {code.CodeValue for code in dataset.DeidentificationMethodCodeSequence}
        assert named == {"113100", *(codes[option] for option in options if option in codes)}
        assert dataset.PatientIdentityRemoved == "YES"
        kept = next((word for option, word in dates.items() if option in options), "REMOVED")
        assert dataset.LongitudinalTemporalInformationModified == kept
        assert "BurnedInAnnotation" not in dataset
        assert "RecognizableVisualFeatures" not in dataset


def date_options(mode: Mode) -> frozenset[Option]:
    return DATES if mode is Mode.RETURN else frozenset()


def read(path: Path) -> Dataset:
    return pydicom.dcmread(path)


def uids(dataset: Dataset) -> set[str]:
    values = (element.value for element in dataset.iterall() if element.VR == "UI")
    return {str(uid) for value in values for uid in ([value] if isinstance(value, str) else value)}


def defining(dataset: Dataset) -> Iterator[str]:
    """Keywords of the top level that define a UID that others may refer to."""
    for keyword in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID"):
        if keyword in dataset:
            yield keyword


def references(dataset: Dataset) -> set[str]:
    """UIDs of instances, series, studies and frames of reference that are named anywhere in a data set."""
    own = {dimension.DimensionOrganizationUID for dimension in dataset.get("DimensionOrganizationSequence", ())}
    named = {str(one.value) for one in dataset.iterall() if one.keyword in _REFERENCES and one.value}
    return named - own


def all_references(dataset: Dataset) -> list[str]:
    return [str(one.value) for one in dataset.iterall() if one.keyword == "ReferencedSOPInstanceUID"]


def _date(text: str) -> date:
    return date(int(text[:4]), int(text[4:6]), int(text[6:]))
