"""Small DICOM studies with identifiers that are easy to look for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
from dicom_factories import Grid, series_datasets, voxels, write_file

from medseg.config.deid import DeidProfile
from medseg.core.pseudonyms import ProjectKey
from medseg.pipelines.deidentify import DeidentifyOptions

SMALL = Grid(columns=8, rows=6, slices=2)
SECRETS = ("Winterbottom", "ZZ4711815", "19520317", "ACC776655", "Lighthouse", "1.2.826.0.1.3680043.9.7777")
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


def write_study(folder: Path, study: str = "1", slices: Grid = SMALL, **elements: object) -> list[Path]:
    """The files of a CT series that names its patient in many places."""
    folder.mkdir(parents=True, exist_ok=True)
    root = f"{SECRETS[5]}.{study}"
    told = {
        "StudyInstanceUID": root,
        "SeriesInstanceUID": f"{root}.1",
        "PatientName": f"{SECRETS[0]}^Anna",
        "PatientID": SECRETS[1],
        "PatientBirthDate": SECRETS[2],
        "StudyDate": "20200314",
        "AccessionNumber": SECRETS[3],
        "InstitutionName": f"{SECRETS[4]} Infirmary",
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        **elements,
    }
    paths = []
    for number, dataset in enumerate(series_datasets(slices, voxels(slices), **told)):
        dataset.SOPInstanceUID = f"{told['SeriesInstanceUID']}.{number}"
        paths.append(folder / f"{SECRETS[0]}-{told.get('Modality', 'CT')}-{number}.dcm")
        write_file(paths[-1], dataset)
    return paths


def write_capture(folder: Path, study: str = "1") -> Path:
    """A secondary capture, whose pixels may show a name."""
    grid = Grid(columns=32, rows=24, slices=1)
    (path,) = write_study(
        folder,
        study,
        grid,
        SOPClassUID=SECONDARY_CAPTURE,
        Modality="OT",
        ImageType=["DERIVED", "SECONDARY"],
        ConversionType="WSD",
        SeriesInstanceUID=f"{SECRETS[5]}.{study}.9",
    )
    return path


def change(path: Path, **elements: object) -> None:
    """Set elements of a file."""
    dataset = pydicom.dcmread(path)
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    dataset.save_as(path)


def run_options(folder: Path, **changes: object) -> DeidentifyOptions:
    """Options with a fixed key that lies in ``folder``, working in this process."""
    key = folder / "project.key"
    if not key.exists():
        key.write_text(bytes(range(32)).hex())
        key.chmod(0o600)
    profile = changes.pop("profile", DeidProfile())
    return DeidentifyOptions(**{"profile": profile, "key": key, "workers": 0, **changes})


def fixed_key() -> ProjectKey:
    """The key that ``run_options`` writes."""
    return ProjectKey(bytes(range(32)))


def files_below(folder: Path) -> dict[str, bytes]:
    """Content by relative path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def objects_below(folder: Path) -> list[pydicom.Dataset]:
    """All DICOM objects, by path."""
    return [pydicom.dcmread(path) for path in sorted(folder.rglob("*.dcm"))]


def leaks(folder: Path) -> set[str]:
    """Which secrets are in the names or bytes of a folder."""
    everything = b"\n".join(name.encode() + content for name, content in files_below(folder).items())
    return {secret for secret in SECRETS if secret.lower().encode() in everything.lower()}


def noise(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, shape).astype(np.uint8)
