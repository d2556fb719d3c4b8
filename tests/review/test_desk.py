import pytest
from case_factories import ANN, BOB, GRID, config_of, folder_source, nifti_case
from factories import volume

from medseg.core.errors import InputError, ReadError
from medseg.io.formats import write_volume
from medseg.review.desk import Desk, open_desk
from medseg.review.opened import opened_case
from medseg.review.records import LOCAL_READER, CaseName
from medseg.review.session_files import SessionFiles
from medseg.review.worklist import CaseStatus

HERE, THERE = "this tab", "another tab"


@pytest.fixture
def desk(tmp_path):
    config = config_of(folder_source(tmp_path / "data"), folder=tmp_path / "review", key=tmp_path / "project.key")
    with open_desk(config) as opened:
        yield opened


def files_below(desk: Desk):
    shown = desk.config.folder / "shown"
    return sorted(path for path in shown.rglob("*.nii"))


def test_the_work_list_holds_the_cases_of_the_sources(desk):
    items = desk.work(ANN)
    assert [item.status for item in items] == [CaseStatus.NEW] * 2
    assert desk.notes == ()


def test_an_unknown_case_is_one_sentence(desk):
    with pytest.raises(InputError, match="no such case here"):
        desk.sit(HERE, CaseName("case-nobody-knows"), ANN)


def test_readers_share_the_voxels_and_not_what_they_draw(desk):
    name = desk.cases(ANN)[0].name
    one, other = desk.sit(HERE, name, ANN).sitting, desk.sit(THERE, name, BOB).sitting
    assert one.opened is other.opened
    assert one.shown.served.served.path != other.shown.served.served.path


def test_files_for_the_browser_are_gone_when_the_last_reader_left(desk):
    name = desk.cases(ANN)[0].name
    desk.sit(HERE, name, ANN)
    desk.sit(THERE, name, BOB)
    desk.leave(HERE)
    assert len(files_below(desk)) == 2
    desk.leave(THERE)
    assert files_below(desk) == []


def test_the_next_case_is_read_ahead(desk):
    first, second = (files.name for files in desk.cases(ANN))
    desk.sit(HERE, first, ANN)
    desk.prepare(HERE, second, ANN)
    assert desk.sit(HERE, second, ANN).sitting.opened.case.files.name == second


def test_a_case_whose_files_changed_is_read_anew(desk, tmp_path):
    name = desk.cases(ANN)[0].name
    before = desk.sit(HERE, name, ANN).sitting
    (tmp_path / "data" / "reference" / "one.nii.gz").unlink()
    (tmp_path / "data" / "reference" / "two.nii.gz").unlink()
    desk._found._looked = -1e9
    after = desk.sit(HERE, name, ANN).sitting
    assert after is not before
    assert after.opened.case.files.reference is None


def test_a_visit_that_ended_leaves_no_files(desk):
    desk.visits.here(HERE)
    desk.sit(HERE, desk.cases(ANN)[0].name, ANN)
    session = desk.session(HERE, ANN)
    assert desk.session(HERE, ANN) is session
    desk.visits.close()
    assert not session.is_open
    assert files_below(desk) == []


def test_another_person_in_the_same_tab_gets_other_files(desk):
    first = desk.session(HERE, ANN)
    second = desk.session(HERE, BOB)
    assert not first.is_open
    assert second.owner == BOB.name


def test_a_source_that_is_broken_is_a_note(tmp_path):
    config = config_of(folder_source(tmp_path / "data"), folder=tmp_path / "review", key=tmp_path / "project.key")
    for image in (tmp_path / "data" / "images").iterdir():
        image.unlink()
    with open_desk(config) as desk:
        assert desk.work(ANN) == []
        assert len(desk.notes) == 1


def test_a_key_among_the_reviews_is_refused(tmp_path):
    with pytest.raises(InputError, match="may not lie in the output folder"):
        open_desk(config_of(folder=tmp_path, key=tmp_path / "project.key"))


def test_a_case_that_cannot_be_read_leaves_nothing(tmp_path):
    files = nifti_case(tmp_path / "data")
    files.image[0].write_bytes(b"no image")
    sessions = SessionFiles(tmp_path / "review")
    session = sessions.open(LOCAL_READER)
    with pytest.raises(ReadError):
        opened_case(files, session, config_of().limits)
    assert not list((tmp_path / "review").rglob("room-*"))
    sessions.close()


def test_an_image_of_several_channels_is_shown_one_at_a_time(tmp_path):
    files = nifti_case(tmp_path / "data")
    write_volume(files.image[0], volume(GRID, ("T1", "T2")))
    sessions = SessionFiles(tmp_path / "review")
    opened = opened_case(files, sessions.open(LOCAL_READER), config_of().limits)
    first, second = opened.channels
    assert opened.channel(first) is opened.image
    other = opened.channel(second)
    assert opened.channel(second) is other
    assert other.path.read_bytes() != opened.image.path.read_bytes()
    opened.close()
    assert not other.path.exists()
    sessions.close()
