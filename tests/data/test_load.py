"""From files to a case on one grid."""

from __future__ import annotations

import numpy as np
import pytest
from dataset_factories import GRID, SCHEME, case_files, write_image, write_label
from dicom_factories import Grid, write_series
from factories import ALL_ORIENTATIONS, geometry, label_map, volume

from medseg.core.case import CaseId, SeriesUID
from medseg.core.errors import DataError, GeometryError, InputError, LabelError, StudyError
from medseg.core.labels import LabelScheme
from medseg.core.volume import MultiLabelMap, Volume
from medseg.data.dataset import CaseFiles, ImageFile
from medseg.data.joining import Joining
from medseg.data.load import load_case, load_joined
from medseg.io.formats import write_label_map, write_labels, write_volume
from medseg.io.studies import find_series


def files(images: dict[str, ImageFile], label=None) -> CaseFiles:
    return CaseFiles(CaseId("c1"), images, label, patient="c1", attributes={"sex": "F"})


def test_channels_in_the_order_asked_for(tmp_path):
    images = {name: ImageFile(write_image(tmp_path / f"{name}.nii", seed)) for seed, name in enumerate(("T1", "T2"))}
    case = load_case(files(images), ("T2", "T1"), None)
    assert case.image.channels == ("T2", "T1")
    assert np.array_equal(case.image.array[1], volume(GRID, seed=0).array[0])
    assert case.image.array.dtype == np.int16
    assert case.attributes == {"sex": "F"}


def test_channels_of_different_types_become_float32(tmp_path):
    write_volume(tmp_path / "a.nii", volume(GRID, dtype=np.int16))
    write_volume(tmp_path / "b.nii", volume(GRID, dtype=np.float64))
    images = {"a": ImageFile(tmp_path / "a.nii"), "b": ImageFile(tmp_path / "b.nii")}
    assert load_case(files(images), ("a", "b"), None).image.array.dtype == np.float32


def test_a_file_with_several_channels_is_read_once(tmp_path, monkeypatch):
    path = write_image(tmp_path / "a.nii", channels=("x", "y", "z"))
    reads = []
    monkeypatch.setattr(
        "medseg.data.load.read_volume", lambda path: reads.append(path) or volume(GRID, ("x", "y", "z"))
    )
    images = {name: ImageFile(path, component) for component, name in enumerate(("x", "y", "z"))}
    assert np.array_equal(
        load_case(files(images), ("z", "x"), None).image.array, volume(GRID, ("x", "y", "z")).array[[2, 0]]
    )
    assert reads == [path]


@pytest.mark.parametrize("codes", ALL_ORIENTATIONS)
def test_label_and_channels_in_another_orientation_are_turned(tmp_path, codes):
    write_volume(tmp_path / "a.nii", volume(GRID))
    write_volume(tmp_path / "b.nii", volume(GRID, seed=1).reoriented(codes))
    write_label_map(tmp_path / "l.nii", label_map(GRID).reoriented(codes))
    images = {"a": ImageFile(tmp_path / "a.nii"), "b": ImageFile(tmp_path / "b.nii")}
    case = load_case(files(images, tmp_path / "l.nii"), ("a", "b"), SCHEME)
    assert np.array_equal(case.image.array[1], volume(GRID, seed=1).array[0])
    assert np.array_equal(case.label.array, label_map(GRID).array)


def test_masks_that_overlap(tmp_path):
    masks = MultiLabelMap(np.random.default_rng(0).random((2, *GRID.shape)) > 0.5, GRID, ("one", "two"))
    write_labels(tmp_path / "l.nii", masks)
    images = {"CT": ImageFile(write_image(tmp_path / "a.nii"))}
    scheme = LabelScheme(SCHEME.structures, overlapping=True)
    assert np.array_equal(load_case(files(images, tmp_path / "l.nii"), ("CT",), scheme).label.array, masks.array)


def test_one_of_several_dicom_series(tmp_path):
    stored = {name: write_series(tmp_path / name, modality=name) for name in ("CT", "MR")}
    uids = {series.modality: series.uid for series in find_series(tmp_path).series}
    images = {"MR": ImageFile(tmp_path, series=uids["MR"])}
    assert np.array_equal(load_case(files(images), ("MR",), None).image.array[0], stored["MR"])
    gone = {"MR": ImageFile(tmp_path, series=SeriesUID("1.2.3"))}
    with pytest.raises(StudyError, match="^case c1: the DICOM series that it names is not there any more"):
        load_case(files(gone), ("MR",), None)


