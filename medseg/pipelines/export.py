"""``medseg export``: a model for programs that do not have medseg, and beside it how far it agrees with torch."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from medseg.core.errors import InputError
from medseg.core.files import atomic_folder
from medseg.core.progress import SILENT, Progress
from medseg.data.layouts import open_dataset
from medseg.inference.bundle import Bundle, Member, read_bundle
from medseg.inference.bundle_files import INT8, MEMBERS, RECORD, member_folders, write_json
from medseg.inference.devices import autocast_dtype
from medseg.inference.export_agreement import CaseAgreement, WindowAgreement, compare_cases, compare_windows
from medseg.inference.export_cases import (
    ExportCases,
    case_windows,
    divide_cases,
    prepared_cases,
    random_windows,
    trained_cases,
)
from medseg.inference.export_forms import ExportForm, open_network, write_network
from medseg.inference.export_monai import write_monai_config
from medseg.inference.export_readme import AGREEMENT, FACTS, README, model_facts, readme
from medseg.inference.network import weights_digest
from medseg.inference.openvino_int8 import LARGEST_FALL, Int8Record, int8_versions, quantised
from medseg.inference.openvino_model import OpenVINORunner, load_openvino, openvino_model, save_openvino
from medseg.inference.runner import Runner, TorchRunner
from medseg.inference.runtime import input_shape

from .card import model_card

_RANDOM_WINDOWS, _MOST_COMPARED = 4, 8
_REGIONS = (
    "It was trained on the region that a localiser finds in an image (medseg's section `localiser`), and that network "
    "is not in this folder: given whole images, it may outline what is not there."
)
_CPU = torch.device("cpu")


@dataclass(frozen=True)
class ExportOptions:
    """What an export writes.

    Attributes:
        form: As what the networks are written.
        int8: In 8-bit integers, for OpenVINO; needs ``data``.
        data: Data set with labelled cases: those that trained the model fit the ranges of integers, the others judge.
            None judges by windows of noise.
        into_bundle: Put the networks in integers into the bundle, for ``medseg predict --precision int8``.
    """

    form: ExportForm = ExportForm.ONNX
    int8: bool = False
    data: Path | None = None
    into_bundle: bool = False


@dataclass(frozen=True)
class NetworkExport:
    """One network that was written.

    Attributes:
        place: Its folder, relative to that of the export; empty for the same.
        windows: How far it agrees with torch window by window.
        on_cases: Whether those windows are of cases, and not of noise.
        cases: How far it agrees on cases that judge; None without data.
        record: What is known of a network in integers; None for others.
    """

    place: str
    windows: WindowAgreement
    on_cases: bool
    cases: CaseAgreement | None = None
    record: Int8Record | None = None

    @property
    def sentence(self) -> str:
        """The same in words."""
        seen, kind = self.windows, "windows of cases" if self.on_cases else "windows of noise"
        told = (
            f"on {seen.windows} {kind} {100 * seen.equal_voxels:.3f} % of the voxels get the same label, and logits "
            f"differ by {seen.largest_difference:.2g} at most"
        )
        if self.cases is not None:
            dice, exported = self.cases.means
            told += (
                f"; on {self.cases.cases} cases it is {100 * self.cases.equal_voxels:.3f} % of the voxels, and the "
                f"mean Dice is {exported:.4f}, that of torch {dice:.4f}"
            )
        return f"`{self.place}`: {told}." if self.place else f"{told[0].upper()}{told[1:]}."

    def row(self) -> dict[str, Any]:
        """For a table."""
        dice, exported = (None, None) if self.cases is None else self.cases.means
        return {
            "network": self.place or "model",
            "windows": self.windows.windows,
            "same label, %": 100 * (self.cases or self.windows).equal_voxels,
            "largest logit difference": self.windows.largest_difference,
            "cases": None if self.cases is None else self.cases.cases,
            "Dice, torch": dice,
            "Dice, exported": exported,
        }


@dataclass(frozen=True)
class ModelExport:
    """What an export left, and how good it is."""

    folder: Path
    networks: tuple[NetworkExport, ...]

    def rows(self) -> list[dict[str, Any]]:
        """One row a network."""
        return [network.row() for network in self.networks]


@dataclass(frozen=True, eq=False)
class _Job:
    model: Bundle
    options: ExportOptions
    cases: ExportCases | None
    progress: Progress


def export(
    bundle: Path,
    output: Path | None = None,
    options: ExportOptions | None = None,
    progress: Progress = SILENT,
    network: nn.Module | None = None,
) -> ModelExport:
    """Write a model for programs that do not have medseg.

    The folder gets the networks, ``model.json`` (what goes in and comes out), ``README.md`` (the same for people) and
    ``agreement.json`` (how far each network agrees with the one that torch computes).

    Args:
        bundle: Folder of the model.
        output: Folder for the result, new or an earlier export; None with ``into_bundle``.
        options: What is written.
        progress: Told of each network and each case.
        network: Like the one that was trained, for bundles whose network is one's own.

    Returns:
        How far the networks agree.

    Raises:
        BundleError: If the bundle cannot be read.
        InputError: If options do not go together, a package is missing, the output is something else, the data has too
            few cases, or a network in integers would lose 0.2 points of Dice or more; then nothing is written.
        DataError: If a case cannot be read.
        OutputError: If the result cannot be written.
    """
    options = options or ExportOptions()
    _check(options, output)
    model = read_bundle(bundle, network)
    cases = None
    if options.data is not None:
        dataset = open_dataset(options.data, model.config.data.layout, model.scheme)
        cases = divide_cases(dataset, trained_cases(bundle))
    job = _Job(model, options, cases, progress)
    if output is None:
        return _into_bundle(job, bundle)
    with atomic_folder(output) as partial:
        networks = _write_networks(job, partial)
        _write_words(job, partial, networks)
    progress.finish()
    return ModelExport(output, networks)


def _check(options: ExportOptions, output: Path | None) -> None:
    if options.int8 and (options.form is not ExportForm.OPENVINO or options.data is None):
        raise InputError("int8 is for --to openvino, and is calibrated on cases: name a data set by --calibrate-on")
    if options.into_bundle and not options.int8:
        raise InputError("only an int8 model goes into a bundle; other runtimes convert its networks when they run")
    if (output is None) != options.into_bundle:
        raise InputError("name the folder for the result by -o, or --into-bundle; one of them")
    if output is None or (output / AGREEMENT).is_file():
        return
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise InputError(f"{str(output)!r} holds something else than an earlier export; name a new folder")


def _write_networks(job: _Job, folder: Path) -> tuple[NetworkExport, ...]:
    members = job.model.members
    if job.options.form is ExportForm.MONAI_BUNDLE:
        write_monai_config(folder, job.model)
    places = [""] if len(members) == 1 else [f"{MEMBERS}/{number}" for number in range(len(members))]
    written = []
    for place, member in zip(places, members, strict=True):
        (folder / place).mkdir(parents=True, exist_ok=True)
        written.append(_write_network(job, member, folder, place))
    return tuple(written)


def _write_network(job: _Job, member: Member, folder: Path, place: str) -> NetworkExport:
    config, form, where = member.config, job.options.form, f" {place}" if place else ""
    shape = input_shape(member, config.sampling.patch)
    job.progress.start(f"exporting{where}", 1)
    windows = _windows(job, member, shape)
    if job.options.int8:
        save_openvino(quantised(openvino_model(member.network, shape), windows), folder / place)
        runner: Runner = OpenVINORunner(load_openvino(folder / place), autocast_dtype(_CPU, "auto"))
    else:
        write_network(form, member.network, shape, folder / place)
        runner = open_network(form, folder / place)
    job.progress.advance()
    made = _compared(job, member, runner, windows, place)
    if not job.options.int8:
        return made
    return _recorded(job, member, folder, made, len(windows))


def _windows(job: _Job, member: Member, shape: Sequence[int]) -> list[NDArray[np.float32]]:
    rng = np.random.default_rng(0)
    if job.cases is None:
        return random_windows(shape, _RANDOM_WINDOWS, rng)
    cases = prepared_cases(job.cases.calibrating, member.config, job.model.scheme)
    return case_windows(cases, member.config, rng)


def _compared(
    job: _Job, member: Member, runner: Runner, windows: Sequence[NDArray[np.float32]], place: str
) -> NetworkExport:
    runners, scheme = (TorchRunner(member.network), runner), job.model.scheme
    seen = compare_windows(runners, windows[:_MOST_COMPARED], exclusive=scheme.is_exclusive)
    if job.cases is None:
        return NetworkExport(place, seen, on_cases=False)
    job.progress.start("comparing with torch", len(job.cases.held_out))
    held_out = prepared_cases(job.cases.held_out, member.config, scheme)
    cases = compare_cases(member.config, runners, held_out, scheme, job.progress)
    return NetworkExport(place, seen, on_cases=True, cases=cases)


def _recorded(job: _Job, member: Member, folder: Path, made: NetworkExport, windows: int) -> NetworkExport:
    """The same with its record, which is written beside the network; refused if it is not good enough."""
    if made.cases is None or job.cases is None:
        raise AssertionError("networks in integers are judged on cases")
    dice, exported = made.cases.means
    fall = 100 * (dice - exported)
    if not fall < LARGEST_FALL:  # NaN too, where no case holds any structure
        raise InputError(
            f"in int8 the mean Dice of {made.cases.cases} held-out cases falls by {fall:.2f} points, from {dice:.4f} "
            f"to {exported:.4f}; allowed are less than {LARGEST_FALL:g}, so nothing was written; bf16 loses less"
        )
    record = Int8Record(
        weights=weights_digest(member.network),
        shape=input_shape(member, member.config.sampling.patch),
        windows=windows,
        training_cases=len(job.cases.calibrating),
        held_out_cases=made.cases.cases,
        dice=dice,
        dice_int8=exported,
        equal_voxels=made.cases.equal_voxels,
        versions=int8_versions(),
    )
    (folder / made.place / RECORD).write_text(record.model_dump_json(indent=1), encoding="utf-8")
    return NetworkExport(made.place, made.windows, made.on_cases, made.cases, record)


def _write_words(job: _Job, folder: Path, networks: Sequence[NetworkExport]) -> None:
    places, form = [network.place for network in networks], job.options.form
    write_json(folder / FACTS, model_facts(job.model, form, places))
    write_json(folder / AGREEMENT, {"networks": [_plain(network) for network in networks]})
    sentences = [network.sentence for network in networks]
    if job.options.int8:
        sentences.append(f"Computes in 8-bit integers; exports that lose {LARGEST_FALL:g} points of Dice are refused.")
    if job.model.localiser is not None:
        sentences.append(_REGIONS)
    (folder / README).write_text(readme(job.model, form, places, sentences), encoding="utf-8")


def _plain(network: NetworkExport) -> dict[str, Any]:
    """For ``agreement.json``, which knows no NaN."""
    tree: dict[str, Any] = {
        "place": network.place,
        "reference": f"torch {torch.__version__}, float32",
        "precision": "fp32" if network.record is None else "int8",
        "windows": asdict(network.windows) | {"of": "cases" if network.on_cases else "noise"},
    }
    if network.cases is None:
        return tree
    scores = asdict(network.cases)
    for name in ("dice", "dice_exported"):
        scores[name] = [None if np.isnan(value) else value for value in scores[name]]
    return tree | {"cases": scores}


def _into_bundle(job: _Job, bundle: Path) -> ModelExport:
    """All networks in integers first, then each to its place, then the card, which tells of them."""
    with tempfile.TemporaryDirectory() as scratch:
        networks = _write_networks(job, Path(scratch))
        for network, place in zip(networks, member_folders(bundle), strict=True):
            with atomic_folder(place / INT8) as partial:
                for path in (Path(scratch) / network.place).iterdir():
                    if path.is_file():
                        shutil.copy(path, partial)
    model_card(bundle)
    job.progress.finish()
    return ModelExport(bundle, networks)
