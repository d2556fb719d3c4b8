import numpy as np
import pytest
from factories import geometry, scheme, volume

from medseg.core.errors import GeometryError
from medseg.core.segmentation import Segmentation
from medseg.core.volume import LabelMap, Volume
from medseg.render.capture import capture_pictures
from medseg.render.slices import Window


def boxes(shape) -> Segmentation:
    """One in the second slice, two in the fourth."""
    values = np.zeros(shape, np.uint8)
    values[2:9, 3:8, 1], values[1:6, 1:6, 3] = 1, 2
    return Segmentation(LabelMap(values, geometry(shape)), scheme("one", "two"))


def grey(shape, value=100) -> Volume:
    return Volume(np.full((1, *shape), value, np.int16), geometry(shape))


def test_slices_are_shown_in_source_pixels_with_outlines():
    shape = (12, 10, 5)
    segmentation = boxes(shape)
    shown = list(capture_pictures(grey(shape), segmentation, range(5), window=Window(0, 255)))
    assert [one.place for one in shown] == [0, 1, 2, 3, 4]
    assert {one.picture.shape for one in shown} == {(10, 12, 3)}
    assert (shown[0].picture == 100).all()
    coloured = (shown[1].picture == segmentation.scheme.structures[0].colour).all(axis=-1)
    wanted = np.zeros((10, 12), bool)
    wanted[3:8, 2:9] = True
    wanted[4:7, 3:8] = False
    assert np.array_equal(coloured, wanted)
    assert (shown[1].picture[~wanted] == 100).all()


def test_only_slices_with_structures():
    shape = (12, 10, 5)
    shown = capture_pictures(grey(shape), boxes(shape), range(5), only_labelled=True)
    assert [one.place for one in shown] == [1, 3]


def test_lines_are_two_pixels_wide_in_large_pictures():
    shape = (512, 10, 5)
    segmentation = boxes(shape)
    (shown,) = capture_pictures(grey(shape), segmentation, [1], window=Window(0, 255))
    coloured = (shown.picture == segmentation.scheme.structures[0].colour).all(axis=-1)
    assert coloured.sum() == 7 * 5 - 3


def test_the_window_is_found_on_the_volume():
    shape = (12, 10, 5)
    image = volume(geometry(shape))
    (shown,) = capture_pictures(image, boxes(shape), [0])
    assert np.array_equal(shown.picture[..., 0], Window.of(image).grey(image.array[0, :, :, 0].T))


def test_grids_must_be_equal():
    with pytest.raises(GeometryError, match="image and labels"):
        next(capture_pictures(grey((12, 10, 5)), boxes((12, 10, 6)), [0]))
