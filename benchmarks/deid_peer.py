"""Runs pydicom/deid on a list of files and prints the seconds it took; for the Python that holds it.

    PEER/bin/python benchmarks/deid_peer.py LIST OUT

``LIST`` is a text file with one path a line. ``benchmarks/deidentify.py`` calls this; deid needs matplotlib and is no
dependency of ours, so it lives in an environment of its own.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path

from deid.config import DeidRecipe
from deid.dicom import get_identifiers, replace_identifiers


def main() -> None:
    paths, output = Path(sys.argv[1]).read_text(encoding="utf-8").splitlines(), Path(sys.argv[2])
    recipe = DeidRecipe()
    written = 0
    with Path(os.devnull).open("w", encoding="utf-8") as silence:
        start = time.perf_counter()
        for number, path in enumerate(paths):
            folder = output / str(number)
            folder.mkdir()
            with contextlib.redirect_stdout(silence), contextlib.suppress(Exception):
                found = get_identifiers([path])
                replace_identifiers(
                    dicom_files=[path], ids=found, deid=recipe, save=True, output_folder=str(folder), overwrite=True
                )
            written += any(folder.iterdir())
        seconds = time.perf_counter() - start
    print(seconds, written)


if __name__ == "__main__":
    main()
