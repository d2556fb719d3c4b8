"""Trains nnU-Net for a few steps and predicts with it; for the Python that holds nnU-Net.

    PEER/bin/python benchmarks/nnunet_import_peer.py TASK.json

``benchmarks/nnunet_import.py`` calls this. TASK.json names a raw data set, a configuration, folds and steps; nnU-Net's
three variables are set. Planner, trainer and predictor are nnU-Net's own; what differs from its defaults is the length
of the training, the size of the batch and the number of features. Predicts twice: as nnU-Net does, with its sums in
16 bits, and with sums in 32 bits.
"""

from __future__ import annotations

import functools
import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
from nnunetv2.experiment_planning.plan_and_preprocess_api import extract_fingerprints, plan_experiments, preprocess
from nnunetv2.inference import predict_from_raw_data as predicting
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer


def main() -> None:
    task = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    torch.set_num_threads(task["threads"])
    torch.manual_seed(0)
    number, plans = int(task["dataset"][7:10]), task["plans"]
    folder = _place("nnUNet_preprocessed") / task["dataset"]
    extract_fingerprints([number], num_processes=1, verbose=False)
    plan_experiments([number], experiment_planner_class_name=task["planner"])
    _shrink(folder / f"{plans}.json", task["configuration"])
    preprocess([number], plans, (task["configuration"],), (1,))
    for fold in task["folds"]:
        _train(folder, task, fold)
    model = _place("nnUNet_results") / task["dataset"] / f"nnUNetTrainer__{plans}__{task['configuration']}"
    _predict(model, task, task["output"])
    _sum_in_32_bits()
    _predict(model, task, task["output"] + "_32")
    Path(task["facts"]).write_text(json.dumps({"model": str(model)}), encoding="utf-8")


def _place(name: str) -> Path:
    return Path(os.environ[name])  # noqa: TID251 - nnU-Net's only way to be told


def _shrink(path: Path, configuration: str) -> None:
    """A batch of two and a quarter of the features, so that a step takes seconds on a CPU."""
    plans = json.loads(path.read_text(encoding="utf-8"))
    plan = plans["configurations"][configuration]
    arguments = plan["architecture"]["arch_kwargs"]
    plan["batch_size"] = 2
    arguments["features_per_stage"] = [features // 4 for features in arguments["features_per_stage"]]
    path.write_text(json.dumps(plans), encoding="utf-8")


def _train(folder: Path, task: dict[str, Any], fold: int) -> None:
    plans = json.loads((folder / f"{task['plans']}.json").read_text(encoding="utf-8")) | {"continue_training": False}
    content = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    trainer = nnUNetTrainer(plans, task["configuration"], fold, content, torch.device("cpu"))
    trainer.num_epochs = 2
    trainer.initialize()
    trainer.num_iterations_per_epoch, trainer.num_val_iterations_per_epoch = max(1, task["steps"] // 2), 1
    trainer.run_training()


def _predict(model: Path, task: dict[str, Any], output: str) -> None:
    predictor = predicting.nnUNetPredictor(
        use_mirroring=True, perform_everything_on_device=False, device=torch.device("cpu"), allow_tqdm=False
    )
    predictor.initialize_from_trained_model_folder(str(model), tuple(task["folds"]), "checkpoint_final.pth")
    images = _place("nnUNet_raw") / task["dataset"] / "imagesTs"
    predictor.predict_from_files_sequential(str(images), output)


def _sum_in_32_bits() -> None:
    """Accumulators, weights and logits as float32, where nnU-Net has float16."""
    weights = functools.lru_cache(maxsize=2)(
        functools.partial(predicting.compute_gaussian.__wrapped__, dtype=torch.float32)
    )
    predicting.compute_gaussian = weights
    predicting.torch = _Wide()


class _Wide:
    """torch, with float32 in the place of float16."""

    half = torch.float32

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)


if __name__ == "__main__":
    main()
