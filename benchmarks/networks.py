"""All networks on one data set, each trained for the same minutes from its own plan, scored on the validation cases.

    python benchmarks/networks.py Task04_Hippocampus --minutes 10 --split split.json

The split's test cases are never read. Its validation cases chose the best weights of each row too, so the figures are
for choosing among networks, not for reporting. A run that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from record import record, table

from medseg.config.networks import NetworkChoice
from medseg.config.schemes import label_scheme
from medseg.config.sections import RunConfig
from medseg.inference.bundle import output_channels
from medseg.pipelines.plan import PlanOptions, plan
from medseg.pipelines.train import TrainResult, read_run_config, train
from medseg.planning.cost import planned_size
from medseg.training.state import read_checkpoint


def main() -> None:
    arguments = _arguments()
    rows = [_row(arguments, NetworkChoice(name)) for name in arguments.networks]
    record("networks", table(rows), ("torch", "monai"))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--split", type=Path, help="JSON with lists train, validation, test of case ids")
    parser.add_argument("--dims", type=int, choices=[2, 3], default=3)
    parser.add_argument("--networks", nargs="+", choices=[*NetworkChoice], default=[*NetworkChoice])
    parser.add_argument("--output", type=Path, default=Path("runs/networks"))
    return parser.parse_args()


def _row(arguments: argparse.Namespace, network: NetworkChoice) -> dict[str, object]:
    """Plan and train one network."""
    folder = arguments.output / f"{network}-{arguments.dims}d"
    file, budget = folder / "config.yaml", f"{arguments.minutes}min"
    if not file.exists():
        plan(arguments.dataset, file, PlanOptions(arguments.dims, network, budget, split=arguments.split))
    config = read_run_config(file, (), budget)
    result = train(config, folder / "run", resume=True)
    print(f"{network}: {[row['dice'] for row in result.rows()]}", flush=True)
    return {"network": str(network)} | _costs(config, folder / "run") | _scores(result)


def _costs(config: RunConfig, run: Path) -> dict[str, object]:
    outputs = output_channels(label_scheme(config.labels))
    size = planned_size(config.network, config.sampling.patch, len(config.channels), outputs)
    counters = read_checkpoint(run / "last.pt")["counters"]
    return {
        "features": config.network.width,
        "patch": "x".join(map(str, config.sampling.patch)),
        "batch": config.sampling.batch,
        "million parameters": f"{size.parameters / 1e6:.3g}",
        "GMACs a patch": f"{size.macs / 1e9:.3g}",
        "s a step": f"{counters['elapsed_s'] / counters['step']:.3g}",
        "steps": counters["step"],
    }


def _scores(result: TrainResult) -> dict[str, object]:
    """Mean Dice of each structure over the validation cases that hold it, and of all structures."""
    known = {row["structure"]: row["dice"] for row in result.rows() if row["dice"] is not None}
    mean = sum(known.values()) / len(known) if known else float("nan")
    return {name: f"{dice:.4f}" for name, dice in known.items()} | {"mean Dice": f"{mean:.4f}"}


if __name__ == "__main__":
    main()
