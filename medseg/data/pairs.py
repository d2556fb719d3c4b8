"""Folders ``images/`` and ``labels/`` whose entries are matched by name."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from medseg.core.errors import InputError
from medseg.core.labels import LabelScheme

from .dataset import CaseFiles, Dataset
from .images import channels_of, list_images, patient_of, whole_file
from .structures import scheme_beside


def open_pairs(folder: Path, scheme: LabelScheme | None) -> Dataset:
    """The cases of a folder pair; without ``labels/``, none is labelled.

    An entry of ``images/`` is an image file, or a folder with one DICOM series. Names match without their suffixes.
    The channels are those of the first image that can be read. ``labels.json`` beside the folders names the label
    values; without it each value found is a structure.

    Args:
        folder: Holds the two folders.
        scheme: Structures instead of those in ``labels.json``.

    Raises:
        InputError: If a folder is missing or empty, an image lacks its label or a label its image, or two files share a
            name.
        LabelError: If ``labels.json`` is not sound, or the label maps hold no structure.
    """
    images = list_images(folder / "images")
    has_labels = (folder / "labels").exists()
    labels = list_images(folder / "labels") if has_labels else {}
    if not images:
        raise InputError("folder 'images' holds no image")
    if has_labels:
        check_partners(images, labels, "images", "labels")
    channels = channels_of(images.values())
    cases = tuple(
        CaseFiles(case, whole_file(path, channels), labels.get(case), patient_of(path, case))
        for case, path in images.items()
    )
    return Dataset(folder.resolve().name, folder, channels, scheme or scheme_beside(folder, labels.values()), cases)


def check_partners(images: Collection[str], labels: Collection[str], image_folder: str, label_folder: str) -> None:
    """Refuse images without a label, and labels without an image.

    Raises:
        InputError: If there is one; counts them and names the first.
    """
    for here, there, folder, other in (
        (images, labels, image_folder, label_folder),
        (labels, images, label_folder, image_folder),
    ):
        alone = sorted(set(here) - set(there))
        if alone:
            count = (
                f"{len(alone)} of {len(here)} cases in {folder}/ have" if len(alone) > 1 else f"a case in {folder}/ has"
            )
            raise InputError(f"{count} no partner in {other}/: {', '.join(alone[:3])}; add it or move the case away")
