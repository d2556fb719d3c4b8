"""What the browser gets, read by nibabel."""

from __future__ import annotations

import stat
import tracemalloc

import nibabel as nib
import numpy as np
import pytest
from drawn_masks import LIMITS, SCHEME, masks, shown, shown_copy, small_case
from factories import ALL_ORIENTATIONS, ball, full_disk, geometry, label_map, scheme, volume

from medseg.config.review import ReviewLimits
from medseg.core.errors import GeometryError, InputError, LabelError, OutputError
from medseg.core.geometry import Geometry, LengthUnit
from medseg.core.labels import LabelScheme, Structure
from medseg.core.segmentation import Segmentation
from medseg.core.volume import LabelMap, Volume
from medseg.io.formats import read_volume
from medseg.io.raster import RGB
from medseg.review.served import other_targets, served_image, served_labels, served_overlay

TINY = ReviewLimits(viewer_megavoxels=1)


def loaded(path) -> np.ndarray:
    return np.asanyarray(nib.load(path).dataobj)


@pytest.mark.parametrize("codes", ALL_ORIENTATIONS[::5])
@pytest.mark.parametrize("degrees", [0, 15])
def test_an_image_keeps_its_voxels_and_its_place(tmp_path, codes, degrees):
    image = volume(geometry(codes=codes, oblique_degrees=degrees))
    served = served_image(image, tmp_path, LIMITS)
    found = nib.load(served.path)
    assert found.get_data_dtype() == np.int16
    assert np.array_equal(loaded(served.path), image.array[0])
    assert np.allclose(found.get_sform(), image.geometry.affine, atol=1e-4)
    assert np.allclose(found.get_qform(), image.geometry.affine, atol=1e-4)
    assert (found.header["sform_code"], found.header["qform_code"]) == (1, 1)
    assert served.shape == image.geometry.shape
    assert (served.factor, served.notice) == ((1, 1, 1), "")
    again = read_volume(served.path)
    assert again.geometry.is_close(image.geometry)
    assert np.array_equal(again.array, image.array)


def test_a_sheared_grid_has_a_sform_alone(tmp_path):
    affine = np.eye(4)
    affine[0, 1] = 0.3
    image = volume(Geometry((7, 8, 9), affine))
    header = nib.load(served_image(image, tmp_path, LIMITS).path).header
    assert (header["sform_code"], header["qform_code"]) == (1, 0)
    assert np.allclose(header.get_sform(), affine)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("uint8", "uint8"),
        ("int8", "int16"),
        ("bool", "uint8"),
        ("int16", "int16"),
        (">i2", "int16"),
        ("uint16", "uint16"),
        ("int32", "int32"),
        ("int64", "float32"),
        ("float16", "float32"),
        ("float32", "float32"),
        ("float64", "float32"),
    ],
)
def test_types_that_browsers_take(tmp_path, given, kept):
    array = np.arange(24).reshape(1, 2, 3, 4).astype(given)
    served = served_image(Volume(array, Geometry.from_spacing((2, 3, 4))), tmp_path, LIMITS)
    assert nib.load(served.path).get_data_dtype() == kept
    assert np.array_equal(loaded(served.path), array[0].astype(kept))


def test_what_is_not_finite_takes_the_ends_of_the_window(tmp_path):
    array = np.linspace(0, 100, 1000).reshape(1, 10, 10, 10)
    array[0, 0, 0, :4] = np.nan, np.inf, -np.inf, 1e300
    served = served_image(Volume(array, Geometry.from_spacing((10, 10, 10))), tmp_path, LIMITS)
    header, found = nib.load(served.path).header, loaded(served.path)
    low, high = float(header["cal_min"]), float(header["cal_max"])
    assert 0 <= low < high <= 100
    assert np.allclose(found[0, 0, :4], [low, high, low, high])
    assert np.allclose(found[1:], array[0, 1:])


