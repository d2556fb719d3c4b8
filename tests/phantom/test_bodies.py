from __future__ import annotations

import time

import numpy as np
import pytest

from medseg.core.geometry import Geometry
from medseg.core.volume import LabelMap
from medseg.phantom.anatomy import Anatomy, Part, Tissue
from medseg.phantom.bodies import TORSO, Exposure, axial_grid, paint, take_ct, torso
from medseg.phantom.shapes import Ellipsoid, voxel_centres

USUAL_ML = {
    "liver": (1000, 2200),
    "spleen": (50, 400),
    "left kidney": (80, 280),
    "right kidney": (80, 280),
    "aorta": (40, 160),
    "spine": (220, 520),
}


@pytest.fixture(scope="module")
def bodies():
    return [torso(seed) for seed in range(6)]


def positions(case, name):
    mask = case.label.array == TORSO[name].value
    return voxel_centres(case.label.geometry)[:, mask]


def test_a_case_lies_on_an_axial_grid(bodies):
    case = bodies[0]
    assert isinstance(case.label, LabelMap)
    assert case.image.channels == ("CT",)
    assert case.image.array.dtype == np.int16
    assert case.image.geometry.axis_codes == "LPS"
    assert case.image.geometry.spacing == pytest.approx((4, 4, 5))
    assert case.image.geometry.shape == case.label.array.shape == (96, 96, 44)


def test_one_seed_gives_one_body():
    one, same, other = torso(3), torso(3), torso(4)
    assert np.array_equal(one.image.array, same.image.array)
    assert np.array_equal(one.label.array, same.label.array)
    assert not np.array_equal(one.label.array, other.label.array)


@pytest.mark.parametrize("name", TORSO.names)
def test_volumes_are_those_of_an_adult(bodies, name):
    low, high = USUAL_ML[name]
    for case in bodies:
        millilitres = positions(case, name).shape[1] * case.label.geometry.voxel_volume / 1000
        assert low < millilitres < high


def test_organs_are_on_their_side_of_the_patient(bodies):
    for case in bodies:
        middle = {name: positions(case, name).mean(axis=1) for name in TORSO.names}
        spine = middle["spine"]
        assert middle["right kidney"][0] > spine[0] + 30  # x points to the right
        assert middle["left kidney"][0] < spine[0] - 30
        assert middle["liver"][0] > spine[0] + 20
        assert middle["spleen"][0] < spine[0] - 50
        assert middle["aorta"][0] < spine[0]
        assert middle["aorta"][1] > spine[1] + 15  # y points to the front
        assert middle["liver"][2] > middle["right kidney"][2]  # z points to the head


@pytest.mark.parametrize(
    ("name", "low", "high"), [("liver", 70, 130), ("spleen", 75, 140), ("aorta", 120, 260), ("spine", 100, 500)]
)
def test_organs_look_as_in_ct(bodies, name, low, high):
    for case in bodies:
        assert low < np.median(case.image.array[0][case.label.array == TORSO[name].value]) < high


def test_air_fat_and_lung_are_there(bodies):
    for case in bodies:
        hu = case.image.array[0]
        assert hu.min() >= -1024
        assert np.median(hu[:, :3]) < -950
        assert ((hu > -150) & (hu < -60)).mean() > 0.1
        assert ((hu > -900) & (hu < -700)).mean() > 0.01


def test_noise_has_the_asked_strength():
    body = Anatomy((Part(Ellipsoid((0, 0, 0), (90, 90, 90)), Tissue(50), "liver"),), 90, 90)
    grid = axial_grid((60, 60, 30), (4, 4, 6), (0, 0, 0))
    image, label = take_ct(body, grid, Exposure(noise_hu=20), np.random.default_rng(0))
    core = np.linalg.norm(voxel_centres(grid), axis=0) < 75
    assert label.array[core].all()
    assert image.array[0][core].std() == pytest.approx(20, rel=0.05)
    assert image.array[0][core].mean() == pytest.approx(50, abs=1)


def test_noise_leaves_the_labels_alone():
    grid = axial_grid((40, 40, 12), (9, 9, 15), (0, 0, 0))
    body = Anatomy((Part(Ellipsoid((0, 0, 0), (90, 90, 60)), Tissue(50), "liver"),), 90, 90)
    quiet, loud = (take_ct(body, grid, Exposure(noise_hu=hu), np.random.default_rng(0))[1] for hu in (1, 90))
    assert np.array_equal(quiet.array, loud.array)


def test_painting_blends_values_and_keeps_labels_hard():
    grid = Geometry.from_spacing((8, 8, 8))
    hu, labels = np.zeros(grid.shape, dtype=np.float32), np.zeros(grid.shape, dtype=np.uint8)
    box = Ellipsoid((3.5, 3.5, -0.25), (1e3, 1e3, 4))  # ends at z = 3.75: voxel 4 is covered by a quarter
    parts = (Part(box, Tissue(100, enhancement=50), "spleen"), Part(Ellipsoid((90, 0, 0), (2, 2, 2)), Tissue(900)))
    paint(parts, voxel_centres(grid), (hu, labels), np.zeros(grid.shape, dtype=np.float32), contrast=2)
    assert hu[3, 3] == pytest.approx([200, 200, 200, 200, 50, 0, 0, 0], abs=1)
    assert labels[3, 3].tolist() == [2, 2, 2, 2, 0, 0, 0, 0]


def test_a_part_without_structure_clears_the_label():
    grid = Geometry.from_spacing((9, 9, 9))
    canvas = np.zeros(grid.shape, dtype=np.float32), np.zeros(grid.shape, dtype=np.uint8)
    shells = [(4.2, "liver"), (2.2, None)]
    parts = [Part(Ellipsoid((4, 4, 4), (r, r, r)), Tissue(10), name) for r, name in shells]
    paint(parts, voxel_centres(grid), canvas, np.zeros(grid.shape, dtype=np.float32), contrast=0)
    assert canvas[1][4, 4].tolist() == [1, 1, 0, 0, 0, 0, 0, 1, 1]


def test_scheme_is_coded_in_snomed():
    codes = {structure.name: structure.code.value for structure in TORSO.structures}
    assert codes["spine"] == "421060004"
    assert {structure.code.scheme for structure in TORSO.structures} == {"SCT"}
    assert TORSO.one_sided() == ("left kidney", "right kidney")


def test_a_case_takes_less_than_a_second():
    start = time.process_time()
    torso(1)
    assert time.process_time() - start < 1
