import csv
import errno
import gc
import itertools
import json
import time
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from dicom_factories import MARKER, Grid, write_series
from factories import bundle, geometry, label_map, volume
from PIL import Image
from torch import nn
from torch.nn import functional as F

import medseg.pipelines.predict as pipeline
from medseg.core.errors import BundleError, InputError, OutputError, ReadError
from medseg.core.volume import MultiLabelMap, Volume
from medseg.inference.bundle import Bundle, BundleRecords, TrainingFacts, write_bundle
from medseg.inference.ensemble import ensemble
from medseg.inference.outcomes import Done, Failed, Skipped
from medseg.inference.settings import PredictionSettings
from medseg.io.formats import read_label_map, read_multi_label_map, read_volume, write_volume
from medseg.pipelines.predict import PredictOptions, predict

GRID = geometry((20, 18, 17), spacing=(1.0, 1.0, 1.0))
CPU = PredictionSettings(device="cpu", precision="fp32")
MAPS = PredictionSettings(device="cpu", precision="fp32", probabilities=True, entropy=True)


def use(monkeypatch, model: Bundle) -> None:
    """Have every folder read as this model."""
    monkeypatch.setattr(pipeline, "read_bundle", lambda _: model)


class Echo(nn.Module):
    """Sure of the class whose index the image holds, as bytes."""

    def forward(self, image):
        return 40.0 * F.one_hot((image[:, 0] * 255).round().long(), 3).movedim(-1, 1)


@pytest.fixture
def options(tmp_path):
    return PredictOptions(CPU, key=tmp_path / "project.key")


@pytest.fixture(autouse=True)
def echo(monkeypatch):
    """Every bundle is read as one that gives back the label map in its input."""
    model = bundle(Echo(), channels=[{"name": "MR", "intensity": "unit"}])
    use(monkeypatch, model)
    return model


def write_image(path: Path, grid=GRID, seed=0) -> np.ndarray:
    """An image whose values are what is to be predicted."""
    labels = label_map(grid, seed=seed)
    write_volume(path, Volume(labels.array[None], grid))
    return labels.array


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def table(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "predictions.csv").read_text().splitlines()))


def test_nifti_keeps_its_name_and_grid(tmp_path, options):
    grid = geometry((20, 18, 17), codes="PIR", oblique_degrees=20, spacing=(1.0, 1.2, 0.9))
    expected = write_image(tmp_path / "brain.01.nii.gz", grid)
    run = predict(tmp_path, [tmp_path / "brain.01.nii.gz"], tmp_path / "out", options)
    assert names(tmp_path / "out") == ["brain.01.nii.gz", "predictions.csv"]
    predicted = read_label_map(tmp_path / "out" / "brain.01.nii.gz")
    assert predicted.geometry.is_close(grid)
    assert np.array_equal(predicted.array, expected)
    (done,) = run.outcomes
    assert isinstance(done, Done)
    assert done.volumes_ml["two"] == pytest.approx((expected == 2).sum() * 1.0 * 1.2 * 0.9 / 1000)


def test_table_links_outputs_to_inputs(tmp_path, options):
    for seed, name in enumerate(("b.nii.gz", "a.nii")):
        write_image(tmp_path / "in" / name, seed=seed)
    run = predict(tmp_path, [tmp_path / "in"], tmp_path / "out", options)
    rows = table(tmp_path / "out")
    assert [row["case"] for row in rows] == ["a", "b"]
    assert rows[0]["input"] == "a.nii"
    assert str(tmp_path) not in (tmp_path / "out" / "predictions.csv").read_text()  # folders may name a patient
    assert {row["status"] for row in rows} == {"done"}
    assert [row["output"] for row in rows] == ["a.nii.gz", "b.nii.gz"]
    assert float(rows[0]["one mL"]) == pytest.approx(run.rows()[0]["one mL"])
    assert (run.done, run.failed) == (2, 0)


