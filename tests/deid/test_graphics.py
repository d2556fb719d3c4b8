"""Annotations of presentation states: known words and drawings stay."""

import pytest
from pydicom.dataset import Dataset
from small_engine import SmallEngine

from medseg.deid.graphics import clean_graphics

DRAWING = 0x00700009


def text_object(text):
    item = Dataset()
    item.BoundingBoxAnnotationUnits = "PIXEL"
    item.UnformattedTextValue = text
    return item


def annotation(*texts, drawing=False):
    item = Dataset()
    item.GraphicLayer = "ONE"
    if texts:
        item.TextObjectSequence = [text_object(text) for text in texts]
    if drawing:
        shape = Dataset()
        shape.GraphicData, shape.GraphicType = [1.0, 2.0], "POINT"
        item.GraphicObjectSequence = [shape]
    return item


def texts(item):
    return [str(text.UnformattedTextValue).strip() for text in item.TextObjectSequence]


def test_known_words_of_a_text_stay():
    item, engine = annotation("left kidney, Nettlebaum", "right kidney"), SmallEngine()
    assert clean_graphics([item], engine) == [item]
    assert texts(item) == ["left kidney", "right kidney"]
    assert engine.taken == [("UnformattedTextValue", "left kidney, Nettlebaum")]


def test_a_text_without_known_words_goes_and_the_drawing_stays():
    item, engine = annotation("Nettlebaum", drawing=True), SmallEngine()
    assert clean_graphics([item], engine) == [item]
    assert "TextObjectSequence" not in item
    assert list(item.GraphicObjectSequence[0].GraphicData) == [1.0, 2.0]
    assert ("UnformattedTextValue", "Nettlebaum") in engine.taken


def test_one_of_several_texts_goes():
    item = annotation("Nettlebaum", "liver", "")
    clean_graphics([item], SmallEngine())
    assert texts(item) == ["liver"]


def test_an_annotation_that_shows_nothing_goes():
    item, drawn, engine = annotation("Nettlebaum"), annotation(drawing=True), SmallEngine()
    assert clean_graphics([item, drawn], engine) == [drawn]
    assert ("GraphicLayer", "ONE") in engine.taken


@pytest.mark.parametrize("tag", [0x00700009, 0x00700209])
def test_drawings_without_text_stay(tag):
    item = Dataset()
    item.add_new(tag, "SQ", [Dataset()])
    assert clean_graphics([item], SmallEngine()) == [item]


def test_a_text_in_another_script_keeps_its_known_words():
    item = annotation("Schädel Мария")
    item.TextObjectSequence[0].set_original_encoding(False, True, ["utf_8"])
    clean_graphics([item], SmallEngine())
    element = item.TextObjectSequence[0].get_item(0x00700006)
    assert element.value == "Schädel".encode()


def test_a_text_object_without_text_goes():
    item = annotation("liver")
    item.TextObjectSequence.append(Dataset())
    assert clean_graphics([item], SmallEngine()) == [item]
    assert texts(item) == ["liver"]
