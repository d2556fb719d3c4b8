import numpy as np
import pytest
from factories import geometry, scheme, volume

from medseg.core.case import CaseId
from medseg.core.volume import LabelMap
from medseg.data.dataset import CaseFiles, ImageFile
from medseg.evaluation.pairs import Pair
from medseg.evaluation.scoring import score_pairs
from medseg.evaluation.worst import worst_cases
from medseg.io.formats import write_label_map, write_volume

GRID = geometry((16, 16, 8))


def cube(shift):
    array = np.zeros(GRID.shape, np.uint8)
    array[4 + shift : 10 + shift, 4:10, 2:6] = 1
    return LabelMap(array, GRID)


@pytest.fixture
def pairs(tmp_path):
    write_label_map(tmp_path / "reference.nii.gz", cube(0))
    write_volume(tmp_path / "image.nii.gz", volume(GRID).reoriented("LPS"))
    write_volume(tmp_path / "small.nii.gz", volume(geometry((16, 16, 7))))
    made = []
    for shift, image in ((0, "image"), (3, "image"), (1, "small"), (2, "missing"), (4, None)):
        path = tmp_path / f"predicted{shift}.nii.gz"
        write_label_map(path, cube(shift))
        images = {"MR": ImageFile(tmp_path / f"{image}.nii.gz")} if image else {}
        files = CaseFiles(CaseId(f"by {shift}"), images, tmp_path / "reference.nii.gz", "P")
        made.append(Pair(files.id, "P", path, tmp_path / "reference.nii.gz", files))
    return made


def test_the_lowest_dice_comes_first_and_pictures_survive_a_bad_image(pairs):
    rows = [row for outcome in score_pairs(pairs, scheme("one")) for row in outcome.rows]
    drawn = worst_cases(rows, pairs, scheme("one"), most=4)
    assert [one.case for one in drawn] == ["by 4", "by 3", "by 2", "by 1"]
    assert drawn[0].dice == pytest.approx(2 / 6)
    notes = [one.note for one in drawn]
    assert notes[0] == "without its image, which only a data set gives"
    assert notes[1] == ""
    assert notes[2].startswith("without its image: ")
    assert "missing.nii.gz' does not exist" in notes[2]
    assert "different grids: shapes (16, 16, 7) and (16, 16, 8)" in notes[3]


def test_no_scores_no_pictures(pairs):
    assert worst_cases([], pairs, scheme("one"), most=4) == []


def test_of_several_channels_one_is_shown_that_lies_under_the_outlines(tmp_path):
    write_label_map(tmp_path / "reference.nii.gz", cube(0))
    write_volume(tmp_path / "t1.nii.gz", volume(geometry((5, 6, 7))))
    write_volume(tmp_path / "t2.nii.gz", volume(GRID))
    images = {name: ImageFile(tmp_path / f"{name}.nii.gz") for name in ("t1", "t2")}
    files = CaseFiles(CaseId("a"), images, tmp_path / "reference.nii.gz", "P")
    pair = Pair(CaseId("a"), "P", *[tmp_path / "reference.nii.gz"] * 2, files=files)
    (outcome,) = score_pairs([pair], scheme())
    (shown,) = worst_cases(outcome.rows, [pair], scheme(), 1)
    assert shown.note == ""
