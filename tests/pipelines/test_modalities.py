"""Several modalities, on grids of their own, some of them missing: from a manifest to a prediction."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from batch_studies import FITS, datasets, settings, task_of, write_model
from dicom_factories import Grid, write_files
from factories import run_config

from medseg.batch.records import Status
from medseg.batch.work import StudyWorker, open_model
from medseg.config.sections import RunConfig
from medseg.core.errors import DataError, InputError
from medseg.core.volume import Volume
from medseg.data.dataset import Dataset
from medseg.data.joining import Joining
from medseg.data.layouts import open_dataset
from medseg.data.load import load_case
from medseg.inference.bundle import read_bundle
from medseg.inference.predictor import Predictor
from medseg.inference.settings import PredictionSettings
from medseg.metrics.counts import count_voxels
from medseg.metrics.overlap import dice
from medseg.phantom.sequences import CONTRAST, SEQUENCES, STRUCTURES, write_sequences
from medseg.pipelines.evaluate import evaluate
from medseg.pipelines.inspect import inspect
from medseg.pipelines.predict import PredictOptions, predict
from medseg.pipelines.train import train

CPU = PredictionSettings(device="cpu", precision="fp32")


def config(folder: Path, *, dims=3, epochs=1, steps=3, optional=("T2", "FLAIR"), features=(4, 8)) -> RunConfig:
    return run_config(
        dims,
        data={"folder": str(folder)},
        channels=[{"name": name, "optional": name in optional} for name in SEQUENCES],
        labels={"structures": [{"name": one.name, "value": one.value} for one in STRUCTURES.structures]},
        preprocessing={"reference": "T1"},
        network=run_config(dims).network.model_dump() | {"features": features},
        sampling={"patch": (24, 24, 24 if dims == 3 else 1), "batch": 2 if dims == 3 else 8, "foreground": 0.67},
        training={"budget": {"epochs": epochs, "steps": steps}, "optimizer": {"lr": 0.01}, "precision": "fp32"},
        augmentation={"enabled": False},
        postprocessing={},
    )


@pytest.mark.parametrize("dims", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_a_sequence_may_be_missing_everywhere(tmp_path, dims):
    """In training and validation, from a manifest and from files, in the scores."""
    data = write_sequences(tmp_path / "heads", cases=4, lacking=[(0, "FLAIR"), (1, "T2"), (2, "T2")])
    assert not inspect(data).has_errors
    result = train(config(data, dims=dims), tmp_path / "run")
    assert [channel.optional for channel in read_bundle(result.bundle).config.channels] == [False, True, True]

    run = predict(result.bundle, [data], tmp_path / "out")
    notes = {one.case: one.note for one in run.outcomes}
    assert notes["head-001"] == "predicted without FLAIR"
    assert notes["head-002"] == notes["head-003"] == "predicted without T2"
    assert notes["head-004"] == ""
    assert len(evaluate(tmp_path / "out", data, tmp_path / "report").rows) == 4 * len(STRUCTURES.names)

    one = tmp_path / "heads" / "head-004"
    alone = PredictOptions(channels={"T1": one / "T1.nii.gz"})
    (done,) = predict(result.bundle, [], tmp_path / "one", alone).outcomes
    assert done.note == "predicted without T2, FLAIR"
    with pytest.raises(InputError, match="channels T2 were given, the model wants T1, T2, FLAIR and can do without T2"):
        predict(result.bundle, [], tmp_path / "two", PredictOptions(channels={"T2": one / "T2.nii.gz"}))


def test_a_model_that_needs_all_sequences_refuses_a_case_that_lacks_one(tmp_path):
    data = write_sequences(tmp_path / "heads", cases=3, lacking=[(0, "T2")])
    with pytest.raises(InputError, match="^case head-001: no channel 'T2'; it has T1, FLAIR"):
        train(config(data, optional=()), tmp_path / "run")


def test_without_a_reference_grids_that_differ_are_refused(tmp_path):
    data = write_sequences(tmp_path / "heads", cases=3)
    apart = config(data).model_copy(update={"preprocessing": run_config().preprocessing})
    with pytest.raises(DataError, match=r"^case head-00\d: channels 'T1' and 'T2' lie on different grids: "):
        train(apart, tmp_path / "run")


@pytest.mark.parametrize("reference", ["FLAIR", "PD"])
def test_a_reference_that_may_be_missing_is_none(tmp_path, reference):
    tree = config(tmp_path).model_dump() | {"preprocessing": {"reference": reference}}
    with pytest.raises(ValueError, match=f"reference '{reference}' is no channel that every case has: T1 "):
        RunConfig.model_validate(tree)


def test_a_study_without_an_optional_series_is_predicted_and_says_so(tmp_path):
    channels = [{"name": "T1"}, {"name": "T2", "optional": True}]
    model = write_model(tmp_path / "model", channels=channels, preprocessing={"reference": "T1"})
    coarse = Grid(columns=14, rows=12, slices=4, spacing=(1.0, 1.25, 3.7), tilt_degrees=FITS.tilt_degrees)
    head = {"Modality": "MR"}
    paths = write_files(tmp_path / "study" / "a", datasets(SeriesDescription="t1", **head))
    others = write_files(tmp_path / "study" / "b", datasets(coarse, SeriesDescription="t2", **head))
    chosen = settings(tmp_path, bundle=model)
    worker = StudyWorker(chosen, open_model(chosen))
    alone = worker.process(task_of(paths), lambda _: None)
    both = worker.process(task_of([*paths, *others], "study-b"), lambda _: None)
    assert (alone.status, alone.reason) == (Status.DONE, "predicted without T2")
    assert (both.status, both.reason) == (Status.DONE, "")
    assert alone.series == both.series, "named after the series on whose grid they lie"


@dataclass(frozen=True, eq=False)
class Trained:
    """Mean Dice over the test cases by structure, with some sequences missing."""

    predictor: Predictor
    dataset: Dataset
    can_spare: bool

    def dice(self, *missing: str) -> dict[str, float]:
        rows = []
        for files in self.dataset.cases:
            if files.split == "test":
                case = load_case(files, SEQUENCES, STRUCTURES, Joining(reference="T1"))
                labels = self.predictor.predict(self.without(case.image, missing)).labels
                rows.append(dice(count_voxels(labels, case.label, STRUCTURES)))
        return dict(zip(STRUCTURES.names, np.mean(rows, axis=0).tolist(), strict=True))

    def without(self, image: Volume, missing: tuple[str, ...]) -> Volume:
        """The image without some channels; constant ones instead for a model that wants all."""
        kept = [name for name in image.channels if name not in missing]
        if self.can_spare:
            return Volume(np.concatenate([image.channel(name).array for name in kept]), image.geometry, tuple(kept))
        array = image.array.copy()
        array[[image.channels.index(name) for name in missing]] = 0
        return Volume(array, image.geometry, image.channels)


def trained(folder: Path, data: Path, optional: tuple[str, ...]) -> Trained:
    wanted = config(data, epochs=24, steps=25, optional=optional, features=(8, 16))
    bundle = read_bundle(train(wanted, folder).bundle)
    return Trained(Predictor(bundle, CPU), open_dataset(data), bool(optional))


@pytest.mark.slow
def test_a_model_trained_to_do_without_a_sequence_loses_less(tmp_path):
    """Without T2 or FLAIR the phantom's other sequences still show every structure; so nothing has to be lost."""
    data = write_sequences(tmp_path / "heads", cases=18)
    plain = trained(tmp_path / "plain", data, ())
    spared = trained(tmp_path / "spared", data, ("T2", "FLAIR"))
    whole = {model: float(np.mean([*model.dice().values()])) for model in (plain, spared)}
    assert min(whole.values()) > 0.7
    for missing in ("T2", "FLAIR"):
        assert all(set(shown) - {missing} for shown in CONTRAST.values())
        lost = {model: whole[model] - float(np.mean([*model.dice(missing).values()])) for model in (plain, spared)}
        assert lost[spared] < 0.15
        assert lost[spared] < lost[plain] - 0.1
    both = spared.dice("T2", "FLAIR")
    assert both["nucleus"] > 0.6, "T1 shows it"
