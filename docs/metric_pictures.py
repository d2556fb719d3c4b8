"""Draws the pictures of docs/concepts/metrics from the scores themselves.

python docs/metric_pictures.py
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby, pairwise
from pathlib import Path

import numpy as np

from medseg.core.geometry import Geometry
from medseg.core.labels import LabelScheme
from medseg.core.volume import LabelMap
from medseg.metrics import overlap
from medseg.metrics.average_precision import Detections, average_precision
from medseg.metrics.boundary import boundary_iou, rim
from medseg.metrics.calibration import ece, reliability
from medseg.metrics.counts import VoxelCounts, confusion_matrix, count_voxels
from medseg.metrics.instances import count_lesions, instances_of, match_instances, overlaps, panoptic_quality
from medseg.metrics.semantic import semantic_scores
from medseg.metrics.shape import shape_of
from medseg.metrics.surface import assd, border, hd, hd95, masd, nsd, pooled_hd95, surface_distances
from medseg.metrics.topology import cl_dice
from medseg.render import svg

FOLDER = Path(__file__).parent / "images" / "metrics"
CELL, GAP, TOP, LINE = 13, 28, 30, 17
BOTH, PREDICTED, REFERENCE, NEITHER = "#009e73", "#e69f00", "#56b4e9", "#eef0f2"
MIXED = {PREDICTED: "prediction only", REFERENCE: "reference only", BOTH: "both"}
PIXELS = (1.0, 1.0, 1.0)
STYLE = (
    "<style>text{font:12px system-ui,sans-serif;fill:#1b1f24}.name{font-weight:600}.small{font-size:8px}"
    ".lattice{stroke:#fff}.grid{stroke:#d8dde3}.strong{stroke:#58616c;stroke-width:1.5}.dashed{stroke-dasharray:4 4}"
    ".box{fill:none;stroke:#58616c}</style>"
)
Mask = np.ndarray
Panel = tuple[float, float, list[str]]
"""Width, height, marks."""


def main() -> None:
    """Write all pictures."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, draw in PICTURES.items():
        (FOLDER / f"{name}.svg").write_text(draw(), encoding="utf-8")


def picture(title: str, panels: Sequence[Panel], legend: dict[str, str] | None = None) -> str:
    """Panels side by side over a legend, on white, as a file of its own."""
    parts, left = [], float(GAP)
    tallest = max(height for _, height, _ in panels)
    for width, _, marks in panels:
        parts.append(f'<g transform="translate({left:.1f} 10)">{"".join(marks)}</g>')
        left += width + GAP
    height = tallest + 24
    needed = 0.0
    for colour, words in (legend or {}).items():
        parts.append(rectangle(GAP + needed, height, 11, 11, colour))
        parts.append(svg.text(GAP + needed + 16, height + 10, words, "start"))
        needed += 34 + 6.4 * len(words)
    width, height = max(left, needed + GAP), height + (24 if legend else 0)
    paper = rectangle(0, 0, width, height, "#fff")
    drawn = svg.drawing(width, height, title, [STYLE, paper, *parts])
    size = f'xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
    return drawn.replace("<svg ", f"<svg {size}", 1) + "\n"


def rectangle(x: float, y: float, width: float, height: float, colour: str) -> str:
    """A filled rectangle."""
    return f'<rect x="{x:.0f}" y="{y:.0f}" width="{width:.0f}" height="{height:.0f}" fill="{colour}"/>'


def pixels(
    colours: Sequence[Sequence[str]],
    title: str,
    captions: Iterable[str] = (),
    words: dict[tuple[int, int], str] | None = None,
) -> Panel:
    """A small image, a colour a pixel, with a title over it, lines under it and words in some pixels."""
    rows, columns, lines = len(colours), len(colours[0]), list(captions)
    marks = [svg.text(0, 16, title, "start", "name tick")]
    for i, row in enumerate(colours):
        column = 0
        for colour, run in groupby(row):
            length = len(list(run))
            marks.append(rectangle(CELL * column, TOP + CELL * i, CELL * length, CELL, colour))
            column += length
    right, end = CELL * columns, TOP + CELL * rows
    marks += [svg.line(x, TOP, x, end, "lattice") for x in range(CELL, right, CELL)]
    marks += [svg.line(0, y, right, y, "lattice") for y in range(TOP + CELL, end, CELL)]
    for (i, j), word in (words or {}).items():
        marks.append(svg.text(CELL * (j + 0.5), TOP + CELL * (i + 0.75), word, "middle", "small tick"))
    bottom = end + LINE
    marks += [svg.text(0, bottom + LINE * n, line, "start", "tick") for n, line in enumerate(lines)]
    width = max(right, *(6.6 * len(line) for line in (title, *lines)))
    return width, bottom + LINE * (len(lines) - 1), marks


