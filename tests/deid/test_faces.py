"""Where faces lie, in heads made by turning the bundled template; and what is no upright head."""

from __future__ import annotations

import dataclasses
from importlib import resources

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from medseg.core.errors import DeidError
from medseg.core.geometry import Geometry
from medseg.core.volume import Volume
from medseg.deid import face_mask as face_mask_module
from medseg.deid import face_registration, faces
from medseg.deid.face_mask import _close_to_face, _doubt, face_mask
from medseg.deid.face_registration import Alignment, Match, _Pair, settled_on_face
from medseg.deid.face_template import affine_of, template, upright
from medseg.deid.faces import deface_volume
from medseg.io.dicom_read import read_series
from medseg.io.studies import find_series
from medseg.phantom.bodies import torso

TURN = Rotation.from_euler("xyz", (9, -4, 6), degrees=True).as_matrix() @ np.diag([1.05, 0.96, 1.02])
DATA = resources.files("medseg.deid") / "data"


def head(spacing=(4.0, 4.0, 4.0), linear=TURN, is_inverted=False, seed=0):
    """A head as a volume, and its true face and body."""
    model = template()
    size = tuple(int(n * model.fine.spacing / step) for n, step in zip(model.fine.shape, spacing, strict=True))
    affine = affine_of(np.diag(spacing), model.fine.origin)
    middle = affine[:3, :3] @ (np.array(size) / 2) + affine[:3, 3]
    to_model = affine_of(linear, middle - linear @ middle + [4, -7, 5])
    values = model.fine.sampled(to_model @ affine, size, outside=0)
    body = values > model.fine.body_level
    face = (model.face_distance.sampled(to_model @ affine, size) <= 1) & body
    if is_inverted:
        values = np.where(body, np.interp(values, [0, 60, 120, 255], [0, 255, 90, 120]), values)
    noise = np.random.default_rng(seed).normal(0, 4, size)
    image = np.abs(values * 3 + noise).astype(np.int16)
    return Volume(image[np.newaxis], Geometry(size, affine)), face, body


@pytest.fixture(scope="module")
def found():
    """One head and its mask."""
    image, face, body = head()
    return image, face_mask(image), face, body


def shares(mask, face, body):
    other = body & ~face
    return (mask & face).sum() / face.sum(), (mask & other).sum() / other.sum()


def test_the_face_is_found_and_little_else(found):
    _, mask, face, body = found
    recall, others = shares(mask, face, body)
    assert recall > 0.98
    assert others < 0.015  # one voxel of 4 mm more than needed


