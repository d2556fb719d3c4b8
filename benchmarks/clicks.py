"""What corrections by clicks are worth: mean Dice of imperfect outlines after 0, 1, 3 and 5 simulated clicks.

    python benchmarks/clicks.py [Task04_Hippocampus]

A small perceptron on blurred greys and places outlines 20 invented torsos that it has not seen; with the Decathlon's
hippocampi (folder with imagesTr and labelsTr), 20 of those too. Each click goes where an annotator would: into the
middle of the largest error of all structures. Compared are: a brush that paints a ball just as deep as the click lies
in the error; the app's refinement; the same with the perceptron's probabilities in the place of the outlines; and a
reader who redraws the whole error by hand, which no click can beat.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from numpy.typing import NDArray
from record import record, table
from scipy import ndimage
from torch import nn

from medseg.core.labels import LabelScheme
from medseg.core.segmentation import Segmentation
from medseg.core.volume import LabelMap, Volume
from medseg.io.formats import read_label_map, read_volume
from medseg.phantom.bodies import TORSO, torso
from medseg.review import clicks
from medseg.review.clicks import Click, box_around, refined

SHAPE, SPACING = (72, 72, 36), (5.0, 5.0, 6.0)
CLICKS, SHOWN = 5, (0, 1, 3, 5)
TRAINING, TESTED = range(10), range(150, 170)
"""Numbers of images; those from 100 to 119 were used to choose the constants of the refinement."""
HIPPOCAMPUS = LabelScheme.from_names({"anterior": 1, "posterior": 2})


@dataclass(frozen=True, eq=False)
class Known:
    """An image with its reference, and what a model says of it once there is one."""

    image: Volume
    reference: NDArray[np.integer]
    scheme: LabelScheme
    probabilities: NDArray[np.float32] | None = None

    @property
    def predicted(self) -> Segmentation:
        """The most probable structure of each voxel."""
        labels = self.probabilities.argmax(axis=0).astype(np.uint8)
        return Segmentation(LabelMap(labels, self.image.geometry), self.scheme)


@dataclass(frozen=True, eq=False)
class Fault:
    """A connected error of one structure, and the click in its middle."""

    click: Click
    mask: NDArray[np.bool_]
    depth_mm: float


Corrected = Callable[[Known, Segmentation, Sequence[Fault]], Segmentation]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("hippocampus", nargs="?", type=Path, help="folder of the Decathlon's task 4")
    folder = parser.parse_args().hippocampus
    sets = {"invented torsos, CT": partial(torsos, TORSO)}
    if folder:
        sets["hippocampi, MR"] = partial(hippocampi, folder)
    rows = [row for name, cases in sets.items() for row in measured(name, cases)]
    record("clicks", table(rows), ("numpy", "scipy"))


def torsos(scheme: LabelScheme, numbers: range) -> Iterator[Known]:
    for seed in numbers:
        case = torso(seed, SHAPE, SPACING)
        yield Known(case.image, case.label.array, scheme)


def hippocampi(folder: Path, numbers: range) -> Iterator[Known]:
    paths = sorted((folder / "labelsTr").glob("hippocampus_*.nii.gz"))
    for path in paths[numbers.start : numbers.stop]:
        yield Known(read_volume(folder / "imagesTr" / path.name), read_label_map(path).array, HIPPOCAMPUS)


def measured(name: str, cases: Callable[[range], Iterator[Known]]) -> Iterator[dict[str, object]]:
    model = fitted(list(cases(TRAINING)))
    outlined = [replace(one, probabilities=said(model, one)) for one in cases(TESTED)]
    for words, correct in WAYS.items():
        begun = time.perf_counter()
        dices = np.array([after_clicks(one, correct) for one in outlined])
        seconds = (time.perf_counter() - begun) / dices[:, 1:].size
        worse = float((np.diff(dices, axis=1) < 0).mean())
        means = {f"{number} clicks": f"{dices[:, number].mean():.3f}" for number in SHOWN}
        helped = f"{(dices[:, -1] > dices[:, 0]).sum()} of {len(dices)}"
        yield {
            "images": name,
            "corrected by": words,
            **means,
            "better in": helped,
            "clicks that harm": f"{worse:.0%}",
            "s a click": f"{seconds:.2f}" if correct not in (brush, by_hand) else "",
        }


def after_clicks(known: Known, correct: Corrected) -> list[float]:
    """Mean Dice over the structures before the first click and after each."""
    current, faults = known.predicted, []
    dices = [mean_dice(current, known)]
    for _ in range(CLICKS):
        faults.append(largest_fault(current, known))
        current = correct(known, current, faults)
        dices.append(mean_dice(current, known))
    return dices


def largest_fault(current: Segmentation, known: Known) -> Fault:
    found: list[tuple[int, Fault]] = []
    spacing = known.image.geometry.spacing
    for structure, mask in current.masks():
        truth = known.reference == structure.value
        for belongs, wrong in ((True, truth & ~mask), (False, mask & ~truth)):
            parts, count = ndimage.label(wrong)
            if not count:
                continue
            sizes = np.bincount(parts.ravel())[1:]
            part = parts == sizes.argmax() + 1
            depth = ndimage.distance_transform_edt(np.pad(part, 1), sampling=spacing)[1:-1, 1:-1, 1:-1]
            at = np.unravel_index(depth.argmax(), depth.shape)
            voxel = (int(at[0]), int(at[1]), int(at[2]))
            found.append((int(sizes.max()), Fault(Click(structure.name, voxel, belongs), part, float(depth.max()))))
    return max(found, key=lambda one: one[0])[1]


def mean_dice(current: Segmentation, known: Known) -> float:
    dices = []
    for structure, mask in current.masks():
        truth = known.reference == structure.value
        dices.append(2 * (mask & truth).sum() / max(1, mask.sum() + truth.sum()))
    return float(np.mean(dices))


def brush(known: Known, current: Segmentation, faults: Sequence[Fault]) -> Segmentation:
    fault = faults[-1]
    spacing = known.image.geometry.spacing
    away = sum(
        ((axis - at) * size) ** 2
        for axis, at, size in zip(
            np.ogrid[tuple(map(slice, known.reference.shape))], fault.click.voxel, spacing, strict=True
        )
    )
    return painted(current, fault.click, away <= fault.depth_mm**2)


def by_hand(known: Known, current: Segmentation, faults: Sequence[Fault]) -> Segmentation:  # noqa: ARG001
    return painted(current, faults[-1].click, faults[-1].mask)


def painted(current: Segmentation, click: Click, where: NDArray[np.bool_]) -> Segmentation:
    array, value = current.labels.array.copy(), current.scheme[click.target].value
    array[where if click.belongs else where & (array == value)] = value if click.belongs else 0
    return replace(current, labels=LabelMap(array, current.geometry))


def app(known: Known, current: Segmentation, faults: Sequence[Fault]) -> Segmentation:
    return refined(known.image, current, [fault.click for fault in faults]).segmentation


def app_by_probabilities(known: Known, current: Segmentation, faults: Sequence[Fault]) -> Segmentation:
    click = faults[-1].click
    box = box_around(click.voxel, known.image.geometry)
    says = known.probabilities[current.scheme[click.target].value][box].astype(np.float64)
    with mock.patch.object(clicks, "belief", return_value=says):
        return app(known, current, faults)


WAYS: dict[str, Corrected] = {
    "brush": brush,
    "refinement": app,
    "refinement, model's probabilities": app_by_probabilities,
    "hand, each whole error": by_hand,
}


def features(image: Volume) -> NDArray[np.float32]:
    """Greys, greys blurred thrice, and the place in the image and its square; a row a voxel."""
    grey = image.array[0].astype(np.float32)
    low, high = np.percentile(grey, (1, 99))
    grey = (np.clip(grey, low, high) - grey.mean()) / grey.std()
    widths = np.array((1.2, 2.4, 4.8)) * min(image.geometry.spacing)
    blurred = [ndimage.gaussian_filter(grey, [width / size for size in image.geometry.spacing]) for width in widths]
    places = [
        np.broadcast_to(one, grey.shape)
        for one in np.meshgrid(*[np.linspace(-1, 1, n) for n in grey.shape], indexing="ij")
    ]
    rows = np.stack([grey, *blurred, *places, *(one**2 for one in places)], axis=-1)
    return rows.reshape(-1, rows.shape[-1]).astype(np.float32)


def fitted(cases: Sequence[Known]) -> nn.Module:
    """A perceptron that was shown some voxels of each structure for some seconds."""
    rng, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    shown, values = [], []
    for case in cases:
        rows, labels = features(case.image), case.reference.ravel()
        for value in (0, *case.scheme.values):
            voxels = np.flatnonzero(labels == value)
            chosen = rng.choice(voxels, min(len(voxels), 600 if value else 4000), replace=False)
            shown.append(rows[chosen])
            values.append(np.full(len(chosen), value))
    inputs, targets = torch.from_numpy(np.concatenate(shown)), torch.from_numpy(np.concatenate(values))
    classes = int(targets.max()) + 1
    model = nn.Sequential(
        nn.Linear(inputs.shape[1], 48), nn.ReLU(), nn.Linear(48, 48), nn.ReLU(), nn.Linear(48, classes)
    )
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(400):
        batch = torch.randint(len(targets), (4096,), generator=generator)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs[batch]), targets[batch]).backward()
        optimizer.step()
    return model


def said(model: nn.Module, case: Known) -> NDArray[np.float32]:
    """Probabilities, a map a class, a little blurred, as a network's are."""
    with torch.inference_mode():
        flat = model(torch.from_numpy(features(case.image))).softmax(dim=1).numpy()
    maps = flat.T.reshape(-1, *case.reference.shape)
    return np.stack([ndimage.gaussian_filter(one, 0.7) for one in maps])


if __name__ == "__main__":
    main()
