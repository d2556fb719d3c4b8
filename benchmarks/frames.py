"""The 2D network for live pictures beside the planned one: what it costs in Dice, and milliseconds a frame.

    python benchmarks/frames.py Task04_Hippocampus --budget 30ep

Both are planned for slices, trained for the same budget and scored on the validation cases, which chose the best
weights too. Milliseconds are those of ``FrameSegmenter`` on generated grey frames, from array to labels, with random
weights and three structures; each network is the one that a plan makes for frames of that size.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

from record import record, table

from medseg.config.networks import NetworkChoice, NetworkSection
from medseg.config.schemes import label_scheme
from medseg.config.sections import RunConfig
from medseg.core.geometry import Geometry
from medseg.inference.bundle import Bundle, TrainingFacts, output_channels
from medseg.inference.frames import FrameSegmenter
from medseg.inference.network import network_of
from medseg.inference.settings import PredictionSettings, RuntimeName
from medseg.networks.size import NetworkSize
from medseg.phantom.stand_in import body_frames
from medseg.pipelines.plan import PlanOptions, plan
from medseg.pipelines.train import read_run_config, train
from medseg.planning.cost import planned_size
from medseg.planning.topology import network_for, widths

_STRUCTURES = 3
_WARM_UP, _LEAST = 3, 10


def main() -> None:
    arguments = _arguments()
    choices = [NetworkChoice(name) for name in arguments.networks]
    trained = {choice: _trained(arguments, choice) for choice in choices}
    unit = "CPU ms" if arguments.clock == "cpu" else "ms"
    pairs = [(choice, size) for choice in choices for size in arguments.sizes]
    taken = [{pair: _milliseconds(arguments, *pair) for pair in pairs} for _ in range(arguments.rounds)]
    rows = [
        _size(*pair)
        | {f"{unit}, {name}": f"{min(one[pair][name] for one in taken):.1f}" for name in arguments.runtimes}
        | trained[pair[0]]
        for pair in pairs
    ]
    record("frames", table(rows), ("torch", "numpy", *(["openvino"] if "openvino" in arguments.runtimes else [])))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--budget", default="30ep", help="of each training")
    parser.add_argument("--split", type=Path, help="JSON with lists train, validation, test of case ids")
    parser.add_argument("--networks", nargs="+", choices=[*NetworkChoice], default=["unet", "unet_small"])
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512], help="edges of the frames")
    parser.add_argument("--runtimes", nargs="+", choices=["torch", "openvino", "onnx"], default=["torch", "openvino"])
    parser.add_argument("--seconds", type=float, default=5, help="how long each is measured, in each round")
    parser.add_argument(
        "--clock", choices=["wall", "cpu"], default="wall", help="cpu, with OMP_NUM_THREADS=1, where others work too"
    )
    parser.add_argument("--rounds", type=int, default=3, help="all in turn so often; the fastest round counts")
    parser.add_argument("--output", type=Path, default=Path("runs/frames"))
    return parser.parse_args()


def _trained(arguments: argparse.Namespace, choice: NetworkChoice) -> dict[str, object]:
    """Plan and train one network on slices."""
    folder, budget = arguments.output / choice, arguments.budget
    file = folder / "config.yaml"
    if not file.exists():
        plan(arguments.dataset, file, PlanOptions(2, choice, budget, split=arguments.split))
    config = read_run_config(file, (), budget)
    result = train(config, folder / "run", resume=True)
    dice = [row["dice"] for row in result.rows() if row["dice"] is not None]
    mean = statistics.fmean(dice) if dice else float("nan")
    return {"features when trained": config.network.width, "mean Dice": f"{mean:.4f}"}


def _size(choice: NetworkChoice, edge: int) -> dict[str, object]:
    section = _section(choice, edge)
    size = planned_size(section, (edge, edge), 1, _STRUCTURES + 1)
    return {"network": str(choice), "frame": f"{edge}x{edge}", "features": section.width} | _costs(size)


def _milliseconds(arguments: argparse.Namespace, choice: NetworkChoice, edge: int) -> dict[str, float]:
    """Median time of a frame by runtime."""
    model = _model(_section(choice, edge), edge)
    taken = {name: 1000 * _seconds_a_frame(model, edge, name, arguments) for name in arguments.runtimes}
    print(choice, edge, taken, flush=True)
    return taken


def _section(choice: NetworkChoice, edge: int) -> NetworkSection:
    """What a plan for square frames makes at its widest."""
    return network_for(choice, (edge, edge), (1.0, 1.0), widths(choice, is_cpu=False)[0])


def _costs(size: NetworkSize) -> dict[str, object]:
    return {"million parameters": f"{size.parameters / 1e6:.3g}", "GFLOPs a frame": f"{2 * size.macs / 1e9:.3g}"}


def _model(section: NetworkSection, edge: int) -> Bundle:
    """A model of pictures with random weights whose window is the frame."""
    names = [f"structure {n}" for n in range(1, _STRUCTURES + 1)]
    config = RunConfig.model_validate(
        {
            "name": "frames",
            "data": {"folder": "."},
            "channels": [{"name": "image", "intensity": "unit"}],
            "labels": {"structures": [{"name": name, "value": n} for n, name in enumerate(names, start=1)]},
            "preprocessing": {"orientation": "LPS"},
            "network": section.model_dump(),
            "sampling": {"patch": (edge, edge, 1)},
            "training": {"budget": {"epochs": 1}},
        }
    )
    scheme = label_scheme(config.labels)
    facts = TrainingFacts.from_grids(("image",), [Geometry.from_spacing((edge, edge, 1))])
    return Bundle.single(config, scheme, network_of(config, output_channels(scheme)).eval(), facts)


def _seconds_a_frame(model: Bundle, edge: int, runtime: RuntimeName, arguments: argparse.Namespace) -> float:
    """Median time of a frame, over that long and 10 frames at least."""
    clock = time.process_time if arguments.clock == "cpu" else time.perf_counter
    segmenter = FrameSegmenter(model, PredictionSettings(device="cpu", runtime=runtime))
    frames = list(body_frames(16, (edge, edge), 1))
    for frame in frames[:_WARM_UP]:
        segmenter.segment(frame)
    taken: list[float] = []
    while sum(taken) < arguments.seconds or len(taken) < _LEAST:
        started = clock()
        segmenter.segment(frames[len(taken) % len(frames)])
        taken.append(clock() - started)
    return statistics.median(taken)


if __name__ == "__main__":
    main()
