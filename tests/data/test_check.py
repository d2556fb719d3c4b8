"""What is wrong with a data set: everything, and whose fault."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from dataset_factories import GRID, SCHEME, case_files, dataset, table, write_image, write_label
from factories import geometry, label_map
from image_readers import picture_grid

from medseg.core.geometry import Geometry
from medseg.core.labels import LabelScheme, Region
from medseg.core.volume import LabelMap, MultiLabelMap, Volume
from medseg.data.check import Severity, check_dataset, survey
from medseg.data.dataset import ImageFile
from medseg.data.layouts import open_dataset
from medseg.io.formats import write_label_map, write_labels, write_volume


def found(folder, cases, scheme=SCHEME) -> list[tuple[str, str | None, str]]:
    findings = check_dataset(dataset(folder, cases, scheme))
    return [(one.severity.value, one.case, one.message) for one in findings]


def three(folder):
    return [case_files(folder, case) for case in ("a", "b", "c")]


def test_a_sound_data_set(tmp_path):
    told = survey(dataset(tmp_path, three(tmp_path)))
    assert told.findings == ()
    assert told.occurrences == {"one": 3, "two": 3}
    assert told.grids["a"].is_close(GRID)


def test_one_bad_case_hides_no_other(tmp_path):
    cases = three(tmp_path)
    cases[0].images["CT"].path.unlink()
    cases[1].label.write_bytes(b"nothing")
    write_label(cases[2].label, values=(0, 1, 9))
    severity, case, message = zip(*found(tmp_path, cases), strict=True)
    assert severity == ("error", "error", "error")
    assert case == ("a", "b", "c")
    assert message[0].endswith("a_image.nii' does not exist")
    assert message[1].startswith("b_label.nii: not an image")
    assert message[2] == "label values [9] are not in the scheme {'one': 1, 'two': 2}"


def test_image_and_label_of_one_case_are_told_apart(tmp_path):
    cases = three(tmp_path)
    cases[0].images["CT"].path.write_bytes(b"nothing")
    cases[0].label.unlink()
    assert [case for _, case, _ in found(tmp_path, cases)] == ["a", "a"]


def test_grids_that_differ(tmp_path):
    cases = [*three(tmp_path), case_files(tmp_path, "d", label_grid=geometry((4, 5, 6), (1.0, 1.5, 2.6)))]
    message = "image and label lie on different grids: same-index voxels are up to 0.5 mm apart"
    assert found(tmp_path, cases) == [("error", "d", message)]


def test_a_label_in_another_orientation_is_no_problem(tmp_path):
    cases = three(tmp_path)
    write_label_map(cases[0].label, label_map(GRID).reoriented("LPS"))
    assert found(tmp_path, cases) == []


def test_labels_that_are_empty_or_missing(tmp_path):
    cases = [
        case_files(tmp_path, "a"),
        case_files(tmp_path, "b", values=(0,)),
        replace(case_files(tmp_path, "c"), label=None),
    ]
    assert found(tmp_path, cases) == [
        ("warning", "b", "the label is empty: it holds no structure"),
        ("warning", "c", "has no label, so it takes no part in training"),
    ]


def test_no_label_anywhere(tmp_path):
    cases = [replace(case, label=None) for case in three(tmp_path)]
    assert found(tmp_path, cases, None) == [("warning", None, "no case has a label")]


def test_a_structure_that_occurs_nowhere(tmp_path):
    cases = [case_files(tmp_path, case, values=(0, 1)) for case in "ab"]
    assert found(tmp_path, cases) == [("warning", None, "structure 'two' occurs in no label")]


def test_voxels_to_ignore_are_in_the_scheme(tmp_path):
    cases = [case_files(tmp_path, "a", values=(0, 1, 2, 3))]
    told = found(tmp_path, cases, LabelScheme(SCHEME.structures, ignore=3))
    assert [severity for severity, *_ in told] == ["note"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda array: np.full_like(array, 7), "channel 'CT' is constant: every voxel is 7"),
        (
            lambda array: np.where(array == array.max(), np.nan, array),
            "channel 'CT' holds 1 values that are not finite",
        ),
        (
            lambda array: np.where(array == array.max(), np.inf, array),
            "channel 'CT' holds 1 values that are not finite",
        ),
    ],
)
def test_images_that_look_wrong(tmp_path, change, message):
    array = change(np.arange(120, dtype=np.float32).reshape(GRID.shape))
    (one,) = found(tmp_path, [case_files(tmp_path, "a", array=array)])
    assert one[:2] == ("warning", "a")
    assert one[2].startswith(message)


def test_an_image_of_nothing_but_nan(tmp_path):
    array = np.full(GRID.shape, np.nan, np.float32)
    assert len(found(tmp_path, [case_files(tmp_path, "a", array=array)])) == 1


def test_a_spacing_far_off_the_median(tmp_path):
    cases = [*three(tmp_path), case_files(tmp_path, "d", geometry((4, 5, 6), (1.0, 1.5, 10.0), codes="SAR"))]
    findings = found(tmp_path, cases)
    assert findings[0] == ("warning", "d", "voxels of 1 x 1.5 x 10 mm, the median is 1 x 1.5 x 2.5 mm")
    assert findings[1] == ("note", None, "images are stored in 2 orientations (3 RAS, 1 SAR); training turns them")


def test_the_spacing_is_compared_along_the_patients_axes(tmp_path):
    turned = geometry((4, 5, 6), (1.0, 1.5, 2.5), codes="SPL")
    findings = found(tmp_path, [*three(tmp_path), case_files(tmp_path, "d", turned)])
    assert [severity for severity, _, _ in findings] == ["note"]


def test_pixels_among_millimetres(tmp_path):
    grid = picture_grid(4, 5)
    write_volume(tmp_path / "p.png", Volume(np.arange(20, dtype=np.uint8).reshape(1, 4, 5, 1), grid))
    write_label_map(tmp_path / "p_label.png", label_map(grid))
    flat = [case_files(tmp_path, case, geometry((4, 5, 1), (1.0, 1.0, 1.0))) for case in "ab"]
    picture = replace(flat[0], id="p", images={"CT": ImageFile(tmp_path / "p.png")}, label=tmp_path / "p_label.png")
    findings = found(tmp_path, [*flat, picture])
    assert ("warning", None, "2 cases have millimetres and 1 have not") in findings


def test_a_patient_in_two_parts_of_the_given_split(tmp_path):
    cases = [
        replace(case, patient="P", split=part)
        for case, part in zip(three(tmp_path), ("train", "train", "test"), strict=True)
    ]
    ((severity, case, message),) = found(tmp_path, cases)
    assert (severity, case) == ("error", None)
    assert message.startswith("cases 'a' (train) and 'c' (test) are of one patient")


def test_masks_and_regions(tmp_path):
    cases = [case_files(tmp_path, "a"), case_files(tmp_path, "b")]
    array = np.zeros((2, *GRID.shape), bool)
    array[0, 0] = True
    write_labels(cases[0].label, MultiLabelMap(array, GRID, ("whole", "core")))
    regions = LabelScheme(SCHEME.structures, (Region("whole", ("one", "two")), Region("core", ("two",))))
    assert survey(dataset(tmp_path, cases, regions)).occurrences == {"whole": 2, "core": 1}
    overlapping = LabelScheme(SCHEME.structures, overlapping=True)
    assert survey(dataset(tmp_path, cases[:1], overlapping)).occurrences == {"one": 1, "two": 0}


def test_errors_come_first_and_progress_is_told(tmp_path):
    told = []

    class Listener:
        def start(self, label, total):
            told.append((label, total))

        def advance(self, steps=1):
            told.append(steps)

        def note(self, text):
            raise AssertionError

        def finish(self):
            told.append("done")

    cases = [case_files(tmp_path, "a", values=(0,)), case_files(tmp_path, "b")]
    cases[1].label.unlink()
    findings = check_dataset(dataset(tmp_path, cases), Listener())
    assert [one.severity for one in findings][:2] == [Severity.ERROR, Severity.WARNING]
    assert told == [("checking cases", 2), 1, 1, "done"]


@pytest.mark.real_data
def test_hippocampus_is_sound(real_data):
    told = survey(open_dataset(real_data / "Task04_Hippocampus"))
    assert told.findings == ()
    assert told.occurrences == {"Anterior": 200, "Posterior": 200}


class TestSeveralChannels:
    """T2 on its own grid, shifted by so many mm."""

    def rows(self, tmp_path, shift, cases=("a", "b")):
        affine = GRID.affine.copy()
        affine[:3, 3] += shift
        for case in cases:
            write_image(tmp_path / f"{case}1.nii")
            write_image(tmp_path / f"{case}2.nii", seed=1, grid=Geometry(GRID.shape, affine))
            write_label(tmp_path / f"{case}.nii")
        lines = [f"{case},{case}.nii,{case}1.nii,{case}2.nii" for case in cases]
        return table(tmp_path, "\n".join(["case,label,image.T1,image.T2", *lines]))

    def messages(self, manifest):
        return [(one.severity.value, one.case, one.message) for one in check_dataset(open_dataset(manifest))]

    def test_a_small_shift_is_a_note(self, tmp_path):
        said = "the channels of 2 of 2 cases lie on several grids; preprocessing.reference=T1 resamples them"
        assert self.messages(self.rows(tmp_path, (0.2, 0, 0))) == [("note", None, said)]

    def test_a_large_one_a_warning_with_numbers(self, tmp_path):
        found = self.messages(self.rows(tmp_path, (2, 0, 0)))
        said = "channel 'T2' lies off 'T1': it covers 50% of it, 2 mm between their centres"
        assert found[:2] == [("warning", "a", said), ("warning", "b", said)]

    def test_and_one_that_cannot_be_an_error(self, tmp_path):
        said = "channel 'T2' does not lie on 'T1' (it covers 0% of it, 90 mm between their centres); check that both"
        (severity, case, message), *_ = self.messages(self.rows(tmp_path, (0, 90, 0)))
        assert (severity, case) == ("error", "a")
        assert message.startswith(said)

    def test_a_channel_that_some_cases_lack(self, tmp_path):
        manifest = self.rows(tmp_path, (0, 0, 0))
        manifest.write_text(manifest.read_text().replace(",b2.nii", ","))
        said = "channel 'T2' is missing in 1 of 2 cases; they can take part only if it is `optional`"
        assert self.messages(manifest) == [("warning", None, said)]


def test_labels_that_are_ignored_in_part(tmp_path):
    array = np.full(GRID.shape, 9, np.uint8)
    array[:2] = 1
    array[0, 0] = 2
    cases = [case_files(tmp_path, "a"), case_files(tmp_path, "b")]
    write_label_map(cases[1].label, LabelMap(array, GRID))
    said = "1 of 2 labels are to be ignored in part, 50% of their voxels on average; those count neither in losses"
    told = found(tmp_path, cases, LabelScheme.from_names({"one": 1, "two": 2}, ignore=9))
    assert [severity for severity, *_ in told] == ["note"]
    assert told[0][2].startswith(said)
