import numpy as np
import pytest
from factories import ALL_ORIENTATIONS, geometry, volume
from PIL import Image

from medseg.core.geometry import Geometry, LengthUnit
from medseg.core.volume import Volume
from medseg.render.slices import DISPLAY_CODES, Letters, Plane, Window, colours_of, has_directions, planes, resized


def landmarks(codes):
    """Volume of zeros with bright voxels: 1 rightmost, 2 foremost, 3 uppermost; stored in any orientation."""
    grid = geometry((9, 9, 9), codes="RAS")
    array = np.zeros((1, 9, 9, 9), np.uint8)
    array[0, 8, 4, 4], array[0, 4, 8, 4], array[0, 4, 4, 8] = 1, 2, 3
    return Volume(array, grid).reoriented(codes)


@pytest.mark.parametrize("codes", ALL_ORIENTATIONS)
def test_right_is_left_and_up_is_up_however_the_voxels_are_stored(codes):
    shown = landmarks(codes).reoriented(DISPLAY_CODES).array[0]
    axial, coronal, sagittal = (plane.cut(shown, 4) for plane in Plane)
    assert (axial[4, 0], axial[0, 4]) == (1, 2)  # the patient's right at the picture's left, the nose up
    assert (coronal[4, 0], coronal[0, 4]) == (1, 3)
    assert (sagittal[4, 0], sagittal[0, 4]) == (2, 3)


def test_letters_stand_where_the_landmarks_are():
    assert [plane.letters for plane in Plane] == [
        Letters("R", "L", "A", "P"), Letters("R", "L", "S", "I"), Letters("A", "P", "S", "I")
    ]  # fmt: skip


def test_a_slice_has_its_size_in_the_patient():
    grid = Geometry.from_spacing((10, 20, 30), (1.0, 2.0, 3.0))
    assert [plane.size(grid) for plane in Plane] == [(10, 40), (10, 90), (40, 90)]


def test_channels_stay_in_front():
    array = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    for plane in Plane:
        cut = plane.cut(array, 1)
        assert (cut[1] == plane.cut(array[1], 1)).all()


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((5, 5, 5), (Plane.AXIAL, Plane.CORONAL, Plane.SAGITTAL)),
        ((5, 5, 1), (Plane.AXIAL,)),
        ((5, 1, 5), (Plane.CORONAL,)),
        ((1, 5, 5), (Plane.SAGITTAL,)),
        ((5, 1, 1), (Plane.AXIAL,)),
    ],
)
def test_only_planes_that_show_something(shape, expected):
    assert planes(shape) == expected


def test_photographs_have_no_directions():
    assert has_directions(geometry())
    assert not has_directions(Geometry((2, 2, 1), np.eye(4), LengthUnit.PIXEL))


def test_hounsfield_units_get_a_soft_tissue_window():
    ct = volume(channels=("CT",))
    assert Window.of(ct) == Window(-160, 240)
    assert Window.of(volume()) == Window(-160, 240)  # holds air
    assert Window(-160, 240).grey(np.array([-2000.0, -160, 40, 240, 3000])).tolist() == [0, 0, 127, 255, 255]


def test_other_values_get_their_percentiles():
    values = np.random.default_rng(0).normal(100, 20, (1, 20, 20, 20)).astype(np.float32)
    window = Window.of(Volume(values, geometry((20, 20, 20))))
    assert (window.low, window.high) == pytest.approx(np.percentile(values, (1, 99.5)))


@pytest.mark.parametrize("value", [0.0, 7.0, np.nan, np.inf])
def test_a_constant_or_broken_image_can_be_drawn(value):
    blank = Volume(np.full((1, 3, 3, 3), value, np.float32), geometry((3, 3, 3)))
    assert Window.of(blank).grey(blank.array).shape == (1, 3, 3, 3)


def test_colours_stay_colours():
    rgb = Volume(
        np.random.default_rng(0).integers(0, 255, (3, 4, 5, 1)).astype(np.uint8),
        geometry((4, 5, 1)),
        ("red", "green", "blue"),
    )
    assert (colours_of(rgb, Plane.AXIAL, Window(0, 1)) == rgb.array[..., 0].T).all()


def test_greys_have_three_equal_channels():
    grey = colours_of(volume(geometry((4, 5, 1))), Plane.AXIAL, Window(-1000, 1000))
    assert grey.shape == (5, 4, 3)
    assert (grey[..., :1] == grey).all()


def test_resized_is_pillows():
    picture = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert (resized(picture, 8, 6, smooth=False) == np.kron(picture, np.ones((2, 2), np.uint8))).all()
    expected = Image.fromarray(picture).resize((9, 5), Image.Resampling.BICUBIC)
    assert (resized(picture, 9, 5, smooth=True) == np.asarray(expected)).all()
