"""An outside validator (dciodvfy of dicom3tools) before and after, on pydicom's files: what conforms goes on so."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pydicom
import pytest
from deid_runs import KEY, clean_path, profile
from marked_study import write_marked_study

from medseg.config.deid import DeidProfile, Mode, Option
from medseg.core.errors import DeidError, ReadError
from medseg.deid.engine import Engine

PROGRAM = shutil.which("dciodvfy")
pytestmark = [
    pytest.mark.skipif(PROGRAM is None, reason="needs dciodvfy (Debian package dicom3tools)"),
    pytest.mark.filterwarnings("ignore::UserWarning"),  # pydicom's, about its own files
]
FOLDER = Path(pydicom.__file__).parent / "data"
PATHS = sorted(path for path in FOLDER.rglob("*") if path.is_file() and path.suffix in (".dcm", ""))
PROFILES = {
    "basic": DeidProfile(),
    "all": profile(*(set(Option) - {Option.RETAIN_FULL_DATES})),
    "return": profile(mode=Mode.RETURN),
}
EXPLAINED = {
    "image_dfl.dcm": "deflated: the validator cannot read it before, and finds errors of the input after",
}
"""Files with errors that the input did not have, as the validator sees it."""


def errors(path: Path) -> Counter[str]:
    """Lines that say ``Error``, without item numbers and values, which differ before and after."""
    done = subprocess.run([str(PROGRAM), "-new", path], capture_output=True, timeout=60, check=False)
    text = (done.stdout + done.stderr).decode("latin-1")
    lines = (line for line in text.splitlines() if line.startswith("Error"))
    return Counter(re.sub(r"\[\d+\]", "", line.split(" = <")[0]) for line in lines)


def all_errors(paths: Iterable[Path]) -> list[Counter[str]]:
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(errors, paths))


def cleaned_files(name: str, folder: Path) -> dict[Path, Path]:
    """Cleaned copies by source, of those that were not refused."""
    engine, found = Engine(PROFILES[name], KEY), {}
    for number, path in enumerate(PATHS):
        try:
            output = clean_path(path, engine)
        except (DeidError, ReadError):
            continue
        if output is not None:
            found[path] = folder / f"{number}.dcm"
            found[path].write_bytes(output.raw)
    return found


@pytest.fixture(scope="module")
def before() -> dict[Path, Counter[str]]:
    """Errors of the files as pydicom has them."""
    return dict(zip(PATHS, all_errors(PATHS), strict=True))


@pytest.mark.parametrize("name", PROFILES)
def test_each_new_error_is_explained(name, before, tmp_path):
    copies = cleaned_files(name, tmp_path)
    after = dict(zip(copies, all_errors(copies.values()), strict=True))
    clean = [path for path in PATHS if not before[path]]
    assert len(clean) >= 31
    assert [path.name for path in clean if path in copies and after[path]] == []
    refused = [path for path in clean if path not in copies and not path.name.startswith("DICOMDIR")]
    assert {path.parent.name for path in refused} == {"palettes"}  # of no patient and no study
    new = {path.name: list(after[path] - before[path]) for path in copies if after[path] - before[path]}
    assert {file: lines for file, lines in new.items() if file not in EXPLAINED} == {}
    assert len(new) <= 9


@pytest.mark.parametrize("name", PROFILES)
def test_a_conformant_study_stays_so(name, tmp_path):
    study = write_marked_study(tmp_path / "plain", visits=1, slices=1, marked=False)
    engine = Engine(PROFILES[name], KEY)
    for key, path in study.files.items():
        output = clean_path(path, engine)
        assert output is not None
        (tmp_path / "out.dcm").write_bytes(output.raw)
        assert (key, errors(path), errors(tmp_path / "out.dcm")) == (key, Counter(), Counter())
