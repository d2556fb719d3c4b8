"""The command ``medseg convert``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from medseg.core.errors import InputError

from .arguments import AllFramesFlag, JsonFlag
from .console import ConsoleProgress, print_json, print_line, print_table


class ConvertName(StrEnum):
    """What outlines can be written as, and a data set."""

    seg = "seg"
    seg_labelmap = "seg-labelmap"
    seg_fractional = "seg-fractional"
    rtstruct = "rtstruct"
    sr = "sr"
    capture = "capture"
    nifti = "nifti"
    nrrd = "nrrd"
    stl = "stl"
    obj = "obj"
    probabilities = "probabilities"
    nnunet = "nnunet"


def convert(
    outlines: Annotated[
        Path,
        typer.Argument(
            help="DICOM SEG or RTSTRUCT, NIfTI, NRRD, .seg.nrrd, MHA, PNG, STL or OBJ; a data set, for nnunet."
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="A file, whose suffix tells the form; or a folder, with --to.")
    ],
    to: Annotated[
        list[ConvertName] | None,
        typer.Option(
            "--to",
            help="What to write; may be repeated. nnunet writes a data set as nnU-Net's raw folder DatasetNNN_Name.",
            show_default="by the output's suffix",
        ),
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option(help="The image that was outlined: a DICOM series, or any image.", show_default="none"),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="JSON that names the label values.", show_default="the input's names")
    ] = None,
    smooth: Annotated[
        bool, typer.Option("--smooth/--exact", help="Smooth surfaces, or keep each voxel's corners.")
    ] = True,
    all_frames: AllFramesFlag = False,
    split: Annotated[
        Path | None,
        typer.Option(
            help="For nnunet: folds or one split, which become splits_final.json.", show_default="5 folds by patient"
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Write outlines in another form, on the same voxels."""
    if ConvertName.nnunet in (to or ()):
        if len(to or ()) > 1:
            raise InputError("--to nnunet writes a data set, and goes with no other form")
        _convert_dataset(outlines, output, split, as_json=as_json)
        return
    if split is not None:
        raise InputError("--split is for --to nnunet")
    from medseg.batch.outputs import ResultForm
    from medseg.pipelines.convert import ConvertOptions
    from medseg.pipelines.convert import convert as run_convert

    forms = tuple(ResultForm(one.value) for one in to or ())
    done = run_convert(outlines, output, ConvertOptions(forms, source, labels, smooth, all_frames))
    if as_json:
        print_json({"outputs": [str(path) for path in done.outputs], "voxels": done.voxels})
    else:
        print_table([{"structure": name, "voxels": voxels} for name, voxels in done.voxels.items()])


def _convert_dataset(dataset: Path, output: Path, split: Path | None, *, as_json: bool) -> None:
    from medseg.pipelines.convert_dataset import convert_dataset

    done = convert_dataset(dataset, output, split, ConsoleProgress())
    if as_json:
        print_json({"outputs": [str(done.folder)], "training": done.written.training, "test": done.written.test})
        return
    for note in done.notes:
        print_line(note)
