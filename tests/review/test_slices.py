"""Drawn slices: the right voxels in the right place, in the colours of the structures, with letters."""

from __future__ import annotations

import io

import numpy as np
import pytest
from drawn_masks import SCHEME
from factories import ALL_ORIENTATIONS, geometry, label_map, scheme, volume
from PIL import Image

from medseg.core.errors import GeometryError, InputError
from medseg.core.geometry import Geometry, LengthUnit
from medseg.core.segmentation import Segmentation
from medseg.core.volume import LabelMap, MultiLabelMap, Volume
from medseg.io.raster import RGB
from medseg.render.slices import Plane, Window
from medseg.review.slices import Look, SliceView, Style, draw_slice, first_slice

SIDE = 256
GREY = Window(0, 255)
LIVER, SPLEEN = (one.colour for one in SCHEME.structures)


def picture(view: SliceView, plane=Plane.AXIAL, index=2, **look) -> np.ndarray:
    """A slice's pixels, without the letters at the edges."""
    drawn = np.asarray(Image.open(io.BytesIO(draw_slice(view, plane, index, Look(**({"window": GREY} | look))))))
    drawn = drawn.copy()
    middle, edge = np.array(drawn.shape[:2]) // 2, 22
    for rows in (slice(0, edge), slice(-edge, None)):
        drawn[rows, middle[1] - edge : middle[1] + edge] = 0
    for columns in (slice(0, edge), slice(-edge, None)):
        drawn[middle[0] - edge : middle[0] + edge, columns] = 0
    return drawn


def a_view(codes="LPS", labels: np.ndarray | None = None) -> SliceView:
    """An image of 16³ voxels, bright in the first octant of LPS (right, anterior, inferior), with a block in it."""
    grid = geometry((16, 16, 16), (1.0, 1.0, 1.0), "LPS")
    array = np.zeros((1, 16, 16, 16), np.int16)
    array[:, :8, :8, :8] = 255
    found = np.zeros((16, 16, 16), np.uint8) if labels is None else labels
    image, outlines = Volume(array, grid), LabelMap(found, grid)
    return SliceView.of(image.reoriented(codes), Segmentation(outlines.reoriented(codes), SCHEME))


def a_block(value=1) -> np.ndarray:
    labels = np.zeros((16, 16, 16), np.uint8)
    labels[2:6, 3:7, 2:5] = value
    return labels


def share(drawn: np.ndarray, colour) -> float:
    return float((drawn == colour).all(axis=-1).mean())


@pytest.mark.parametrize("codes", ALL_ORIENTATIONS[::6])
def test_the_patients_right_is_on_the_left_and_feet_are_down(codes):
    view = a_view(codes)
    axial, coronal, sagittal = (picture(view, plane) for plane in (Plane.AXIAL, Plane.CORONAL, Plane.SAGITTAL))
    assert axial.shape == coronal.shape == sagittal.shape == (SIDE, SIDE, 3)
    quarter = slice(40, 90)
    assert axial[quarter, quarter].min() == 255  # right and anterior: left and top
    assert coronal[-90:-40, quarter].min() == 255  # right and inferior: left and bottom
    assert sagittal[-90:-40, quarter].min() == 255  # anterior and inferior
    for drawn in (axial, coronal, sagittal):
        assert abs((drawn > 127).mean() - 0.25) < 0.03


def test_letters_stand_at_the_edges():
    with_letters = np.asarray(Image.open(io.BytesIO(draw_slice(a_view(), Plane.AXIAL, 12, Look(window=GREY)))))
    assert with_letters[:20, 118:138].any()  # A
    assert with_letters[-20:, 118:138].any()  # P
    assert with_letters[118:138, :20].any()  # R
    assert with_letters[118:138, -20:].any()  # L
    assert not picture(a_view(), index=12).any()


def test_structures_are_filled_outlined_or_left_out():
    view = a_view(labels=a_block())
    filled, outlined, none = (picture(view, style=style) for style in Style)
    assert share(filled, LIVER) == share(outlined, LIVER) > 0
    assert (filled != none).any(axis=-1).mean() == pytest.approx(1 / 16, rel=0.02)
    assert (outlined != none).any(axis=-1).mean() == pytest.approx(4 * 63 / SIDE**2, rel=0.02)
    assert share(none, LIVER) == 0


def test_structures_can_be_hidden():
    labels = a_block()
    labels[9:12, 9:12, 2] = 2
    view = a_view(labels=labels)
    drawn, hidden = picture(view), picture(view, hidden={1})
    assert share(drawn, LIVER) > 0
    assert share(hidden, LIVER) == 0
    assert share(hidden, SPLEEN) == share(drawn, SPLEEN) > 0
    assert np.array_equal(picture(view, hidden={1, 2, 77}), picture(view, style=Style.NONE))


def test_masks_that_overlap_are_all_outlined():
    grid = geometry((16, 16, 16), (1.0, 1.0, 1.0), "LPS")
    array = np.zeros((2, 16, 16, 16), bool)
    array[0, 2:12, 2:12], array[1, 4:8, 4:8] = True, True
    view = SliceView.of(volume(grid), Segmentation(MultiLabelMap(array, grid, SCHEME.names), SCHEME))
    drawn = picture(view, style=Style.OUTLINE)
    assert share(drawn, LIVER) > 0
    assert share(drawn, SPLEEN) > 0


