"""Scores of two label maps: medseg beside MONAI, scikit-learn, SimpleITK, surface-distance and medpy.

    python benchmarks/metrics.py [--small] [--repeats 3] [--no-record]

Ellipsoids, and the same moved by up to three voxels and a little larger or smaller, stand for reference and prediction.
In each round every tool runs once, in turn; those that take less than a second run five times. A tool that would take
minutes gets some of the structures only, and its time is scaled up. Ours start from the two label maps; the others are
handed their own form of them, or the masks of one structure after the other, which is not timed. All scores are held
against ours under the same definition: the script ends with an error if one differs by more than 1e-6 of itself (5e-6
for SimpleITK's distance maps and MONAI's percentiles, which are no more exact), or if our memory reaches three times
that of the label maps. Peers that are not installed are named and left out.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import re
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import psutil
from metrics_peers import TOLERANCE, MapPeer, Mask, MaskPeer, Scores, map_peers, mask_peers
from record import record, table

from medseg.core.geometry import Geometry
from medseg.core.labels import LabelScheme
from medseg.core.volume import LabelMap
from medseg.metrics import surface, surfels
from medseg.metrics.counts import count_voxels
from medseg.metrics.crops import LabelPair
from medseg.metrics.overlap import dice

SPACING = (0.8, 0.8, 1.5)
SIZES = (((512, 512, 200), 20, 0.05), ((256, 256, 256), 100, 0.19))
SMALL = (((128, 128, 50), 20, 0.05), ((96, 96, 96), 50, 0.19))
LARGE = 5_000_000
"""Voxels from which on slow tools get some of the structures."""
QUICK_S = 1.0
CLEAR = Path("/proc/self/clear_refs")
Result = TypeVar("Result")
Cost = tuple[float, float, float]
"""Seconds, CPU seconds, MiB at the peak over those before."""


@dataclass(frozen=True, eq=False)
class Job:
    """A prediction and a reference, with the structures ``structure 1`` and so on."""

    predicted: LabelMap
    reference: LabelMap
    scheme: LabelScheme

    @property
    def mib(self) -> float:
        """Of both label maps."""
        return (self.predicted.array.nbytes + self.reference.array.nbytes) / 2**20

    def masks(self, value: int) -> tuple[Mask, Mask]:
        """Of one structure, predicted and true."""
        return self.predicted.array == value, self.reference.array == value


@dataclass
class Row:
    """A tool's line of the table while it fills."""

    tool: str
    structures: str
    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    mib: list[float] = field(default_factory=list)

    def add(self, found: Sequence[Cost], scale: float) -> None:
        """A round: the cost of each call, and how many structures one of them stands for."""
        self.seconds.append(scale * sum(one[0] for one in found))
        self.cpu.append(scale * sum(one[1] for one in found))
        self.mib.append(max(one[2] for one in found))


def main() -> None:
    """Run both sizes and keep the table."""
    options = parse()
    maps = [peer for peer in map_peers() if installed(peer.module)]
    masks = [peer for peer in mask_peers() if installed(peer.module)]
    tiny = ellipsoids((32, 32, 32), 2, 0.1)
    overlap(tiny, maps, 1)  # loads what is loaded late
    distances(tiny, masks, 1)
    lines: list[dict[str, object]] = []
    for shape, count, share in SMALL if options.small else SIZES:
        job = ellipsoids(shape, count, share)
        title = f"{' x '.join(map(str, shape))}, {count} structures"
        print(f"{title}: {job.mib:.0f} MiB, {100 * (job.reference.array > 0).mean():.0f} % of the voxels", flush=True)
        for what, rows in (
            ("overlap", overlap(job, maps, options.repeats)),
            ("distances", distances(job, masks, options.repeats)),
        ):
            lines += listing(f"{what}, {title}", rows)
            if not options.small:
                check_memory(rows, job)
    if options.no_record:
        print(table(lines))
    else:
        record("metrics", table(lines), sorted({"numpy", "scipy", *(peer.package for peer in (*maps, *masks))}))


