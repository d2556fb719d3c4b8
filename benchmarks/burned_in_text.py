"""How much burned-in text is found, and how often a clean image is taken for one with text.

    python benchmarks/burned_in_text.py [--seeds 1]

Pictures with 126 lines that name an invented person, and fifteen without text, are drawn anew for each seed. A line
counts as found if more than 90 % of the box around its ink is covered.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from record import record, table

from medseg.deid.boxes import Box, covered
from medseg.deid.text_finder import TextFinder, load_text_finder

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from burned_in_images import LOOKS, SIDE, Picture, clean_pictures, text_pictures

ENOUGH = 0.9


def main() -> None:
    """Search all pictures of each seed and print a row a look."""
    options = parse()
    finder = load_text_finder(options.threads)
    if finder is None:
        sys.exit("install the extra ocr")
    finder.find(text_pictures(0)[0].array)  # loads the networks
    rows: dict[str, dict[str, float]] = {look: dict.fromkeys(("found", "lines", "left", "s", "n"), 0) for look in LOOKS}
    false_boxes = clean_seconds = 0.0
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        for picture in text_pictures(seed):
            add(rows[picture.name.split(",")[0]], picture, finder)
        for picture in clean_pictures(seed):
            started = time.perf_counter()
            false_boxes += len(finder.find(picture.array))
            clean_seconds += time.perf_counter() - started
    print(f"false boxes on {15 * options.seeds} clean images: {false_boxes:.0f}")
    report(rows, f"{clean_seconds / (15 * options.seeds):.2f}", int(false_boxes), options)


def parse() -> argparse.Namespace:
    """How much to search."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--no-record", action="store_true", help="only print; leave docs/benchmarks.md alone")
    return parser.parse_args()


def add(row: dict[str, float], picture: Picture, finder: TextFinder) -> None:
    """Search one picture, blank what is found, and search again."""
    started = time.perf_counter()
    boxes = finder.find(picture.array)
    row["s"] += time.perf_counter() - started
    row["n"] += 1
    mask = covered([box.grown(2) for box in boxes], SIDE, SIDE)  # as medseg.deid.pixels does
    shares = [mask[top:bottom, left:right].mean() for top, left, bottom, right in map(Box._make, picture.lines)]
    row["found"] += sum(share > ENOUGH for share in shares)
    row["lines"] += len(shares)
    if min(shares) <= ENOUGH:
        print(f"{picture.name}: {[round(float(share), 2) for share in shares]}", file=sys.stderr)
    blanked = picture.array.copy()
    blanked[mask] = 0
    row["left"] += bool(finder.find(blanked))


def report(
    rows: dict[str, dict[str, float]], clean_seconds: str, false_boxes: int, options: argparse.Namespace
) -> None:
    """Print the table, and keep it unless told otherwise."""
    listing = [
        {
            "burned-in text": f"{look}, {row['n']:.0f} images",
            "lines covered > 90 %": f"{row['found']:.0f} of {row['lines']:.0f}",
            "images with text after blanking": f"{row['left']:.0f}",
            "false boxes": "",
            "s/image": f"{row['s'] / row['n']:.2f}",
        }
        for look, row in rows.items()
    ]
    clean = (f"clean, {15 * options.seeds} images", "", "", str(false_boxes), clean_seconds)
    listing.append(dict(zip(listing[0], clean, strict=True)))
    text = table(listing)
    if options.no_record:
        print(text)
    else:
        record("burned-in-text", text, ("onnxruntime", "rapidocr", "numpy"))


if __name__ == "__main__":
    main()