@pytest.mark.parametrize("style", Style)
@pytest.mark.parametrize("hidden", [(), {2}])
def test_structures_that_do_not_overlap_look_alike_as_label_map_and_as_masks(style, hidden):
    grid, labelled = geometry((30, 40, 5), codes="LPS"), scheme("one", "two", "three")
    labels = LabelMap(np.kron(np.random.default_rng(0).integers(0, 4, (6, 8, 5)), np.ones((5, 5, 1), int)), grid)
    masks = MultiLabelMap(np.stack([labels.array == value for value in (1, 2, 3)]), grid, labelled.names)
    one, other = (SliceView.of(volume(grid), Segmentation(found, labelled)) for found in (labels, masks))
    assert np.array_equal(picture(one, style=style, hidden=hidden), picture(other, style=style, hidden=hidden))


def test_the_window_says_what_is_black_and_white():
    view = a_view()
    assert picture(view, window=Window(255, 300)).max() == 0
    assert set(np.unique(picture(view, window=Window(-255, 765))[60:80, 60:80])) == {127}
    assert draw_slice(view, Plane.AXIAL, 2) == draw_slice(view, Plane.AXIAL, 2, Look(view.window))


def test_pixels_are_square():
    grid = geometry((100, 100, 20), (0.5, 0.5, 5.0), "LPS")
    view = SliceView.of(volume(grid), Segmentation(label_map(grid), SCHEME))
    assert Image.open(io.BytesIO(draw_slice(view, Plane.AXIAL, 3))).size == (256, 256)
    assert Image.open(io.BytesIO(draw_slice(view, Plane.CORONAL, 3))).size == (128, 256)
    long = geometry((10, 10, 600), (1.0, 1.0, 9.0), "LPS")
    view = SliceView.of(volume(long), Segmentation(label_map(long), SCHEME))
    assert Image.open(io.BytesIO(draw_slice(view, Plane.SAGITTAL, 3))).size == (2, 1024)


def test_a_colour_picture_has_one_plane_and_no_letters():
    grid = Geometry.from_spacing((300, 300, 1), unit=LengthUnit.PIXEL).reoriented("LPS")
    image = Volume(np.full((3, 300, 300, 1), 9, np.uint8), grid, RGB)
    view = SliceView.of(image, Segmentation(LabelMap(np.zeros(grid.shape, np.uint8), grid), SCHEME))
    assert dict(view.counts) == {Plane.AXIAL: 1}
    assert first_slice(view) == (Plane.AXIAL, 0)
    assert np.unique(np.asarray(Image.open(io.BytesIO(draw_slice(view, Plane.AXIAL, 0))))).tolist() == [9]


@pytest.mark.parametrize(
    ("plane", "index"), [(Plane.AXIAL, 9), (Plane.AXIAL, -1), (Plane.CORONAL, 8), (Plane.SAGITTAL, 7)]
)
def test_there_are_no_other_slices(plane, index):
    grid = geometry((7, 8, 9), codes="RAS").reoriented("LPS")
    view = SliceView.of(volume(grid), Segmentation(label_map(grid), SCHEME))
    with pytest.raises(InputError, match=f"no {plane.name.lower()} slice {index}; there are {view.counts[plane]}"):
        draw_slice(view, plane, index)


def test_a_plane_of_lines_has_no_slices():
    grid = Geometry.from_spacing((1, 20, 20)).reoriented("LPS")
    view = SliceView.of(volume(grid), Segmentation(label_map(grid), SCHEME))
    assert first_slice(view)[0] is Plane.SAGITTAL
    with pytest.raises(InputError, match="no axial slice 0; there are 0"):
        draw_slice(view, Plane.AXIAL, 0)


@pytest.mark.parametrize("codes", ["LPS", "SAR", "PIR"])
def test_the_first_slice_shows_most(codes):
    labels = a_block()
    labels[1:15, 1:15, 11] = 2
    assert first_slice(a_view(codes, labels)) == (Plane.AXIAL, 11)
    assert first_slice(a_view(codes)) == (Plane.AXIAL, 8)


def test_the_first_slice_of_masks_that_overlap():
    grid = geometry((6, 6, 6), codes="LPS")
    array = np.zeros((2, 6, 6, 6), bool)
    array[0, :2, :2, 1], array[:, 3, 3:6, 4] = True, True
    found = Segmentation(MultiLabelMap(array, grid, SCHEME.names), SCHEME)
    assert first_slice(SliceView.of(volume(grid), found)) == (Plane.AXIAL, 4)


def test_a_view_costs_no_memory_of_its_own():
    grid = geometry(codes="RAS")
    image, found = volume(grid), label_map(grid)
    view = SliceView.of(image, Segmentation(found, SCHEME))
    assert np.shares_memory(view.image.array, image.array)
    assert np.shares_memory(view.outlines.labels.array, found.array)


def test_outlines_elsewhere_are_refused():
    with pytest.raises(GeometryError, match="image and outlines lie on different grids"):
        SliceView.of(volume(), Segmentation(label_map(geometry((7, 8, 8))), SCHEME))


def test_very_many_structures():
    names = [f"structure {number}" for number in range(250)]
    grid = geometry((64, 64, 4), codes="LPS")
    array = np.random.default_rng(0).integers(0, 251, grid.shape).astype(np.uint8)
    view = SliceView.of(volume(grid), Segmentation(LabelMap(array, grid), scheme(*names)))
    assert Image.open(io.BytesIO(draw_slice(view, Plane.AXIAL, 0))).format == "PNG"