def pair(predicted: Mask, reference: Mask, title: str, captions: Iterable[str]) -> Panel:
    """A prediction over a reference."""
    table = {(True, True): BOTH, (True, False): PREDICTED, (False, True): REFERENCE, (False, False): NEITHER}
    cells = zip(predicted.tolist(), reference.tolist(), strict=True)
    return pixels([[table[one] for one in zip(*row, strict=True)] for row in cells], title, captions)


def counts(predicted: Mask, reference: Mask) -> VoxelCounts:
    """Of two 2D masks."""
    grid = Geometry.from_spacing((*predicted.shape, 1))
    maps = [LabelMap(mask[..., None].astype(np.uint8), grid) for mask in (predicted, reference)]
    return count_voxels(*maps, LabelScheme.from_names({"one": 1}))


def score(formula: Callable[[VoxelCounts], np.ndarray], predicted: Mask, reference: Mask) -> str:
    """An overlap score of two 2D masks, as text."""
    return f"{formula(counts(predicted, reference))[0]:.2f}"


def disc(size: int, centre: tuple[float, float], radius: float) -> Mask:
    """A mask of a disc."""
    return np.hypot(*(axis - c for axis, c in zip(np.ogrid[:size, :size], centre, strict=True))) <= radius


def block(shape: tuple[int, int], *boxes: tuple[int, int, int, int]) -> Mask:
    """A mask of boxes, each from row to row and from column to column."""
    mask = np.zeros(shape, bool)
    for top, bottom, left, right in boxes:
        mask[top:bottom, left:right] = True
    return mask


def dice() -> str:
    panels = []
    for radius, title in ((2.2, "small structure"), (7.2, "large structure")):
        reference, predicted = disc(18, (8.5, 8), radius), disc(18, (8.5, 9), radius)
        says = f"Dice {score(overlap.dice, predicted, reference)}, IoU {score(overlap.iou, predicted, reference)}"
        panels.append(pair(predicted, reference, title, ["one pixel off", says]))
    return picture("The same error of one pixel costs a small structure more", panels, MIXED)


def precision_and_recall() -> str:
    reference, panels = disc(16, (7.5, 7.5), 4.8), []
    for radius, title in ((6.8, "too large"), (2.9, "too small")):
        predicted = disc(16, (7.5, 7.5), radius)
        f2 = overlap.f_beta(counts(predicted, reference), 2)[0]
        captions = [
            f"precision {score(overlap.precision, predicted, reference)}",
            f"recall {score(overlap.recall, predicted, reference)}",
            f"Dice {score(overlap.dice, predicted, reference)}, F2 {f2:.2f}",
        ]
        panels.append(pair(predicted, reference, title, captions))
    return picture("Too much costs precision, too little costs recall", panels, MIXED)


def accuracy() -> str:
    reference, panels = block((20, 20), (8, 11, 8, 11)), []
    for predicted, title in ((block((20, 20), (8, 11, 8, 9)), "two thirds missed"), (block((20, 20)), "all missed")):
        captions = [
            f"accuracy {score(overlap.accuracy, predicted, reference)}",
            f"specificity {score(overlap.specificity, predicted, reference)}",
            f"balanced accuracy {score(overlap.balanced_accuracy, predicted, reference)}",
            f"MCC {score(overlap.mcc, predicted, reference)}",
        ]
        panels.append(pair(predicted, reference, title, captions))
    return picture("Accuracy and specificity hardly see a small structure", panels, MIXED)