def test_one_of_several_channels_is_shown(tmp_path):
    image = volume(channels=("t1", "flair"))
    assert np.array_equal(loaded(served_image(image, tmp_path, LIMITS).path), image.array[0])
    assert np.array_equal(loaded(served_image(image, tmp_path, LIMITS, "flair").path), image.array[1])
    with pytest.raises(GeometryError, match="no channel 't2'"):
        served_image(image, tmp_path, LIMITS, "t2")


def test_a_colour_picture_keeps_its_colours(tmp_path):
    grid = Geometry.from_spacing((6, 5, 1), unit=LengthUnit.PIXEL)
    image = volume(grid, RGB, np.uint8)
    found = loaded(served_image(image, tmp_path, LIMITS).path)
    assert found.shape == (6, 5, 1)
    for name, channel in zip("RGB", image.array, strict=True):
        assert np.array_equal(found[name], channel)
    assert (found["A"] == 255).all()
    green = served_image(image, tmp_path, LIMITS, "green")
    assert np.array_equal(loaded(green.path), image.array[1])


def test_a_large_colour_picture_becomes_a_copy(tmp_path):
    image = Volume(np.full((3, 2050, 600, 1), 7, np.uint8), Geometry.from_spacing((2050, 600, 1)), RGB)
    served = served_image(image, tmp_path, TINY)
    assert served.shape == (1025, 300, 1)
    assert (loaded(served.path)["G"] == 7).all()


def test_a_large_image_becomes_a_copy_and_its_labels_follow(tmp_path):
    grid = geometry((160, 160, 45), (0.8, 0.8, 1.0))
    image, labels = volume(grid), LabelMap(ball((160, 160, 45)).astype(np.uint8), grid)
    served = served_image(image, tmp_path, TINY)
    assert (served.shape, served.factor) == ((80, 80, 45), (2, 2, 1))
    assert served.notice.startswith("shown at 1.6 mm; edits are made at 0.8 mm")
    means = image.array[0].reshape(80, 2, 80, 2, 45).mean(axis=(1, 3))
    assert np.abs(loaded(served.path) - means).max() <= 0.5
    drawn = served_labels(Segmentation(labels, SCHEME), served)
    assert drawn.served.shape == served.shape
    assert np.allclose(nib.load(drawn.served.path).affine, nib.load(served.path).affine)
    assert abs(4 * drawn.array().sum() / labels.array.sum() - 1) < 0.1


def test_files_are_the_users_own_and_their_names_say_nothing(tmp_path):
    served = served_image(volume(), tmp_path, LIMITS)
    assert stat.S_IMODE(served.path.stat().st_mode) == 0o600
    assert len(served.path.stem) == 32
    assert served.path.name not in repr(served)


def test_memory_stays_bounded(tmp_path):
    image = Volume(np.zeros((1, 256, 256, 300), np.float64, order="F"), Geometry.from_spacing((256, 256, 300)))
    tracemalloc.start()
    served_image(image, tmp_path, LIMITS)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 64 * 2**20


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path):
    with full_disk(1000), pytest.raises(OutputError, match="voxels for the browser cannot be written: file too large"):
        served_image(volume(geometry((20, 20, 20))), tmp_path, LIMITS)
    assert not list(tmp_path.iterdir())
    with pytest.raises(OutputError, match="no such file or directory"):
        served_image(volume(), tmp_path / "gone", LIMITS)


def test_a_failure_while_voxels_are_read_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("medseg.review.served._as_type", lambda *_: (_ for _ in ()).throw(MemoryError("no room")))
    with pytest.raises(MemoryError, match="no room"):
        served_image(volume(), tmp_path, LIMITS)
    assert not list(tmp_path.iterdir())


def test_labels_keep_their_values(tmp_path):
    case = small_case()
    drawn = shown(case, tmp_path)
    assert nib.load(drawn.served.path).get_data_dtype() == np.uint8
    assert np.array_equal(loaded(drawn.served.path), case.prediction.labels.array)
    assert np.array_equal(drawn.array(), case.prediction.labels.array)
    assert dict(drawn.drawable) == {0: 0, 1: 1, 2: 2}


