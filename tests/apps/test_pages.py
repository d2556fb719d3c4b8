"""Every page: what it shows, to whom, and what it says when something is not as it should be."""

from __future__ import annotations

import io
import threading
from dataclasses import replace

import pytest

pytest.importorskip("streamlit")

from app_pages import Pages, draw, panel, press, sound, texts, unescaped
from case_factories import ADMIN, ANN, GRID, SENIOR, config_of, entropy_file, folder_source
from factories import bundle, volume
from medseg_app import in_use
from PIL import Image
from upload_runs import in_this_process

from medseg.config.review import Role
from medseg.core.errors import InputError
from medseg.inference.bundle import BundleRecords, write_bundle
from medseg.io.formats import write_volume
from medseg.review.desk import open_desk
from medseg.review.open_case import open_case
from medseg.review.records import LOCAL_READER, Act, Reader, Verdict
from medseg.review.tickets import MaskGrant
from medseg.review.worklist import CaseStatus

LOCAL = Reader(LOCAL_READER, Role.ADMIN)
NAMES = ["work_list", "review", "upload", "export", "audit", "help"]


@pytest.fixture(autouse=True)
def viewer(monkeypatch, tmp_path_factory):
    """A viewer that was built, as far as pages can tell."""
    folder = tmp_path_factory.mktemp("assets")
    (folder / "viewer-1.js").write_text("")
    monkeypatch.setattr("medseg_viewer.assets._FOLDER", folder)


@pytest.fixture
def open_pages(tmp_path):
    """Opens the app with a configuration; without one with two cases."""
    opened = []

    def call(*sources, **changes):
        sources = sources or (folder_source(tmp_path / "data"),)
        config = config_of(*sources, folder=tmp_path / "review", key=tmp_path / "project.key", **changes)
        desk = open_desk(config)
        opened.append(desk)
        in_use.sit_at(desk)
        return Pages(desk)

    yield call
    in_use.sit_at(None)
    for desk in opened:
        desk.close()


@pytest.fixture
def pages(open_pages):
    return open_pages()


@pytest.fixture
def name(pages):
    return pages.desk.work(LOCAL)[0].record.name


def act_as(monkeypatch, reader):
    monkeypatch.setattr("medseg_app.ui.person.reader_of", lambda *_: reader)


@pytest.mark.parametrize("page", NAMES)
def test_every_page_opens(pages, page):
    assert texts(pages.open(page))


@pytest.mark.parametrize("page", NAMES)
def test_every_page_opens_without_a_single_case(open_pages, page, tmp_path):
    source = folder_source(tmp_path / "data")
    for image in source.images.iterdir():
        image.unlink()
    assert texts(open_pages(source).open(page))


def test_who_is_there_is_said_and_logged_once_a_session(pages):
    tab = pages.open()
    assert LOCAL_READER in texts(tab)
    tab.run()
    acts = [(entry.act, entry.who, entry.role) for entry in pages.desk.store.entries()]
    assert acts.count((Act.SIGNED_IN, LOCAL_READER, Role.ADMIN)) == 1


def test_the_work_list_opens_the_worst_case_first(pages, name):
    tab = pages.open()
    assert "2 cases in all, 2 of them open" in texts(tab)
    opened = press(tab, f"Open {name}")
    assert name in unescaped(texts(opened))
    assert opened.query_params["case"] == name
    assert opened.get("bidi_component")


def test_the_work_list_can_be_narrowed_down_to_nothing(pages):
    tab = pages.open()
    tab.text_input(key="filter text").set_value("no such case").run()
    assert "No case is like this" in texts(sound(tab))
    tab.text_input(key="filter text").set_value("").run()
    tab.toggle(key="filter mine").set_value(True).run()
    assert "No case is like this" in texts(sound(tab))


def test_an_empty_work_list_says_what_to_do(open_pages, tmp_path):
    source = folder_source(tmp_path / "data")
    for image in source.images.iterdir():
        image.unlink()
    shown = texts(open_pages(source).open())
    assert "nothing to review yet" in shown
    assert "source 1" in shown


def test_no_case_is_open_at_first(pages):
    assert "No case is open" in texts(pages.open("review"))