def volume() -> str:
    reference, predicted = block((14, 16), (2, 10, 2, 10)), block((14, 16), (6, 14, 6, 14))
    says = [
        f"difference {int(predicted.sum()) - int(reference.sum())} pixels",
        f"Dice {score(overlap.dice, predicted, reference)}",
    ]
    return picture("Equal volumes in different places", [pair(predicted, reference, "equal volumes", says)], MIXED)


def semantic() -> str:
    colours = [NEITHER, REFERENCE, PREDICTED]
    reference, predicted = np.zeros((2, 12, 16), np.uint8)
    reference[2:10, 2:10], reference[3:6, 11:14] = 1, 2
    predicted[2:10, 3:11], predicted[3:5, 11:14] = 1, 2
    grid = Geometry.from_spacing((12, 16, 1))
    scheme = LabelScheme.from_names({"blue": 1, "orange": 2})
    matrix = confusion_matrix(*(LabelMap(one[..., None], grid) for one in (predicted, reference)), scheme)
    found = semantic_scores(matrix)
    panels = [
        pixels([[colours[v] for v in row] for row in one.tolist()], title)
        for one, title in ((predicted, "prediction"), (reference, "reference"))
    ]
    names = ("background", "blue", "orange")
    marks = [svg.text(0, 16, "voxels, true across", "start", "name tick")]
    for column, name in enumerate(names):
        marks.append(svg.text(130 + 70 * column, 44, name, "middle", "tick"))
    for row, (name, line) in enumerate(zip(names, matrix.tolist(), strict=True)):
        marks.append(svg.text(0, 68 + 22 * row, name, "start", "tick"))
        marks += [svg.text(130 + 70 * column, 68 + 22 * row, str(n), "middle", "tick") for column, n in enumerate(line)]
    says = [
        f"pixel accuracy {found.pixel_accuracy:.2f}, balanced {found.balanced_accuracy:.2f}",
        f"mean IoU {found.mean_iou:.2f}, frequency weighted {found.weighted_iou:.2f}",
    ]
    marks += [svg.text(0, 150 + LINE * n, line, "start", "tick") for n, line in enumerate(says)]
    return picture("A confusion matrix and the scores of it", [*panels, (310.0, 170.0, marks)])


def hausdorff() -> str:
    predicted, panels = block((14, 14), (9, 12, 9, 12)), []
    for reference, title in ((predicted, "the same"), (predicted | block((14, 14), (1, 2, 1, 2)), "one pixel more")):
        found = surface_distances(predicted[..., None], reference[..., None], PIXELS)
        says = [
            f"HD {hd(found):.2f}",
            f"HD95 {hd95(found):.2f}",
            f"pooled HD95 {pooled_hd95(found):.2f}",
            f"ASSD {assd(found):.2f}",
        ]
        panels.append(pair(predicted, reference, title, says))
    return picture("One stray pixel decides a Hausdorff distance", panels, MIXED)


def mean_surface_distance() -> str:
    reference = block((11, 11), (3, 8, 3, 8))
    predicted = reference | block((11, 11), (5, 6, 1, 10), (1, 10, 5, 6))
    found = surface_distances(predicted[..., None], reference[..., None], PIXELS)
    number = found.to_reference.size + found.to_predicted.size
    panels = []
    for mask, lengths, title, colour, says in (
        (
            predicted,
            found.to_reference,
            "from the prediction",
            PREDICTED,
            f"ASSD {assd(found):.3f}: mean of all {number}",
        ),
        (reference, found.to_predicted, "from the reference", REFERENCE, f"MASD {masd(found):.3f}: mean of both means"),
    ):
        edge = border(mask[..., None])[..., 0]
        words = {(int(i), int(j)): f"{d:.2g}" for (i, j), d in zip(np.argwhere(edge), lengths, strict=True)}
        colours = [[colour if on_edge else NEITHER for on_edge in row] for row in edge.tolist()]
        captions = [f"{lengths.size} border pixels, mean {lengths.mean():.2f}", says]
        panels.append(pixels(colours, title, captions, words))
    return picture("Distance of each border pixel to the other border", panels)


