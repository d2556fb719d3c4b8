"""medseg inspect on a data set, a study and a file."""

from __future__ import annotations

import json

import numpy as np
import pytest
from dataset_factories import msd, write_label
from dicom_factories import MARKER, write_series
from factories import geometry, volume

from medseg.core.errors import InputError, ReadError
from medseg.core.volume import Volume
from medseg.io.formats import write_volume
from medseg.pipelines.inspect import inspect


def facts(rows) -> dict[str, object]:
    return {row["about"]: row["value"] for row in rows}


class TestDatasets:
    def test_a_sound_one(self, tmp_path):
        told = inspect(msd(tmp_path))
        assert told.title == "data set 'Small'"
        assert not told.has_errors
        rows = facts(told.rows())
        assert (rows["cases"], rows["with label"], rows["patients"], rows["channels"]) == (2, 2, 2, "MRI")
        assert rows["structure"] == "two: in 2 cases"
        assert rows["spacing (R, A, S), mm"] == "1x1.5x2.5"

    def test_findings_follow_the_facts(self, tmp_path):
        folder = msd(tmp_path)
        write_label(folder / "labelsTr" / "b.nii.gz", values=(0, 5))
        told = inspect(folder / "dataset.json")
        assert told.has_errors
        errors = [row for row in told.rows() if row["about"] == "error"]
        assert [row["case"] for row in errors] == ["b"]
        assert errors[0]["value"].startswith("label values [5] are not in the scheme")

    def test_ranges(self, tmp_path):
        folder = msd(tmp_path)
        write_volume(folder / "imagesTr" / "b.nii.gz", volume(geometry((4, 5, 9), (1.0, 1.5, 3.0))))
        rows = facts(inspect(folder).rows())
        assert rows["shape (R, A, S)"] == "4x5x6 to 4x5x9"
        assert rows["spacing (R, A, S), mm"] == "1x1.5x2.5 to 1x1.5x3"

    def test_nothing_can_be_read(self, tmp_path):
        folder = msd(tmp_path)
        for path in folder.rglob("*.nii.gz"):
            path.unlink()
        told = inspect(folder)
        assert told.has_errors
        assert "shape (R, A, S)" not in facts(told.rows())


class TestStudies:
    def test_a_row_for_each_series(self, tmp_path):
        write_series(tmp_path / "one", SeriesDescription="Abdomen", BodyPartExamined="ABDOMEN")
        write_series(tmp_path / "two", modality="MR", BodyPartExamined="")
        sorted((tmp_path / "two").iterdir())[2].unlink()
        (tmp_path / "notes.txt").write_text("nothing")
        told = inspect(tmp_path)
        assert told.title == "2 DICOM series, 1 usable, 1 other files, 0 unreadable"
        assert not told.has_errors
        first, second = sorted(told.rows(), key=lambda row: row["modality"])
        assert (first["modality"], first["description"], first["size"]) == ("CT", "Abdomen", "9x7x5")
        assert (first["spacing, mm"], first["usable"]) == ("0.75x1.25x2.5", "yes")
        assert (second["spacing, mm"], second["body part"]) == (None, None)
        assert "missing" in second["usable"]

    def test_patients_and_studies_are_numbers(self, tmp_path):
        for name, patient in (("a", "P1"), ("b", "P2"), ("c", "P2")):
            write_series(tmp_path / name, PatientID=f"{MARKER}{patient}")
        rows = inspect(tmp_path).rows()
        assert [row["patient"] for row in rows] == [1, 2, 2]
        assert sorted(row["study"] for row in rows) == [1, 2, 3]
        assert MARKER not in json.dumps(rows)

    def test_no_usable_series(self, tmp_path):
        write_series(tmp_path)
        sorted(tmp_path.iterdir())[2].unlink()
        assert inspect(tmp_path).has_errors

    def test_one_dicom_file(self, tmp_path):
        write_series(tmp_path)
        assert len(inspect(next(tmp_path.iterdir())).rows()) == 1


class TestFiles:
    def test_grid_and_range(self, tmp_path):
        array = np.arange(2 * 24, dtype=np.int16).reshape(2, 2, 3, 4)
        write_volume(tmp_path / "a.nii", Volume(array, geometry((2, 3, 4), codes="LPS"), ("x", "y")))
        told = inspect(tmp_path / "a.nii")
        rows = facts(told.rows())
        assert told.title == "one image, NIfTI"
        assert not told.has_errors
        assert (rows["shape"], rows["spacing, mm"], rows["orientation"]) == ("2x3x4", "1x1.5x2.5", "LPS")
        assert (rows["type"], rows["channel 0"], rows["channel 1"]) == ("int16", "0 to 23", "24 to 47")

    def test_no_finite_value(self, tmp_path):
        write_volume(tmp_path / "a.nii", Volume(np.full((1, 2, 2, 2), np.nan, np.float32), geometry((2, 2, 2))))
        assert facts(inspect(tmp_path / "a.nii").rows())["channel image"] == "no finite value"


class TestRefusing:
    def test_nothing_there(self, tmp_path):
        with pytest.raises(InputError, match="absent' does not exist"):
            inspect(tmp_path / "absent")

    def test_an_empty_folder(self, tmp_path):
        with pytest.raises(InputError, match=r"holds no DICOM images and is no data set \(dataset\.json"):
            inspect(tmp_path)

    def test_no_image(self, tmp_path):
        (tmp_path / "a.nii").write_bytes(b"nothing")
        with pytest.raises(ReadError, match=r"a\.nii: not an image"):
            inspect(tmp_path / "a.nii")

    def test_json_that_describes_no_data_set(self, tmp_path):
        (tmp_path / "labels.json").write_text('{"one": 1}')
        with pytest.raises(InputError, match=r"labels\.json' is no data set; expected dataset\.json"):
            inspect(tmp_path / "labels.json")


@pytest.mark.real_data
def test_real_studies(real_data):
    told = inspect(real_data / "dicom_studies")
    assert len(told.rows()) == 6
    assert all(row["usable"] == "yes" for row in told.rows())
    crops = {row["size"]: row for row in told.rows() if row["size"] in ("35x51x32", "34x50x40")}
    assert [row["spacing, mm"] for row in crops.values()] == ["1x1x1", "1x1x1"]
    assert {row["description"] for row in crops.values()} == {None}  # "HippoCrop" is no known word, so it is not shown
