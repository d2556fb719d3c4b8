"""CT studies of invented patients with outlines to review, for pictures of the app. No model is trained for it.

What a model would say is the truth with its borders moved at random, and how unsure it would be follows from that.
"""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter

from medseg.config.review import FolderSource, ReviewConfig
from medseg.config.sections import RunConfig
from medseg.core.geometry import Geometry
from medseg.core.volume import LabelMap, Volume
from medseg.inference.bundle import Bundle, BundleRecords, TrainingFacts, output_channels, write_bundle
from medseg.inference.expected import measured, structure_facts, volume_ml
from medseg.io.formats import read_label_map, write_label_map, write_volume
from medseg.networks.build import build_network
from medseg.phantom.bodies import TORSO
from medseg.phantom.studies import Protocol, write_cohort

_PROTOCOL = Protocol(matrix=224, slice_mm=(2.5, 3.0))
_CASES = 6
_RIM_MM, _WAVE_MM, _MOVED_MM = 1.5, 9.0, 2.5
_SPOILT = 1
"""Number of the case whose left kidney the model did not find, but for a rest, and whose liver it let grow."""


def write_reviews(folder: Path) -> ReviewConfig:
    """Write studies, references and predictions below ``folder``, and say how the app is to show them."""
    manifest = write_cohort(folder / "studies", _CASES, protocol=_PROTOCOL)
    cases = [row["case"] for row in csv.DictReader(manifest.read_text(encoding="utf-8").splitlines())]
    truths = {case: read_label_map(manifest.parent / "labels" / f"{case}.nii.gz") for case in cases}
    write_bundle(folder / "model", _model(list(truths.values())), BundleRecords({}, {}))
    _write_predictions(folder / "predictions", truths)
    source = FolderSource(
        kind="folder", images=manifest, predictions=folder / "predictions", model=folder / "model"
    )
    return ReviewConfig(folder=folder / "review", key=folder / "project.key", sources=(source,), models=(folder / "model",))


def _write_predictions(folder: Path, truths: dict[str, LabelMap]) -> None:
    """Outlines, how unsure they are, and the table that `medseg predict` writes."""
    folder.mkdir(parents=True)
    rows = [["case", "input", "status", "reason", "output", *(f"{name} mL" for name in TORSO.names)]]
    for number, (case, truth) in enumerate(truths.items()):
        predicted, entropy = _predicted(_spoilt(truth) if number == _SPOILT else truth, np.random.default_rng(number))
        file = f"{case}.nii.gz"
        write_label_map(folder / file, predicted)
        write_volume(folder / f"{case}_entropy.nii.gz", entropy)
        counts = np.bincount(predicted.array.ravel(), minlength=len(TORSO.names) + 1)[1:]
        volumes = [f"{count * predicted.geometry.voxel_volume / 1000:.3f}" for count in counts]
        rows.append([case, file, "done", "", file, *volumes])
    with (folder / "predictions.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows(rows)


def _predicted(truth: LabelMap, rng: np.random.Generator) -> tuple[LabelMap, Volume]:
    """The truth with its borders moved, and the entropy of the odds that this is made by."""
    spacing = truth.geometry.spacing
    odds = np.stack([_score(truth.array == value, spacing, rng) for value in (0, *TORSO.values)])
    odds -= odds.max(axis=0)
    probabilities = np.exp(odds) / np.exp(odds).sum(axis=0)
    entropy = -(probabilities * np.log(np.maximum(probabilities, 1e-9))).sum(axis=0) / np.log(len(odds))
    labels = LabelMap(odds.argmax(axis=0).astype(np.uint8), truth.geometry)
    return labels, Volume(np.clip(entropy, 0, 1)[None].astype(np.float32), truth.geometry, ("entropy",))


def _score(inside: NDArray[np.bool_], spacing: tuple[float, ...], rng: np.random.Generator) -> NDArray[np.float64]:
    """How much speaks for a structure: the depth below its surface, which waves up and down."""
    depth = distance_transform_edt(inside, spacing) - distance_transform_edt(~inside, spacing)
    waves = gaussian_filter(rng.standard_normal(inside.shape), [_WAVE_MM / step for step in spacing])
    return np.asarray(np.clip(depth + _MOVED_MM * waves / waves.std(), -40, 40) / (2 * _RIM_MM))


def _spoilt(truth: LabelMap) -> LabelMap:
    labels = truth.array.copy()
    kidney, liver = (TORSO[name].value for name in ("left kidney", "liver"))
    slices = np.flatnonzero((labels == kidney).any(axis=(0, 1)))
    upper = slices[slices.size // 4 :]
    labels[..., upper][labels[..., upper] == kidney] = 0
    grown = distance_transform_edt(labels != liver, truth.geometry.spacing) < 7
    labels[grown & (labels == 0)] = liver
    return LabelMap(labels, truth.geometry)


def _model(truths: list[LabelMap]) -> Bundle:
    """A bundle that was never trained, but knows what the studies are like."""
    structures = [{"name": one.name, "value": one.value} for one in TORSO.structures]
    config = RunConfig.model_validate(
        {
            "name": "torso organs",
            "data": {"folder": "studies"},
            "channels": [{"name": "CT"}],
            "labels": {"structures": structures},
            "preprocessing": {},
            "network": {"name": "unet", "dims": 3, "features": (4, 8), "strides": ((1,) * 3, (2,) * 3), "kernels": ((3,) * 3,) * 2},
            "sampling": {"patch": (16, 16, 16), "batch": 2},
            "training": {"budget": {"epochs": 2, "steps": 3}},
            "device": "cpu",
        }
    )
    forms = [measured(truth, TORSO) for truth in truths]
    facts = structure_facts(
        [{name: (form, volume_ml(form, truth.geometry)) for name, form in forms[n].items()} for n, truth in enumerate(truths)]
    )
    grids: list[Geometry] = [truth.geometry for truth in truths]
    network = build_network(config.network, 1, output_channels(TORSO)).eval()
    return Bundle(config, TORSO, network, TrainingFacts.from_grids(("CT",), grids, facts))