def test_dicom_is_named_by_pseudonym_and_leaves_no_identifier(tmp_path, options, caplog):
    grid = Grid(columns=20, rows=18, slices=8, spacing=(1.0, 1.0, 2.0))
    folder = tmp_path / "in" / f"{MARKER}-folder"
    stored = write_series(folder / "fits", grid, np.full((20, 18, 8), 2, np.int16), modality="MR")
    write_series(folder / "other modality", grid, modality="CT")
    run = predict(tmp_path, [folder], tmp_path / "out", options)
    (done,) = (one for one in run.outcomes if isinstance(one, Done))
    (skipped,) = (one for one in run.outcomes if isinstance(one, Skipped))
    assert done.output.name == f"{done.case}.nii.gz"
    predicted = read_label_map(done.output)
    assert (predicted.array == 2).all()
    assert np.allclose(predicted.geometry.affine, grid.affine, atol=1e-4)
    assert stored.shape == predicted.geometry.shape
    assert "its modality is CT" in skipped.reason
    assert {row["input"] for row in table(tmp_path / "out")} == {done.case, skipped.case}
    written = b"".join(path.read_bytes() for path in (tmp_path / "out").iterdir())
    assert MARKER not in written.decode("latin-1") + repr(run) + caplog.text
    assert MARKER not in " ".join(names(tmp_path / "out"))


def test_maps_and_preview_are_written_where_asked(tmp_path, options):
    expected = write_image(tmp_path / "a.nii.gz")
    wanted = PredictOptions(MAPS, preview=True)
    predict(tmp_path, [tmp_path / "a.nii.gz"], tmp_path / "out", wanted)
    assert names(tmp_path / "out") == [
        "a.nii.gz",
        "a_entropy.nii.gz",
        "a_preview.png",
        "a_probabilities.nii.gz",
        "predictions.csv",
    ]
    probabilities = read_volume(tmp_path / "out" / "a_probabilities.nii.gz")
    assert np.allclose(probabilities.array, [expected == 1, expected == 2], atol=1e-3)
    assert probabilities.geometry.is_close(GRID)
    entropy = read_volume(tmp_path / "out" / "a_entropy.nii.gz")
    assert entropy.array.dtype == np.float32
    assert entropy.array.max() < 1e-3
    with Image.open(tmp_path / "out" / "a_preview.png") as picture:
        assert min(picture.size) > 100


def test_only_the_wanted_structures_are_written_and_measured(tmp_path, options):
    expected = write_image(tmp_path / "a.nii.gz")
    wanted = PredictOptions(replace(MAPS, structures=("two",)), preview=True)
    run = predict(tmp_path, [tmp_path / "a.nii.gz"], tmp_path / "out", wanted)
    labels = read_label_map(tmp_path / "out" / "a.nii.gz").array
    assert np.array_equal(labels, np.where(expected == 2, 2, 0))
    assert read_volume(tmp_path / "out" / "a_probabilities.nii.gz").array.shape[0] == 1
    assert run.targets == ("two",)
    assert set(table(tmp_path / "out")[0]) == {"case", "input", "status", "reason", "output", "two mL"}


def test_unknown_structure_is_refused_before_anything_is_read(tmp_path, options):
    write_image(tmp_path / "a.nii.gz")
    wanted = PredictOptions(replace(CPU, structures=("liver",)))
    with pytest.raises(InputError, match="does not know a structure 'liver'; it knows 'one', 'two'"):
        predict(tmp_path, [tmp_path / "a.nii.gz"], tmp_path / "out", wanted)
    assert not (tmp_path / "out").exists()


def test_picture_gives_a_picture(tmp_path, options):
    labels = np.random.default_rng(0).integers(0, 3, (30, 40), dtype=np.uint8)
    Image.fromarray(labels).save(tmp_path / "cells.png")
    run = predict(tmp_path, [tmp_path / "cells.png"], tmp_path / "out", options)
    with Image.open(tmp_path / "out" / "cells.png") as picture:
        assert np.array_equal(np.asarray(picture), labels)
    assert run.rows()[0]["one mL"] is None
    assert table(tmp_path / "out")[0]["one mL"] == ""


def test_overlapping_structures_become_one_volume_each(tmp_path, options, monkeypatch):
    class Both(nn.Module):
        def forward(self, image):
            return torch.full((len(image), 2, *image.shape[2:]), 20.0)

    labels = {"structures": [{"name": "a", "value": 1}, {"name": "b", "value": 2}], "overlapping": True}
    use(monkeypatch, bundle(Both(), labels=labels))
    write_image(tmp_path / "x.nii.gz")
    run = predict(tmp_path, [tmp_path / "x.nii.gz"], tmp_path / "out", options)
    assert isinstance(masks := read_multi_label_map(tmp_path / "out" / "x.nii.gz", ("a", "b")), MultiLabelMap)
    assert masks.array.all()
    assert run.rows()[0]["b mL"] == pytest.approx(20 * 18 * 17 / 1000)


