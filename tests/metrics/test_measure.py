import csv
import math

import numpy as np
import pytest
import SimpleITK
from factories import geometry, label_map, scheme, volume

from medseg.core.errors import GeometryError, LabelError
from medseg.core.geometry import Geometry, LengthUnit
from medseg.core.labels import LabelScheme, Region
from medseg.core.volume import LabelMap, MultiLabelMap, Volume
from medseg.io.formats import read_label_map, read_volume
from medseg.metrics.intensity import intensities_of
from medseg.metrics.measure import flat_rows, measure
from medseg.metrics.shape import shape_of

GRID = geometry((9, 8, 7), oblique_degrees=20)
PYRADIOMICS = {
    "MeshVolume": ("mesh_volume", 1000, 4e-4),
    "VoxelVolume": ("volume", 1000, 1e-9),
    "SurfaceArea": ("surface", 1, 1e-3),
    "Sphericity": ("sphericity", 1, 1.2e-3),
    "Maximum3DDiameter": ("diameter", 1, 1e-9),
    "MajorAxisLength": ("major_axis", 1, 1e-9),
    "MinorAxisLength": ("minor_axis", 1, 1e-9),
    "LeastAxisLength": ("least_axis", 1, 1e-9),
    "Elongation": ("elongation", 1, 1e-9),
    "Flatness": ("flatness", 1, 1e-9),
}
"""Our name, our unit, and how far the numbers may be apart: only where voxels meet at edges and corners they are."""


def test_intensities_of_some_numbers():
    found = intensities_of(np.array([4, 1, 3, 2, 100], np.int16))
    assert (found.finite, found.mean, found.median, found.minimum, found.maximum) == (5, 22, 3, 1, 100)
    assert found.sd == pytest.approx(math.sqrt((18**2 + 21**2 + 19**2 + 20**2 + 78**2) / 5))
    assert (found.p5, found.p25, found.p75, found.p95) == pytest.approx((1.2, 2, 4, 80.8))


def test_what_is_not_a_number_is_left_out_and_counted():
    found = intensities_of(np.array([1, np.nan, 3, np.inf], np.float32))
    assert (found.finite, found.mean, found.maximum) == (2, 2, 3)
    none = intensities_of(np.array([np.nan]))
    assert none.finite == 0
    assert math.isnan(none.mean)


def test_large_integers_do_not_wrap_around():
    assert intensities_of(np.full(1000, 32000, np.int16)).mean == 32000


def test_intensities_equal_simpleitks():
    image, labels = volume(GRID, ("CT",)), label_map(GRID)
    statistics = SimpleITK.LabelIntensityStatisticsImageFilter()
    statistics.Execute(*(SimpleITK.GetImageFromArray(array) for array in (labels.array, image.array[0])))
    for value, one in enumerate(measure(image, labels, scheme()), start=1):
        found = one.intensities["CT"]
        assert found.mean == pytest.approx(statistics.GetMean(value))
        n = found.finite
        assert found.sd * math.sqrt(n / (n - 1)) == pytest.approx(statistics.GetStandardDeviation(value))
        assert (found.minimum, found.maximum) == (statistics.GetMinimum(value), statistics.GetMaximum(value))


def test_each_target_is_measured_on_the_whole_grid():
    regions = LabelScheme(
        scheme("core", "edema").structures, (Region("whole", ("core", "edema")), Region("core", ("core",)))
    )
    image, labels = volume(GRID, ("T1", "T2")), label_map(GRID)
    whole, core = measure(image, labels, regions)
    for one, mask in ((whole, labels.array > 0), (core, labels.array == 1)):
        expected = shape_of(mask, GRID)
        assert one.shape.voxels == expected.voxels
        assert one.shape.centroid == pytest.approx(expected.centroid)
        assert one.shape.surface == pytest.approx(expected.surface)
        assert one.intensities["T2"] == intensities_of(image.array[1][mask])


def test_masks_and_label_maps_measure_the_same():
    image, labels = volume(GRID), label_map(GRID)
    masks = MultiLabelMap(np.stack([labels.array == 1, labels.array == 2]), GRID, ("one", "two"))
    assert measure(image, masks, scheme()) == measure(image, labels, scheme())


