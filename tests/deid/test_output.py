from __future__ import annotations

import json
import stat
import sys
from pathlib import Path

import pytest

from medseg.core.errors import InputError, OutputError
from medseg.deid.output import check_output, claimed
from medseg.deid.records import UnitRecord


@pytest.fixture
def places(tmp_path):
    return tmp_path / "out", tmp_path / "held"


def record(unit="study-1", paths=("patient-1/study-1",), **others):
    return UnitRecord(unit=unit, patient="patient-1", stamp="s", settings="t", paths=paths, files=1, **others)


def stage(results, unit="study-1", released=("patient-1/study-1/a.dcm",), held=()):
    for kind, names in (("release", released), ("held", held)):
        for name in names:
            path = results.staging / unit / kind / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("[]" if name == "why.json" else unit)


def content(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_study_comes_as_a_whole_with_its_record(places):
    with claimed(*places, "abc") as results:
        stage(results, released=("patient-1/study-1/a.dcm", "patient-1/study-1/b.dcm"))
        results.publish(record())
        assert results.list_quarantine() == 0
    assert content(places[0]) == [
        ".deid/run.json",
        ".deid/study-1.json",
        "patient-1/study-1/a.dcm",
        "patient-1/study-1/b.dcm",
    ]
    assert not places[1].exists()


def test_a_second_study_joins_the_patient_and_a_new_version_replaces_the_old(places):
    with claimed(*places, "abc") as results:
        stage(results)
        results.publish(record())
    with claimed(*places, "abc") as results:
        assert results.records["study-1"] == record()
        stage(results, "study-2", ("patient-1/study-2/a.dcm",))
        results.publish(record("study-2", ("patient-1/study-2",)))
        stage(results, released=("patient-1/study-1/new.dcm",))
        results.publish(record())
    names = [name for name in content(places[0]) if name.startswith("patient")]
    assert names == ["patient-1/study-1/new.dcm", "patient-1/study-2/a.dcm"]


def test_what_is_held_back_lies_apart_where_only_the_owner_may_look(places):
    with claimed(*places, "abc") as results:
        stage(results, released=(), held=("instance-1.dcm", "why.json"))
        results.publish(record(paths=()))
        why = places[1] / "study-1" / "why.json"
        why.write_text(json.dumps([{"name": "instance-1", "reason": "doubtful", "source": "doe.dcm"}]))
        assert results.list_quarantine() == 1
    assert stat.S_IMODE(places[1].stat().st_mode) == 0o700
    assert json.loads((places[1] / "quarantine.json").read_text())["study-1"][0]["source"] == "doe.dcm"
    assert "patient-1" not in content(places[0])


def test_a_quarantine_that_got_empty_goes(places):
    with claimed(*places, "abc") as results:
        stage(results, released=(), held=("why.json",))
        results.publish(record(paths=()))
        stage(results)
        results.publish(record())
        assert results.list_quarantine() == 0
    assert not places[1].exists()


def test_a_study_that_is_withdrawn_leaves_nothing(places):
    with claimed(*places, "abc") as results:
        stage(results)
        stage(results, held=("why.json",))
        results.publish(record())
        results.withdraw("study-1")
        results.withdraw("study-2")
    assert content(places[0]) == [".deid/run.json"]
    assert [path.name for path in places[0].iterdir()] == [".deid"]


def test_an_unfinished_run_leaves_nothing_of_what_it_had_not_proven(places):
    def interrupted():
        with claimed(*places, "abc") as results:
            stage(results)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert content(places[0]) == [".deid/run.json"]
    (places[0] / ".deid" / "staging-killed").mkdir()
    with claimed(*places, "abc") as results:
        assert [path.name for path in places[0].glob(".deid/staging-*")] == [results.staging.name]


def test_a_run_that_is_killed_leaves_no_file_that_no_record_knows(places, monkeypatch):
    out, new, move = places[0], ("patient-1/a.nii", "patient-1/b.nii"), Path.replace

    def killed(path, target):
        if path.name == "b.nii":
            raise KeyboardInterrupt
        return move(path, target)

    with claimed(*places, "abc") as results:
        stage(results)
        results.publish(record())
        stage(results, released=new)
        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", killed)
            with pytest.raises(KeyboardInterrupt):
                results.publish(record(paths=new))
    with claimed(*places, "abc") as results:
        left = results.records["study-1"]
        assert (left.stamp, left.settings, set(left.paths)) == ("", "", {"patient-1/study-1", *new})
        with monkeypatch.context() as patch:
            patch.setattr("medseg.deid.output.shutil.move", lambda path, _: killed(path.with_name("b.nii"), out))
            with pytest.raises(KeyboardInterrupt):
                results.withdraw("study-1")
    with claimed(*places, "abc") as results:
        results.withdraw("study-1")
    assert content(out) == [".deid/run.json"]


def test_a_unit_that_an_earlier_version_drew_otherwise_goes(places):
    parts = ("patient-1/a.nii", "patient-1/b.nii")
    with claimed(*places, "abc") as results:
        stage(results, "images-1", parts)
        results.publish(record("images-1", parts))
    with claimed(*places, "abc") as results:
        for unit, part in zip(("images-2", "images-3"), parts, strict=True):
            stage(results, unit, (part,))
            results.publish(record(unit, (part,)))
        assert set(results.records) == {"images-2", "images-3"}
    assert [name for name in content(places[0]) if "images-1" in name or name in parts] == list(parts)


def test_a_record_that_points_elsewhere_moves_nothing(places, tmp_path):
    (tmp_path / "precious").write_text("")
    with claimed(*places, "abc") as results:
        stage(results)
        results.records["study-1"] = record(paths=("../precious",))
        with pytest.raises(InputError, match="leaves its folder"):
            results.publish(record())
    assert (tmp_path / "precious").exists()


def test_two_runs_do_not_meet(places):
    with (
        claimed(*places, "abc"),
        pytest.raises(InputError, match="another `medseg deidentify` is at work"),
        claimed(*places, "abc"),
    ):
        pass


def test_a_system_without_locks_is_trusted(places, monkeypatch):
    monkeypatch.setitem(sys.modules, "fcntl", None)
    with claimed(*places, "abc"), claimed(*places, "abc") as results:
        assert results.staging.is_dir()


def test_folders_that_are_not_for_results(places, tmp_path):
    out, held = places
    out.mkdir()
    check_output(out, held, "abc")
    (out / "thesis.doc").write_text("")
    with pytest.raises(InputError, match="holds files that `medseg deidentify` did not write; name a new folder"):
        check_output(out, held, "abc")
    (out / ".deid").mkdir()
    (out / ".deid" / "run.json").write_text("[]")
    with pytest.raises(InputError, match="did not write"):
        check_output(out, held, "abc")
    (out / ".deid" / "run.json").write_text('{"key": "xyz"}')
    with pytest.raises(InputError, match="made with another project key"):
        check_output(out, held, "abc")
    check_output(out, held, "xyz")
    held.mkdir()
    (held / "thesis.doc").write_text("")
    with pytest.raises(InputError, match="holds other files; name a new folder by --quarantine"):
        check_output(out, held, "xyz")
    with pytest.raises(InputError, match="'thesis.doc' is a file|is a file; results need a folder"):
        check_output(out / "thesis.doc", held, "xyz")


@pytest.mark.parametrize(
    ("error", "words"),
    [(OSError(28, "No space left"), "the disk is full"), (OSError(5, "Input/output error"), "input/output error")],
)
def test_a_disk_that_fails_is_one_sentence(places, monkeypatch, error, words):
    with claimed(*places, "abc") as results:
        stage(results)

        move = Path.replace

        def fail(path, target):
            if "release" in path.parts:
                raise error
            return move(path, target)

        monkeypatch.setattr(Path, "replace", fail)
        with pytest.raises(OutputError, match=f"cannot write results to 'out': {words}"):
            results.publish(record())
    assert content(places[0]) == [".deid/run.json", ".deid/study-1.json"]