@pytest.mark.parametrize(
    "case", ["case-nobody-knows", "<b>x</b>", "../../etc/passwd", "![x](http://other.example/x.png)"]
)
def test_an_unknown_case_is_one_sentence(pages, case):
    tab = pages.open("review", case)
    assert "no such case here" in tab.error[0].value
    assert case not in texts(tab)


def test_accepting_goes_on_to_the_next_case(pages, name):
    tab = pages.open("review", name)
    tab.text_input[0].set_value("<b>fine</b> ![x](http://other.example/x.png)")
    tab = press(tab, "Accept")
    (decision,) = pages.desk.store.decisions(name)
    assert (decision.verdict, decision.version, decision.reader) == (Verdict.ACCEPTED, 0, LOCAL_READER)
    assert decision.comment == "<b>fine</b> ![x](http://other.example/x.png)"
    assert tab.query_params["case"] != name
    assert name not in unescaped(texts(tab))


def test_what_others_wrote_is_shown_as_text(pages, name):
    comment = "<img src=http://other.example/x.png> ![x](http://other.example/x.png)"
    tab = pages.open("review", name)
    tab.toggle(key="goes on").set_value(False)
    tab.text_input[0].set_value(comment)
    tab = press(tab, "Reject")
    assert any(comment in one.value for one in tab.text)
    assert not any("other.example" in one.value for one in (*tab.markdown, *tab.caption))
    assert {item.status for item in pages.desk.work(LOCAL)} == {CaseStatus.NEW, CaseStatus.REJECTED}


def test_every_verdict_has_a_button(pages, name):
    labels = {"Needs work": Verdict.NEEDS_WORK, "Reject": Verdict.REJECTED, "Accept": Verdict.ACCEPTED}
    for label, verdict in labels.items():
        press(pages.open("review", name), label)
        assert pages.desk.store.decisions(name)[-1].verdict is verdict


def test_an_earlier_version_can_be_shown_again(pages, name):
    sitting = pages.desk.sit("another tab", name, LOCAL).sitting
    sitting.save(draw(pages.desk, sitting))
    tab = pages.open("review", name)
    assert "**Version 1** is on the screen" in texts(tab)
    assert "from version 0" in texts(tab)
    assert "**Version 0** is on the screen" in texts(press(tab, "Show"))


def test_only_what_is_on_the_screen_has_a_ticket(pages, name):
    sitting = pages.desk.sit("another tab", name, LOCAL).sitting
    sitting.save(draw(pages.desk, sitting))
    tab = pages.open("review", name)
    for _ in range(2):
        tab = press(tab, "Show")
    (seat,) = (one for one in pages.desk._seats.values() if one.sitting is not sitting)
    masks = [grant for grant, *_ in seat.passes._issued.values() if isinstance(grant, MaskGrant)]
    assert masks == [seat.sitting.shown.grants.mask]


def test_strokes_from_before_are_shown_again_and_can_be_discarded(pages, name):
    draw(pages.desk, pages.desk.sit("another tab", name, LOCAL).sitting)
    tab = pages.open("review", name)
    assert "strokes that were not saved are back" in texts(tab)
    assert next(one for one in tab.button if one.label == "Accept").disabled
    tab = press(tab, "Discard them")
    assert "strokes" not in tab.markdown[0].value
    assert pages.desk.drafts.names(LOCAL) == frozenset()


def test_strokes_from_before_can_be_saved_without_the_viewer(pages, name):
    draw(pages.desk, pages.desk.sit("another tab", name, LOCAL).sitting)
    tab = press(pages.open("review", name), "Save them")
    assert "**Version 1** is on the screen" in texts(tab)
    assert "strokes that were not saved" not in texts(tab)
    assert pages.desk.store.versions(name)[-1].changed_ml["liver"] > 0
    assert pages.desk.drafts.names(LOCAL) == frozenset()


def test_strokes_on_a_version_that_was_left_behind_can_be_taken_up(pages, name):
    other = pages.desk.sit("another tab", name, LOCAL).sitting
    base, sha256 = other.prediction, draw(pages.desk, other)
    other.save(sha256)
    pages.desk.drafts.put(name, LOCAL, base, other.shown.segmentation.labels)
    tab = pages.open("review", name)
    assert "decide about them before you draw" in texts(tab)
    assert "**Version 0** is on the screen" in texts(press(tab, "Show them on version 0"))