def test_a_structure_that_is_not_there():
    labels = LabelMap(np.zeros(GRID.shape, np.uint8), GRID)
    (one,) = measure(volume(GRID), labels, scheme("one"))
    assert (one.shape.voxels, one.shape.volume, one.intensities["image"].finite) == (0, 0, 0)
    assert math.isnan(one.intensities["image"].mean)


def test_rows_of_a_table():
    rows = flat_rows(measure(volume(GRID, ("T1", "T2")), label_map(GRID), scheme()))
    assert [(row["structure"], row["channel"]) for row in rows] == [
        (s, c) for s in ("one", "two") for c in ("T1", "T2")
    ]
    assert all(row.keys() == rows[0].keys() for row in rows)
    assert (rows[0]["unit"], rows[0]["volume_unit"]) == ("mm", "mL")
    assert all(isinstance(value, str | int | float) for value in rows[0].values())


def test_pixels_are_called_pixels():
    grid = Geometry.from_spacing((4, 4, 1), unit=LengthUnit.PIXEL)
    (one,) = measure(volume(grid), LabelMap(np.ones((4, 4, 1), np.uint8), grid), scheme("one"))
    assert (one.shape.volume, one.volume_unit) == (16, "pixel")


def test_other_grids_and_unknown_values_are_refused():
    with pytest.raises(GeometryError, match=r"image and labels lie on different grids: shapes .* to the image's grid"):
        measure(volume(GRID), label_map(geometry((9, 8, 6))), scheme())
    with pytest.raises(LabelError, match="the label map holds label values that the scheme lacks: 2; it has 1 one"):
        measure(volume(GRID), label_map(GRID), scheme("one"))


def baseline(folder, name):
    with (folder / "baseline" / f"baseline_{name}.csv").open(encoding="utf-8", newline="") as file:
        return {row.pop("featureName"): row for row in csv.DictReader(file)}


@pytest.mark.real_data
@pytest.mark.parametrize("case", ["brain1", "brain2", "breast1", "lung1", "lung2"])
def test_shapes_equal_pyradiomics(real_data, case):
    folder = real_data / "pyradiomics"
    labels, expected = read_label_map(folder / f"{case}_label.nrrd"), baseline(folder, "shape")
    found = shape_of(labels.array == 1, labels.geometry)
    for name, (ours, factor, tolerance) in PYRADIOMICS.items():
        number = float(expected[f"original_shape_{name}"][case])
        assert getattr(found, ours) * factor == pytest.approx(number, rel=tolerance), name


@pytest.mark.real_data
def test_a_slice_equals_pyradiomics_in_2d(real_data):
    folder = real_data / "pyradiomics"
    labels, expected = read_label_map(folder / "brain1_label.nrrd"), baseline(folder, "shape2D")
    slice_ = labels.cropped((slice(0, 256), slice(0, 256), slice(16, 17)))
    found = shape_of(slice_.array == 1, slice_.geometry)
    area = found.mesh_volume * 1000 / slice_.geometry.spacing[2]
    numbers = {
        "MeshSurface": area,
        "Perimeter": found.surface,
        "Sphericity": found.sphericity,
        "MaximumDiameter": found.diameter,
        "MajorAxisLength": found.major_axis,
        "MinorAxisLength": found.minor_axis,
        "Elongation": found.elongation,
    }
    for name, number in numbers.items():
        assert number == pytest.approx(float(expected[f"original_shape2D_{name}"]["brain1_shape2D"])), name


@pytest.mark.real_data
@pytest.mark.parametrize("case", ["brain1", "brain2", "breast1"])
def test_intensities_equal_pyradiomics(real_data, case):
    folder = real_data / "pyradiomics"
    image, labels = (
        read(folder / f"{case}_{name}.nrrd") for read, name in ((read_volume, "image"), (read_label_map, "label"))
    )
    expected = {name: float(row[case]) for name, row in baseline(folder, "firstorder").items() if "firstorder" in name}
    (row,) = measure(Volume(image.array, image.geometry, ("image",)), labels, LabelScheme.from_names({"one": 1}))
    found = row.intensities["image"]
    numbers = {
        "Mean": found.mean,
        "Median": found.median,
        "Minimum": found.minimum,
        "Maximum": found.maximum,
        "Variance": found.sd**2,
        "InterquartileRange": found.p75 - found.p25,
    }
    for name, number in numbers.items():
        assert number == pytest.approx(expected[f"original_firstorder_{name}"]), name
