"""Which change of the training recipe helps at a fixed wall time; looked for inside the training part of a fold.

    python benchmarks/recipe.py DATA/Task04_Hippocampus FOLDS.json --budget 15min
    python benchmarks/recipe.py DATA/Task04_Hippocampus FOLDS.json --budget 15min --only wider "batch 4"

Every fourth training case of the fold validates; its test part is not touched. Each change is one of a few settings of
``configs/hippocampus_3d.yaml`` and trains for the same wall time, one after the other. The table has what was expected
before the run, and what came out: Dice on the validation cases, and the paired difference to the first row. What was
run before is kept in the output folder and not run again.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from fold_scores import interval, write_split
from record import record, table

from medseg.core.files import write_text
from medseg.pipelines.train import TrainResult, read_run_config, train
from medseg.training.state import read_checkpoint

CONFIG = Path(__file__).parents[1] / "configs" / "hippocampus_3d.yaml"
EVERY_NTH_VALIDATES = 4


@dataclass(frozen=True)
class Change:
    """A change of the recipe, and what was expected of it before it was run."""

    name: str
    expected: str
    settings: tuple[str, ...] = ()


_NARROW = ("network.features=[16,32,64,128]",)
_MIDDLE = ("network.features=[24,48,96,192]",)
CHANGES = (
    Change("as planned", "the yardstick"),
    Change("another seed", "as far off as chance takes it: 0.003", ("training.seed=1",)),
    Change("narrower, more steps", "worse: twice the steps do not make up for the width", _NARROW),
    Change("24 features", "equal: a third more steps for a little less width", _MIDDLE),
    Change("batch 4", "worse: half the steps, and the rate is tuned for two", ("sampling.batch=4",)),
    Change("rate 0.002", "a little better: a short run can take a higher rate", ("training.optimizer.lr=0.002",)),
    Change("rate 0.004", "unstable with AdamW", ("training.optimizer.lr=0.004",)),
    Change("SGD as in nnU-Net", "worse: needs many more steps", ("training.optimizer={name: sgd, lr: 0.01}",)),
    Change("rate rises for a third", "equal: one cycle instead of a short warm-up", ("training.optimizer.warmup=0.3",)),
    Change("polynomial decay", "equal at the end", ("training.optimizer.decay=poly",)),
    Change("32 bits", "worse: little more than half the steps", ("training.precision=fp32",)),
    Change("parts of 32 cubed", "worse: twice the steps, none sees all of it", ("sampling.patch=[32,32,32]",)),
    Change("memory of 0.999", "equal at the end of a cosine, worse before", ("training.ema=0.999",)),
    Change("no average of weights", "a little worse", ("training.ema=0",)),
    Change("no deep supervision", "equal, and a few per cent faster", ("network.deep_supervision=false",)),
    Change("Dice alone", "worse at borders, since cross-entropy is calibrated", ("loss={name: dice}",)),
    Change("all mirror axes", "worse in short runs", ("augmentation.mirror_axes=[0,1,2]",)),
    Change("no augmentation", "better in a quarter of an hour, worse in an hour", ("augmentation.enabled=false",)),
    Change("no low resolution, no blur", "a little better: images are of one scanner", (
        "augmentation.low_resolution=0", "augmentation.blur=0",
    )),
    Change("more foreground", "equal: the structures fill the patch", ("sampling.foreground=0.66",)),
    Change("weight decay 0.05", "equal", ("training.optimizer.weight_decay=0.05",)),
    Change("mirrored prediction", "a quarter of a point for twice the time to predict", ("inference.mirror=true",)),
)  # fmt: skip


def main() -> None:
    options = _options()
    split = options.output / "split.json"
    write_split(options.data, options.folds, options.fold, split, every=EVERY_NTH_VALIDATES)
    rows, yardstick = [], {}
    for change in CHANGES:
        if options.only and change.name not in (CHANGES[0].name, *options.only):
            continue
        steps, scores = _scores(options, change, split)
        yardstick = yardstick or scores
        rows.append(_row(change, steps, scores, yardstick))
    record("recipe", f"{len(yardstick)} validation cases, {options.budget} a row\n\n" + table(rows))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("folds", type=Path)
    parser.add_argument("--budget", default="15min")
    parser.add_argument("--fold", type=int, default=0)
    parser.add_argument("--only", nargs="+", help="names of changes; the first row is always there", default=[])
    parser.add_argument("--output", type=Path, default=Path("runs/recipe"))
    return parser.parse_args()


def _scores(options: argparse.Namespace, change: Change, split: Path) -> tuple[int, dict[str, float]]:
    """Steps, and mean Dice by validation case; from the run itself or from its record."""
    folder = options.output / options.budget / change.name.replace(" ", "-")
    kept = folder / "result.json"
    if not kept.exists():
        where = [f"data.folder={options.data}", f"data.split.file={split}", *change.settings]
        result = train(read_run_config(CONFIG, where, options.budget), folder / "run", resume=True)
        steps = read_checkpoint(folder / "run" / "last.pt")["counters"]["step"]
        write_text(kept, json.dumps({"steps": steps, "scores": _case_means(result)}))
    found = json.loads(kept.read_text(encoding="utf-8"))
    return found["steps"], found["scores"]


def _case_means(result: TrainResult) -> dict[str, float]:
    cases = dict.fromkeys(score.case for score in result.scores)
    return {case: float(np.mean([one.dice for one in result.scores if one.case == case])) for case in cases}


def _row(change: Change, steps: int, scores: dict[str, float], yardstick: dict[str, float]) -> dict[str, object]:
    differences = np.array([scores[case] - yardstick[case] for case in yardstick])
    return {
        "change": change.name,
        "settings": ", ".join(f"`{one}`" for one in change.settings),
        "expected": change.expected,
        "steps": steps,
        "Dice": f"{np.mean([*scores.values()]):.4f}",
        "difference, paired": f"{differences.mean():+.4f} ({interval(differences)})" if differences.any() else "",
    }


if __name__ == "__main__":
    main()
