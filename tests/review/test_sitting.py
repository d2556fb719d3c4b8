import dataclasses

import numpy as np
import pytest
from case_factories import ADMIN, ANN, BOB, GRID, SCHEME, SENIOR, config_of, folder_source, nifti_case
from drawn_masks import body_of, stream_of

from medseg.config.review import LoginSection, Role
from medseg.core.errors import InputError, LabelError
from medseg.core.volume import LabelMap, MultiLabelMap
from medseg.io.formats import write_multi_label_map
from medseg.review.desk import open_desk
from medseg.review.masks import receive_mask
from medseg.review.records import Act, Difficulty, Verdict
from medseg.review.refusals import Refused
from medseg.review.slices import Look
from medseg.review.tickets import MaskGrant

HERE, THERE = "this tab", "another tab"


@pytest.fixture
def desk(tmp_path):
    login = LoginSection(readers={one.name: one.role for one in (ANN, BOB, SENIOR, ADMIN)})
    config = config_of(
        folder_source(tmp_path / "data"), folder=tmp_path / "review", key=tmp_path / "project.key", login=login
    )
    with open_desk(config) as opened:
        yield opened


@pytest.fixture
def name(desk):
    return desk.cases(ANN)[0].name


def painted(sitting, value=1, corner=2):
    """The outlines on the screen with a corner filled."""
    labels = sitting.shown.segmentation.labels
    array = labels.array.copy()
    array[:corner, :corner, :corner] = value
    return LabelMap(array, labels.geometry)


def draw(desk, sitting, value=1, corner=2):
    """What the route for masks does."""
    grant = sitting.shown.grants.mask
    return desk.drafts.put(grant.case, grant.reader, grant.base, painted(sitting, value, corner))


def test_a_new_case_shows_the_prediction_as_version_0(desk, name):
    sitting = desk.sit(HERE, name, ANN).sitting
    assert [version.number for version in sitting.versions] == [0]
    assert sitting.shown.version == sitting.prediction
    assert np.array_equal(sitting.shown.segmentation.labels.array, sitting.opened.case.prediction.labels.array)
    assert not sitting.shown.is_draft
    assert sitting.may_draw
    assert sitting.shown.grants.original is None
    assert sitting.targets == ()


def test_that_a_case_was_opened_is_in_the_log_once_a_sitting(desk, name):
    assert desk.sit(HERE, name, ANN).sitting is desk.sit(HERE, name, ANN).sitting
    acts = [(entry.act, entry.who, entry.case) for entry in desk.store.entries()]
    assert acts.count((Act.OPENED, ANN.name, name)) == 1


def test_strokes_become_a_version_and_further_strokes_go_on_from_it(desk, name):
    sitting = desk.sit(HERE, name, ANN).sitting
    identity, sequence = sitting.shown.identity, sitting.shown.grants.mask.sequence
    saved = sitting.save(draw(desk, sitting))
    assert (saved.number, saved.parent, saved.author) == (1, 0, ANN.name)
    assert sum(saved.changed_ml.values()) > 0
    assert sitting.shown.version == saved
    assert sitting.shown.identity == identity, "the browser shows these outlines already"
    assert sitting.shown.grants.mask.base == saved
    assert sitting.shown.grants.mask.sequence is sequence
    assert desk.drafts.names(ANN) == frozenset()
    again = sitting.save(draw(desk, sitting, corner=4))
    assert (again.number, again.parent) == (2, 1)


def test_strokes_that_were_not_saved_are_there_again_after_a_crash(desk, name, tmp_path):
    sha256 = draw(desk, desk.sit(HERE, name, ANN).sitting, value=2, corner=3)
    desk.leave(HERE)
    again = desk.sit(HERE, name, ANN).sitting
    assert again.shown.is_draft
    assert again.shown.segmentation.labels.array[0, 0, 0] == 2
    assert all(row.volume_ml is not None for row in again.shown.rows)
    assert again.shown.grants.original is not None
    assert again.save(sha256).number == 1


def test_strokes_on_a_version_that_was_left_behind_wait_for_a_decision(desk, name):
    sitting = desk.sit(HERE, name, ANN).sitting
    first = draw(desk, sitting)
    sitting.save(first)
    old = sitting.prediction
    desk.drafts.put(name, ANN, old, painted(sitting, 2, 4))
    desk.leave(HERE)
    again = desk.sit(HERE, name, ANN).sitting
    assert again.pending is not None
    assert not again.may_draw
    assert again.shown.version.number == 1
    again.take_up()
    assert again.may_draw
    assert again.shown.is_draft
    assert again.shown.version == old
    assert (again.save().number, again.shown.version.parent) == (2, 0)


