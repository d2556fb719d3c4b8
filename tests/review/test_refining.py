import numpy as np
import pytest
from case_factories import ANN, config_of
from factories import ball

from medseg.config.review import FolderSource
from medseg.core.errors import InputError, LabelError
from medseg.core.geometry import Geometry
from medseg.core.volume import LabelMap, Volume
from medseg.io.formats import write_label_map, write_volume
from medseg.review.desk import open_desk

HERE = "this tab"
GRID = Geometry.from_spacing((32, 32, 32))
BALL = ball()


@pytest.fixture
def desk(tmp_path):
    """A bright ball, of which only one half was predicted."""
    write_volume(tmp_path / "images" / "one.nii.gz", Volume(np.where(BALL, 200, 0)[None].astype(np.int16), GRID))
    half = BALL & (np.indices(BALL.shape)[0] < 16)
    write_label_map(tmp_path / "predictions" / "one.nii.gz", LabelMap(half.astype(np.uint8), GRID))
    (tmp_path / "labels.json").write_text('{"ball": 1}', encoding="utf-8")
    source = FolderSource(
        kind="folder",
        images=tmp_path / "images",
        predictions=tmp_path / "predictions",
        labels=tmp_path / "labels.json",
    )
    with open_desk(config_of(source, folder=tmp_path / "review", key=tmp_path / "project.key")) as opened:
        yield opened


@pytest.fixture
def seat(desk):
    return desk.sit(HERE, desk.cases(ANN)[0].name, ANN)


def share(seat):
    """How much of the ball is outlined."""
    mask = seat.sitting.shown.segmentation.labels.array == 1
    return (mask & BALL).sum() / BALL.sum()


def test_a_click_adds_what_looks_alike_as_strokes_that_can_be_saved(seat, desk):
    before, identity = share(seat), seat.sitting.shown.identity
    voxels = seat.refining.click("ball", (19, 16, 16), belongs=True)
    assert voxels > 0
    assert share(seat) > before
    assert seat.sitting.shown.is_draft
    assert seat.sitting.shown.identity != identity
    assert [click.belongs for click in seat.refining.clicks] == [True]
    assert seat.sitting.save().number == 1
    assert seat.refining.clicks == (), "they were about another version"


def test_a_click_can_be_taken_back(seat):
    before = share(seat)
    seat.refining.click("ball", (19, 16, 16), belongs=True)
    seat.refining.take_back()
    assert share(seat) == before
    assert seat.refining.clicks == ()
    with pytest.raises(InputError, match="no click to take back"):
        seat.refining.take_back()


def test_a_click_on_what_is_right_already_changes_nothing(seat):
    identity = seat.sitting.shown.identity
    assert seat.refining.click("ball", (12, 16, 16), belongs=True) == 0
    assert seat.sitting.shown.identity == identity


def test_a_click_goes_on_from_strokes_that_came_after_the_screen(seat, desk):
    grant, labels = seat.sitting.shown.grants.mask, seat.sitting.shown.segmentation.labels
    array = labels.array.copy()
    array[0, 0, 0] = 1
    desk.drafts.put(grant.case, ANN, grant.base, LabelMap(array, GRID))
    seat.refining.click("ball", (19, 16, 16), belongs=True)
    assert seat.sitting.shown.segmentation.labels.array[0, 0, 0] == 1


def test_nothing_is_drawn_over_strokes_that_wait_for_a_decision(seat, desk):
    seat.refining.click("ball", (19, 16, 16), belongs=True)
    seat.sitting.show(0)
    with pytest.raises(InputError, match="decide about the strokes"):
        seat.refining.click("ball", (19, 16, 16), belongs=True)
    assert desk.drafts.get(seat.sitting.shown.version.case, ANN) is not None


def test_what_cannot_be_followed_is_one_sentence(seat):
    with pytest.raises(InputError, match="outside of an image"):
        seat.refining.click("ball", (99, 0, 0), belongs=True)
    with pytest.raises(LabelError, match="no structure 'box'"):
        seat.refining.click("box", (1, 1, 1), belongs=True)
    assert seat.refining.clicks == ()