def test_a_comparison_goes_from_difference_to_difference(pages, name):
    tab = panel(pages.open("review", name), "Compare")
    assert tab.dataframe[0].value["Structure"].tolist() == ["liver", "spleen"]
    tab = press(tab, "Next")
    assert any(one.value.startswith("1 of ") for one in tab.text)
    first = tab.session_state["jump"]
    tab = press(tab, "Next")
    assert tab.session_state["jump"] != first
    assert any(one.value.startswith("1 of ") for one in press(tab, "Back").text)


def test_without_anything_to_compare_with_it_says_so(open_pages, tmp_path):
    pages = open_pages(replace_source(tmp_path, reference=None))
    tab = pages.open("review", pages.desk.work(LOCAL)[0].record.name)
    assert "nothing to compare with" in texts(panel(tab, "Compare"))


def test_without_a_map_of_uncertainty_it_says_so(pages, name):
    assert "left no map" in texts(panel(pages.open("review", name), "Uncertainty"))


def test_uncertain_slices_are_gone_through(pages, name, monkeypatch):
    files = pages.desk.files(name, LOCAL)
    path = entropy_file(files.prediction.with_name("entropy.nii.gz"))
    monkeypatch.setattr(pages.desk, "files", lambda *_: replace(files, uncertainty=path))
    tab = panel(pages.open("review", name), "Uncertainty")
    assert set(tab.dataframe[0].value["Structure"]) == {"liver", "spleen"}
    assert "Slice 1 of 7" in texts(press(tab, "Next"))


def test_a_case_tells_what_is_known_of_it(pages, name):
    shown = texts(panel(pages.open("review", name), "Case"))
    assert "9 x 8 x 7 voxels of 1 x 1.5 x 2.5 mm" in shown
    assert "a folder" in shown


def test_identifiers_are_shown_where_the_configuration_allows_it_and_each_look_is_logged(open_pages):
    pages = open_pages(show_identifiers=True)
    name = pages.desk.work(LOCAL)[0].record.name
    tab = panel(pages.open("review", name), "Case")
    assert pages.desk.files(name, LOCAL).identifiers not in texts(tab)
    tab = press(tab, "Show identifiers")
    assert pages.desk.files(name, LOCAL).identifiers in texts(tab)
    assert [entry.case for entry in pages.desk.store.entries() if entry.act == Act.IDENTIFIERS_SHOWN] == [name]


def test_identifiers_are_not_offered_otherwise(pages, name):
    tab = panel(pages.open("review", name), "Case")
    assert not [one for one in tab.button if "identifiers" in one.label]


def test_models_are_run_by_those_who_may(open_pages, monkeypatch, tmp_path):
    pages = open_pages(models=(tmp_path / "bundle",))
    name = pages.desk.work(LOCAL)[0].record.name
    act_as(monkeypatch, ANN)
    assert "run by senior readers" in texts(panel(pages.open("review", name), "Model"))


def test_without_a_model_it_says_so(pages, name):
    assert "names no model" in texts(panel(pages.open("review", name), "Model"))


def test_a_model_is_run_and_what_it_says_becomes_a_version(open_pages, tmp_path):
    write_bundle(tmp_path / "bundle", bundle(structures=("liver", "spleen")), BundleRecords({}, {}))
    pages = open_pages(models=(tmp_path / "bundle",))
    name = pages.desk.work(LOCAL)[0].record.name
    tab = press(panel(pages.open("review", name), "Model"), "Run it")
    while tab.session_state["jobs"]:
        tab = sound(tab.run())
    assert [version.author for version in pages.desk.store.versions(name)] == ["prediction", "tiny"]
    assert [entry.case for entry in pages.desk.store.entries() if entry.act == Act.INFERRED] == [name]


def test_a_run_can_be_cancelled(open_pages, tmp_path, monkeypatch):
    write_bundle(tmp_path / "bundle", bundle(structures=("liver", "spleen")), BundleRecords({}, {}))
    pages = open_pages(models=(tmp_path / "bundle",))
    name = pages.desk.work(LOCAL)[0].record.name
    may_go_on = threading.Event()
    monkeypatch.setattr(pages.desk.jobs, "_read", lambda files: may_go_on.wait(60) and open_case(files).volume)
    tab = press(panel(pages.open("review", name), "Model"), "Run it")
    tab = press(tab, "Cancel")
    may_go_on.set()
    while tab.session_state["jobs"]:
        tab = sound(tab.run())
    assert len(pages.desk.store.versions(name)) == 1


