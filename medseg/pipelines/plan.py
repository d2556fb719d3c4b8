"""``medseg plan``: a data set becomes a configuration that a person can read and edit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from medseg.config.budget import parse_budget
from medseg.config.load import dump_config
from medseg.config.sections import DataSection, SplitSection
from medseg.core.case import Case
from medseg.core.errors import InputError, LabelError
from medseg.core.files import write_text
from medseg.core.progress import SILENT, Progress
from medseg.data.dataset import Dataset
from medseg.data.layouts import open_dataset
from medseg.data.load import load_case
from medseg.data.split import make_split
from medseg.inference.devices import DeviceName, device_facts, resolve_device
from medseg.planning.fingerprint import Fingerprint, fingerprint
from medseg.planning.plan import Plan, Request, default_budget, make_plan


def plan(
    dataset: Path,
    output: Path,
    dims: Literal[2, 3] | None = None,
    budget: str | None = None,
    device: DeviceName = "auto",
    split: Path | None = None,
    progress: Progress = SILENT,
) -> Plan:
    """Measure the training cases of a data set and write a run configuration.

    Args:
        dataset: Folder, ``dataset.json`` or manifest.
        output: The YAML file to write.
        dims: 2 for slices, 3 for volumes; by default 3, and 2 where the images are single slices.
        budget: Such as ``20min`` or ``200ep``; by default an hour on a CPU, 200 epochs on a GPU.
        device: What the plan is sized for.
        split: JSON with lists of case ids; only its training cases are measured.
        progress: Told how far it is.

    Raises:
        InputError: If the data set or device is not there, or the file to write is.
        DataError: If a case cannot be read or has no label.
    """
    if output.exists():
        raise InputError(f"{str(output)!r} exists and may hold your edits; remove it, or name another file")
    opened = open_dataset(dataset)
    if opened.scheme is None:
        raise LabelError(f"{str(dataset)!r} holds no labels to learn from")
    section = SplitSection(file=split)
    data = DataSection(folder=dataset, split=section)
    training = make_split(opened, section).training
    facts = device_facts(resolve_device(device))
    usual = default_budget(facts)
    limits = parse_budget(budget, usual.steps) if budget else usual
    measured = fingerprint(_cases(opened, training, progress), opened.scheme)
    made = make_plan(measured, opened.scheme, Request(output.stem, data, dims or _dims(measured), facts, limits))
    write_text(output, dump_config(made.config))
    progress.finish()
    return made


def _cases(dataset: Dataset, ids: tuple[str, ...], progress: Progress) -> Iterator[Case]:
    progress.start("measuring cases", len(ids))
    for case in ids:
        yield load_case(dataset.case(case), dataset.channels, dataset.scheme)
        progress.advance()


def _dims(measured: Fingerprint) -> Literal[2, 3]:
    return 2 if measured.is_flat else 3
