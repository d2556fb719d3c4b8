"""What skipping air saves, and what it changes: each image predicted with and without.

    python benchmarks/body_box.py BUNDLE IMAGE [IMAGE ...]

An image is a file or a folder with one DICOM series, on which the model may have been trained. Both predictions have
the same windows but for those that are not looked at, so what differs is what the network says of air. One of these is
looked at all the same, to see that the network finds nothing in it; else all are. Times count preprocessing and writing
labels into memory too, not reading.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from record import record, table

from medseg.core.volume import Labels, Volume
from medseg.inference.air import windows_around
from medseg.inference.bundle import Bundle, read_bundle
from medseg.inference.passes import Pass
from medseg.inference.predictor import Predictor
from medseg.inference.settings import PredictionSettings
from medseg.io.dicom_read import read_series
from medseg.io.formats import Format, read_volume, sniff
from medseg.io.studies import find_series
from medseg.transforms.body import body_of
from medseg.transforms.preprocess import prepare_image


def main() -> None:
    """Predict each image twice and print what differs."""
    options = parse()
    bundle = read_bundle(options.bundle)
    settings = {"device": options.device, "precision": "fp32", "runtime": "torch"}
    whole, less = (Predictor(bundle, PredictionSettings(**settings, skip_air=skip)) for skip in (False, True))
    rows = [compared(path, bundle, whole, less) for path in options.images]
    if options.no_record:
        print(table(rows))
    else:
        record("body-box", table(rows))


def parse() -> argparse.Namespace:
    """A model and images."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("images", type=Path, nargs="+")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--no-record", action="store_true", help="only print; leave docs/benchmarks.md alone")
    return parser.parse_args()


def compared(path: Path, bundle: Bundle, whole: Predictor, less: Predictor) -> dict[str, object]:
    """A row of the table; images are told by their sizes, as their names may tell whose they are."""
    volume = image_at(path)
    seen: list[int] = []
    hook = bundle.members[0].network.register_forward_pre_hook(lambda _, images: seen.append(len(images[0])))
    labels, seconds = timed(whole, volume)
    all_windows = sum(seen)
    fewer, fewer_seconds = timed(less, volume)
    hook.remove()
    found, expected = foreground(fewer), foreground(labels)
    return {
        "image": f"{', '.join(volume.channels)} {' x '.join(map(str, volume.geometry.shape))}",
        "window": " x ".join(map(str, bundle.config.sampling.patch)),
        "windows": all_windows,
        "in the box": windows_in_the_box(volume, whole.passes[0]),
        "looked at": sum(seen) - all_windows,
        "equal labels %": 100 * float(np.mean(fewer.array == labels.array)),
        "voxels that differ": int(np.count_nonzero(fewer.array != labels.array)),
        "of structures": int(expected.sum()),
        "lost, added": f"{int((expected & ~found).sum())}, {int((found & ~expected).sum())}",
        "s": f"{seconds:.1f}",
        "s, air skipped": f"{fewer_seconds:.1f}",
    }


def image_at(path: Path) -> Volume:
    """A file, or the one series in a folder."""
    if path.is_dir() or sniff(path) is Format.DICOM:
        return read_series(find_series(path).series[0])
    return read_volume(path)


def windows_in_the_box(volume: Volume, one: Pass) -> int:
    """Windows that are left when rows of air at the rim are left out; of these, some may still hold only air."""
    prepared = prepare_image(volume, one.config.preprocessing, one.config.channels)
    return len(windows_around(body_of(prepared.image, one.config.channels), one.window).positions)


def timed(predictor: Predictor, volume: Volume) -> tuple[Labels, float]:
    """Labels, and the seconds that they took."""
    started = time.perf_counter()
    labels = predictor.predict(volume).labels
    return labels, time.perf_counter() - started


def foreground(labels: Labels) -> np.ndarray:
    """Where any structure is."""
    return labels.array > 0 if labels.array.ndim == 3 else labels.array.any(axis=0)


if __name__ == "__main__":
    main()