def test_outlines_of_a_case_that_came_without_are_its_prediction(open_pages, tmp_path):
    write_bundle(tmp_path / "bundle", bundle(structures=("liver", "spleen")), BundleRecords({}, {}))
    pages = open_pages(replace_source(tmp_path, predictions=None, reference=None), models=(tmp_path / "bundle",))
    name = pages.desk.work(LOCAL)[0].record.name
    tab = press(panel(pages.open("review", name), "Model"), "Run it")
    while tab.session_state["jobs"]:
        tab = sound(tab.run())
    files = pages.desk.files(name, LOCAL)
    assert files.prediction is not None
    assert files.record.model.name == "tiny"
    assert files.scheme.names == ("liver", "spleen")
    assert "**Version 1** is on the screen" in texts(tab)


def test_clicks_refine_the_chosen_structure(pages, name):
    tab = panel(pages.open("review", name), "Refine")
    assert [one.label for one in tab.selectbox if one.options == ["liver", "spleen"]] == ["Structure"]
    assert "0 clicks" in texts(tab)
    seat = pages.desk._seats[next(iter(pages.desk._seats))]
    seat.refining.click("liver", (4, 4, 4), belongs=True)
    tab = sound(tab.run())
    assert "1 click" in texts(tab)
    assert "0 clicks" in texts(press(tab, "Take the last click back"))


def test_a_version_is_exported_and_can_be_taken_away(pages, name):
    tab = press(panel(pages.open("review", name), "Export"), "Export")
    (folder,) = (pages.desk.config.folder / "exports").iterdir()
    assert {path.name for path in folder.iterdir()} == {"labels.nii.gz", "report.html"}
    assert folder.name in texts(tab)
    assert [entry.case for entry in pages.desk.store.entries() if entry.act == Act.EXPORTED] == [name]


def test_exports_are_for_seniors(pages, name, monkeypatch):
    act_as(monkeypatch, ANN)
    assert "made by senior readers" in texts(panel(pages.open("review", name), "Export"))
    assert "exported by senior readers" in texts(pages.open("export"))


def test_accepted_cases_become_a_training_set(pages, name):
    tab = press(pages.open("export"), "Write the data set")
    assert "no case is accepted yet" in tab.error[0].value.lower()
    press(pages.open("review", name), "Accept")
    tab = press(pages.open("export"), "Write the data set")
    assert "1 case are in" not in texts(tab)
    assert tab.code[0].value.startswith("medseg plan exports/training-")
    assert len(tab.dataframe[0].value) == 1


def test_the_agreement_of_readers_is_told(pages, name):
    assert "No two readers" in texts(pages.open("export"))
    for reader, verdict in ((ANN, Verdict.ACCEPTED), (SENIOR, Verdict.REJECTED)):
        pages.desk.sit(reader.name, name, reader).sitting.decide(verdict)
    assert pages.open("export").dataframe[-1].value["Same verdict"].tolist() == ["0%"]


def test_the_outlines_of_several_authors_are_compared(pages, name):
    sitting = pages.desk.sit("another tab", name, LOCAL).sitting
    sitting.save(draw(pages.desk, sitting))
    tab = press(pages.open("review", name), "How far do they agree?")
    assert tab.dataframe[0].value["Structure"].tolist() == ["liver", "spleen"]


def test_an_upload_becomes_a_case_of_the_session(pages, tmp_path, monkeypatch):
    in_this_process(monkeypatch)
    write_volume(tmp_path / "mine.nii.gz", volume(GRID))
    tab = pages.open("upload")
    tab = sound(tab.segmented_control[0].set_value("Files or archives").run())
    tab.file_uploader[0].set_value(("Jane_Doe.nii.gz", (tmp_path / "mine.nii.gz").read_bytes(), "application/gzip"))
    tab = press(sound(tab.run()), "Take them in")
    assert "Your uploads" in texts(tab), texts(tab)
    (files,) = [files for files in pages.desk.cases(LOCAL) if files.record.owner]
    assert files.record.owner == LOCAL_READER
    assert "Jane" not in texts(tab)
    opened = press(tab, f":blue[{files.name}]")
    assert "nothing is outlined yet" in texts(opened)
    assert [entry.case for entry in pages.desk.store.entries() if entry.act == Act.UPLOADED] == [files.name]