class TestSeveralGrids:
    OTHER = geometry((6, 5, 6))

    @pytest.fixture
    def images(self, tmp_path):
        write_image(tmp_path / "a.nii")
        write_image(tmp_path / "b.nii", seed=1, grid=self.OTHER)
        return {"T1": ImageFile(tmp_path / "a.nii"), "T2": ImageFile(tmp_path / "b.nii")}

    def test_the_label_lies_on_the_grid_of_the_reference(self, tmp_path, images):
        write_label_map(tmp_path / "l.nii", label_map(self.OTHER).reoriented("LIP"))
        made = files(images, tmp_path / "l.nii")
        case = load_case(made, ("T1", "T2"), SCHEME, Joining(reference="T2"))
        assert case.image.geometry.is_close(self.OTHER)
        assert np.array_equal(case.label.array, label_map(self.OTHER).array)
        assert np.array_equal(case.image.array[1], volume(self.OTHER, seed=1).array[0])
        with pytest.raises(GeometryError, match="^case c1: image and label lie on different grids"):
            load_case(made, ("T1", "T2"), SCHEME, Joining(reference="T1"))

    def test_what_was_resampled_is_told(self, images):
        joined = load_joined(files(images), ("T1", "T2"), Joining(reference="T1"))
        assert set(joined.moved) == {"T2"}
        assert joined.moved["T2"].covered == 1

    def test_dicom_series_of_two_frames_of_reference(self, tmp_path):
        for name, frame, origin in (("T1", "1.2.3", 0.0), ("T2", "1.2.4", 1.0)):
            grid = Grid(columns=8, rows=8, slices=8, origin=(origin, 0.0, 0.0))
            write_series(tmp_path / name, grid, modality="MR", FrameOfReferenceUID=frame)
        images = {name: ImageFile(tmp_path / name) for name in ("T1", "T2")}
        with pytest.raises(GeometryError, match="^case c1: channels 'T1' and 'T2' .* in different frames of reference"):
            load_case(files(images), ("T1", "T2"), None, Joining(reference="T1"))


class TestMissingChannels:
    def test_an_optional_channel_may_be_missing(self, tmp_path):
        case = load_case(case_files(tmp_path, "c1"), ("CT", "MR"), SCHEME, Joining(frozenset({"MR"})))
        assert case.image.channels == ("CT",)

    def test_any_other_may_not(self, tmp_path):
        with pytest.raises(InputError, match="^case c1: no channel 'MR'; it has CT"):
            load_case(case_files(tmp_path, "c1"), ("CT", "MR"), None, Joining(frozenset({"CT"})))

    def test_one_has_to_be_there(self, tmp_path):
        with pytest.raises(InputError, match="^case c1: no channel 'T1'; it has CT"):
            load_case(case_files(tmp_path, "c1"), ("T1", "T2"), None, Joining(frozenset({"T1", "T2"})))


class TestRefusing:
    def test_label_on_another_grid(self, tmp_path):
        made = case_files(tmp_path, "c1", label_grid=geometry((4, 5, 6), (1.0, 1.5, 2.6)))
        message = r"^case c1: image and label lie on different grids: same-index voxels are up to 0\.5 mm apart"
        with pytest.raises(GeometryError, match=message):
            load_case(made, ("CT",), SCHEME)

    def test_label_of_another_shape(self, tmp_path):
        made = case_files(tmp_path, "c1", label_grid=geometry((4, 5, 7)))
        with pytest.raises(GeometryError, match=r"case c1: image and label .* shapes \(4, 5, 6\) and \(4, 5, 7\)"):
            load_case(made, ("CT",), SCHEME)

    def test_channels_on_other_grids(self, tmp_path):
        write_image(tmp_path / "a.nii")
        write_image(tmp_path / "b.nii", grid=geometry((4, 5, 9)))
        images = {"T1": ImageFile(tmp_path / "a.nii"), "T2": ImageFile(tmp_path / "b.nii")}
        with pytest.raises(GeometryError, match=r"^case c1: channels 'T1' and 'T2' lie on different grids: shapes"):
            load_case(files(images), ("T1", "T2"), None)

    def test_a_channel_that_it_lacks(self, tmp_path):
        with pytest.raises(InputError, match="^case c1: no channel 'MR'; it has CT"):
            load_case(case_files(tmp_path, "c1"), ("MR",), None)

    @pytest.mark.parametrize(
        ("component", "message"),
        [(None, "image holds 2 channels, one was expected"), (2, "image holds 2 channels, channel 2 was expected")],
    )
    def test_another_number_of_channels(self, tmp_path, component, message):
        path = write_image(tmp_path / "a.nii", channels=("x", "y"))
        with pytest.raises(DataError, match=f"^case c1: {message}"):
            load_case(files({"CT": ImageFile(path, component)}), ("CT",), None)

    def test_fractions_in_a_label_map(self, tmp_path):
        made = case_files(tmp_path, "c1")
        write_volume(made.label, Volume(np.full((1, *GRID.shape), 0.25, np.float32), GRID))
        with pytest.raises(LabelError, match=r"^case c1: c1_label\.nii: holds fractions such as 0\.25"):
            load_case(made, ("CT",), SCHEME)

    def test_no_image_at_all(self, tmp_path):
        made = case_files(tmp_path, "c1")
        made.images["CT"].path.write_bytes(b"nothing")
        with pytest.raises(DataError, match=r"^case c1: c1_image\.nii: not an image"):
            load_case(made, ("CT",), SCHEME)


@pytest.mark.real_data
def test_a_ct_and_its_label_map_stored_the_other_way_round(real_data, tmp_path):
    label = real_data / "ct_abdomen" / "example_seg_dicom.nii.gz"
    image = write_label(tmp_path / "a.nii")
    made = files({"CT": ImageFile(image)}, label)
    with pytest.raises(GeometryError, match="case c1: image and label lie on different grids: shapes"):
        load_case(made, ("CT",), LabelScheme.from_names({str(value): value for value in range(1, 200)}))
