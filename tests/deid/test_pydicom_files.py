"""The files that pydicom carries in its wheel, from many makers and full of oddities: written clean, or refused."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pydicom
import pytest
from deid_runs import KEY, Output, clean_path, profile
from pydicom.datadict import DicomDictionary
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

from medseg.config.deid import DeidProfile, Mode, Option
from medseg.core.errors import DeidError, ReadError
from medseg.deid.engine import Engine

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's, about its own files
FOLDER = Path(pydicom.__file__).parent / "data"
PATHS = sorted(path for path in FOLDER.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc"))
PROFILES = {
    "basic": DeidProfile(),
    "research": profile(
        *(Option.RETAIN_MODIFIED_DATES, Option.RETAIN_PATIENT_CHARACTERISTICS, Option.CLEAN_DESCRIPTORS),
        *(Option.CLEAN_STRUCTURED_CONTENT, Option.CLEAN_GRAPHICS),
    ),
    "return": profile(mode=Mode.RETURN),
}
REFUSALS = {r"the object has no \w+ \w+ UID, so .*": 20, "a DICOM file ends inside an element": 2}
"""Eight of the 20 are palettes, which belong to no study."""
_INSTANCE_UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID")
_OWNER = ("PatientName", "PatientID", "PatientBirthDate", "StudyDate", "AccessionNumber")
_WORDS = {b"Test"}  # a family name, and a word of the vocabulary in a description beside it
_ROOT = "1.2.840.10008."


@cache
def result(name: str, number: int) -> Output | str | None:
    """What becomes of a file: the output, the reason of its refusal, or None if it is no DICOM file."""
    try:
        return clean_path(PATHS[number], Engine(PROFILES[name], KEY))
    except (DeidError, ReadError) as error:
        return str(error)


def outputs(name: str) -> dict[Path, Output]:
    found = {path: result(name, number) for number, path in enumerate(PATHS)}
    return {path: output for path, output in found.items() if isinstance(output, Output)}


def source_of(path: Path) -> Dataset:
    return pydicom.dcmread(path, force=True)


def names_in(path: Path) -> set[bytes]:
    """All person names of a file as bytes, whole and in their parts of four bytes and more."""
    found: set[bytes] = set()
    for value in _stored_names(source_of(path)):
        found |= {value, *re.split(rb"[\^=\\]", value)}
    return {part.strip() for part in found if len(part.strip()) >= 4}


def _stored_names(dataset: Dataset) -> Iterator[bytes]:
    """Bytes of each element that is a person name by the file or by the dictionary, at any depth."""
    for tag in list(dataset.keys()):
        element = dataset.get_item(tag)
        vr = element.VR if element.VR not in (None, "UN") else DicomDictionary.get(int(tag), ("??",))[0]
        if vr == "SQ":
            for one in dataset[tag].value:
                yield from _stored_names(one)
        elif vr == "PN" and isinstance(element, RawDataElement):
            yield (element.value or b"").strip(b" \0")


@pytest.mark.parametrize("name", PROFILES)
def test_each_file_is_written_or_refused_with_a_reason(name):
    results = {path: result(name, number) for number, path in enumerate(PATHS)}
    refused = [one for one in results.values() if isinstance(one, str)]
    assert {reason: sum(re.fullmatch(reason, one) is not None for one in refused) for reason in REFUSALS} == REFUSALS
    assert len(refused) == sum(REFUSALS.values())
    assert len(outputs(name)) == 161
    for path in (path for path, one in results.items() if one is None):
        assert path.suffix != ".dcm" or path.name == "no_meta.dcm" or _is_directory(path), path.name


def _is_directory(path: Path) -> bool:
    return source_of(path).get("DirectoryRecordSequence") is not None


@pytest.mark.parametrize("name", ["basic", "research"])
def test_no_name_is_left(name):
    left = {}
    for path, output in outputs(name).items():
        left[path.name] = {part for part in names_in(path) - _WORDS if part in output.raw}
    assert {name: parts for name, parts in left.items() if parts} == {}


@pytest.mark.parametrize("name", ["basic", "research"])
def test_no_instance_uid_is_left(name):
    left = []
    for path, output in outputs(name).items():
        source = source_of(path)
        for keyword in _INSTANCE_UIDS:
            uid = str(source.get(keyword) or "")
            if len(uid) > 8 and not uid.startswith(_ROOT) and uid.encode() in output.raw:
                left.append((path.name, keyword))
    assert left == []


@pytest.mark.parametrize("name", ["basic", "research"])
def test_nothing_private_is_left(name):
    for path, output in outputs(name).items():
        assert [one.tag for one in output.dataset.iterall() if one.tag.is_private] == [], path.name
        assert output.dataset.PatientIdentityRemoved == "YES"


@pytest.mark.parametrize("name", PROFILES)
def test_file_meta_information_is_rebuilt(name):
    for path, output in outputs(name).items():
        meta, source = output.dataset.file_meta, source_of(path)
        assert meta.MediaStorageSOPInstanceUID == output.dataset.SOPInstanceUID, path.name
        assert meta.MediaStorageSOPClassUID == source.SOPClassUID
        assert {one.tag.element for one in meta} == {0, 1, 2, 3, 0x10, 0x12, 0x13}
        assert output.raw[:128] == bytes(128)


@pytest.mark.parametrize("name", PROFILES)
def test_pixels_stay_as_they_are_stored(name):
    compared = 0
    for path, output in outputs(name).items():
        stored = source_of(path).get("PixelData")
        assert output.dataset.get("PixelData") == stored, path.name
        compared += stored is not None
    assert compared >= 70


def test_returned_files_keep_patient_study_and_uids():
    for path, output in outputs("return").items():
        source = source_of(path)
        for keyword in (
            *_INSTANCE_UIDS,
            "PatientName",
            "PatientID",
            "PatientBirthDate",
            "StudyDate",
            "AccessionNumber",
        ):
            assert output.dataset.get(keyword) == source.get(keyword), (path.name, keyword)


def test_outputs_can_be_read_again_and_decoded_as_before():
    for path, output in outputs("basic").items():
        source, dataset = source_of(path), pydicom.dcmread(io.BytesIO(output.raw))
        for keyword in ("Rows", "Columns", "BitsStored", "PhotometricInterpretation", "PixelSpacing"):
            assert dataset.get(keyword) == source.get(keyword), (path.name, keyword)
