"""Models that nnU-Net 2.8.1 trained for a few steps, imported: are the labels nnU-Net's own?

    python benchmarks/nnunet_import.py DATA/Task04_Hippocampus --nnunet-python /tmp/nnunet-venv/bin/python
    python -m venv /tmp/nnunet-venv && /tmp/nnunet-venv/bin/pip install nnunetv2 torch==2.13.0    # makes it

Each data set is written by ``write_nnunet``, planned, preprocessed, trained and predicted by nnU-Net, its model folder
imported by ``medseg.import_model``, and the same files predicted by medseg. Besides the hippocampus there are made
images: CT with slices far apart and of several spacings (separate z, normalisation by the fingerprint), and two
channels with zeros around the body and regions (normalisation inside a mask).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from record import record, table

import medseg
from medseg.config.sections import SplitSection
from medseg.core.geometry import Geometry
from medseg.core.volume import LabelMap, MultiLabelMap, Volume
from medseg.data.dataset import CaseFiles, Dataset
from medseg.data.folds import make_folds
from medseg.data.layouts import open_dataset
from medseg.data.load import load_image
from medseg.data.nnunet_write import write_nnunet
from medseg.inference.bundle import read_bundle
from medseg.io.formats import read_label_map, write_label_map, write_volume

PEER_SCRIPT = Path(__file__).with_name("nnunet_import_peer.py")
RESENC = "nnUNetPlannerResEncM"
_MADE = 12


@dataclass(frozen=True)
class Setup:
    """One model to train."""

    what: str
    number: int
    source: str
    configuration: str = "3d_fullres"
    planner: str = "ExperimentPlanner"
    folds: tuple[int, ...] = (0,)

    @property
    def dataset(self) -> str:
        """Name of the raw folder."""
        return f"Dataset{self.number:03d}_{self.source}"

    @property
    def plans(self) -> str:
        """What the planner calls its plans."""
        return "nnUNetPlans" if self.planner == "ExperimentPlanner" else "nnUNetResEncUNetMPlans"


SETUPS = (
    Setup("hippocampus MRI, plain 3D", 901, "Hippocampus"),
    Setup("hippocampus MRI, plain 2D", 902, "Hippocampus", "2d"),
    Setup("hippocampus MRI, residual encoder 3D", 903, "Hippocampus", planner=RESENC),
    Setup("made CT, slices of 4 to 6 mm, plain 3D", 904, "Made"),
    Setup("made CT, slices of 4 to 6 mm, plain 2D", 905, "Made", "2d"),
    Setup("made CT, slices of 4 to 6 mm, residual encoder 3D", 906, "Made", planner=RESENC),
    Setup("made MRI of two channels, zeros around, regions, plain 3D", 907, "Regions"),
    Setup("made CT, slices of 4 to 6 mm, plain 2D, two folds", 908, "Made", "2d", folds=(0, 1)),
)


def main() -> None:
    options = _options()
    rows = []
    for setup in SETUPS:
        if options.only and setup.number not in options.only:
            continue
        folder = (options.output / setup.dataset).absolute()
        dataset = _source(setup.source, options.data, folder / "source")
        rows.append(_row(setup, dataset, folder, options))
        print(rows[-1], flush=True)
    if not options.only:
        record("nnunet-import", table(rows), ("torch", "numpy", "scikit-image"))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="Task04_Hippocampus")
    parser.add_argument("--nnunet-python", type=Path, required=True, help="Python of an environment with nnunetv2")
    parser.add_argument("--steps", type=int, default=80, help="optimizer steps of each training")
    parser.add_argument("--only", type=int, nargs="*", default=[], help="data sets, 901 and so on; nothing is recorded")
    parser.add_argument("--output", type=Path, default=Path(tempfile.gettempdir()) / "nnunet_import")
    return parser.parse_args()


def _row(setup: Setup, dataset: Dataset, folder: Path, options: argparse.Namespace) -> dict[str, object]:
    facts = _nnunet(setup, dataset, folder, options)
    medseg.import_model(Path(facts["model"]), folder / "bundle", medseg.ImportOptions(orientation="stored"))
    bundle = read_bundle(folder / "bundle")
    predictor = medseg.Predictor(bundle, medseg.PredictionSettings(device="cpu", precision="fp32", runtime="torch"))
    written = open_dataset(folder / "raw" / setup.dataset)
    order = json.loads((folder / "raw" / setup.dataset / "dataset.json").read_text()).get("regions_class_order")
    ours = {
        case.id: _painted(predictor.predict(load_image(case, written.channels)).labels, order)
        for case in written.cases
        if case.split == "test"
    }
    theirs, wide = (
        {case: read_label_map(folder / f"predicted{name}" / f"{case}.nii.gz").array for case in ours}
        for name in ("", "_32")
    )
    joined, other, exact = (np.concatenate([rows[case].ravel() for case in ours]) for rows in (ours, theirs, wide))
    return {
        "model": setup.what,
        "images": len(ours),
        "voxels": len(joined),
        "labelled by nnU-Net": f"{100 * float((other > 0).mean()):.1f} %",
        "equal labels": f"{100 * float((joined == other).mean()):.3f} %",
        "Dice of both": _dice(joined, other),
        "equal to nnU-Net with sums in 32 bits": f"{100 * float((joined == exact).mean()):.4f} %",
    }


def _nnunet(setup: Setup, dataset: Dataset, folder: Path, options: argparse.Namespace) -> dict[str, str]:
    """Write the raw data set, let nnU-Net do all of its work, and say where its model lies."""
    facts = folder / "facts.json"
    if facts.exists():
        return json.loads(facts.read_text(encoding="utf-8"))
    raw = folder / "raw" / setup.dataset
    raw.mkdir(parents=True)
    write_nnunet(raw, dataset, make_folds(dataset, SplitSection(), 5))
    task = {
        "dataset": setup.dataset,
        "configuration": setup.configuration,
        "planner": setup.planner,
        "plans": setup.plans,
        "folds": setup.folds,
        "steps": options.steps,
        "threads": torch.get_num_threads(),
        "output": str(folder / "predicted"),
        "facts": str(facts),
    }
    (folder / "task.json").write_text(json.dumps(task), encoding="utf-8")
    for name in ("predicted", "predicted_32"):
        (folder / name).mkdir(exist_ok=True)
    places = {f"nnUNet_{name}": str(folder / name) for name in ("raw", "preprocessed", "results")}
    environment = os.environ | places | {"nnUNet_n_proc_DA": "1", "nnUNet_compile": "false"}  # noqa: TID251
    subprocess.run([options.nnunet_python, PEER_SCRIPT, folder / "task.json"], check=True, env=environment)
    return json.loads(facts.read_text(encoding="utf-8"))


def _painted(labels: LabelMap | MultiLabelMap, order: list[int] | None) -> NDArray[np.integer]:
    """The label map that nnU-Net makes of regions: one painted over the other."""
    if isinstance(labels, LabelMap):
        return labels.array
    painted = np.zeros(labels.geometry.shape, np.uint8)
    for mask, value in zip(labels.array, order or [], strict=True):
        painted[mask] = value
    return painted


def _dice(one: NDArray[np.integer], other: NDArray[np.integer]) -> float:
    """Mean over the labels of nnU-Net's result."""
    values = [value for value in np.unique(other) if value]
    scores = [
        2
        * np.count_nonzero((one == value) & (other == value))
        / (np.count_nonzero(one == value) + np.count_nonzero(other == value))
        for value in values
    ]
    return float(np.mean(scores)) if scores else float("nan")


