"""``medseg convert --to nnunet``: a data set becomes a raw folder of nnU-Net's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from medseg.config.sections import SplitSection
from medseg.core.errors import InputError
from medseg.core.files import atomic_folder
from medseg.core.progress import SILENT, Progress
from medseg.data.dataset import Dataset
from medseg.data.folds import USUAL_FOLDS, Folds, is_folds_file, make_folds
from medseg.data.layouts import open_dataset
from medseg.data.nnunet_write import SPLITS, Written, check_nnunet_name, write_nnunet
from medseg.data.split import make_split


@dataclass(frozen=True)
class DatasetConverted:
    """A raw folder that was written, and what its user should know."""

    folder: Path
    written: Written
    notes: tuple[str, ...]


def convert_dataset(
    source: Path, output: Path, split: Path | None = None, progress: Progress = SILENT
) -> DatasetConverted:
    """Write a data set in nnU-Net's raw layout.

    Args:
        source: Any data set: folder, ``dataset.json`` or manifest.
        output: Folder named as nnU-Net wants it, such as ``Dataset042_Liver``; one that is there is not replaced.
        split: JSON with folds (of a run, or of nnU-Net) or with one split, which becomes ``splits_final.json``. By
            default five folds that keep the cases of a patient together, fewer if there are fewer patients.
        progress: Told of each case.

    Raises:
        InputError: If the data set is not there, the output is, or its name does not serve.
        ConfigError: If the split is not sound.
        DataError: If a case cannot be read, or cannot be said in nnU-Net's layout.
        OutputError: If nothing can be written.
    """
    check_nnunet_name(output.name)
    if output.exists():
        raise InputError(f"{str(output)!r} exists; remove it, or name another folder")
    dataset = open_dataset(source)
    folds = _folds(dataset, split)
    with atomic_folder(output) as folder:
        written = write_nnunet(folder, dataset, folds, progress)
    progress.finish()
    return DatasetConverted(output, written, _notes(output.name, written, folds))


def _folds(dataset: Dataset, split: Path | None) -> Folds | None:
    """The folds for nnU-Net; None if there are too few patients for any."""
    section = SplitSection(file=split)
    if split is not None and is_folds_file(split):
        return make_folds(dataset, section, None)
    if split is not None:
        made = make_split(dataset, section)
        return Folds(((made.training, made.validation),), made.test)
    patients = {case.patient for case in dataset.labelled if case.split != "test"}
    return make_folds(dataset, section, min(USUAL_FOLDS, len(patients))) if len(patients) > 1 else None


def _notes(name: str, written: Written, folds: Folds | None) -> tuple[str, ...]:
    notes = [f"{written.training} cases to train on, {written.test} in imagesTs"]
    if written.turned:
        notes.append(f"{written.turned} images were turned, since nnU-Net takes axes as files hold them")
    if folds is not None:
        notes.append(
            f"folds in {SPLITS}: {len(folds)}; nnU-Net reads it in nnUNet_preprocessed/{name}, once it has planned"
        )
    return tuple(notes)
