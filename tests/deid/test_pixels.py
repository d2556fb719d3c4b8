"""Burned-in text of DICOM objects: who is searched, what is blanked, and what nothing may pass."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
from picture_objects import (
    CT,
    ULTRASOUND,
    BlindFinder,
    BrightFinder,
    StubbornFinder,
    as_file,
    picture_dataset,
    picture_file,
    pixels_of,
    regions,
    written,
)
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    RLELossless,
)

from medseg.config.deid import Option, TextSearch
from medseg.deid import pixels
from medseg.deid.boxes import Box
from medseg.deid.pixels import PixelResult, clean_pixels

CLAIM = frozenset({Option.CLEAN_PIXEL_DATA})


def capture(rows: int = 32, columns: int = 40, text: bool = True) -> np.ndarray:
    """Grey values with a bright bar in the place of text."""
    values = np.random.default_rng(1).integers(20, 200, (rows, columns)).astype(np.uint8)
    if text:
        values[5:9, 6:30] = 255
    return values


def cleaned(file, finder=None, search=TextSearch.DOUBTFUL, reviewed=False):
    return clean_pixels(file, search, finder, reviewed=reviewed)


def test_nothing_is_done_to_objects_without_pixels(tmp_path):
    dataset = picture_dataset(capture())
    del dataset.PixelData
    file = as_file(dataset, tmp_path)
    result, outcome = cleaned(file, BrightFinder())
    assert result is file
    assert (outcome.result, outcome.claims) == (PixelResult.NO_PIXELS, frozenset())


def test_slices_that_are_not_doubted_pass_unread(tmp_path):
    finder = BrightFinder()
    file = picture_file(tmp_path, capture().astype(np.int16), CT)
    result, outcome = cleaned(file, finder)
    assert result is file
    assert (outcome.result, outcome.claims, finder.calls) == (PixelResult.NOT_SUSPECT, frozenset(), 0)


def test_text_is_blanked_and_looked_for_again(tmp_path):
    values = capture()
    file = picture_file(tmp_path, values)
    finder = BrightFinder()
    result, outcome = cleaned(file, finder)
    assert (outcome.result, outcome.boxes, outcome.claims, outcome.preview) == (PixelResult.BLANKED, 1, CLAIM, None)
    assert finder.calls > 1
    dataset = written(result, tmp_path)
    assert (dataset.pixel_array[5:9, 6:30] == values.min()).all()
    outside = np.ones(values.shape, bool)
    outside[3:11, 4:32] = False
    assert np.array_equal(dataset.pixel_array[outside], values[outside])
    assert list(dataset.ImageType) == ["DERIVED", "PRIMARY", "AXIAL"]
    assert dataset.BurnedInAnnotation == "NO"


def test_the_object_that_came_in_stays_as_it_was(tmp_path):
    file = picture_file(tmp_path, capture())
    before = written(file, tmp_path)
    cleaned(file, BrightFinder())
    assert written(file, tmp_path) == before


def test_an_image_without_text_keeps_its_pixels(tmp_path):
    values = capture(text=False)
    file = picture_file(tmp_path, values)
    result, outcome = cleaned(file, BrightFinder())
    assert (outcome.result, outcome.boxes, outcome.claims) == (PixelResult.SEARCHED, 0, CLAIM)
    dataset = written(result, tmp_path)
    assert np.array_equal(dataset.pixel_array, values)
    assert list(dataset.ImageType) == ["ORIGINAL", "PRIMARY", "AXIAL"]
    assert dataset.BurnedInAnnotation == "NO"


def test_without_a_finder_the_doubt_stays(tmp_path):
    values = capture()
    file = picture_file(tmp_path, values)
    result, outcome = cleaned(file)
    assert result is file
    assert (outcome.result, outcome.claims) == (PixelResult.DOUBTFUL, frozenset())
    assert "install the extra ocr" in outcome.reason
    assert np.array_equal(outcome.preview[5:9, 6:30], values[5:9, 6:30])


def test_the_search_can_be_switched_off(tmp_path):
    finder = BrightFinder()
    _, outcome = cleaned(picture_file(tmp_path, capture()), finder, TextSearch.OFF)
    assert (outcome.result, finder.calls) == (PixelResult.DOUBTFUL, 0)
    _, outcome = cleaned(picture_file(tmp_path, capture().astype(np.int16), CT), finder, TextSearch.OFF)
    assert outcome.result is PixelResult.NOT_SUSPECT


def test_all_images_may_be_searched(tmp_path):
    file = picture_file(tmp_path, capture().astype(np.int16), CT)
    _, outcome = cleaned(file, BrightFinder(), TextSearch.ALL)
    assert outcome.result is PixelResult.BLANKED
    _, outcome = cleaned(file, None, TextSearch.ALL)
    assert outcome.result is PixelResult.DOUBTFUL
    assert outcome.reason.startswith("all images are to be searched")


def test_text_that_does_not_go_away_is_doubtful(tmp_path):
    result, outcome = cleaned(picture_file(tmp_path, capture()), StubbornFinder())
    assert (outcome.result, outcome.claims, outcome.boxes) == (PixelResult.DOUBTFUL, frozenset(), 3)
    assert "still found" in outcome.reason
    assert (pixels_of(result, tmp_path)[2:6, 2:6] == capture().min()).all()


def test_text_that_shows_only_after_blanking_is_blanked_too(tmp_path):
    class Twice(BlindFinder):
        rounds = iter([[Box(0, 0, 3, 3)], [Box(20, 20, 24, 30)]])

        def find(self, image):
            return next(self.rounds, [])

    values = capture(text=False)
    values[:] = np.linspace(20, 200, values.size).reshape(values.shape)
    result, outcome = cleaned(picture_file(tmp_path, values), Twice())
    assert (outcome.result, outcome.boxes) == (PixelResult.BLANKED, 2)
    assert (pixels_of(result, tmp_path)[20:24, 20:30] == 20).all()


def test_a_page_of_text_is_doubtful(tmp_path):
    _, outcome = cleaned(picture_file(tmp_path, capture()), StubbornFinder(Box(0, 0, 30, 40)))
    assert outcome.result is PixelResult.DOUBTFUL
    assert "a page" in outcome.reason


def test_a_header_that_says_text_is_not_contradicted(tmp_path):
    file = picture_file(tmp_path, capture(text=False), BurnedInAnnotation="YES")
    _, outcome = cleaned(file, BlindFinder())
    assert outcome.result is PixelResult.DOUBTFUL
    assert "no text was found" in outcome.reason
    _, outcome = cleaned(picture_file(tmp_path, capture(), BurnedInAnnotation="YES"), BrightFinder())
    assert outcome.result is PixelResult.BLANKED


def test_a_person_may_accept_what_is_doubtful(tmp_path):
    file = picture_file(tmp_path, capture())
    result, outcome = cleaned(file, None, reviewed=True)
    assert result is file
    assert (outcome.result, outcome.claims, outcome.preview) == (PixelResult.REVIEWED, frozenset(), None)
    result, outcome = cleaned(file, StubbornFinder(), reviewed=True)
    assert (outcome.result, outcome.boxes) == (PixelResult.REVIEWED, 3)
    assert "BurnedInAnnotation" not in result.dataset


def test_a_reviewed_ultrasound_image_is_what_the_person_saw(tmp_path):
    file = picture_file(tmp_path, capture(), ULTRASOUND, SequenceOfUltrasoundRegions=regions((10, 12, 35, 28)))
    doubtful, _ = cleaned(file)
    accepted, outcome = cleaned(file, reviewed=True)
    assert outcome.result is PixelResult.REVIEWED
    assert np.array_equal(pixels_of(doubtful, tmp_path), pixels_of(accepted, tmp_path))
    assert (pixels_of(accepted, tmp_path)[:12] == capture().min()).all()


def test_ultrasound_is_blanked_outside_of_its_regions(tmp_path):
    values = np.repeat(capture(text=False)[..., None], 3, axis=2)
    file = picture_file(
        tmp_path, values, ULTRASOUND, SequenceOfUltrasoundRegions=regions((10, 12, 35, 28), (0, 0, 3, 3))
    )
    result, outcome = cleaned(file, BrightFinder())
    assert (outcome.result, outcome.boxes, outcome.claims) == (PixelResult.BLANKED, 0, CLAIM)
    shown = pixels_of(result, tmp_path)
    inside = np.zeros(values.shape[:2], bool)
    inside[12:29, 10:36] = inside[:4, :4] = True
    assert np.array_equal(shown[inside], values[inside])
    assert (shown[~inside] == 0).all()


def test_regions_alone_leave_the_doubt(tmp_path):
    file = picture_file(tmp_path, capture(), ULTRASOUND, SequenceOfUltrasoundRegions=regions((10, 12, 35, 28)))
    result, outcome = cleaned(file)
    assert outcome.result is PixelResult.DOUBTFUL
    assert (pixels_of(result, tmp_path)[:12] == capture().min()).all()
    assert (outcome.preview[:12] == 0).all()


def test_regions_of_the_whole_image_change_nothing(tmp_path):
    values = capture(text=False)
    file = picture_file(tmp_path, values, ULTRASOUND, SequenceOfUltrasoundRegions=regions((0, 0, 39, 31)))
    result, outcome = cleaned(file, BrightFinder())
    assert outcome.result is PixelResult.SEARCHED
    assert np.array_equal(pixels_of(result, tmp_path), values)


def test_banners_go(tmp_path):
    values = np.random.default_rng(2).integers(20, 200, (480, 640)).astype(np.uint8)
    result, outcome = cleaned(picture_file(tmp_path, values, ULTRASOUND, Manufacturer="GE Healthcare"), BlindFinder())
    assert outcome.result is PixelResult.BLANKED
    assert (pixels_of(result, tmp_path)[:38] == 20).all()
    assert np.array_equal(pixels_of(result, tmp_path)[38:], values[38:])


def test_text_of_one_frame_goes_from_every_frame(tmp_path):
    values = np.stack([capture(text=False)] * 4)
    values[2, 5:9, 6:30] = 255
    result, outcome = cleaned(picture_file(tmp_path, values), BrightFinder())
    assert outcome.result is PixelResult.BLANKED
    assert (pixels_of(result, tmp_path)[:, 5:9, 6:30] == 20).all()


def test_equal_frames_are_searched_once(tmp_path):
    values = np.stack([capture(text=False)] * 5)
    finder = BrightFinder()
    _, outcome = cleaned(picture_file(tmp_path, values), finder)
    assert outcome.result is PixelResult.SEARCHED
    once = finder.calls
    values[3, 20:24, 30:34] += 1
    finder.calls = 0
    cleaned(picture_file(tmp_path, values), finder)
    assert finder.calls == 3 * once  # the changed part, and what comes back after it


def test_only_what_changes_is_searched_again(tmp_path):
    class Sizes(BlindFinder):
        shapes: ClassVar[list] = []

        def find(self, image):
            self.shapes.append(image.shape)
            return []

    values = np.full((3, 300, 400), 90, np.uint8)
    values[:, 0, 0] = 0
    values[1:, 100:110, 200:220] = 120
    colours = np.repeat(values[..., None], 3, axis=3)
    cleaned(picture_file(tmp_path, colours), Sizes())
    assert set(Sizes.shapes) == {(300, 400, 3), (106, 116, 3)}


def test_too_many_different_frames_are_doubtful(tmp_path, monkeypatch):
    monkeypatch.setattr(pixels, "_MOST_FRAMES", 2)
    values = np.random.default_rng(3).integers(0, 99, (3, 8, 8)).astype(np.uint8)
    _, outcome = cleaned(picture_file(tmp_path, values), BrightFinder())
    assert outcome.result is PixelResult.DOUBTFUL
    assert "more than 2 different frames" in outcome.reason


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint16])
def test_uncompressed_objects_keep_their_transfer_syntax(tmp_path, syntax, kind):
    values = capture().astype(kind)
    dataset = picture_dataset(values)
    dataset["PixelData"].VR = "OB" if kind is np.uint8 and syntax != ImplicitVRLittleEndian else "OW"
    if syntax == ExplicitVRBigEndian:
        dataset.PixelData = values.astype(values.dtype.newbyteorder(">")).tobytes()
    result, outcome = cleaned(as_file(dataset, tmp_path, syntax), BrightFinder())
    assert (outcome.result, result.syntax) == (PixelResult.BLANKED, syntax)
    shown = pixels_of(result, tmp_path)
    assert (shown[5:9, 6:30] == values.min()).all()
    assert np.array_equal(shown[12:], values[12:])


def test_compressed_objects_are_written_uncompressed(tmp_path):
    values = capture()
    dataset = picture_dataset(values)
    dataset.file_meta = type(written(picture_file(tmp_path, values), tmp_path).file_meta)()
    dataset.compress(RLELossless, values)
    file = as_file(dataset, tmp_path, RLELossless)
    file.dataset.add_new(0x7FE00001, "OV", b"\0" * 8)
    result, outcome = cleaned(file, BrightFinder())
    assert (outcome.result, result.syntax) == (PixelResult.BLANKED, ExplicitVRLittleEndian)
    assert np.array_equal(pixels_of(result, tmp_path)[12:], values[12:])
    assert 0x7FE00001 not in result.dataset
    assert file.syntax == RLELossless


def test_compressed_objects_without_text_stay_compressed(tmp_path):
    values = capture(text=False)
    dataset = picture_dataset(values)
    dataset.file_meta = type(written(picture_file(tmp_path, values), tmp_path).file_meta)()
    dataset.compress(RLELossless, values)
    result, outcome = cleaned(as_file(dataset, tmp_path, RLELossless), BrightFinder())
    assert (outcome.result, result.syntax) == (PixelResult.SEARCHED, RLELossless)
    assert np.array_equal(pixels_of(result, tmp_path), values)


def test_black_is_what_the_screen_shows_as_black(tmp_path):
    values = capture(text=False)
    values[5:9, 6:30] = 0  # which MONOCHROME1 shows as white
    file = picture_file(tmp_path, values, PhotometricInterpretation="MONOCHROME1")

    class Bar(BlindFinder):
        def find(self, image):
            return [Box(5, 6, 9, 30)] if image[6, 6] != image[6, 31:].max() and image[5, 6] == 0 else []

    result, outcome = cleaned(file, Bar())
    assert outcome.result is PixelResult.BLANKED
    assert (pixels_of(result, tmp_path)[5:9, 6:30] == values.max()).all()


def test_pixels_that_cannot_be_read_are_doubtful_even_if_accepted(tmp_path):
    dataset = picture_dataset(capture())
    dataset["PixelData"].is_undefined_length = True
    dataset.PixelData = b"\xfe\xff\x00\xe0\0\0\0\0\xfe\xff\x00\xe0\4\0\0\0junk"
    file = as_file(dataset, tmp_path, JPEGBaseline8Bit)
    for reviewed in (False, True):
        result, outcome = cleaned(file, BrightFinder(), reviewed=reviewed)
        assert result is file
        assert (outcome.result, outcome.preview) == (PixelResult.DOUBTFUL, None)
        assert "a compressed frame is damaged" in outcome.reason


def test_no_reason_quotes_the_file(tmp_path):
    for finder in (None, StubbornFinder()):
        _, outcome = cleaned(picture_file(tmp_path, capture(), SeriesDescription="SECRET", PatientID="SECRET"), finder)
        assert "SECRET" not in outcome.reason
