"""Speed, memory and safety of ``medseg batch`` over many generated studies, on two cores.

    python benchmarks/batch.py                              # 1000 studies, once through
    python benchmarks/batch.py --studies 200 --kills 10     # kill -9 ten times, start again, look at what is there
    python benchmarks/batch.py --bundle FOLDER --folder F   # a model that is there, and where the studies go

A study has 192 files in three series (see batch_material.py). The model is what ``medseg plan`` and ``medseg train``
make of generated studies in three minutes. Figures beside the command's own are floors: the predictor alone on volumes
in memory, and reading the files once, each while nothing else runs.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import random
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from batch_check import counted, faults
from batch_material import bodies, train_model, write_studies
from batch_run import Places, StudyTimes, before_first, predictor_times, study_times
from process_tree import ProcessTree, Sample, on_cores, running
from record import record, table

from medseg.batch.discover import find_studies
from medseg.core.case import Case
from medseg.core.pseudonyms import load_key
from medseg.inference.bundle import read_bundle

EVERY_S = 0.5
LONGEST_PAUSE_S = 5.0
EVERY_NTH_KILL_IS_EARLY = 5


@dataclass(frozen=True)
class Floors:
    """Seconds of what cannot be avoided.

    Attributes:
        predictor_s: One volume in memory to its labels, median over the bodies.
        network_s: The network's share of that.
        read_s: All files once.
        find_s: The first elements of all files.
    """

    predictor_s: float
    network_s: float
    read_s: float
    find_s: float


def main() -> None:
    options = _options()
    cores = on_cores(options.cores)
    with contextlib.ExitStack() as stack:
        folder = (options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        cases = bodies()
        bundle = options.bundle or train_model(folder, options.budget, options.set)
        names = (folder / name for name in ("studies", "output", "project.key", "log.txt"))
        places = Places(bundle, *names, options.device, options.workers)
        write_studies(places.studies, cases, options.studies)
        if options.kills:
            name, rows = "batch-kills", _killed(places, options)
        else:
            name = "batch" if options.device == "cpu" else f"batch-{options.device}-{options.workers}"
            rows = _measured(places, cases, cores)
        listing = table([{"batch": what, "": value} for what, value in rows.items()])
        if options.no_record:
            print(listing)
        else:
            record(name, listing, ("torch", "numpy", "pydicom", "highdicom"))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--kills", type=int, default=0, help="kill -9 so often; then only safety is looked at")
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills")
    parser.add_argument("--bundle", type=Path, help="model of an earlier run; by default one is trained")
    parser.add_argument("--budget", default="3min", help="what that model is planned and trained for")
    parser.add_argument("--set", nargs="*", default=[], help="KEY=VALUE that change the plan of that model")
    parser.add_argument("--folder", type=Path, help="new folder for studies and results; by default a temporary one")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--workers", type=int, default=1, help="processes with a model each")
    parser.add_argument("--cores", type=int, default=2, help="cores for all of it")
    parser.add_argument("--no-record", action="store_true", help="only print; leave docs/benchmarks.md alone")
    return parser.parse_args()


def _measured(places: Places, cases: Sequence[Case], cores: int) -> dict[str, object]:
    """Run the command once through and describe it."""
    floors = _floors(places, cases)
    before = _children_cpu_s()
    tree = ProcessTree(places.command, places.log)
    samples = tree.samples(EVERY_S)
    wall, cpu = time.time() - tree.begun, _children_cpu_s() - before
    if tree.code != 0:
        raise SystemExit(f"medseg batch ended with {tree.code}; see {places.log}")
    times = study_times(places.output)
    sizes = [path.stat().st_size for path in places.studies.rglob("*") if path.is_file()]
    results = [path.stat().st_size for path in (places.output / "studies").rglob("*") if path.is_file()]
    one_mib = 2**20
    network = read_bundle(places.bundle).config
    studies = len(times)
    return {
        "studies, files, size": f"{studies}, {len(sizes)}, {sum(sizes) / one_mib:.0f} MiB",
        "network, window": f"{network.network.features}, {network.sampling.patch}",
        "cores": cores,
        "whole command": f"{wall:.0f} s, CPU {cpu:.0f} s",
        "a study": f"{wall / studies:.2f} s, CPU {cpu / studies:.2f} s",
        **_shares(times, wall, tree.begun),
        "floor: the predictor alone": f"{floors.predictor_s:.2f} s a study, of which network {floors.network_s:.2f} s",
        "predictor alone, share of the whole": f"{100 * studies * floors.predictor_s / wall:.0f} %",
        "floor: reading all files once": f"{floors.read_s:.1f} s, {1000 * floors.read_s / studies:.0f} ms a study",
        "finding the studies alone": f"{floors.find_s:.1f} s, {1000 * floors.find_s / studies:.0f} ms a study",
        **_memory(samples, [one.ended for one in times], tree.begun),
        "results": f"{len(results)} files, {sum(results) / studies / 1024:.0f} KiB a study",
    }


def _children_cpu_s() -> float:
    """CPU seconds of all processes that were started from here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _floors(places: Places, cases: Sequence[Case]) -> Floors:
    paths = [path for path in places.studies.rglob("*") if path.is_file()]
    begun = time.perf_counter()
    for path in paths:
        path.read_bytes()
    read_s = time.perf_counter() - begun
    begun = time.perf_counter()
    find_studies(places.studies, load_key(places.key))
    find_s = time.perf_counter() - begun
    return Floors(*predictor_times(places.bundle, cases), read_s, find_s)


