from __future__ import annotations

import pytest
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from medseg.config.deid import SafePrivate
from medseg.deid.safe_private import safe_blocks

GAIN = SafePrivate(creator="ACME GAIN", group=0x29, element=0x10, representation="DS")


def block(creator="ACME GAIN", number=0x10):
    item = Dataset()
    item.add_new((0x29, number), "LO", creator)
    item.add_new((0x29, number << 8 | 0x10), "DS", "1.5")
    item.add_new((0x29, number << 8 | 0x11), "LO", "Doe^Jane")
    return item


def test_only_the_listed_element_and_its_creator_stay():
    assert safe_blocks(block(), [GAIN]) == {0x00290010, 0x00291010}


def test_the_block_may_be_anywhere():
    assert safe_blocks(block(number=0x42), [GAIN]) == {0x00290042, 0x00294210}


def test_another_creator_is_another_element():
    assert safe_blocks(block("ACME"), [GAIN]) == frozenset()


def test_a_creator_in_two_blocks_is_ambiguous():
    item = block()
    item.update(block(number=0x11))
    assert safe_blocks(item, [GAIN]) == frozenset()


def test_another_representation_may_hide_a_text():
    item = block()
    item[0x00291010].VR = "LO"
    assert safe_blocks(item, [GAIN]) == frozenset()
    anything = GAIN.model_copy(update={"representation": ""})
    assert safe_blocks(item, [anything]) == {0x00290010, 0x00291010}


@pytest.mark.parametrize("vr", ["UN", None])
def test_a_sequence_that_nobody_can_look_into_is_not_safe(vr):
    anything = GAIN.model_copy(update={"representation": ""})
    item = block()
    value = b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    item[0x00291010] = RawDataElement(BaseTag(0x00291010), vr, len(value), value, 0, True, True)
    assert safe_blocks(item, [anything]) == frozenset()
    item[0x00291010] = RawDataElement(BaseTag(0x00291010), vr, 4, b"1.5 ", 0, True, True)
    assert safe_blocks(item, [anything]) == {0x00290010, 0x00291010}


def test_nothing_is_safe_by_default():
    assert safe_blocks(block(), []) == frozenset()
    assert safe_blocks(Dataset(), [GAIN]) == frozenset()