def surface_dice() -> str:
    reference = disc(18, (8.5, 8.5), 6.2)
    predicted = disc(18, (8.5, 9.2), 6.2) | block((18, 18), (7, 10, 14, 18))
    found = surface_distances(predicted[..., None], reference[..., None], PIXELS)
    edges = [border(mask[..., None])[..., 0] for mask in (predicted, reference)]
    panels = []
    for tolerance in (0.0, 1.0, 2.0):
        colours = [[NEITHER] * 18 for _ in range(18)]
        for edge, lengths in zip(edges, (found.to_reference, found.to_predicted), strict=True):
            for (i, j), length in zip(np.argwhere(edge), lengths, strict=True):
                far = length > tolerance
                colours[i][j] = PREDICTED if far or colours[i][j] == PREDICTED else BOTH
        panels.append(pixels(colours, f"tolerance {tolerance:g}", [f"NSD {nsd(found, tolerance):.2f}"]))
    return picture(
        "Both borders, within the tolerance of each other or not", panels, {BOTH: "within", PREDICTED: "beyond"}
    )


def boundary() -> str:
    reference, predicted = block((20, 20), (1, 19, 1, 19)), block((20, 20), (2, 19, 1, 18))
    rims = [rim(mask[..., None], PIXELS, 1.0)[..., 0] for mask in (predicted, reference)]
    value = boundary_iou(predicted[..., None], reference[..., None], PIXELS, 1.0)
    panels = [
        pair(predicted, reference, "whole", [f"IoU {score(overlap.iou, predicted, reference)}"]),
        pair(*rims, "rims, one pixel wide", [f"boundary IoU {value:.2f}"]),
    ]
    return picture("A large inside hides a wrong outline", panels, MIXED)


def centre_line() -> str:
    shape = (9, 22)
    reference, panels = block(shape, (3, 6, 1, 21)), []
    for predicted, title in (
        (block(shape, (3, 6, 1, 8), (3, 6, 14, 21)), "a gap"),
        (block(shape, (2, 7, 1, 21)), "a wall too thick"),
        (block(shape, (4, 5, 1, 21)), "a wall too thin"),
    ):
        value = cl_dice(predicted[..., None], reference[..., None])
        says = f"Dice {score(overlap.dice, predicted, reference)}, clDice {value:.2f}"
        panels.append(pair(predicted, reference, title, [says]))
    return picture("A vessel that is broken, one that is thick, one that is thin", panels, MIXED)


def instances() -> str:
    reference, predicted = np.zeros((2, 14, 26), int)
    reference[2:7, 2:10], reference[7:12, 2:10], reference[4:9, 15:20] = 1, 2, 3
    predicted[2:9, 2:10], predicted[4:9, 16:21], predicted[11:13, 22:25] = 1, 2, 3
    found = match_instances(overlaps(predicted, reference))
    says = [
        f"matched {found.tp}, too many {found.fp}, missed {found.fn}",
        f"PQ {panoptic_quality(found):.2f}; Dice of all together {score(overlap.dice, predicted > 0, reference > 0)}",
    ]
    words = {(4, 5): "1", (9, 5): "2", (6, 17): "3"}
    panel = pair(predicted > 0, reference > 0, "three there, three found", says)
    marks = [
        svg.text(CELL * (j + 0.5), TOP + CELL * (i + 0.75), word, "middle", "tick") for (i, j), word in words.items()
    ]
    return picture("Instances matched one to one", [(panel[0], panel[1], panel[2] + marks)], MIXED)


def lesions() -> str:
    reference = block((14, 26), (2, 6, 2, 6), (2, 4, 12, 14), (9, 12, 4, 9), (9, 11, 18, 20))
    predicted = block((14, 26), (1, 4, 1, 4), (5, 7, 4, 6), (9, 12, 5, 10), (4, 6, 20, 22))
    found = count_lesions(overlaps(instances_of(predicted[..., None]), instances_of(reference[..., None])))
    says = [f"lesions found {found.found}, missed {found.missed}", f"false {found.false}"]
    return picture("Lesions that were touched", [pair(predicted, reference, "lesion-wise detection", says)], MIXED)