def test_one_failed_case_does_not_stop_the_others(tmp_path, options):
    folder = tmp_path / "in"
    write_image(folder / "a.nii.gz")
    (folder / "b.nii.gz").write_bytes(b"damaged")
    write_volume(folder / "c.nii.gz", Volume(volume(GRID, channels=("0", "1")).array, GRID, ("0", "1")))
    write_image(folder / "d.nii.gz", seed=1)
    run = predict(tmp_path, [folder], tmp_path / "out", options)
    assert [type(one) for one in run.outcomes] == [Done, Failed, Failed, Done]
    assert names(tmp_path / "out") == ["a.nii.gz", "d.nii.gz", "predictions.csv"]
    rows = table(tmp_path / "out")
    assert "b.nii.gz" in rows[1]["reason"]
    assert "the model wants 1 channel ('MR'), the image has 2 channels" in rows[2]["reason"]
    assert run.failed == 2


def test_unexpected_error_is_a_failed_case_that_tells_nothing(tmp_path, options, monkeypatch):
    def broken(self, *arguments):
        raise ZeroDivisionError(MARKER)

    write_image(tmp_path / "in" / "a.nii.gz")
    write_image(tmp_path / "in" / "b.nii.gz")
    monkeypatch.setattr(pipeline.Predictor, "predict", broken)
    run = predict(tmp_path, [tmp_path / "in"], tmp_path / "out", options)
    assert run.failed == 2
    assert run.outcomes[0].reason == "unexpected ZeroDivisionError; predict it alone to see the details"
    with pytest.raises(ZeroDivisionError, match=MARKER):
        predict(tmp_path, [tmp_path / "in" / "a.nii.gz"], tmp_path / "out", options)


def test_error_of_the_only_input_is_raised(tmp_path, options):
    (tmp_path / "b.nii.gz").write_bytes(b"damaged")
    with pytest.raises(ReadError, match=r"b\.nii\.gz"):
        predict(tmp_path, [tmp_path / "b.nii.gz"], tmp_path / "out", options)
    write_series(tmp_path / "ct", Grid(columns=20, rows=18, slices=8), modality="CT")
    with pytest.raises(InputError, match="series-[0-9a-f]+: its modality is CT, the model was trained on MR"):
        predict(tmp_path, [tmp_path / "ct"], tmp_path / "out", options)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("case", ["number of channels", "names of channels"])
def test_model_for_other_channels_is_one_sentence(tmp_path, options, monkeypatch, case):
    model = bundle(Echo(), channels=[{"name": "T1"}, {"name": "T2"}])
    use(monkeypatch, model)
    write_image(tmp_path / "a.nii.gz")
    if case == "number of channels":
        with pytest.raises(InputError, match="the model wants 2 channels"):
            predict(tmp_path, [tmp_path / "a.nii.gz"], tmp_path / "out", options)
    else:
        wrong = PredictOptions(CPU, channels={"T1": tmp_path / "a.nii.gz", "FLAIR": tmp_path / "a.nii.gz"})
        with pytest.raises(InputError, match="channels T1, FLAIR were given, the model wants T1, T2"):
            predict(tmp_path, [], tmp_path / "out", wrong)
    assert not (tmp_path / "out").exists()


def test_unusual_size_of_a_named_image_is_noted(tmp_path, options):
    grid = geometry((20, 18, 17), spacing=(9.0, 1.0, 1.0))
    write_image(tmp_path / "a.nii.gz", grid)
    run = predict(tmp_path, [tmp_path / "a.nii.gz"], tmp_path / "out", options)
    assert isinstance(run.outcomes[0], Done)
    assert run.outcomes[0].note.startswith("predicted although it measures 180 x 18 x 17 mm")


def test_members_that_disagree_are_noted(tmp_path, options, monkeypatch, echo):
    class Blind(Echo):
        def forward(self, image):
            return super().forward(torch.zeros_like(image))

    blind = bundle(Blind(), channels=[{"name": "MR", "intensity": "unit"}])
    use(monkeypatch, ensemble([echo, echo, blind]))
    expected = write_image(tmp_path / "a.nii.gz")
    run = predict(tmp_path, [tmp_path / "a.nii.gz"], tmp_path / "out", options)
    assert np.array_equal(read_label_map(tmp_path / "out" / "a.nii.gz").array, expected)
    assert run.outcomes[0].note == "; ".join(f"{name}: members agree by a Dice of 0.50 only" for name in ("one", "two"))
    use(monkeypatch, ensemble([echo, echo]))
    assert predict(tmp_path, [tmp_path / "a.nii.gz"], tmp_path / "again", options).outcomes[0].note == ""


