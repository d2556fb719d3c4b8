"""What is shown of a picture that may show text: nothing, unless a search can tell where the text is."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from deid_factories import change, noise, write_capture
from upload_runs import WhiteFinder

from medseg.core.errors import InputError
from medseg.deid.boxes import Box
from medseg.review.text_pictures import blanked, count_planes, drawn, fill_boxes


def test_without_a_search_nothing_is_shown():
    assert not blanked(noise((20, 30)), None).any()


def test_a_search_that_finds_nothing_is_not_believed():
    assert not blanked(noise((20, 30)) // 2, WhiteFinder()).any()


def test_colours():
    shown = noise((40, 30, 3)) // 2
    shown[5:10, 5:20] = 255
    result = blanked(shown, WhiteFinder())
    assert not result[3:12, 3:22].any()
    assert (result[12:] == shown[12:]).all()


def test_text_that_goes_on_and_on():
    class Everywhere:
        def find(self, picture):
            return [Box(0, 0, 5, 5)]

    assert not blanked(noise((40, 30)), Everywhere()).any()


def test_a_page_of_text():
    page = np.full((40, 30), 100, np.uint8)
    page[2:38, 2:28] = 255
    assert not blanked(page, WhiteFinder()).any()


def test_pictures_that_are_not_there(tmp_path):
    path = write_capture(tmp_path)
    nib.save(nib.Nifti1Image(np.zeros((4, 5, 3), np.uint8), np.diag([1, 1, 2, 1])), tmp_path / "a.nii")
    assert count_planes(tmp_path / "a.nii") == 3
    assert drawn(tmp_path / "a.nii", 2).shape == (5, 4)
    for file, index in ((path, 1), (path, -1), (tmp_path / "a.nii", 3)):
        with pytest.raises(InputError, match="there is no picture"):
            drawn(file, index)


def test_boxes_are_filled_whichever_way_the_slices_lie(tmp_path):
    path = tmp_path / "a.nii"
    nib.save(nib.Nifti1Image(np.full((6, 5, 4), 9, np.uint8), np.diag([2, 1, 1, 1])), path)
    assert [drawn(path, index).shape for index in (3, 4)] == [(5, 6), (4, 5)]
    assert count_planes(path) == 4 + 6
    fill_boxes(path, [Box(0, 0, 2, 2)])
    assert not any(drawn(path, index)[:2, :2].any() for index in range(10))


def test_inverted_greys_are_shown_as_they_are_seen(tmp_path):
    path = write_capture(tmp_path)
    usual = drawn(path, 0)
    change(path, PhotometricInterpretation="MONOCHROME1")
    assert (drawn(path, 0) == 255 - usual).all()