def test_pending_strokes_can_be_discarded(desk, name):
    sitting = desk.sit(HERE, name, ANN).sitting
    draw(desk, sitting)
    sitting.show(0)
    assert sitting.pending is not None
    sitting.discard()
    assert sitting.may_draw
    assert desk.drafts.names(ANN) == frozenset()
    with pytest.raises(InputError, match="draw something first"):
        sitting.save()
    with pytest.raises(InputError, match="no strokes to take up"):
        sitting.take_up()


def test_a_restored_draft_that_is_discarded_gives_way_to_its_version(desk, name):
    draw(desk, desk.sit(HERE, name, ANN).sitting)
    desk.leave(HERE)
    sitting = desk.sit(HERE, name, ANN).sitting
    sitting.discard()
    assert not sitting.shown.is_draft
    assert sitting.shown.grants.original is None


def test_a_damaged_draft_is_no_obstacle_once_it_is_discarded(desk, name):
    draw(desk, desk.sit(HERE, name, ANN).sitting)
    desk.leave(HERE)
    (path,) = (desk.config.folder / "drafts").rglob("*.draft")
    path.write_bytes(path.read_bytes()[:-20])
    sitting = desk.sit(HERE, name, ANN).sitting
    assert sitting.is_damaged
    assert not sitting.may_draw
    sitting.discard()
    assert sitting.may_draw


def test_an_older_version_can_be_shown_and_gone_on_from(desk, name):
    sitting = desk.sit(HERE, name, ANN).sitting
    sitting.save(draw(desk, sitting))
    file = sitting.shown.served.served.path
    sitting.show(0)
    assert not file.exists(), "nobody shows these outlines any more"
    assert sitting.shown.version.number == 0
    assert sitting.save(draw(desk, sitting, value=2)).parent == 0


def test_outlines_that_were_drawn_with_other_structures_are_not_shown_as_these(desk, name, tmp_path):
    sitting = desk.sit(HERE, name, ANN).sitting
    sitting.save(draw(desk, sitting))
    draw(desk, sitting, corner=3)
    desk.leave(HERE)
    (tmp_path / "data" / "labels.json").write_text('{"liver": 2, "spleen": 1}')
    desk._found._looked = -1e9
    again = desk.sit(HERE, name, ANN).sitting
    assert again.shown.version.number == 0
    assert again.pending is not None
    for work in (again.take_up, lambda: again.show(1)):
        with pytest.raises(LabelError, match="drawn with other structures .*: 'liver' had the value 1 and has 2"):
            work()


def sent(desk, grant, value=1):
    """A mask on its way: what the browser draws on what a grant is for."""
    drawn = np.array(grant.shown.array())
    drawn[:2, :2, :2] = value
    return receive_mask(grant, stream_of(body_of(grant.shown, drawn)), grant.sequence.next, desk.drafts).sha256


def test_the_last_stroke_is_kept_though_the_reader_has_gone_on(desk, name):
    sitting = desk.sit(HERE, name, ANN).sitting
    grant = sitting.shown.grants.mask
    desk.sit(HERE, desk.cases(ANN)[1].name, ANN)
    assert not grant.shown.served.path.exists()
    sha256 = sent(desk, grant, 2)
    again = desk.sit(HERE, name, ANN).sitting
    assert again.shown.is_draft
    assert again.save(sha256).number == 1


def test_a_late_stroke_on_another_version_waits_for_a_decision_and_replaces_nothing(desk, name):
    sitting = desk.sit(HERE, name, ANN).sitting
    sitting.save(sent(desk, sitting.shown.grants.mask))
    late = sitting.shown.grants.mask
    sitting.show(0)
    sent(desk, late, 2)
    assert desk.sit(HERE, name, ANN).sitting.pending.base == 1
    with pytest.raises(Refused, match="strokes of another tab"):
        sent(desk, sitting.shown.grants.mask)
    sitting.discard()
    assert sent(desk, sitting.shown.grants.mask)
    with pytest.raises(Refused, match="strokes of another tab"):
        sent(desk, late, 2)


def test_strokes_of_another_tab_are_shown_where_nothing_was_drawn(desk, name):
    one, other = (desk.sit(tab, name, ANN).sitting for tab in (HERE, THERE))
    sent(desk, one.shown.grants.mask, 2)
    assert desk.sit(HERE, name, ANN).sitting.may_draw
    assert not one.shown.is_draft, "they are on the screen already"
    assert desk.sit(THERE, name, ANN).sitting is other
    assert other.shown.is_draft
    sent(desk, other.shown.grants.mask)
    assert desk.sit(HERE, name, ANN).sitting.pending is not None, "something was drawn here"
    other.save()
    assert sent(desk, one.shown.grants.mask, 2), "they are in a version, so nothing is lost"


