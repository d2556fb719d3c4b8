from __future__ import annotations

import numpy as np
import pytest
from factories import geometry
from PIL import Image

from medseg.config.deid import TextSearch
from medseg.core.geometry import Geometry
from medseg.core.volume import Volume
from medseg.deid import picture_search
from medseg.deid.picture_search import NO_READER, TEXT, TOO_MANY, search_image
from medseg.deid.pixels import PixelResult
from medseg.io.formats import write_volume


class Finder:
    """Finds what is bright in the upper left corner, as a reader sees it."""

    def __init__(self):
        self.seen = []

    def find(self, image):
        self.seen.append(image)
        return ["box"] if image[0, 0] > 250 and image[-1, -1] < 5 else []


class Colours(Finder):
    """Finds nothing."""

    def find(self, image):
        self.seen.append(image)
        return []


def write(path, array, affine=None):
    grid = geometry(shape=array.shape) if affine is None else Geometry(array.shape, np.asarray(affine, float))
    write_volume(path, Volume(array[np.newaxis], grid))
    return path


def look(path, search=TextSearch.DOUBTFUL, finder=None, *, suspect=True, reviewed=False):
    return search_image(path, search, finder, is_suspect=suspect, is_reviewed=reviewed)


def marked(k, shape=(6, 5, 4)):
    """An image in RAS order whose slice k has a bright voxel right, anterior: upper left on the screen."""
    array = np.zeros(shape, np.int16)
    array[-1, -1, k] = 900
    return array


RAS = np.diag([1.0, 1.0, 3.0, 1.0])


def test_text_in_any_slice_is_found_as_a_reader_sees_it(tmp_path):
    path = write(tmp_path / "a.nii.gz", marked(3), RAS)
    found = look(path, finder=Finder())
    assert (found.result, found.reason) == (PixelResult.DOUBTFUL, TEXT)
    assert found.preview.shape == (5, 6)
    assert found.preview[0, 0] == 255
    assert (
        look(write(tmp_path / "b.nii.gz", np.zeros((6, 5, 4), np.int16)), finder=Finder()).result == "searched, no text"
    )


@pytest.mark.parametrize(
    ("spacing", "corner", "shape"),
    [
        ((1.0, 1.0, 3.0), (-1, -1, 0), (5, 6)),
        ((1.0, 3.0, 1.0), (-1, 0, -1), (4, 6)),
        ((3.0, 1.0, 1.0), (0, -1, -1), (4, 5)),
    ],
    ids=["axial", "coronal", "sagittal"],
)
def test_slices_are_cut_across_the_widest_gap(tmp_path, spacing, corner, shape):
    array = np.zeros((6, 5, 4), np.int16)
    array[corner] = 900
    path = write(tmp_path / "a.nii.gz", array, np.diag([*spacing, 1.0]))
    finder = Finder()
    assert look(path, finder=finder).reason == TEXT
    assert finder.seen[-1].shape == shape


@pytest.mark.parametrize(
    ("shape", "spacing", "seen"),
    [
        ((6, 5, 1), (1.0, 1.0, 1.0), [(5, 6)]),
        ((6, 1, 5), (3.0, 1.0, 1.0), [(5, 6)]),
        ((6, 5, 2), (1.0, 1.0, 1.0), 2 * [(5, 6)]),
        ((6, 5, 2), (2.0, 2.0, 1.0), [*2 * [(5, 6)], *5 * [(2, 6)]]),
        ((2, 6, 5), (1.0, 1.0, 1.0), [*5 * [(6, 2)], *2 * [(5, 6)]]),
    ],
    ids=["one slice", "one slice on its side", "no spacing", "odd spacing", "slices first"],
)
def test_pictures_are_seen_whatever_the_spacing_says(tmp_path, shape, spacing, seen):
    finder = Finder()
    path = write(tmp_path / "a.nii.gz", np.zeros(shape, np.int16), np.diag([*spacing, 1.0]))
    assert look(path, finder=finder).result is PixelResult.SEARCHED
    assert [plane.shape for plane in finder.seen] == seen


def test_pictures_are_searched_as_they_are_with_their_colours(tmp_path):
    pixels = np.zeros((8, 9, 3), np.uint8)
    pixels[...] = (0, 0, 250)
    pixels[2:5, 2:5] = (250, 0, 0)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    finder = Colours()
    assert look(tmp_path / "a.png", finder=finder).result is PixelResult.SEARCHED
    assert np.array_equal(finder.seen[0] > 0, pixels > 0)


def test_what_one_of_several_volumes_shows_is_not_averaged_away(tmp_path):
    array = np.zeros((9, 6, 5, 2), np.int16)
    array[4, -1, -1, 1] = 900
    write_volume(tmp_path / "a.nii.gz", Volume(array, Geometry(array.shape[1:], RAS), tuple("012345678")))
    finder = Finder()
    assert look(tmp_path / "a.nii.gz", finder=finder).reason == TEXT
    assert len(finder.seen) == 10


def test_what_is_not_suspect_is_searched_only_if_all_are(tmp_path):
    path = write(tmp_path / "a.nii.gz", marked(0), RAS)
    assert look(path, suspect=False, finder=Finder()).result is PixelResult.NOT_SUSPECT
    assert look(path, TextSearch.ALL, Finder(), suspect=False).result is PixelResult.DOUBTFUL


def test_a_person_decides_over_the_search(tmp_path):
    path = write(tmp_path / "a.nii.gz", marked(0), RAS)
    assert look(path, finder=Finder(), reviewed=True).result is PixelResult.REVIEWED


@pytest.mark.parametrize(("search", "finder"), [(TextSearch.DOUBTFUL, None), (TextSearch.OFF, Finder())])
def test_without_a_reader_a_doubt_stays(tmp_path, search, finder):
    found = look(write(tmp_path / "a.nii.gz", marked(0), RAS), search, finder)
    assert (found.result, found.reason) == (PixelResult.DOUBTFUL, NO_READER)
    assert found.preview is not None


def test_the_number_of_slices_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(picture_search, "_MOST_PLANES", 3)
    found = look(write(tmp_path / "a.nii.gz", marked(0), RAS), finder=Finder())
    assert found.reason == TOO_MANY


def test_values_that_are_no_numbers_are_black(tmp_path):
    array = np.zeros((6, 5, 4), np.float32)
    array[0, 0, 0] = np.nan
    assert look(write(tmp_path / "a.nii.gz", array, RAS), finder=Finder()).result is PixelResult.SEARCHED