def test_channels_and_manifest_give_the_same(tmp_path, options, monkeypatch):
    model = bundle(Echo(), channels=[{"name": "T1", "intensity": "unit"}, {"name": "T2", "intensity": "unit"}])
    facts = TrainingFacts.from_grids(("T1", "T2"), [GRID])
    use(monkeypatch, replace(model, facts=facts))
    expected = write_image(tmp_path / "one.nii.gz")
    write_image(tmp_path / "two.nii.gz", seed=1)
    images = {"T2": "two.nii.gz", "T1": "one.nii.gz"}
    (tmp_path / "list.json").write_text(json.dumps({"cases": [{"id": "case-1", "patient": "p", "images": images}]}))
    joined = PredictOptions(CPU, channels={name: tmp_path / file for name, file in images.items()})
    predict(tmp_path, [], tmp_path / "out", joined)
    predict(tmp_path, [tmp_path / "list.json"], tmp_path / "out", options)
    for name in ("one.nii.gz", "case-1.nii.gz"):
        assert np.array_equal(read_label_map(tmp_path / "out" / name).array, expected)


@pytest.mark.parametrize(("first", "second"), [("a.nii.gz", "a.nii"), ("a.nii.gz", "A.nii.gz"), ("a.nrrd", "a.mha")])
def test_two_inputs_of_one_output_name_are_refused_before_anything_runs(tmp_path, options, first, second):
    write_image(tmp_path / "1" / first)
    write_image(tmp_path / "2" / second)
    with pytest.raises(InputError, match="would get one output name; predict them into two folders"):
        predict(tmp_path, [tmp_path / "1", tmp_path / "2"], tmp_path / "out", options)
    assert not (tmp_path / "out").exists()


def test_extra_map_of_one_input_does_not_replace_the_labels_of_another(tmp_path, options):
    write_image(tmp_path / "in" / "a.nii.gz")
    write_image(tmp_path / "in" / "a_entropy.nii.gz")
    predict(tmp_path, [tmp_path / "in"], tmp_path / "out", options)
    with pytest.raises(InputError, match="would get one output name"):
        predict(tmp_path, [tmp_path / "in"], tmp_path / "out", PredictOptions(MAPS))


def test_results_do_not_replace_their_inputs(tmp_path, options):
    write_image(tmp_path / "in" / "a.nii.gz")
    before = (tmp_path / "in" / "a.nii.gz").read_bytes()
    with pytest.raises(InputError, match="the results would replace their inputs"):
        predict(tmp_path, [tmp_path / "in"], tmp_path / "in", options)
    assert (tmp_path / "in" / "a.nii.gz").read_bytes() == before
    assert names(tmp_path / "in") == ["a.nii.gz"]


def test_results_do_not_replace_the_reference_of_a_manifest(tmp_path, options):
    write_image(tmp_path / "images" / "a.nii.gz")
    write_image(tmp_path / "labels" / "a.nii.gz")
    (tmp_path / "cases.csv").write_text("case,label,image.CT\na,labels/a.nii.gz,images/a.nii.gz\n")
    with pytest.raises(InputError, match="the results would replace their inputs"):
        predict(tmp_path, [tmp_path / "cases.csv"], tmp_path / "labels", options)


def test_results_replace_earlier_ones_but_nothing_else(tmp_path, options):
    write_image(tmp_path / "imagesTr" / "a.nii.gz")
    write_image(tmp_path / "labelsTr" / "a.nii.gz")
    before = (tmp_path / "labelsTr" / "a.nii.gz").read_bytes()
    with pytest.raises(InputError, match=r"holds 'a\.nii\.gz', but no predictions\.csv"):
        predict(tmp_path, [tmp_path / "imagesTr"], tmp_path / "labelsTr", options)
    assert (tmp_path / "labelsTr" / "a.nii.gz").read_bytes() == before
    for _ in range(2):
        predict(tmp_path, [tmp_path / "imagesTr"], tmp_path / "out", options)
    assert names(tmp_path / "out") == ["a.nii.gz", "predictions.csv"]


def test_output_that_is_a_file_is_refused(tmp_path, options):
    write_image(tmp_path / "a.nii.gz")
    with pytest.raises(InputError, match=r"cannot be a folder: 'a\.nii\.gz' is a file"):
        predict(tmp_path, [tmp_path / "a.nii.gz"], tmp_path / "a.nii.gz" / "out", options)


