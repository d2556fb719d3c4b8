"""Does starting from another model help when few cases are labelled?

    python benchmarks/transfer.py DATASET --cases 5,10,20 --seeds 3 --minutes 5 --pretrain-minutes 20 -o FOLDER

DATASET is any labelled data set, such as the Medical Segmentation Decathlon's Task04; with --split FILE (lists train,
validation, test) only its training part is used. Of that part, 40 cases are kept aside to score all rows on, the same
for every row; each seed draws other cases to be labelled from the rest, and 5 are among 10, and 10 among 20. Rows: from
random weights; from a model of another task (organs of generated bodies, with the same plan); from a pretraining on the
images of all cases of the rest, whose labels are not looked at; and that with a frozen encoder for the first half. All
trainings have the same budget, keep their last weights and choose no clean-up. What was interrupted goes on where it
stopped; --processes 2 trains two at a time, each with half the threads. On a machine that others use too, --epochs and
--pretrain-epochs (of 50 steps) are fairer than minutes.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from record import record, table
from side_by_side import side_by_side, threads_each

from medseg.config.load import load_config
from medseg.config.sections import DataSection, PostprocessingSection, RunConfig, SplitSection
from medseg.config.training import BudgetSection, InitSection
from medseg.core.files import write_text
from medseg.core.volume import Volume
from medseg.data.layouts import open_dataset
from medseg.data.load import load_case
from medseg.data.split import make_split
from medseg.evaluation.intervals import Bootstrap, mean_interval
from medseg.inference.bundle import read_bundle
from medseg.inference.predictor import Predictor
from medseg.io.formats import write_label_map, write_volume
from medseg.metrics.counts import count_voxels
from medseg.metrics.overlap import dice
from medseg.phantom.bodies import TORSO, torso
from medseg.pipelines.plan import PlanOptions, plan
from medseg.pipelines.pretrain import pretrain
from medseg.pipelines.train import train
from medseg.training.state import read_checkpoint

HELD_OUT = 40
PHANTOMS = 24


@dataclass(frozen=True)
class Row:
    """One way to begin.

    Attributes:
        key: In file names.
        name: In the table.
        init: Where the weights come from; None for random ones.
    """

    key: str
    name: str
    init: InitSection | None


def main() -> None:
    arguments = _arguments()
    training = make_split(open_dataset(arguments.data), SplitSection(file=arguments.split, validation=0.0)).training
    order = [training[n] for n in np.random.default_rng(0).permutation(len(training))]
    held, rest = sorted(order[: arguments.held_out]), sorted(order[arguments.held_out :])
    counts = [int(count) for count in arguments.cases.split(",")]
    if len(rest) < max(counts):
        raise SystemExit(f"only {len(rest)} cases are left beside the {len(held)} that are scored")
    config = _planned(arguments, rest)
    rows = _rows(arguments, config, rest)
    tasks = {
        (row.key, count, seed): _Task(arguments, config, row, _Draw(count, seed, _drawn(rest, count, seed), held))
        for seed in range(arguments.seeds)
        for count in counts
        for row in rows
    }
    scores = dict(zip(tasks, side_by_side(_scores, tasks.values(), arguments.processes), strict=True))
    record("transfer", _said(arguments, rows, counts, scores), ("torch", "monai"))


@dataclass(frozen=True)
class _Draw:
    count: int
    seed: int
    labelled: list[str]
    held: list[str]


@dataclass(frozen=True)
class _Task:
    arguments: argparse.Namespace
    config: RunConfig
    row: Row
    draw: _Draw


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--cases", default="5,10,20")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--pretrain-minutes", type=float, default=20.0)
    parser.add_argument("--epochs", type=int, default=None)
    parser.add_argument("--pretrain-epochs", type=int, default=None)
    parser.add_argument("--held-out", type=int, default=HELD_OUT)
    parser.add_argument("--split", type=Path, default=None)
    parser.add_argument("--processes", type=int, default=1, help="that train side by side")
    parser.add_argument("-o", "--output", type=Path, default=Path("transfer"))
    return parser.parse_args()


def _planned(arguments: argparse.Namespace, rest: list[str]) -> RunConfig:
    """One plan for all rows, made from the cases that may train."""
    path, split = arguments.output / "plan.yaml", arguments.output / "plan-split.json"
    if not path.exists():
        _write_split(split, rest, [])
        plan(arguments.data, path, PlanOptions(budget=f"{arguments.minutes}min", split=split))
    config = load_config(path)
    return _with_budget(config, _budget(arguments.epochs, arguments.minutes))


def _budget(epochs: int | None, minutes: float) -> BudgetSection:
    return BudgetSection(minutes=minutes) if epochs is None else BudgetSection(epochs=epochs)


def _with_budget(config: RunConfig, budget: BudgetSection) -> RunConfig:
    return config.model_copy(update={"training": config.training.model_copy(update={"budget": budget})})


def _rows(arguments: argparse.Namespace, config: RunConfig, rest: list[str]) -> list[Row]:
    phantom = _phantom_model(arguments, config)
    unlabelled = _pretrained(arguments, config, rest)
    return [
        Row("random", "random weights", None),
        Row("phantom", "model of another task (generated bodies)", InitSection(bundle=phantom)),
        Row("pretrained", "pretrained on unlabelled images", InitSection(bundle=unlabelled)),
        Row(
            "frozen",
            "the same, encoder frozen for half the time",
            InitSection(bundle=unlabelled, freeze="encoder", freeze_share=0.5),
        ),
    ]


def _phantom_model(arguments: argparse.Namespace, config: RunConfig) -> Path:
    folder = arguments.output / "phantom"
    names = {one.name: one.value for one in TORSO.structures}
    if not (folder / "data" / "labels.json").exists():
        for seed in range(PHANTOMS):
            body = torso(seed, (64, 64, 48), (5.0, 5.0, 6.0))
            image = Volume(body.image.array.astype(np.float32), body.image.geometry)
            write_volume(folder / "data" / "images" / f"{seed}.nii.gz", image)
            write_label_map(folder / "data" / "labels" / f"{seed}.nii.gz", body.label)
        write_text(folder / "data" / "labels.json", json.dumps(names))
    tree = config.model_dump(mode="json") | {
        "name": "phantom",
        "labels": {"structures": [{"name": name, "value": value} for name, value in names.items()]},
        "channels": [{"name": "image"}],
        "preprocessing": {},
        "data": {"folder": str(folder / "data"), "split": {"validation": 0.1}},
    }
    tree["augmentation"]["mirror_axes"] = []
    made = _with_budget(RunConfig.model_validate(tree), _budget(arguments.pretrain_epochs, arguments.pretrain_minutes))
    return train(made, folder / "run", resume=True).bundle


def _pretrained(arguments: argparse.Namespace, config: RunConfig, rest: list[str]) -> Path:
    split = arguments.output / "pretrain-split.json"
    _write_split(split, rest[4:], rest[:4])
    where = DataSection(folder=arguments.data, split=SplitSection(file=split))
    longer = _with_budget(config, _budget(arguments.pretrain_epochs, arguments.pretrain_minutes))
    made = longer.model_copy(update={"data": where})
    return pretrain(made, arguments.output / "pretrain", resume=True).pretrained


def _drawn(rest: list[str], count: int, seed: int) -> list[str]:
    order = np.random.default_rng((1, seed)).permutation(len(rest))
    return [rest[n] for n in order[:count]]


def _scores(task: _Task) -> NDArray[np.float64]:
    """Mean Dice of each held-out case."""
    arguments, row, draw = task.arguments, task.row, task.draw
    folder = arguments.output / f"{row.key}-{draw.count}-{draw.seed}"
    done = folder / "held-out.json"
    if not done.exists():
        split = arguments.output / f"split-{draw.count}-{draw.seed}.json"
        _write_split(split, draw.labelled, [])
        where = DataSection(folder=arguments.data, split=SplitSection(file=split))
        training = task.config.training.model_copy(update={"init": row.init, "seed": draw.seed})
        changes = {"data": where, "training": training, "postprocessing": PostprocessingSection()}
        bundle = train(task.config.model_copy(update=changes), folder, resume=True).bundle
        write_text(done, json.dumps(_held_out(arguments.data, bundle, draw.held)))
    return np.array(json.loads(done.read_text()))


def _held_out(data: Path, bundle: Path, held: list[str]) -> list[float]:
    model, dataset = read_bundle(bundle), open_dataset(data)
    predictor, scheme = Predictor(model), model.scheme
    names = tuple(channel.name for channel in model.config.channels)
    values = []
    for held_out in held:
        case = load_case(dataset.case(held_out), names, scheme)
        if case.label is not None:
            labels = predictor.predict(case.image).labels
            values.append(float(np.nanmean(dice(count_voxels(labels, case.label, scheme)))))
    return values


def _write_split(path: Path, training: list[str], validation: list[str]) -> None:
    write_text(path, json.dumps({"train": training, "validation": validation, "test": []}))


def _said(
    arguments: argparse.Namespace,
    rows: list[Row],
    counts: list[int],
    scores: dict[tuple[str, int, int], NDArray[np.float64]],
) -> str:
    seeds = range(arguments.seeds)
    lines = []
    for count in counts:
        base = np.stack([scores[rows[0].key, count, seed] for seed in seeds])
        for row in rows:
            steps = [_steps(arguments.output / f"{row.key}-{count}-{seed}") for seed in seeds]
            values = np.stack([scores[row.key, count, seed] for seed in seeds])
            gain = (values - base).mean(axis=0)
            lines.append(
                {
                    "labelled": count,
                    "begins with": row.name,
                    "steps": f"{np.mean(steps):.0f}",
                    "Dice": f"{values.mean():.4f}",
                    "by seed": ", ".join(f"{value:.3f}" for value in values.mean(axis=1)),
                    "minus random, paired": "" if row.init is None else f"{gain.mean():+.4f} ({_interval(gain)})",
                }
            )
    held = len(scores[rows[0].key, counts[0], 0])
    short, long = (
        f"{minutes:g} min" if epochs is None else f"{50 * epochs} steps"
        for epochs, minutes in (
            (arguments.epochs, arguments.minutes),
            (arguments.pretrain_epochs, arguments.pretrain_minutes),
        )
    )
    return (
        f"{table(lines)}\n\n{held} cases scored, {arguments.seeds} seeds, {short} a training on "
        f"{threads_each(arguments.processes)} of the threads, {long} the pretraining and the other task's. Intervals: "
        "bootstrap over the cases."
    )


def _steps(run: Path) -> int:
    return int(read_checkpoint(run / "last.pt")["counters"]["step"])


def _interval(values: NDArray[np.float64]) -> str:
    found = mean_interval(values, Bootstrap())
    return f"{found.low:+.4f} to {found.high:+.4f}"


if __name__ == "__main__":
    main()
