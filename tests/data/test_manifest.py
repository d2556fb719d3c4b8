"""Manifests, as a table and as JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest
from dataset_factories import table, write_image, write_json, write_label
from dicom_factories import write_series
from image_readers import picture_grid

from medseg.core.errors import DataError, InputError, LabelError, ReadError
from medseg.core.volume import Volume
from medseg.data.dataset import ImageFile
from medseg.data.layouts import open_dataset
from medseg.data.load import load_case
from medseg.io.formats import write_volume


class TestTable:
    def test_all_columns(self, tmp_path):
        path = table(
            tmp_path,
            "case,patient,split,label,image.T1,image.T2,sex,age,scanner\n"
            "a,P1,train,l/a.nii,i/a1.nii,i/a2.nii,F,61,\n"
            '"b", P1 ,,, i/b1.nii,i/b2.nii,M,,"Acme, 3 T"\n\n',
        )
        found = open_dataset(path)
        assert found.channels == ("T1", "T2")
        a, b = found.cases
        assert (a.patient, a.split, a.label) == ("P1", "train", tmp_path / "l" / "a.nii")
        assert a.images == {"T1": ImageFile(tmp_path / "i/a1.nii"), "T2": ImageFile(tmp_path / "i/a2.nii")}
        assert a.attributes == {"sex": "F", "age": "61"}
        assert (b.patient, b.split, b.label) == ("P1", None, None)
        assert b.attributes == {"sex": "M", "scanner": "Acme, 3 T"}
        assert found.scheme.names == ("one", "two")

    def test_a_case_may_lack_channels(self, tmp_path):
        rows = "a,,a2.nii,\nb,b1.nii,b2.nii,bf.nii\n"
        found = open_dataset(table(tmp_path, f"case,image.T1,image.T2,image.FLAIR\n{rows}"))
        assert found.channels == ("T1", "T2", "FLAIR")
        assert found.cases[0].images == {"T2": ImageFile(tmp_path / "a2.nii")}
        assert dict(found.lacking) == {"T1": 1, "FLAIR": 1}

    def test_a_byte_order_mark_is_no_part_of_a_name(self, tmp_path):
        path = table(tmp_path, "")
        path.write_text("case,image.CT\na,a.nii\n", encoding="utf-8-sig")
        assert open_dataset(path).cases[0].id == "a"

    def test_files_that_hold_all_channels(self, tmp_path):
        pixels = np.random.default_rng(0).integers(0, 256, (3, 6, 7, 1)).astype(np.uint8)
        write_volume(tmp_path / "a.png", Volume(pixels, picture_grid(6, 7), ("red", "green", "blue")))
        found = open_dataset(table(tmp_path, "case,image\na,a.png\n"))
        assert found.channels == ("red", "green", "blue")
        assert np.array_equal(load_case(found.cases[0], ("green",), None).image.array, pixels[1:2])

    def test_dicom_folders_tell_the_patient(self, tmp_path):
        for case in ("a", "b"):
            write_series(tmp_path / case, PatientID="P1")
        found = open_dataset(table(tmp_path, "case,image,label\na,a,\nb,b,\n"))
        assert found.channels == ("CT",)
        assert found.cases[0].patient == found.cases[1].patient != "a"

    def test_values_found_are_structures(self, tmp_path):
        write_label(tmp_path / "l.nii", values=(0, 4))
        path = table(tmp_path, "case,image.CT,label\na,a.nii,l.nii\n")
        (tmp_path / "labels.json").unlink()
        assert open_dataset(path).scheme.names == ("structure 4",)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", r"manifest\.csv: no column 'case'; the columns are missing"),
            ("id,image.CT\na,a.nii\n", r"manifest\.csv: no column 'case'; the columns are id, image\.CT"),
            ("case,label\na,a.nii\n", r"manifest\.csv: no column 'image\.CHANNEL'; the columns are case, label"),
            ("case,image.CT,sex,sex\na,a.nii,F,M\n", r"manifest\.csv: several columns are named 'sex'"),
            ("case,image.CT\na\n", r"manifest\.csv: line 2 has 1 cells, the header has 2"),
            ("case,image.CT\na,a.nii\nb,b.nii,c\n", r"manifest\.csv: line 3 has 3 cells, the header has 2"),
            ('case,image.CT\n"a,a.nii\n', r"manifest\.csv: not a valid CSV table at line 2"),
            ("case,image.CT\n", "holds no case"),
            ("case,image.CT\n,a.nii\n", r"manifest\.csv: case '' does not serve as a file name"),
            ("case,image.CT\n../a,a.nii\n", r"manifest\.csv: case '\.\./a' does not serve as a file name; use letters"),
            ("case,image.CT\na,a.nii\na,b.nii\n", "has several cases named 'a'; names must differ"),
            ("case,split,image.CT\na,dev,a.nii\n", r"manifest\.csv: cases\.0\.split: input should be 'train'"),
            ("case,image.T1\na,\n", r"manifest\.csv: case 'a' has no image"),
            (
                "case,image,image.T1\na,a.nii,\nb,,b.nii\n",
                r"some cases have one image of all channels, others an image",
            ),
            ("case,image.CT\na,../a.nii\n", r"path '\.\./a\.nii' leaves its folder"),
            ("case,image.CT\na,/etc/passwd\n", r"path '/etc/passwd' leaves its folder"),
            ("case,image.CT,label\na,a.nii,../../l.nii\n", r"path '\.\./\.\./l\.nii' leaves its folder"),
        ],
    )
    def test_a_table_that_is_not_sound(self, tmp_path, text, message):
        with pytest.raises((ReadError, InputError), match=message):
            open_dataset(table(tmp_path, text))

    def test_an_absolute_path_below_the_folder_is_taken(self, tmp_path):
        path = table(tmp_path, f"case,image.CT\na,{tmp_path.resolve() / 'a.nii'}\n")
        assert open_dataset(path).cases[0].images["CT"].path == tmp_path / "a.nii"

    def test_a_link_that_leaves_the_folder_is_refused(self, tmp_path):
        folder = tmp_path / "set"
        folder.mkdir()
        write_image(tmp_path / "outside.nii")
        (folder / "a.nii").symlink_to(tmp_path / "outside.nii")
        with pytest.raises(InputError, match=r"path 'a\.nii' leaves its folder"):
            open_dataset(table(folder, "case,image.CT\na,a.nii\n"))

    def test_a_missing_file_is_told_when_it_is_read(self, tmp_path):
        found = open_dataset(table(tmp_path, "case,image.CT\na,a.nii\n"))
        with pytest.raises(InputError, match=r"^case a: .*a\.nii' does not exist"):
            load_case(found.cases[0], ("CT",), None)


class TestJson:
    def described(self, **changes):
        case = {"id": "a", "images": {"CT": "a.nii"}, "label": "l.nii", "attributes": {"age": 61, "sex": "F"}}
        return {"labels": {"background": 0, "liver": 1, "lesion": 2}, "cases": [case]} | changes

    def test_all_keys(self, tmp_path):
        case = {"id": "a", "patient": "P", "split": "test", "images": {"CT": "a.nii"}, "attributes": {"age": 61}}
        path = write_json(tmp_path / "m.json", self.described(cases=[case], name="Mine", ignore=9, overlapping=True))
        found = open_dataset(path)
        assert found.name == "Mine"
        assert (found.scheme.names, found.scheme.ignore, found.scheme.overlapping) == (("liver", "lesion"), 9, True)
        assert (found.cases[0].patient, found.cases[0].split) == ("P", "test")
        assert found.cases[0].attributes == {"age": "61"}

    def test_ignore_and_overlapping_count_without_names_too(self, tmp_path):
        write_label(tmp_path / "l.nii", values=(0, 1, 9))
        unnamed = self.described(ignore=9, overlapping=True)
        del unnamed["labels"]
        found = open_dataset(write_json(tmp_path / "m.json", unnamed)).scheme
        assert (found.names, found.ignore, found.overlapping) == (("structure 1",), 9, True)
        write_json(tmp_path / "labels.json", {"liver": 1})
        found = open_dataset(tmp_path / "m.json").scheme
        assert (found.names, found.ignore, found.overlapping) == (("liver",), 9, True)

    def test_overlapping_goes_with_regions(self, tmp_path):
        listed = self.described(labels={"whole": [1, 2], "core": [2]}, overlapping=True)
        scheme = open_dataset(write_json(tmp_path / "m.json", listed)).scheme
        assert (scheme.targets, scheme.overlapping) == (("whole", "core"), True)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"cases": []}, "holds no case"),
            ({"cases": [{"id": "a"}]}, r"m\.json: cases\.0\.images: field required"),
            ({"cases": [{"id": "a", "images": {"CT": "a.nii"}, "lable": "l.nii"}]}, r"cases\.0\.lable: extra inputs"),
            ({"casess": 1}, r"m\.json: casess: extra inputs are not permitted"),
            ({"labels": {"liver": 1, "lesion": 1}}, r"m\.json: structure names and values must differ"),
            ({"ignore": 2}, r"m\.json: the ignore value 2 is background's or a structure's value"),
            ({"cases": [{"images": {}}] * 5}, r"cases\.0\.id: field required; .* and 2 more"),
        ],
    )
    def test_a_document_that_is_not_sound(self, tmp_path, changes, message):
        with pytest.raises((DataError, InputError, LabelError), match=message):
            open_dataset(write_json(tmp_path / "m.json", self.described(**changes)))

    def test_the_message_is_one_line(self, tmp_path):
        (tmp_path / "m.json").write_text(json.dumps({"cases": [{}] * 50}))
        with pytest.raises(ReadError) as raised:
            open_dataset(tmp_path / "m.json")
        assert "\n" not in str(raised.value)
        assert len(str(raised.value)) < 300