@pytest.mark.parametrize("failing", ["_entropy", "_preview", "a.nii.gz", "predictions"])
def test_full_disk_leaves_nothing_of_the_case(tmp_path, monkeypatch, failing):
    write_image(tmp_path / "a.nii.gz")
    whole = Path.replace

    def full(self, target):
        if failing in Path(target).name:
            raise OSError(errno.ENOSPC, "No space left on device")
        return whole(self, target)

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OutputError, match="the disk is full; nothing half-written was left behind"):
        predict(tmp_path, [tmp_path / "a.nii.gz"], tmp_path / "out", PredictOptions(MAPS, preview=True))
    left = names(tmp_path / "out")
    assert not any("partial" in name for name in left)
    assert left == [] or failing == "predictions"


def test_missing_input_empty_folder_and_nothing_are_refused(tmp_path, options):
    (tmp_path / "empty").mkdir()
    for inputs, message in (
        ([tmp_path / "nowhere"], "does not exist"),
        ([tmp_path / "empty"], "holds no image"),
        ([], "nothing to predict"),
    ):
        with pytest.raises(InputError, match=message):
            predict(tmp_path, inputs, tmp_path / "out", options)
    both = PredictOptions(CPU, channels={"MR": tmp_path})
    with pytest.raises(InputError, match="give either inputs or channels"):
        predict(tmp_path, [tmp_path], tmp_path / "out", both)
    assert not (tmp_path / "out").exists()


class TestSeveral:
    """While one case is predicted, the one before is written and the next one read."""

    @pytest.fixture
    def four(self, tmp_path):
        for seed, name in enumerate("abcd"):
            write_image(tmp_path / "in" / f"{name}.nii.gz", seed=seed)
        return tmp_path

    @pytest.fixture
    def reads(self, monkeypatch):
        """Names of the files in the order in which they were read, and how many volumes there were before each."""
        seen, volumes = [], weakref.WeakSet()

        def counted(path):
            gc.collect()
            seen.append((path.name[0], len(volumes)))
            read = read_volume(path)
            volumes.add(read)
            return read

        monkeypatch.setattr("medseg.inference.inputs.read_volume", counted)
        return seen

    @staticmethod
    def during(monkeypatch, number, deed):
        """Do something while the case of that number is computed."""
        calls, whole = itertools.count(1), pipeline.Predictor.predict

        def wrapped(self, *arguments):
            if next(calls) == number:
                deed()
            return whole(self, *arguments)

        monkeypatch.setattr(pipeline.Predictor, "predict", wrapped)

    def test_reading_and_writing_go_on_beside_the_network(self, four, options, monkeypatch, reads):
        out = four / "out"

        def wait():
            until = time.monotonic() + 30
            while not ((out / "a.nii.gz").exists() and len(table(out)) == 1 and "c" in [name for name, _ in reads]):
                assert time.monotonic() < until, "the case before was not written, or the next one not read"
                time.sleep(0.01)

        (out).mkdir()
        (out / "predictions.csv").write_text("case\n")
        self.during(monkeypatch, 2, wait)
        run = predict(four, [four / "in"], out, options)
        assert [one.case for one in run.outcomes] == ["a", "b", "c", "d"]
        assert run.done == 4

    def test_there_are_never_more_than_two_volumes(self, four, options, reads):
        predict(four, [four / "in"], four / "out", options)
        assert [name for name, _ in reads] == ["a", "b", "c", "d"]
        assert max(alive for _, alive in reads) <= 1

    def test_results_equal_those_of_single_calls(self, four, options):
        run = predict(four, [four / "in"], four / "out", options)
        for one in run.outcomes:
            (alone,) = predict(four, [four / "in" / f"{one.case}.nii.gz"], four / "alone", options).outcomes
            assert alone.output.read_bytes() == one.output.read_bytes()
            assert alone.volumes_ml == one.volumes_ml

    def test_interrupt_keeps_what_was_predicted_before(self, four, options, monkeypatch):
        def interrupt():
            raise KeyboardInterrupt

        self.during(monkeypatch, 3, interrupt)
        with pytest.raises(KeyboardInterrupt):
            predict(four, [four / "in"], four / "out", options)
        assert names(four / "out") == ["a.nii.gz", "b.nii.gz", "predictions.csv"]
        assert [row["case"] for row in table(four / "out")] == ["a", "b"]

    def test_full_disk_ends_the_run_where_it_did(self, four, options, monkeypatch):
        whole = Path.replace

        def full(self, target):
            if Path(target).name == "b.nii.gz":
                raise OSError(errno.ENOSPC, "No space left on device")
            return whole(self, target)

        monkeypatch.setattr(Path, "replace", full)
        with pytest.raises(OutputError, match=r"cannot write 'b\.nii\.gz': the disk is full"):
            predict(four, [four / "in"], four / "out", options)
        assert names(four / "out") == ["a.nii.gz", "predictions.csv"]
        assert [row["case"] for row in table(four / "out")] == ["a"]

    @pytest.mark.parametrize(
        ("error", "reason"),
        [
            (MemoryError(), "unexpected MemoryError; predict it alone to see the details"),
            (ReadError("c.nii.gz: does not fit into memory"), "c.nii.gz: does not fit into memory"),
        ],
    )
    def test_error_of_reading_ahead_is_that_of_its_case(self, four, options, monkeypatch, error, reason):
        def failing(path):
            if path.name == "c.nii.gz":
                raise error
            return read_volume(path)

        monkeypatch.setattr("medseg.inference.inputs.read_volume", failing)
        run = predict(four, [four / "in"], four / "out", options)
        assert [type(one) for one in run.outcomes] == [Done, Done, Failed, Done]
        assert run.outcomes[2].reason == reason
        assert [row["status"] for row in table(four / "out")] == ["done", "done", "failed", "done"]

    def test_error_after_the_network_is_told_and_is_that_of_its_case(self, four, monkeypatch):
        class Notes:
            def __init__(self):
                self.lines = []

            def note(self, text):
                self.lines.append(text)

            def start(self, *_):
                pass

            advance = finish = start

        whole, calls = pipeline.preview, itertools.count(1)

        def broken(*arguments):
            if next(calls) == 2:
                raise ZeroDivisionError(MARKER)
            return whole(*arguments)

        monkeypatch.setattr(pipeline, "preview", broken)
        notes = Notes()
        run = predict(four, [four / "in"], four / "out", PredictOptions(CPU, preview=True), notes)
        assert [type(one) for one in run.outcomes] == [Done, Failed, Done, Done]
        assert not (four / "out" / "b.nii.gz").exists()
        reason = "unexpected ZeroDivisionError; predict it alone to see the details"
        assert [line for line in notes.lines if "failed" in line] == [f"b.nii.gz: failed, {reason}"]


