"""Trains nnU-Net for a given wall time and predicts; for the Python that holds nnU-Net.

    PEER/bin/python benchmarks/nnunet_train.py TASK.json

``benchmarks/nnunet_training.py`` calls this. TASK.json names the training images and labels, the images to predict, the
seconds and the folders; nnU-Net's three variables are set. The trainer is nnU-Net's own. What differs from its default:
forty epochs of as many steps as fit into the time, so that its learning rate falls smoothly and is zero at the end,
and one validation step an epoch, where it would spend a fifth of the time on them.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import torch
from nnunetv2.experiment_planning.plan_and_preprocess_api import extract_fingerprints, plan_experiments, preprocess
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

_DATASET, _CONFIGURATION, _PLANS = 4, "3d_fullres", "nnUNetPlans"
_NAME = "Dataset004_Hippocampus"
_EPOCHS = 40
_TRIAL_STEPS = 3


def main() -> None:
    task = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    torch.set_num_threads(task["threads"])
    _write_raw(task)
    extract_fingerprints([_DATASET], num_processes=1, verbose=False)
    plan_experiments([_DATASET])
    preprocess([_DATASET], _PLANS, (_CONFIGURATION,), (task["threads"],))
    facts = _train(task["seconds"])
    _predict(task)
    Path(task["facts"]).write_text(json.dumps(facts), encoding="utf-8")


def _write_raw(task: dict[str, Any]) -> None:
    folder = Path(os.environ["nnUNet_raw"]) / _NAME  # noqa: SIM112, TID251 - nnU-Net's only way to be told
    for name in ("imagesTr", "labelsTr", "imagesTs"):
        (folder / name).mkdir(parents=True)
    for case, (image, label) in task["training"].items():
        shutil.copy(image, folder / "imagesTr" / f"{case}_0000.nii.gz")
        shutil.copy(label, folder / "labelsTr" / f"{case}.nii.gz")
    for case, image in task["test"].items():
        shutil.copy(image, folder / "imagesTs" / f"{case}_0000.nii.gz")
    content = {
        "channel_names": {"0": "MRI"},
        "labels": {"background": 0, **task["structures"]},
        "numTraining": len(task["training"]),
        "file_ending": ".nii.gz",
    }
    (folder / "dataset.json").write_text(json.dumps(content), encoding="utf-8")


def _train(seconds: float) -> dict[str, float]:
    folder = Path(os.environ["nnUNet_preprocessed"]) / _NAME  # noqa: SIM112, TID251
    trial = _trainer(folder)
    trial.on_train_start()
    trial.on_train_epoch_start()
    trial.train_step(next(trial.dataloader_train))
    begun = time.perf_counter()
    for _ in range(_TRIAL_STEPS):
        trial.train_step(next(trial.dataloader_train))
    a_step = (time.perf_counter() - begun) / _TRIAL_STEPS
    trainer = _trainer(folder)
    # A validation step costs a third of a training step.
    trainer.num_iterations_per_epoch = max(1, round(seconds / a_step / _EPOCHS - 1 / 3))
    trainer.num_val_iterations_per_epoch = 1
    trainer.save_every = _EPOCHS + 1
    begun = time.perf_counter()
    trainer.run_training()
    taken = time.perf_counter() - begun
    steps = trainer.num_epochs * trainer.num_iterations_per_epoch
    batch = trainer.configuration_manager.batch_size
    parameters = sum(one.numel() for one in trainer.network.parameters())
    return {"seconds": taken, "steps": steps, "batch": batch, "parameters": parameters}


def _trainer(folder: Path) -> nnUNetTrainer:
    plans = json.loads((folder / f"{_PLANS}.json").read_text(encoding="utf-8")) | {"continue_training": False}
    content = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    trainer = nnUNetTrainer(plans, _CONFIGURATION, "all", content, torch.device("cpu"))
    trainer.num_epochs = _EPOCHS  # before the schedule is made: it would fall over 1000 epochs, hence hardly at all
    trainer.initialize()
    return trainer


def _predict(task: dict[str, Any]) -> None:
    results = Path(os.environ["nnUNet_results"]) / _NAME  # noqa: SIM112, TID251
    predictor = nnUNetPredictor(
        use_mirroring=True, perform_everything_on_device=False, device=torch.device("cpu"), allow_tqdm=False
    )
    model = results / f"nnUNetTrainer__{_PLANS}__{_CONFIGURATION}"
    predictor.initialize_from_trained_model_folder(str(model), ("all",), "checkpoint_final.pth")
    images = Path(os.environ["nnUNet_raw"]) / _NAME / "imagesTs"  # noqa: SIM112, TID251
    predictor.predict_from_files(
        str(images), task["output"], num_processes_preprocessing=1, num_processes_segmentation_export=1
    )


if __name__ == "__main__":
    main()
