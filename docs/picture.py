"""Draws a picture for the documentation: a prediction, filled, against a reference, as lines.

python docs/picture.py DATASET CASE PREDICTED.nii.gz docs/images/NAME.png
"""

from __future__ import annotations

import sys
from pathlib import Path

from medseg.core.errors import LabelError
from medseg.data.layouts import open_dataset
from medseg.data.load import load_case
from medseg.io.formats import read_labels
from medseg.render.preview import comparison


def main(dataset: str, case: str, predicted: str, picture: str) -> None:
    opened = open_dataset(Path(dataset))
    loaded = load_case(opened.case(case), opened.channels, opened.scheme)
    if opened.scheme is None or loaded.label is None:
        raise LabelError(f"case {case} has no label to compare with")
    drawn = comparison(loaded.image, read_labels(Path(predicted), opened.scheme), loaded.label, opened.scheme)
    drawn.save(picture)


if __name__ == "__main__":
    main(*sys.argv[1:])