class TestBundleOnDisk:
    @pytest.fixture(autouse=True)
    def echo(self, monkeypatch):
        """The bundle as it is."""

    def test_written_bundle_predicts(self, tmp_path, options):
        write_bundle(tmp_path / "bundle", bundle(), BundleRecords({}, {}))
        write_image(tmp_path / "a.nii.gz")
        run = predict(tmp_path / "bundle", [tmp_path / "a.nii.gz"], tmp_path / "out", options)
        assert run.done == 1
        assert read_label_map(tmp_path / "out" / "a.nii.gz").geometry.is_close(GRID)

    def test_folder_that_is_no_bundle_is_refused(self, tmp_path, options):
        with pytest.raises(BundleError, match="is no bundle"):
            predict(tmp_path, [tmp_path], tmp_path / "out", options)


@pytest.mark.real_data
def test_study_folder_gives_the_series_that_fit(real_data, tmp_path, options, monkeypatch):
    """Whole heads of 220 mm are left out, the cropped hippocampus series are predicted on their own grids."""
    low, high = (31.0, 40.0, 24.0), (43.0, 59.0, 47.0)
    spacing = (1.0, 1.0, 1.0)
    facts = TrainingFacts(
        modalities=("MRI",), spacing_min=spacing, spacing_max=spacing, extent_min_mm=low, extent_max_mm=high
    )
    made = bundle(channels=[{"name": "MRI"}])
    use(monkeypatch, replace(made, facts=facts))
    run = predict(tmp_path, [real_data / "dicom_studies"], tmp_path / "out", options)
    done = [one for one in run.outcomes if isinstance(one, Done)]
    assert len(done) == 2
    assert {read_label_map(one.output).geometry.shape for one in done} == {(35, 51, 32), (34, 50, 40)}
    reasons = [one.reason for one in run.outcomes if isinstance(one, Skipped)]
    assert len(reasons) == 4
    assert all("it measures 220 x 220 x 143 mm" in reason for reason in reasons)