def curve(points: Sequence[tuple[float, float]], axes: tuple[str, str], title: str) -> list[str]:
    """A curve in the unit square, of 180 pixels."""
    side, left, top = 180, 30, 30
    place = [(left + side * x, top + side * (1 - y)) for x, y in points]
    marks = [svg.text(0, 16, title, "start", "name tick"), svg.box(left, top, side, side)]
    marks += [svg.line(*one, *other, "strong") for one, other in pairwise(place)]
    for tick in (0, 0.5, 1):
        marks.append(svg.text(left + side * tick, top + side + 15, f"{tick:g}", "middle", "tick"))
        marks.append(svg.text(left - 5, top + side * (1 - tick) + 4, f"{tick:g}", "end", "tick"))
    marks.append(svg.text(left + side / 2, top + side + 32, f"{axes[1]} over {axes[0]}", "middle", "tick"))
    return marks


def precision_over_recall() -> str:
    hits = np.array([True, True, False, True, False, False, True, False])
    iou = np.zeros((len(hits), 5))
    iou[np.flatnonzero(hits), np.arange(hits.sum())] = 0.9
    found = average_precision([Detections(np.linspace(0.9, 0.2, len(hits)), iou)], (0.5,))
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    points, last = [(0.0, float(best[0]))], 0.0
    for recall, value in zip((np.cumsum(hits) / 5).tolist(), best.tolist(), strict=True):
        points += [(last, value), (recall, value)]
        last = recall
    points += [(last, 0.0), (1.0, 0.0)]
    marks = curve(points, ("recall", "best precision"), "eight found, five there")
    marks.append(svg.text(30, 262, f"average precision {found.by_threshold[0.5]:.2f}", "start", "tick"))
    return picture("Precision over recall", [(230.0, 262.0, marks)])


def reliability_diagram() -> str:
    rng = np.random.default_rng(0)
    said = rng.uniform(0, 1, 40_000)
    panels = []
    for title, true in (("calibrated", said), ("too sure of itself", 0.5 + (said - 0.5) * 0.5)):
        found = reliability(said, rng.random(said.size) < true, 10)
        points = list(zip(found.confidence.tolist(), found.frequency.tolist(), strict=True))
        marks = [svg.line(30, 210, 210, 30, "grid dashed"), *curve(points, ("said", "true"), title)]
        marks.append(svg.text(30, 262, f"ECE {ece(found):.2f} (10 bins)", "start", "tick"))
        panels.append((220.0, 262.0, marks))
    return picture("Reliability: what was said and what was true", panels)


def measurements() -> str:
    size, angle = 26, np.deg2rad(25)
    rows, columns = np.indices((size, size)) - 12.5
    along, across = columns * np.cos(angle) - rows * np.sin(angle), columns * np.sin(angle) + rows * np.cos(angle)
    mask = (along / 11) ** 2 + (across / 5.5) ** 2 <= 1
    found = shape_of(mask[..., None], Geometry.from_spacing((size, size, 1)))
    width, height, marks = pixels(
        [[REFERENCE if inside else NEITHER for inside in row] for row in mask.tolist()],
        "ellipse, 22 by 11 pixels",
        [
            f"major axis {found.major_axis:.1f}, minor axis {found.minor_axis:.1f}, elongation {found.elongation:.2f}",
            f"diameter {found.diameter:.1f}, outline {found.surface:.1f}, sphericity {found.sphericity:.2f}",
        ],
    )
    middle = (CELL * 13, TOP + CELL * 13)
    for length, turn in ((found.major_axis, -angle), (found.minor_axis, np.pi / 2 - angle)):
        x, y = CELL * length / 2 * np.cos(turn), CELL * length / 2 * np.sin(turn)
        marks.append(svg.line(middle[0] - x, middle[1] - y, middle[0] + x, middle[1] + y, "strong"))
    return picture("Axes of the ellipse with the same second moments", [(width, height, marks)])


PICTURES: dict[str, Callable[[], str]] = {
    "accuracy": accuracy,
    "average-precision": precision_over_recall,
    "boundary-iou": boundary,
    "calibration": reliability_diagram,
    "cldice": centre_line,
    "dice": dice,
    "hausdorff": hausdorff,
    "instances": instances,
    "lesions": lesions,
    "mean-surface-distance": mean_surface_distance,
    "measurements": measurements,
    "nsd": surface_dice,
    "precision-and-recall": precision_and_recall,
    "semantic": semantic,
    "volume": volume,
}

if __name__ == "__main__":
    main()