def test_the_mask_goes_on_in_front_of_the_face_and_not_behind(found):
    image, mask, _, _ = found
    front = image.geometry.shape[1] - 1
    assert mask[:, front, 0].all()
    assert not mask[:, : front // 2].any()
    assert not mask[:, :, -1].any()


def test_other_voxels_and_the_type_stay(found, monkeypatch):
    image, mask, _, _ = found
    monkeypatch.setattr(faces, "face_mask", lambda _volume: mask)
    both = Volume(np.concatenate([image.array, image.array // 2 - 7]), image.geometry, ("a", "b"))
    for kind in (np.int16, np.float32, np.uint8):
        volume = Volume(both.array.astype(kind), both.geometry, both.channels)
        after = deface_volume(volume)
        assert after.array.dtype == kind
        assert after.channels == ("a", "b")
        assert np.array_equal(after.array[:, ~mask], volume.array[:, ~mask])
        for before, now in zip(volume.array, after.array, strict=True):
            assert (now[mask] == before.min()).all()


def test_values_that_are_no_numbers_are_not_filled_in(found, monkeypatch):
    image, mask, _, _ = found
    monkeypatch.setattr(faces, "face_mask", lambda _volume: mask)
    values = image.array.astype(np.float32)
    values[0, 0, 0, 0] = np.nan
    after = deface_volume(Volume(values, image.geometry))
    assert (after.array[0][mask] == 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("codes", ["LPS", "PIR", "SAL"])
def test_the_order_of_axes_does_not_matter(found, codes):
    image, mask, _, _ = found
    turned = face_mask(image.reoriented(codes))
    back = Volume(turned[np.newaxis], image.geometry.reoriented(codes)).reoriented("RAS")
    assert (back.array[0] != mask).mean() < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (1.0, 1.0, 5.0), (5.0, 1.0, 1.0), (1.0, 4.0, 1.0)])
@pytest.mark.parametrize("is_inverted", [False, True])
def test_spacing_and_contrast(spacing, is_inverted):
    image, face, body = head(spacing, is_inverted=is_inverted)
    recall, others = shares(face_mask(image), face, body)
    assert recall > 0.98
    assert others < 0.01


@pytest.mark.slow
def test_a_part_of_the_head_is_enough():
    image, face, body = head((2.0, 2.0, 2.0))
    box = (slice(0, 100), slice(10, 118), slice(35, 110))
    mask = face_mask(image.cropped(box))
    recall, others = shares(mask, face[box], body[box])
    assert recall > 0.97
    assert others < 0.01


@pytest.mark.slow
def test_the_same_image_gives_the_same_mask_however_many_threads_there_are(found):
    import SimpleITK as sitk

    image, mask, _, _ = found
    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    try:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(3)
        assert np.array_equal(face_mask(image), mask)
        assert sitk.ProcessObject.GetGlobalDefaultNumberOfThreads() == 3
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)


NO_HEADS = {
    "upside down": lambda array: np.flip(array, 2),
    "facing backwards": lambda array: np.flip(array, 1),
    "lying": lambda array: array.swapaxes(1, 2),
    "noise": lambda array: np.random.default_rng(0).normal(0, 100, array.shape),
    "torso": lambda _array: torso(1, (60, 60, 44)).image.array[0],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", list(NO_HEADS))
def test_what_is_no_upright_head_is_refused(name):
    array = np.ascontiguousarray(NO_HEADS[name](head()[0].array[0]))
    with pytest.raises(DeidError, match="the face was not found for certain"):
        face_mask(Volume(array[np.newaxis], Geometry.from_spacing(array.shape, (4.0, 4.0, 4.0))))


def test_a_head_on_its_head_is_refused():
    image, _, _ = head((8.0, 8.0, 8.0), np.eye(3))
    turned = np.ascontiguousarray(np.flip(image.array, 3))
    with pytest.raises(DeidError, match="the face was not found for certain"):
        face_mask(Volume(turned, image.geometry))


def test_a_small_field_of_view_is_refused():
    with pytest.raises(DeidError, match="32 x 35 x 51 mm are in view, at least 60 x 120 x 120 mm are needed"):
        face_mask(Volume(np.zeros((1, 35, 51, 32)), Geometry.from_spacing((35, 51, 32))))


def test_an_image_of_one_grey_is_refused():
    with pytest.raises(DeidError, match="one grey"):
        face_mask(Volume(np.full((1, 60, 60, 60), 7), Geometry.from_spacing((60, 60, 60), (3.0, 3.0, 3.0))))


SURE = Alignment(np.eye(4), lead=2.0, information=0.4, overlap=0.96, head_litres=3.0)


@pytest.mark.parametrize(
    ("changes", "doubt"),
    [
        ({}, ""),
        ({"matrix": np.diag([1.2, 1, 1, 1])}, ""),
        ({"matrix": np.diag([1.4, 1, 1, 1])}, "bent out of shape"),
        ({"matrix": np.diag([0.6, 0.6, 0.6, 1])}, "bent out of shape"),
        ({"matrix": np.diag([1.5, 1.5, 1.5, 1])}, "bent out of shape"),
        ({"head_litres": 1.0}, "litres of a head"),
        ({"overlap": 0.8}, "outlines"),
        ({"information": 0.15}, "inside"),
        ({"lead": 1.1}, "lies otherwise"),
        ({"matrix": affine_of(Rotation.from_euler("z", 80, degrees=True).as_matrix(), np.zeros(3))}, "lies otherwise"),
    ],
)
def test_what_speaks_against_a_head(changes, doubt):
    found = _doubt(dataclasses.replace(SURE, **changes))
    assert doubt in found
    assert bool(found) == bool(doubt)


def test_a_face_that_would_have_to_move_far_stays_where_the_head_says(monkeypatch):
    image = template().fine
    for shift, kept in ((3.0, False), (30.0, True)):
        moved = affine_of(np.eye(3), np.array([shift, 0, 0]))
        monkeypatch.setattr(face_mask_module, "settled_on_face", lambda *_, moved=moved: moved)
        assert np.array_equal(_close_to_face(image, np.eye(4)), np.eye(4) if kept else moved)


def test_a_face_out_of_view_is_not_searched():
    away = affine_of(np.eye(3), np.array([0, 0, 2000.0]))
    assert settled_on_face(template().fine, away) is away


def test_images_that_do_not_meet_have_nothing_in_common():
    model = template()
    pair = _Pair(model.coarse, model.coarse)
    away = affine_of(np.eye(3), np.array([0, 0, 2000.0]))
    assert pair.information(away) == 0
    assert pair.information(np.eye(4)) > 0.5
    found = pair.improved(Match(away, 1.0), face_registration._COARSE)
    assert found.information == 0
    assert np.array_equal(found.matrix, away)


def test_points_keep_their_place_on_the_upright_grid():
    spot = np.array([20.0, -30.0, 40.0])
    turn = Rotation.from_euler("xyz", (20, 10, -30), degrees=True).as_matrix()
    grids = [Geometry((60, 70, 50), affine_of(turn @ np.diag([2.0, 3.0, 4.0]), np.array([-70.0, -120.0, -40.0])))]
    grids += [grids[0].reoriented(codes) for codes in ("LPS", "PIR", "SLA")]
    grids += [Geometry.from_spacing((240, 200, 90), (0.6, 0.8, 1.5))]
    for grid in grids:
        indices = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), -1)
        points = indices @ grid.affine[:3, :3].T + grid.affine[:3, 3]
        target = spot if grid is not grids[-1] else np.array([70.0, 80.0, 66.0])
        blob = 100 * np.exp(-(((points - target) / 8) ** 2).sum(-1))
        image = upright(Volume(blob[np.newaxis], grid))
        weights = np.where(image.seen, image.values, 0)
        middle = (image.points(np.ones(image.shape, np.bool_)) * weights.reshape(-1, 1)).sum(0) / weights.sum()
        assert np.allclose(middle, target, atol=0.7)


def test_what_the_image_did_not_see_is_known():
    turn = Rotation.from_euler("z", 45, degrees=True).as_matrix()
    image = upright(
        Volume(
            np.random.default_rng(0).random((1, 60, 60, 60)), Geometry((60, 60, 60), affine_of(turn * 3, np.zeros(3)))
        )
    )
    share = image.seen.mean()
    assert 0.4 < share < 0.6
    assert not image.body[~image.seen].any()


def test_the_template_keeps_its_licence_and_is_small():
    assert "MIT License" in (DATA / "PYDEFACE_LICENSE.txt").read_text(encoding="utf-8")
    names = ("face_template.nii.gz", "face_mask.nii.gz")
    assert sum(len((DATA / name).read_bytes()) for name in names) < 1_500_000


def test_the_face_lies_in_front_and_below():
    model = template()
    distance = model.face_distance.sampled(model.fine.affine, model.fine.shape)
    points = model.fine.points((distance == 0) & model.fine.body)
    whole = model.fine.points(model.fine.body)
    assert points[:, 1].min() > whole[:, 1].mean()
    assert points[:, 2].max() < whole[:, 2].mean() + 20
    assert 0.05 < len(points) / len(whole) < 0.2


@pytest.mark.real_data
@pytest.mark.slow
def test_real_heads(real_data):
    outcomes = {}
    for series in find_series(real_data / "dicom_studies" / "Study1").series:
        try:
            outcomes[series.description] = bool(face_mask(read_series(series)).any())
        except DeidError:
            outcomes[series.description] = None
    assert outcomes == {"T1post": True, "T1pre_reg": True, "FLAIR_reg": True, "T2_reg": True, "HippoCrop": None}
