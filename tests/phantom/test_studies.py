from __future__ import annotations

import csv
import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK
from highdicom._standard_utils import check_required_attributes, get_iod_module_map

from medseg.core.errors import OutputError
from medseg.phantom.bodies import TORSO
from medseg.phantom.studies import Protocol, planted_identifiers, write_cohort

CASES = 9
SMALL = Protocol(matrix=48, slice_mm=(6.0, 10.0))


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("phantom") / "cohort"
    write_cohort(folder, CASES, seed=5, protocol=SMALL)
    return folder


@pytest.fixture(scope="module")
def rows(cohort):
    with (cohort / "manifest.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def headers(folder: Path) -> list[pydicom.Dataset]:
    return [pydicom.dcmread(path) for path in sorted(folder.rglob("*.dcm"))]


def digest(folder: Path) -> str:
    total = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        total.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return total.hexdigest()


def itk_series(folder: Path) -> SimpleITK.Image:
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return reader.Execute()


def test_manifest_names_what_is_there(cohort, rows):
    assert [row["case"] for row in rows] == [f"torso-{n:03d}" for n in range(1, CASES + 1)]
    for row in rows:
        assert (cohort / row["label"]).is_file()
        assert (cohort / row["image.CT"]).is_dir()
        assert row["sex"] in "FM"
        assert 21 <= int(row["age"]) < 90
    assert json.loads((cohort / "labels.json").read_text()) == dict(zip(TORSO.names, TORSO.values, strict=True))


def test_patients_with_two_visits_stay_in_one_part(rows):
    parts = {}
    for row in rows:
        parts.setdefault(row["patient"], set()).add(row["split"])
    assert len(parts) == CASES - 1
    assert all(len(part) == 1 for part in parts.values())
    assert {part for (part,) in parts.values()} == {"train", "validation", "test"}


def test_both_visits_have_the_patient_of_the_header(cohort, rows):
    numbers = {row["case"]: headers(cohort / row["image.CT"])[0].PatientID for row in rows}
    assert numbers["torso-001"] == numbers[f"torso-{CASES:03d}"]
    assert len(set(numbers.values())) == CASES - 1


def test_an_independent_reader_finds_image_and_label_on_one_grid(cohort, rows):
    for row in rows:
        image, label = itk_series(cohort / row["image.CT"]), SimpleITK.ReadImage(str(cohort / row["label"]))
        assert image.GetSize() == label.GetSize()
        for index in ((0, 0, 0), tuple(n - 1 for n in image.GetSize())):
            ours, theirs = (np.array(one.TransformIndexToPhysicalPoint(index)) for one in (label, image))
            assert ours == pytest.approx(theirs, abs=1e-3)


def test_hounsfield_units_and_sides_survive_the_files(cohort, rows):
    for row in rows:
        hu = SimpleITK.GetArrayFromImage(itk_series(cohort / row["image.CT"])).transpose(2, 1, 0)
        label = nib.load(cohort / row["label"])
        values = np.asarray(label.dataobj)
        assert set(np.unique(values)) == {0, *TORSO.values}
        assert hu[0, 0, 0] < -900
        assert 60 < np.median(hu[values == TORSO["liver"].value]) < 140
        right, left = (
            (label.affine @ [*np.argwhere(values == TORSO[f"{side} kidney"].value).mean(axis=0), 1])[0]
            for side in ("right", "left")
        )
        assert right > left + 80  # RAS: x grows to the patient's right


def test_instances_are_valid_ct(cohort):
    modules = [module["key"] for module in get_iod_module_map()["ct-image"] if module["usage"] == "M"]
    for header in headers(cohort / "studies")[::5]:
        for module in [*modules, "frame-of-reference"]:
            check_required_attributes(header, module=module)
        assert header.SOPClassUID == "1.2.840.10008.5.1.4.1.1.2"


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy is not installed")
def test_dciodvfy_finds_nothing(cohort):
    for folder in sorted(cohort.glob("studies/*/*")):
        path = min(folder.glob("*.dcm"))
        result = subprocess.run(["dciodvfy", "-new", path], capture_output=True, text=True, check=False)
        assert "Error" not in result.stderr + result.stdout


def test_files_come_in_no_order(cohort, rows):
    found = headers(cohort / rows[0]["image.CT"])
    heights = [float(header.ImagePositionPatient[2]) for header in found]
    by_number = [float(h.ImagePositionPatient[2]) for h in sorted(found, key=lambda header: header.InstanceNumber)]
    for order in (heights, by_number):
        assert order not in (sorted(order), sorted(order, reverse=True))
    assert np.diff(sorted(heights)) == pytest.approx(np.diff(sorted(heights))[0], abs=1e-5)


def test_some_studies_have_a_localizer_beside_the_series(cohort, rows):
    scouts = sorted(cohort.glob("studies/*/localizer"))
    assert 0 < len(scouts) < CASES
    for scout in scouts:
        series, beside = headers(scout), headers(scout.parent / "ct")
        assert len(series) <= 2
        assert {h.StudyInstanceUID for h in series} == {h.StudyInstanceUID for h in beside}
        assert not {h.SeriesInstanceUID for h in series} & {h.SeriesInstanceUID for h in beside}
        assert {h.ImageType[2] for h in series} == {"LOCALIZER"}
    assert all(len({h.SeriesInstanceUID for h in headers(cohort / row["image.CT"])}) == 1 for row in rows)


def test_cases_differ_in_spacing_and_pixel_sign(cohort, rows):
    first = [headers(cohort / row["image.CT"])[0] for row in rows]
    assert len({float(header.PixelSpacing[0]) for header in first}) > CASES // 2
    assert {header.PixelRepresentation for header in first} == {0, 1}


def test_one_seed_gives_the_same_bytes(tmp_path):
    tiny = Protocol(matrix=24, slice_mm=(20.0, 20.0))
    for name, seed in (("one", 1), ("same", 1), ("other", 2)):
        write_cohort(tmp_path / name, 2, seed, tiny)
    assert digest(tmp_path / "one") == digest(tmp_path / "same") != digest(tmp_path / "other")


def test_two_cases_are_too_few_to_split(tmp_path):
    manifest = write_cohort(tmp_path / "few", 2, protocol=Protocol(matrix=24, slice_mm=(20.0, 20.0)))
    assert {row["split"] for row in csv.DictReader(manifest.read_text().splitlines())} == {"train"}


def test_planted_identifiers_lie_in_headers_only(cohort, rows):
    planted = planted_identifiers(cohort)
    header = headers(cohort / rows[0]["image.CT"])[0]
    born = header.PatientBirthDate
    for value in (
        str(header.PatientName), header.PatientName.family_name, header.PatientID, header.AccessionNumber, born,
        f"{born[:4]}-{born[4:6]}-{born[6:]}", header.StudyDate, header.SOPInstanceUID, header.StudyInstanceUID,
        header.InstitutionName,
    ):  # fmt: skip
        assert value in planted
    assert all(len(value) >= 6 for value in planted)
    visible = (cohort / "manifest.csv").read_text() + (cohort / "labels.json").read_text()
    visible += "\n".join(str(path.relative_to(cohort)) for path in cohort.rglob("*"))
    visible += "\n".join(str(nib.load(path).header) for path in (cohort / "labels").iterdir())
    assert [value for value in planted if value in visible] == []


def test_folder_is_replaced_as_a_whole(tmp_path):
    tiny = Protocol(matrix=24, slice_mm=(20.0, 20.0))
    folder = tmp_path / "cohort"
    folder.mkdir()
    (folder / "old.txt").write_text("old")
    write_cohort(folder, 1, protocol=tiny)
    assert sorted(path.name for path in folder.iterdir()) == ["labels", "labels.json", "manifest.csv", "studies"]
    assert [path.name for path in tmp_path.iterdir()] == ["cohort"]


def test_a_file_in_the_way_is_an_output_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write 'cohort'"):
        write_cohort(tmp_path / "file" / "cohort", 1, protocol=Protocol(matrix=24, slice_mm=(20.0, 20.0)))


class Steps:
    def __init__(self):
        self.calls = []

    def start(self, label, total):
        self.calls.append((label, total))

    def advance(self, steps=1):
        self.calls.append(("advance", steps))

    def note(self, text): ...

    def finish(self):
        self.calls.append(("finish",))


def test_progress_counts_cases(tmp_path):
    steps = Steps()
    write_cohort(tmp_path / "c", 2, protocol=Protocol(matrix=24, slice_mm=(20.0, 20.0)), progress=steps)
    assert steps.calls == [("writing phantom studies", 2), ("advance", 1), ("advance", 1), ("finish",)]