def test_large_values_are_numbered_anew(tmp_path):
    grid = geometry()
    labelled = LabelScheme((Structure("liver", 500, (1, 2, 3)), Structure("spleen", 7, (4, 5, 6))), ignore=1000)
    labels = LabelMap(np.random.default_rng(0).choice([0, 7, 500, 1000, 300], grid.shape), grid)
    drawn = served_labels(Segmentation(labels, labelled), served_image(volume(grid), tmp_path, LIMITS))
    for value, number in {0: 0, 500: 1, 7: 2, 1000: 3, 300: 4}.items():
        assert np.array_equal(drawn.array() == number, labels.array == value)
    assert dict(drawn.drawable) == {0: 0, 1: 500, 2: 7}


def test_more_values_than_the_viewer_tells_apart_are_refused(tmp_path):
    grid = geometry()
    labels = LabelMap(np.arange(np.prod(grid.shape)).reshape(grid.shape), grid)
    with pytest.raises(LabelError, match="tells 255 values apart, these outlines hold 503"):
        served_labels(Segmentation(labels, SCHEME), served_image(volume(grid), tmp_path, LIMITS))


def test_of_masks_that_overlap_one_is_drawn_and_the_others_lie_below(tmp_path):
    grid = geometry()
    labelled = scheme("liver", "tumour", "vessel")
    found = Segmentation(masks(grid, labelled.names), labelled)
    image = served_image(volume(grid), tmp_path, LIMITS)
    drawn = served_labels(found, image, "tumour")
    assert np.array_equal(drawn.array(), found.labels.array[1])
    assert dict(drawn.drawable) == {0: 0, 1: 1}
    below = other_targets(found, "tumour")
    assert set(np.unique(below.array)) == {0, 1, 3}
    assert np.array_equal(below.array != 0, found.labels.array[0] | found.labels.array[2])
    assert np.array_equal(loaded(served_overlay(below, image).path), below.array)
    assert set(np.unique(other_targets(found).array)) == {0, 1, 2, 3}


def test_the_smaller_of_others_lies_over_the_larger():
    grid = geometry()
    found = masks(grid, ("liver", "tumour", "spot"))
    array = found.array.copy()
    array[0], array[2] = True, False
    array[2, 3, 3, 3] = True
    below = other_targets(Segmentation(type(found)(array, grid, found.structures), scheme(*found.structures)), "tumour")
    assert (below.array == 3).sum() == 1
    assert (below.array == 1).sum() == below.array.size - 1


def test_labels_go_with_the_kind_that_they_are(tmp_path):
    grid = geometry()
    image = served_image(volume(grid), tmp_path, LIMITS)
    with pytest.raises(InputError, match="one at a time, those of a label map all at once"):
        served_labels(Segmentation(masks(grid), SCHEME), image)
    with pytest.raises(InputError, match="one at a time, those of a label map all at once"):
        served_labels(Segmentation(label_map(grid), SCHEME), image, "liver")
    with pytest.raises(LabelError, match="no outlines of 'heart'; there are liver, spleen"):
        served_labels(Segmentation(masks(grid), SCHEME), image, "heart")


def test_labels_elsewhere_are_refused(tmp_path):
    image = served_image(volume(), tmp_path, LIMITS)
    with pytest.raises(GeometryError, match="do not lie on the image's grid"):
        served_labels(Segmentation(label_map(geometry((7, 8, 8))), SCHEME), image)
    with pytest.raises(GeometryError, match="do not lie on the image's grid"):
        served_overlay(label_map(geometry(oblique_degrees=5)), image)


@pytest.mark.parametrize("value", [-1, 256])
def test_an_overlay_holds_bytes(tmp_path, value):
    image = served_image(volume(), tmp_path, LIMITS)
    array = np.zeros(image.shape, np.int16)
    array[0, 0, 0] = value
    with pytest.raises(LabelError, match=f"from 0 to 255, got {min(0, value)} to {max(0, value)}"):
        served_overlay(LabelMap(array, image.native), image)


def test_a_file_that_is_gone_is_told(tmp_path):
    drawn = shown_copy(small_case(), tmp_path, (2, 2, 1))
    drawn.served.path.unlink()
    with pytest.raises(InputError, match="no longer open here; open it again"):
        drawn.array()