def _source(kind: str, hippocampus: Path, folder: Path) -> Dataset:
    """A data set whose last cases are marked as test cases."""
    if kind == "Hippocampus":
        dataset = open_dataset(hippocampus)
        cases = [replace(case, split="test" if place >= 12 else None) for place, case in enumerate(dataset.cases[:14])]
        return replace(dataset, channels=("MRI",), cases=tuple(_renamed(case) for case in cases))
    if not folder.exists():
        for place in range(_MADE):
            _made(folder, f"case{place:02d}", place, regions=kind == "Regions")
        names = {"whole": [1, 2], "core": [2]} if kind == "Regions" else {"liver": 1, "lesion": 2}
        channels = ("T1", "T2") if kind == "Regions" else ("CT",)
        rows = [{"id": f"case{place:02d}", "label": f"labels/case{place:02d}.nii.gz"} for place in range(_MADE)]
        for place, row in enumerate(rows):
            row["images"] = {name: f"images/{row['id']}_{name}.nii.gz" for name in channels}
            row.update({"split": "test"} if place >= _MADE - 2 else {})
        content = {"cases": rows, "labels": names}
        (folder / "manifest.json").write_text(json.dumps(content), encoding="utf-8")
    return open_dataset(folder / "manifest.json")


def _renamed(case: CaseFiles) -> CaseFiles:
    return replace(case, images={"MRI": next(iter(case.images.values()))})


def _made(folder: Path, name: str, seed: int, *, regions: bool) -> None:
    """Two bodies, one in the other; as CT of several spacings, or as two channels with zeros around."""
    rng = np.random.default_rng(seed)
    spacing = (1.0, 1.0, 1.0) if regions else (*[rng.uniform(0.8, 1.2)] * 2, rng.choice([4.0, 5.0, 6.0]))
    shape = (44, 48, 40) if regions else tuple(round(mm / size) for mm, size in zip((76, 70, 84), spacing, strict=True))
    grid = Geometry.from_spacing(shape, spacing)
    places = np.stack(np.meshgrid(*(np.arange(n) * s for n, s in zip(shape, spacing, strict=True)), indexing="ij"), -1)
    middle = np.array(shape) * spacing / 2 + rng.uniform(-4, 4, 3)
    extent = np.array(shape) * spacing
    body = (((places - np.array(shape) * spacing / 2) / (0.42 * extent)) ** 2).sum(-1) < 1
    outer = (((places - middle) / (0.25 * extent * rng.uniform(0.8, 1.1, 3))) ** 2).sum(-1) < 1
    inner = (((places - middle - rng.uniform(-3, 3, 3)) / (0.12 * extent)) ** 2).sum(-1) < 1
    labels = outer.astype(np.uint8)
    labels[outer & inner] = 2
    if regions:
        images = {"T1": 300 + 90.0 * labels, "T2": 500 - 60.0 * labels}
        images = {key: np.where(body, value + rng.normal(0, 50, shape), 0) for key, value in images.items()}
    else:
        tissue = np.where(body, 20.0 + 50 * (labels > 0) - 40 * (labels == 2), -1000.0)
        images = {"CT": (tissue + rng.normal(0, 20, shape)).round()}
    for key, value in images.items():
        array = value.astype(np.float32 if regions else np.int16)
        write_volume(folder / "images" / f"{name}_{key}.nii.gz", Volume(array[None], grid))
    write_label_map(folder / "labels" / f"{name}.nii.gz", LabelMap(labels, grid))


if __name__ == "__main__":
    main()
