"""CT studies of invented patients with outlines to review, for pictures of the app. No model is trained for it.

What a model would say is the truth with its borders moved at random, and how unsure it would be follows from that.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter

from medseg.config.review import FolderSource, ReviewConfig
from medseg.config.sections import RunConfig
from medseg.core.geometry import Geometry, Spacing
from medseg.core.volume import LabelMap, Volume
from medseg.inference.bundle import Bundle, BundleRecords, TrainingFacts, output_channels, write_bundle
from medseg.inference.expected import measured, structure_facts, volume_ml
from medseg.io.formats import read_label_map, write_label_map, write_volume
from medseg.networks.build import build_network
from medseg.phantom.bodies import TORSO
from medseg.phantom.studies import Protocol, write_cohort

_PROTOCOL = Protocol(matrix=192, slice_mm=(2.5, 3.0))
_CASES = 5
_RIM_MM, _WAVE_MM, _MOVED_MM, _NEAR_MM, _FAR = 1.0, 8.0, 1.8, 12.0, -30.0
_SPOILT = 1
"""Number of the case in which the model missed much."""


def write_reviews(folder: Path) -> ReviewConfig:
    """Write studies, references and predictions below ``folder``, and say how the app is to show them."""
    manifest = write_cohort(folder / "studies", _CASES, protocol=_PROTOCOL)
    cases = [row["case"] for row in csv.DictReader(manifest.read_text(encoding="utf-8").splitlines())]
    truths = {case: read_label_map(manifest.parent / "labels" / f"{case}.nii.gz") for case in cases}
    write_bundle(folder / "model", _model(list(truths.values())), BundleRecords({}, {}))
    _write_predictions(folder / "predictions", truths)
    source = FolderSource(kind="folder", images=manifest, predictions=folder / "predictions", model=folder / "model")
    return ReviewConfig(
        folder=folder / "review", key=folder / "project.key", sources=(source,), models=(folder / "model",)
    )


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
    grid = truth.geometry
    odds = np.zeros((1 + len(TORSO.values), *grid.shape), np.float32)
    for channel, value in enumerate(TORSO.values, start=1):
        odds[channel] = _score(truth.array == value, grid.spacing, rng)
    labels = odds.argmax(axis=0).astype(np.uint8)
    odds = np.exp(odds - odds.max(axis=0))
    odds /= odds.sum(axis=0)
    entropy = -(odds * np.log(np.maximum(odds, 1e-9))).sum(axis=0) / np.log(len(odds))
    return LabelMap(labels, grid), Volume(np.clip(entropy, 0, 1)[None], grid, ("entropy",))


def _score(inside: NDArray[np.bool_], spacing: Spacing, rng: np.random.Generator) -> NDArray[np.float32]:
    """How much speaks for a structure: the depth below its surface, which waves up and down."""
    score = np.full(inside.shape, _FAR, np.float32)
    if not inside.any():
        return score
    margins = [round(_NEAR_MM / step) for step in spacing]
    found = [np.flatnonzero(inside.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    box = tuple(slice(max(0, at[0] - wide), at[-1] + wide + 1) for at, wide in zip(found, margins, strict=True))
    depth = distance_transform_edt(inside[box], spacing) - distance_transform_edt(~inside[box], spacing)
    waves = gaussian_filter(rng.standard_normal(depth.shape), [_WAVE_MM / step for step in spacing])
    score[box] = np.clip((depth + _MOVED_MM * waves / waves.std()) / _RIM_MM, _FAR, -_FAR)
    return score


def _spoilt(truth: LabelMap) -> LabelMap:
    """Without the left kidney, and without the upper half of the spleen."""
    labels = truth.array.copy()
    labels[labels == TORSO["left kidney"].value] = 0
    spleen = TORSO["spleen"].value
    slices = np.flatnonzero((labels == spleen).any(axis=(0, 1)))
    upper = labels[..., slices[slices.size // 2] :]
    upper[upper == spleen] = 0
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
            "network": {
                "name": "unet",
                "dims": 3,
                "features": (4, 8),
                "strides": ((1,) * 3, (2,) * 3),
                "kernels": ((3,) * 3,) * 2,
            },
            "sampling": {"patch": (16, 16, 16), "batch": 2},
            "training": {"budget": {"epochs": 2, "steps": 3}},
            "device": "cpu",
        }
    )
    forms = [measured(truth, TORSO) for truth in truths]
    facts = structure_facts(
        [
            {name: (form, volume_ml(form, truth.geometry)) for name, form in forms[n].items()}
            for n, truth in enumerate(truths)
        ]
    )
    grids: list[Geometry] = [truth.geometry for truth in truths]
    network = build_network(config.network, 1, output_channels(TORSO)).eval()
    return Bundle.single(config, TORSO, network, TrainingFacts.from_grids(("CT",), grids, facts))
