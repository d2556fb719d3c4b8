"""medseg and nnU-Net 2.8.1 on one machine, the same wall time each, the same cases, the same test.

    python benchmarks/nnunet_training.py DATA/Task04_Hippocampus FOLDS.json --nnunet-python /tmp/nnunet-venv/bin/python
    python -m venv /tmp/nnunet-venv && /tmp/nnunet-venv/bin/pip install nnunetv2 torch==2.13.0    # makes it

Each gets the training part of a fold of nnU-Net's own split (nnU-Net trains on all of it; ours keeps every tenth case
back to choose the best weights and the clean-up), trains for ``--budget``, preparation and prediction aside, and
predicts the test part, both averaged over mirrored inputs. nnU-Net's recipe is its own, with as many epochs as end with
the budget, so that its learning rate has fallen to zero there.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
from pathlib import Path

import torch
from fold_scores import case_means, score_row, write_split
from record import record, table

from medseg.config.budget import parse_budget
from medseg.core.case import CaseId
from medseg.data.dataset import Dataset
from medseg.data.layouts import open_dataset
from medseg.pipelines.evaluate import evaluate
from medseg.pipelines.predict import predict
from medseg.pipelines.train import read_run_config, train
from medseg.training.state import read_checkpoint

PEER_SCRIPT = Path(__file__).with_name("nnunet_train.py")
CONFIG = Path(__file__).parents[1] / "configs" / "hippocampus_3d.yaml"
PAIRED = "minus nnU-Net, paired"


def main() -> None:
    options = _options()
    folder: Path = options.output
    split = write_split(options.data, options.folds, options.fold, folder / "split.json")
    dataset = open_dataset(options.data)
    theirs_text = _nnunet(options, dataset, split)
    ours_text = _medseg(options, dataset, split["test"])
    theirs, ours = (
        case_means(evaluate(folder / name / "predictions", options.data, folder / name / "report"))
        for name in ("nnunet", "medseg")
    )
    rows = [score_row(theirs_text, theirs, None, PAIRED), score_row(ours_text, ours, theirs, PAIRED)]
    record("nnunet-training", table(rows))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("folds", type=Path)
    parser.add_argument("--nnunet-python", type=Path, required=True, help="Python of an environment with nnunetv2")
    parser.add_argument("--budget", default="30min", help="a time")
    parser.add_argument("--fold", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("runs/nnunet_training"), help="new folder")
    return parser.parse_args()


def _medseg(options: argparse.Namespace, dataset: Dataset, test: list[str]) -> str:
    folder: Path = options.output / "medseg"
    where = [
        f"data.folder={options.data}",
        f"data.split.file={options.output / 'split.json'}",
        "inference.mirror=true",
    ]
    result = train(read_run_config(CONFIG, where, options.budget), folder / "run")
    counters = read_checkpoint(folder / "run" / "last.pt")["counters"]
    predict(result.bundle, [_image(dataset, case) for case in test], folder / "predictions")
    return f"medseg 3D, {counters['elapsed_s'] / 60:.1f} min, {counters['step']} steps"


def _nnunet(options: argparse.Namespace, dataset: Dataset, split: dict[str, list[str]]) -> str:
    folder: Path = (options.output / "nnunet").absolute()
    task = {
        "training": {case: _pair(dataset, case) for case in sorted(split["train"] + split["validation"])},
        "test": {case: str(_image(dataset, case).absolute()) for case in split["test"]},
        "structures": {one.name: one.value for one in dataset.scheme.structures} if dataset.scheme else {},
        "seconds": 60 * (parse_budget(options.budget).minutes or 0),
        "threads": torch.get_num_threads(),
        "output": str(folder / "predictions"),
        "facts": str(folder / "facts.json"),
    }
    folder.mkdir(parents=True)
    (folder / "task.json").write_text(json.dumps(task), encoding="utf-8")
    places = {f"nnUNet_{name}": str(folder / name) for name in ("raw", "preprocessed", "results")}
    environment = os.environ | places | {"nnUNet_n_proc_DA": "1", "nnUNet_compile": "false"}  # noqa: TID251
    subprocess.run([options.nnunet_python, PEER_SCRIPT, folder / "task.json"], check=True, env=environment)
    facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
    return f"nnU-Net 3D, {facts['seconds'] / 60:.1f} min, {facts['steps']} steps of batch {facts['batch']}"


def _image(dataset: Dataset, case: str) -> Path:
    return next(iter(dataset.case(CaseId(case)).images.values())).path


def _pair(dataset: Dataset, case: str) -> list[str]:
    label = dataset.case(CaseId(case)).label
    if label is None:
        raise SystemExit(f"case {case} has no label")
    return [str(_image(dataset, case).absolute()), str(label.absolute())]


if __name__ == "__main__":
    main()