def _shares(times: Sequence[StudyTimes], wall: float, begun: float) -> dict[str, object]:
    before = before_first(times, begun)
    spent = {stage: sum(getattr(one, f"{stage}_s") for one in times) for stage in ("read", "predict", "write")}
    working = times[-1].ended - begun - before
    stages = ", ".join(f"{stage} {seconds / len(times):.2f} s" for stage, seconds in spent.items())
    return {
        "before the first study": f"{before:.1f} s",
        "stages of a study, side by side": stages,
        "share of the time in which the network's stage runs": f"{100 * spent['predict'] / wall:.0f} %, "
        f"{100 * spent['predict'] / working:.0f} % from the first study on",
    }


def _memory(samples: Sequence[Sample], ended: Sequence[float], begun: float) -> dict[str, object]:
    """Peak and flatness: the last tenth of the studies beside the second."""
    bounds = [begun, *(ended[max(0, len(ended) * tenth // 10 - 1)] for tenth in range(1, 11))]
    rows: dict[str, object] = {
        "peak memory of all processes, PSS": f"{max(one.pss for one in samples) / 2**20:.0f} MiB"
    }
    for kind in ("pss", "uss"):
        tenths = [
            [getattr(one, kind) for one in samples if low <= one.at <= high] for low, high in itertools.pairwise(bounds)
        ]
        peaks = [max(values, default=0) / 2**20 for values in tenths]
        medians = [statistics.median(values or [0]) / 2**20 for values in tenths]
        rows[f"{kind.upper()}, peak by tenth of the studies"] = ", ".join(f"{peak:.0f}" for peak in peaks)
        rows[f"{kind.upper()}, last tenth to second"] = (
            f"peak {_change(peaks)}, median {_change(medians)}" if peaks[1] else "too few samples"
        )
    return rows


def _change(tenths: Sequence[float]) -> str:
    return f"{100 * (tenths[-1] / tenths[1] - 1):+.1f} %"


def _killed(places: Places, options: argparse.Namespace) -> dict[str, object]:
    """Kill the command now and then, let it end, and look at what is there."""
    rng = random.Random(options.seed)
    targets = sorted(rng.randrange(options.studies) for _ in range(options.kills))
    kills = {"the first process": 0, "all processes": 0}
    others, done_at = [], []
    begun = time.time()
    for number, target in enumerate(targets):
        tree = ProcessTree(places.command, places.log)
        early = number % EVERY_NTH_KILL_IS_EARLY == EVERY_NTH_KILL_IS_EARLY - 1
        _wait(tree, places.output, 0 if early else target, rng.uniform(0, LONGEST_PAUSE_S))
        if tree.code is not None:
            break
        whole = bool(number % 2)
        others.extend(tree.kill(whole=whole))
        kills["all processes" if whole else "the first process"] += 1
        done_at.append(counted(places.output)[0])
    tree = ProcessTree(places.command, places.log)
    tree.samples(EVERY_S)
    wrong = [*faults(places.output, options.studies), *([] if tree.code == 0 else [f"exit code {tree.code}"])]
    done, repeated = counted(places.output)
    for fault in wrong:
        print(fault, file=sys.stderr)
    return {
        "studies": options.studies,
        "kill -9": ", ".join(f"{count} of {what}" for what, count in kills.items()),
        "done when killed": ", ".join(map(str, done_at)),
        "all runs together": f"{time.time() - begun:.0f} s",
        "done in the end": done,
        "recorded more than once": repeated,
        "processes that outlived their parent": running(others),
        "faults: outputs lost, doubled, altered or left over; manifest": len(wrong),
    }


def _wait(tree: ProcessTree, output: Path, done: int, seconds: float) -> None:
    """Until so many studies are done, and some seconds more."""
    while tree.code is None and counted(output)[0] < done:
        time.sleep(0.05)
    time.sleep(seconds)


if __name__ == "__main__":
    main()
