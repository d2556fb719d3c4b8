"""Finding text: how much of it, how often where there is none, and what the networks may not do."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import numpy as np
import pytest
from burned_in_images import (
    LOOKS,
    STYLES,
    body,
    clean_pictures,
    identity_lines,
    text_picture,
    text_pictures,
    write_lines,
)
from picture_objects import picture_file, pixels_of
from PIL import Image

from medseg.config.deid import TextSearch
from medseg.deid import text_finder, text_models
from medseg.deid.boxes import Box, covered
from medseg.deid.one_tone import one_tone_view
from medseg.deid.pixels import PixelResult, clean_pixels
from medseg.deid.text_finder import TextFinder, load_text_finder

ENOUGH = 0.9


@pytest.fixture(scope="module")
def finder() -> TextFinder:
    found = load_text_finder()
    if found is None:
        pytest.skip("needs the extra ocr")
    return found


def lines_found(finder, array, lines) -> int:
    mask = covered(finder.find(array), *array.shape[:2])
    return sum(bool(mask[top:bottom, left:right].mean() > ENOUGH) for top, left, bottom, right in lines)


def is_clean_after_blanking(finder, array) -> bool:
    blanked = array.copy()
    blanked[covered([box.grown(2) for box in finder.find(array)], *array.shape[:2])] = 0
    return not finder.find(blanked)


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize(
    "style", [pytest.param(STYLES[3], marks=pytest.mark.slow), STYLES[6]], ids=lambda one: one.name
)
def test_small_and_grey_lines_over_tissue_are_found(finder, look, style):
    picture = text_picture(look, style, np.random.default_rng(3))
    assert lines_found(finder, picture.array, picture.lines) >= 5
    assert is_clean_after_blanking(finder, picture.array)


@pytest.mark.parametrize("number", [9, 12, *(pytest.param(number, marks=pytest.mark.slow) for number in (10, 14))])
def test_rulers_marks_and_wires_are_no_text(finder, number):
    assert finder.find(clean_pictures(0)[number].array) == []


@pytest.mark.slow
def test_nearly_all_lines_are_found_and_nothing_else(finder):
    pictures = text_pictures(0)
    found = sum(lines_found(finder, picture.array, picture.lines) for picture in pictures)
    assert sum(len(picture.lines) for picture in pictures) == 126
    assert found >= 0.95 * 126
    assert all(is_clean_after_blanking(finder, picture.array) for picture in pictures)
    assert [picture.name for picture in clean_pictures(0) if finder.find(picture.array)] == []


def written_on(array, height=14, corner=(6, 6), value=255, lines=6):
    return write_lines(array, identity_lines(np.random.default_rng(2))[:lines], corner, height, value)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_turned_lines_are_found(finder, turns):
    array, lines = written_on(body("ct", np.random.default_rng(0)), lines=3)
    ink = np.zeros(array.shape, bool)
    for top, left, bottom, right in lines:
        ink[top:bottom, left:right] = True
    turned = np.ascontiguousarray(np.rot90(array, turns))
    mask = covered(finder.find(turned), *turned.shape)
    assert mask[np.rot90(ink, turns)].mean() > ENOUGH


def test_lines_in_small_images_are_found(finder):
    small = np.asarray(Image.fromarray(body("ct", np.random.default_rng(0))).resize((128, 128)))
    array, lines = written_on(small, height=10, lines=3)
    assert lines_found(finder, array, lines) == 3


@pytest.mark.parametrize(("height", "corner"), [(12, (1180, 900)), (90, (40, 40))])
def test_small_and_large_lines_in_large_images_are_found(finder, height, corner):
    large = np.asarray(Image.fromarray(body("x-ray", np.random.default_rng(0))).resize((1700, 1600)))
    array, lines = written_on(large, height, corner, lines=2)
    assert lines_found(finder, array, lines) == 2


def test_coloured_lines_are_found(finder):
    grey = body("ultrasound", np.random.default_rng(0))
    white, lines = written_on(np.zeros_like(grey), lines=3)
    colour = np.stack([grey, grey, np.maximum(grey, white)], axis=2)
    colour[white > 200] = (255, 220, 0)
    assert lines_found(finder, colour, lines) == 3


@pytest.mark.parametrize("shape", [(1, 1), (5, 300), (700, 3), (64, 64, 3)])
def test_pictures_of_any_shape_may_be_empty(finder, shape):
    assert finder.find(np.zeros(shape, np.uint8)) == []
    noise = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    assert finder.find(noise) == []


def test_a_whole_object_is_cleaned(finder, tmp_path):
    picture = text_picture("ct", STYLES[1], np.random.default_rng(1))
    values = picture.array.astype(np.int16) * 4 - 1000
    values[picture.array == 255] = 3000
    result, outcome = clean_pixels(picture_file(tmp_path, values), TextSearch.DOUBTFUL, finder, reviewed=False)
    assert outcome.result is PixelResult.BLANKED
    shown = pixels_of(result, tmp_path)
    assert all((shown[top:bottom, left:right] == -1000).mean() > ENOUGH for top, left, bottom, right in picture.lines)


class StubModels:
    """Networks that find what they are told to and read what they are told to."""

    def __init__(self, places, text, certainty):
        self.places, self.text, self.certainty = places, text, certainty
        self.read_boxes = 0

    def likelihood(self, picture):
        likelihood = np.zeros(picture.shape[:2], np.float32)
        for (top, left, bottom, right), score in self.places:
            likelihood[top:bottom, left:right] = score
        return likelihood

    def read(self, line):
        self.read_boxes += 1
        return self.text, self.certainty


LINE = ((100, 100, 112, 200), 0.9)
PICTURE = np.tile(np.arange(512, dtype=np.uint8), (512, 1))


@pytest.mark.parametrize(
    ("text", "certainty", "is_text"),
    [
        ("Anna", 0.7, True),
        ("Anna", 0.5, False),
        ("A", 0.99, False),
        (".-", 0.99, False),
        ("IIlI", 0.99, False),
        ("I0L1", 0.7, False),
        ("I0L1", 0.9, True),
    ],
)
def test_what_counts_as_read(text, certainty, is_text):
    assert bool(TextFinder(StubModels([LINE], text, certainty)).find(PICTURE)) is is_text


def test_weak_places_count_beside_sure_ones():
    class FirstIsRead(StubModels):
        def read(self, line):
            return ("Anna", 0.9) if line.shape[1] > 60 else ("", 0.0)

    beside, faint, far = ((120, 100, 132, 130), 0.9), ((140, 100, 152, 130), 0.45), ((400, 100, 412, 130), 0.9)
    found = TextFinder(FirstIsRead([LINE, beside, faint, far], "", 0)).find(PICTURE)
    mask = covered(found, 512, 512)
    assert mask[120:132, 100:130].all()
    assert not mask[145:148, 100:130].any()
    assert not mask[400:412, 100:130].any()


def test_places_of_no_line_are_not_read():
    places = [((10, 10, 12, 12), 0.9), ((100, 100, 300, 300), 0.9), ((400, 10, 420, 100), 0.35)]
    models = StubModels(places, "Anna", 0.9)
    assert TextFinder(models).find(PICTURE) == []
    assert models.read_boxes == 0


def test_boxes_within_others_are_left_out():
    boxes = [Box(0, 0, 10, 10), Box(2, 2, 8, 8), Box(0, 0, 10, 10), Box(5, 5, 12, 12)]
    assert text_finder._without_repeats(boxes) == [Box(0, 0, 10, 10), Box(5, 5, 12, 12)]


def test_lines_of_a_block_become_one_box():
    lines = [Box(0, 0, 10, 100), Box(13, 0, 23, 60), Box(26, 50, 36, 90), Box(60, 0, 70, 90)]
    assert text_finder._blocks(lines) == [Box(0, 0, 36, 100), Box(60, 0, 70, 90)]
    far_apart = [Box(0, 0, 10, 20), Box(9, 20, 20, 22), Box(12, 23, 22, 300)]
    assert text_finder._blocks(far_apart) == far_apart


def test_one_tone_is_made_bright():
    picture, _ = written_on(body("ultrasound", np.random.default_rng(0)), corner=(250, 160), value=140)
    view = one_tone_view(picture)
    assert view is not None
    exact = picture == 140
    exact[:240] = exact[340:] = False
    assert view[exact].mean() > 2 * np.median(view[250:340, 160:300])


def test_tones_that_are_all_alike_have_no_view():
    assert one_tone_view(PICTURE) is None
    assert one_tone_view(np.arange(64, dtype=np.uint8).reshape(8, 8)) is None


def test_no_finder_without_the_extra(monkeypatch, tmp_path):
    real = importlib.util.find_spec
    for missing in ("rapidocr", "onnxruntime"):
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda name, gone=missing: None if name == gone else real(name)
        )
        assert load_text_finder() is None
    empty = importlib.util.spec_from_file_location("rapidocr", tmp_path / "__init__.py")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: empty if name == "rapidocr" else real(name))
    assert load_text_finder() is None


def test_the_number_of_threads_is_used(monkeypatch, finder):
    seen = []
    runtime = importlib.import_module("onnxruntime")
    real = runtime.InferenceSession

    def session(path, options, providers):
        seen.append((options.intra_op_num_threads, options.inter_op_num_threads, providers))
        return real(path, options, providers=providers)

    monkeypatch.setattr(runtime, "InferenceSession", session)
    load_text_finder(2).find(written_on(PICTURE[:256, :256])[0])
    assert seen == [(2, 1, ["CPUExecutionProvider"])] * 2


def test_lines_are_read_at_any_size(finder):
    models = text_models.TextModels(text_models.installed_models(), 1)
    assert models.read(np.zeros((20, 4), np.uint8)) == ("", 0.0)
    array, ((top, left, bottom, right),) = write_lines(np.zeros((60, 300), np.uint8), ["HOSPITAL 42"], (9, 9), 30, 255)
    text, certainty = models.read(array[top - 4 : bottom + 4, left - 4 : right + 4])
    assert text.replace(" ", "") == "HOSPITAL42"
    assert certainty > 0.9


QUIETLY = """
import logging, socket, sys
def refuse(*_args, **_kwargs):
    raise AssertionError("network")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = socket.create_connection = refuse
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from medseg.deid.text_finder import load_text_finder
finder = load_text_finder()
assert "onnxruntime" not in sys.modules and "rapidocr" not in sys.modules
ink = Image.new("L", (400, 200))
ImageDraw.Draw(ink).text((20, 20), "MUSTERMANN^ERIKA", fill=255, font=ImageFont.load_default(20))
assert finder.find(np.asarray(ink))
for name in ("rapidocr", "requests", "cv2", "torch"):
    assert name not in sys.modules, name
assert not logging.getLogger().handlers
handlers = [h for log in logging.Logger.manager.loggerDict.values() for h in getattr(log, "handlers", [])]
assert all(isinstance(handler, logging.NullHandler) for handler in handlers), handlers
"""


def test_networks_say_nothing_and_call_nobody(finder):
    done = subprocess.run([sys.executable, "-W", "error", "-c", QUIETLY], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
