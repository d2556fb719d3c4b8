"""``medseg plan``: a data set becomes a configuration that a person can read and edit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from medseg.config.budget import parse_budget
from medseg.config.load import dump_config
from medseg.config.networks import NetworkChoice
from medseg.config.sections import DataSection, SplitSection
from medseg.core.case import Case, CaseId
from medseg.core.errors import InputError, LabelError
from medseg.core.files import write_text
from medseg.core.progress import SILENT, Progress
from medseg.data.dataset import Dataset
from medseg.data.folds import is_folds_file, make_folds
from medseg.data.joining import Joining
from medseg.data.layouts import open_dataset
from medseg.data.load import load_joined, with_label
from medseg.data.reference import reference_channel
from medseg.data.split import make_split
from medseg.inference.devices import DeviceName, device_facts, resolve_device
from medseg.planning.adopt import adopted, read_model
from medseg.planning.fingerprint import Fingerprint, fingerprint
from medseg.planning.localiser import with_localiser
from medseg.planning.plan import Plan, Request, default_budget, make_plan


@dataclass(frozen=True)
class PlanOptions:
    """What a user may choose.

    Attributes:
        dims: 2 for slices, 3 for volumes; by default 3, and 2 where the images are single slices.
        network: Which kind of network.
        budget: Such as ``20min`` or ``200ep``; by default an hour on a CPU, 200 epochs on a GPU.
        device: What the plan is sized for.
        split: JSON with lists of case ids, or with folds; only its training cases are measured.
        init_from: A model whose weights the plan shall fit; its network is taken over, and its dimensions by default.
        localiser: Whether a small network at low resolution shall first find the region to look at.
    """

    dims: Literal[2, 3] | None = None
    network: NetworkChoice = NetworkChoice.UNET
    budget: str | None = None
    device: DeviceName = "auto"
    split: Path | None = None
    init_from: Path | None = None
    localiser: bool = False


def plan(dataset: Path, output: Path, options: PlanOptions | None = None, progress: Progress = SILENT) -> Plan:
    """Measure the training cases of a data set and write a run configuration.

    Args:
        dataset: Folder, ``dataset.json`` or manifest.
        output: The YAML file to write.
        options: Network, budget, device and split.
        progress: Told how far it is.

    Raises:
        InputError: If the data set or device is not there, or the file to write is.
        DataError: If a case cannot be read or has no label.
        BundleError: If there is no such model to start from.
        ConfigError: If it does not fit, or a localiser is wanted for images in pixels.
    """
    if output.exists():
        raise InputError(f"{str(output)!r} exists and may hold your edits; remove it, or name another file")
    opened = open_dataset(dataset)
    if opened.scheme is None:
        raise LabelError(f"{str(dataset)!r} holds no labels to learn from")
    options = options or PlanOptions()
    model = None if options.init_from is None else read_model(options.init_from)
    section = SplitSection(file=options.split)
    data = DataSection(folder=dataset, split=section)
    training = _measured(opened, section)
    facts = device_facts(resolve_device(options.device))
    usual = default_budget(facts)
    limits = parse_budget(options.budget, usual.steps) if options.budget else usual
    joining = Joining(frozenset(opened.lacking), reference_channel(opened))
    resampled: list[CaseId] = []
    measured = fingerprint(_cases(opened, training, joining, resampled, progress), opened.scheme)
    dims = options.dims or (_dims(measured) if model is None else model.network.dims)
    request = Request(output.stem, data, dims, facts, limits, options.network)
    made = make_plan(measured, opened.scheme, request)
    made = _with_channels(made, opened, joining.reference if resampled else None)
    made = made if model is None else adopted(made, model)
    made = with_localiser(made, measured, request) if options.localiser else made
    write_text(output, dump_config(made.config))
    progress.finish()
    return made


def _measured(dataset: Dataset, section: SplitSection) -> tuple[CaseId, ...]:
    """The cases that train; of a file of folds all that it names, as each trains in some fold."""
    if section.file is not None and is_folds_file(section.file):
        return make_folds(dataset, section, None).cases
    return make_split(dataset, section).training


def _cases(
    dataset: Dataset, ids: tuple[str, ...], joining: Joining, resampled: list[CaseId], progress: Progress
) -> Iterator[Case]:
    """The cases, one at a time; ``resampled`` gets those whose channels lie on several grids."""
    progress.start("measuring cases", len(ids))
    for case in ids:
        files = dataset.case(case)
        joined = load_joined(files, dataset.channels, joining)
        if joined.moved:
            resampled.append(files.id)
        yield with_label(files, joined.volume, dataset.scheme)
        progress.advance()


def _with_channels(made: Plan, dataset: Dataset, reference: str | None) -> Plan:
    """The plan, with what its channels lack and onto which of them they are laid."""
    lacking, config = dataset.lacking, made.config
    channels = tuple(one.model_copy(update={"optional": one.name in lacking}) for one in config.channels)
    preprocessing = config.preprocessing.model_copy(update={"reference": reference})
    notes = [
        f"channel {name!r} is missing in {count} of {len(dataset.cases)} cases, so it is optional"
        for name, count in lacking.items()
    ]
    if reference is not None:
        notes.append(f"the channels lie on several grids; those of {reference!r} count, the others are resampled")
    changed = config.model_copy(update={"channels": channels, "preprocessing": preprocessing})
    return Plan(changed, (*made.notes, *notes))


def _dims(measured: Fingerprint) -> Literal[2, 3]:
    return 2 if measured.is_flat else 3