@pytest.fixture
def unread(monkeypatch):
    """Nothing here can tell whether a picture shows text."""
    in_this_process(monkeypatch)
    monkeypatch.setattr("medseg.deid.study._finder", lambda: None)


def upload_a_picture(pages):
    """A tab in which a picture was uploaded that may show text."""
    made = io.BytesIO()
    Image.new("L", (48, 32), 90).save(made, "PNG")
    tab = pages.open("upload")
    tab = sound(tab.segmented_control[0].set_value("Files or archives").run())
    tab.file_uploader[0].set_value(("picture.png", made.getvalue(), "image/png"))
    return press(sound(tab.run()), "Take them in")


def test_pictures_that_may_show_text_are_shown_as_they_are_to_those_who_decide(pages, unread):
    tab = upload_a_picture(pages)
    assert "Held back" in texts(tab)
    assert "Your uploads" not in texts(tab)
    tab = press(tab, "Look at it")
    tab = sound(tab.run())
    acts = [entry.act for entry in pages.desk.store.entries()]
    assert acts.count(Act.IDENTIFIERS_SHOWN) == 1, "one look is one entry"
    tab = press(tab, "There is no text: let through")
    assert "Your uploads" in texts(tab)
    assert "Held back" not in texts(tab)
    assert Act.TEXT_RELEASED in [entry.act for entry in pages.desk.store.entries()]


def test_others_see_such_pictures_blanked_and_may_remove_their_own(pages, unread, monkeypatch):
    act_as(monkeypatch, ANN)
    tab = upload_a_picture(pages)
    assert "A senior reader can look at them" in texts(tab)
    labels = {one.label for one in tab.button}
    assert not labels & {"Look at it", "There is no text: let through"}
    assert "Held back" not in texts(press(tab, "Remove"))


def test_what_cannot_be_taken_in_is_one_sentence(pages):
    tab = pages.open("upload")
    tab = sound(tab.segmented_control[0].set_value("Files or archives").run())
    tab.file_uploader[0].set_value(("study.zip", b"PK\x03\x04 this is no archive", "application/zip"))
    tab = press(sound(tab.run()), "Take them in")
    assert len(tab.error) == 1
    assert "Your uploads" not in texts(tab)


def test_a_reader_does_not_see_the_audit_log(pages, monkeypatch):
    for reader in (ANN, SENIOR):
        act_as(monkeypatch, reader)
        with pytest.raises(ValueError, match="audit"):
            pages.open("audit")


def test_an_admin_reads_and_checks_the_audit_log(pages, name, monkeypatch):
    act_as(monkeypatch, ADMIN)
    pages.open("review", name)
    tab = pages.open("audit")
    assert tab.dataframe[0].value["What"].tolist()[0] == "signed in"
    assert "opened" in tab.dataframe[0].value["What"].tolist()
    tab.text_input[0].set_value("nobody at all").run()
    assert "No entry" in texts(sound(tab))
    assert "are as they were written" in texts(press(tab, "Check the whole log"))


def test_a_log_that_was_tampered_with_is_said_in_words(pages, monkeypatch):
    tab = pages.open("audit")
    (pages.desk.config.folder / "audit.head").unlink()
    assert "not as it was written" in texts(press(tab, "Check the whole log"))


def test_an_error_of_ours_is_one_sentence(pages, monkeypatch):
    def broken(_reader):
        raise InputError("the disk holds 'x' <b>and</b> nothing else")

    monkeypatch.setattr(pages.desk, "work", broken)
    shown = pages.open().error[0].value
    assert unescaped(shown) == "The disk holds 'x' <b>and</b> nothing else."
    assert "\\<b\\>" in shown


def test_any_other_error_is_a_number_and_nothing_of_its_text(pages, monkeypatch, caplog):
    def broken(_reader):
        raise RuntimeError("Jane Doe, /data/patients/17")

    monkeypatch.setattr(pages.desk, "work", broken)
    shown = pages.open().error[0].value
    assert "Jane" not in shown
    assert "patients" not in shown
    record = [one for one in caplog.records if one.name == "medseg.app"][-1]
    assert record.args[0] in shown
    assert "Jane" not in record.getMessage()


def replace_source(tmp_path, **changes):
    return folder_source(tmp_path / "data").model_copy(update=changes)