def test_the_version_that_a_reader_began_with_is_fetched_anew_after_a_save(desk, name):
    sitting = desk.sit(HERE, name, ANN).sitting
    first = sitting.shown.identity
    sitting.save(draw(desk, sitting))
    sitting.show(0)
    assert sitting.shown.identity != first
    assert sitting.prediction.sha256 in sitting.shown.identity, "a browser that has just these need not fetch them"


def test_readers_see_the_prediction_and_their_own_versions_seniors_see_all(desk, name):
    mine = desk.sit(HERE, name, ANN).sitting
    mine.save(draw(desk, mine))
    other = desk.sit(THERE, name, BOB).sitting
    assert [version.number for version in other.versions] == [0]
    with pytest.raises(InputError, match="no version 1"):
        other.show(1)
    assert other.save(draw(desk, other, value=2)).number == 2
    senior = desk.sit("third tab", name, SENIOR).sitting
    assert [version.number for version in senior.versions] == [0, 1, 2]
    assert senior.shown.version.number == 2
    assert senior.labels_of(1).labels.array[0, 0, 0] == 1


def test_strokes_of_another_tab_are_saved_and_shown_anew(desk, name):
    sitting = desk.sit(HERE, name, ANN).sitting
    seen = draw(desk, sitting)
    draw(desk, sitting, value=2, corner=4)
    identity = sitting.shown.identity
    sitting.save(seen)
    assert sitting.shown.segmentation.labels.array[3, 3, 3] == 2
    assert sitting.shown.identity != identity


def test_a_decision_is_about_the_version_on_the_screen(desk, name):
    sitting = desk.sit(HERE, name, ANN).sitting
    sitting.save(draw(desk, sitting))
    sitting.decide(Verdict.ACCEPTED, Difficulty.HARD, " fine now \n")
    (decision,) = sitting.decisions
    assert (decision.version, decision.reader, decision.verdict) == (1, ANN.name, Verdict.ACCEPTED)
    assert (decision.difficulty, decision.comment) == (Difficulty.HARD, "fine now")


def test_the_grant_for_masks_is_for_the_reader_and_what_they_got(desk, name):
    sitting = desk.sit(HERE, name, ANN).sitting
    grant = sitting.shown.grants.mask
    assert isinstance(grant, MaskGrant)
    assert (grant.case, grant.reader, grant.base.number) == (name, ANN, 0)
    assert grant.shown is sitting.shown.served


def test_a_structure_is_not_chosen_where_all_can_be_drawn_at_once(desk, name):
    with pytest.raises(InputError, match="drawn at once"):
        desk.sit(HERE, name, ANN).sitting.choose("liver")


@pytest.fixture
def overlapping(desk, tmp_path, monkeypatch):
    """A sitting with a case whose structures overlap."""
    masks = np.zeros((2, *GRID.shape), np.bool_)
    masks[0, :4], masks[1, 2:6] = True, True
    path = tmp_path / "overlap" / "prediction.nii.gz"
    files = nifti_case(path.parent, labels=dataclasses.replace(SCHEME, overlapping=True), prediction=path)
    write_multi_label_map(path, MultiLabelMap(masks, GRID, SCHEME.names))
    monkeypatch.setattr(desk, "files", lambda *_: files)
    return desk.sit(HERE, files.name, ANN).sitting


def test_structures_that_overlap_are_drawn_one_at_a_time(desk, overlapping):
    assert overlapping.targets == ("liver", "spleen")
    assert [row.name for row in overlapping.shown.rows] == ["liver"]
    assert overlapping.shown.rows[0].value == 1
    others = overlapping.shown.grants.others
    assert others is not None
    assert others.path.exists()
    overlapping.choose("spleen")
    assert [row.name for row in overlapping.shown.rows] == ["spleen"]
    assert not others.path.exists()


def test_a_structure_is_hidden_by_the_value_that_the_browser_has(overlapping):
    overlapping.choose("spleen")
    (row,) = overlapping.shown.rows
    assert overlapping.shown.grants.slices.look(Look(hidden=(row.value,))).hidden == {SCHEME["spleen"].value}


def test_another_structure_is_chosen_with_all_strokes_up_to_now(desk, overlapping):
    grant, labels = overlapping.shown.grants.mask, overlapping.shown.segmentation.labels
    masks = labels.array.copy()
    masks[0] = False
    desk.drafts.put(grant.case, ANN, grant.base, MultiLabelMap(masks, GRID, labels.structures))
    overlapping.choose("spleen")
    assert overlapping.shown.is_draft
    assert not overlapping.shown.segmentation.labels.array[0].any()
    saved = overlapping.save()
    assert {name for name, ml in saved.changed_ml.items() if ml} == {"liver"}


def test_readers_of_another_role_are_other_people(desk, name):
    one = desk.sit(HERE, name, ANN).sitting
    other = desk.sit(HERE, name, dataclasses.replace(ANN, role=Role.SENIOR)).sitting
    assert one is not other