def parse() -> argparse.Namespace:
    """How much to run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="volumes of a megavoxel, to try the script")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--no-record", action="store_true", help="only print; leave docs/benchmarks.md alone")
    return parser.parse_args()


def installed(module: str) -> bool:
    """Whether a peer is there; says so if not."""
    found = importlib.util.find_spec(module) is not None
    if not found:
        print(f"{module} is not installed and left out: pip install scikit-learn surface-distance medpy", flush=True)
    return found


def ellipsoids(shape: tuple[int, int, int], count: int, share: float) -> Job:
    """Ellipsoids that fill a share of the volume, one in each cell of a lattice, and the same moved and stretched."""
    rng = np.random.default_rng(0)
    lattice = (math.ceil(count ** (1 / 3)),) * 3
    cell = np.array(shape) / lattice
    size = (share * math.prod(shape) / count / (4 / 3 * math.pi * math.prod(cell))) ** (1 / 3)
    predicted, reference = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    for value, place in enumerate(rng.permutation(math.prod(lattice))[:count], start=1):
        stretch = rng.uniform(0.75, 1.33, 3)
        radii = size * cell * stretch / np.cbrt(stretch.prod())
        centre = (np.array(np.unravel_index(place, lattice)) + 0.5 + rng.uniform(-0.15, 0.15, 3)) * cell
        room = 1.05 * radii + 5  # away from the volume's border, of which SimpleITK's contours think otherwise
        centre = np.clip(centre, room, shape - room)
        draw(reference, value, centre, radii)
        draw(predicted, value, centre + rng.uniform(-3, 3, 3), radii * rng.uniform(0.95, 1.05, 3))
    grid = Geometry.from_spacing(shape, SPACING)
    scheme = LabelScheme.from_names({f"structure {value}": value for value in range(1, count + 1)})
    return Job(LabelMap(predicted, grid), LabelMap(reference, grid), scheme)


def draw(labels: np.ndarray, value: int, centre: np.ndarray, radii: np.ndarray) -> None:
    """Put an ellipsoid into a label map."""
    first = np.maximum(np.floor(centre - radii).astype(int), 0)
    last = np.minimum(np.ceil(centre + radii).astype(int) + 1, labels.shape)
    box = tuple(slice(a, b) for a, b in zip(first, last, strict=True))
    axes = zip(np.ogrid[box], centre, radii, strict=True)
    labels[box][sum(((axis - c) / r) ** 2 for axis, c, r in axes) <= 1] = value


def overlap(job: Job, peers: Sequence[MapPeer], repeats: int) -> list[Row]:
    """Rounds of Dice of all structures."""
    count = len(job.scheme.structures)
    rows = [Row("medseg, all counts and Dice", "all"), *(Row(peer.name, "all") for peer in peers)]
    forms = [[peer.prepare(labels.array) for labels in (job.predicted, job.reference)] for peer in peers]
    for _ in range(repeats):
        own, cost = timed(lambda: dice(count_voxels(job.predicted, job.reference, job.scheme)).tolist())
        rows[0].add([cost], 1)
        for row, peer, form in zip(rows[1:], peers, forms, strict=True):
            theirs, cost = timed(partial(peer.run, *form, count))
            row.add([cost], 1)
            for value, (one, other) in enumerate(zip(own, theirs, strict=True), start=1):
                compare(f"{peer.name}, structure {value}", {"dice": one}, {"dice": other}, 1e-6)
    return rows


def distances(job: Job, peers: Sequence[MaskPeer], repeats: int) -> list[Row]:
    """Rounds of HD95, NSD and ASSD."""
    own = {
        "medseg HD95, NSD, ASSD": partial(between_borders, job),
        "medseg HD95, NSD, ASSD, two threads": partial(between_borders, job, threads=2),
        "medseg HD95, NSD, ASD of surface elements": partial(between_elements, job),
    }
    given = [values_for(peer, job) for peer in peers]
    rows = [Row(name, "all") for name in own]
    rows += [Row(peer.name, share_of(values, job)) for peer, values in zip(peers, given, strict=True)]
    for _ in range(repeats):
        known: dict[int, dict[str, float]] = {value: {} for value in job.scheme.values}
        for row, run in zip(rows, own.values(), strict=False):
            scores, cost = timed(run)
            row.add([cost], 1)
            for value, found in enumerate(scores, start=1):
                known[value].update(found)
        for row, peer, values in zip(rows[len(own) :], peers, given, strict=True):
            costs = [of_structure(job, peer, value, known[value]) for value in values]
            row.add(costs, len(known) / len(values))
    return rows


def values_for(peer: MaskPeer, job: Job) -> list[int]:
    """The structures that a peer gets."""
    values = job.scheme.values
    if job.predicted.array.size < LARGE or peer.most >= len(values):
        return list(values)
    return [values[(index + 1) * len(values) // (peer.most + 1)] for index in range(peer.most)]


def share_of(values: Sequence[int], job: Job) -> str:
    """How many that is, for the table."""
    return "all" if len(values) == len(job.scheme.values) else f"{len(values)}, scaled"


def of_structure(job: Job, peer: MaskPeer, value: int, known: Scores) -> Cost:
    """What a structure costs a peer whose scores are found to be ours."""
    scores, cost = timed(partial(peer.run, *job.masks(value), SPACING))
    compare(f"{peer.name}, structure {value}", known, scores, peer.rounding)
    return cost


def between_borders(job: Job, threads: int = 1) -> list[Scores]:
    """Our distances between border voxels, of all structures."""
    pair = LabelPair.of(job.predicted, job.reference, job.scheme)

    def of(target: str) -> Scores:
        found = surface.surface_distances(*pair.masks(target), SPACING)
        return {
            "hd95": surface.hd95(found),
            "nsd": surface.nsd(found, TOLERANCE),
            "assd": surface.assd(found),
            "masd": surface.masd(found),
            "pooled_hd95": surface.pooled_hd95(found),
        }

    if threads == 1:
        return [of(target) for target in job.scheme.targets]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(of, job.scheme.targets))


def between_elements(job: Job) -> list[Scores]:
    """Our distances between surface elements, of all structures."""
    pair, scores = LabelPair.of(job.predicted, job.reference, job.scheme), []
    for target in job.scheme.targets:
        found = surfels.surfel_distances(*pair.masks(target), SPACING)
        forth, back = surfels.surfel_means(found)
        scores.append(
            {
                "surfel_hd95": surfels.surfel_hd(found, 95),
                "surfel_nsd": surfels.surfel_nsd(found, TOLERANCE),
                "surfel_to_reference": forth,
                "surfel_to_predicted": back,
            }
        )
    return scores


def timed(run: Callable[[], Result]) -> tuple[Result, Cost]:
    """A result and its cost; medians of five if it is quick."""
    spent: list[tuple[float, float]] = []
    before = held_mib()
    while not spent or (spent[0][0] < QUICK_S and len(spent) < 5):
        started, cpu = time.perf_counter(), time.process_time()
        result = run()
        spent.append((time.perf_counter() - started, time.process_time() - cpu))
    wall, cpu = (statistics.median(one) for one in zip(*spent, strict=True))
    return result, (wall, cpu, peak_mib() - before)


def held_mib() -> float:
    """Resident memory now; from here on the peak counts anew (Linux only)."""
    if CLEAR.exists():
        CLEAR.write_text("5", encoding="ascii")
    return float(psutil.Process().memory_info().rss / 2**20)


def peak_mib() -> float:
    """Largest resident memory since ``held_mib``; NaN where the system does not tell."""
    status = Path("/proc/self/status")
    if not status.exists():
        return math.nan
    return int(re.findall(r"VmHWM:\s*(\d+) kB", status.read_text(encoding="ascii"))[0]) / 2**10


def compare(what: str, own: Scores, theirs: Scores, rounding: float) -> None:
    """End the script if a score is not ours."""
    for name, value in theirs.items():
        if not math.isclose(own[name], value, rel_tol=rounding, abs_tol=1e-9):
            sys.exit(f"{what}: {name} is {own[name]!r} here and {value!r} there")


def check_memory(rows: Sequence[Row], job: Job) -> None:
    """End the script if ours needs too much."""
    for row in rows:
        if row.tool.startswith("medseg") and job.mib + max(row.mib) >= 3 * job.mib:
            sys.exit(f"{row.tool} needs {max(row.mib):.0f} MiB beside label maps of {job.mib:.0f} MiB")


def listing(title: str, rows: Sequence[Row]) -> list[dict[str, object]]:
    """Lines of the table; the first row is what the others are measured by."""
    seconds, cpu = statistics.median(rows[0].seconds), statistics.median(rows[0].cpu)
    return [
        {
            "scores": title if row is rows[0] else "",
            "tool": row.tool,
            "structures": row.structures,
            "s": digits(statistics.median(row.seconds)),
            "CPU s": digits(statistics.median(row.cpu)),
            "times ours": digits(statistics.median(row.seconds) / seconds),
            "times ours, CPU": digits(statistics.median(row.cpu) / cpu),
            "MiB more": f"{max(row.mib):.0f}",
        }
        for row in rows
    ]


def digits(value: float) -> str:
    """Three digits that count."""
    return f"{value:.0f}" if value >= 100 else f"{value:#.3g}"


if __name__ == "__main__":
    main()
