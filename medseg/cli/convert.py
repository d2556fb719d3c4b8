"""The command ``medseg convert``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .arguments import AllFramesFlag, FormName, JsonFlag
from .console import print_json, print_table


def convert(
    outlines: Annotated[
        Path,
        typer.Argument(help="DICOM SEG or RTSTRUCT, NIfTI, NRRD, .seg.nrrd, MHA, PNG, STL or OBJ."),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="A file, whose suffix tells the form; or a folder, with --to.")
    ],
    to: Annotated[
        list[FormName] | None,
        typer.Option("--to", help="What to write; may be repeated.", show_default="by the output's suffix"),
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
    as_json: JsonFlag = False,
) -> None:
    """Write outlines in another form, on the same voxels."""
    from medseg.batch.outputs import ResultForm
    from medseg.pipelines.convert import ConvertOptions
    from medseg.pipelines.convert import convert as run_convert

    forms = tuple(ResultForm(one.value) for one in to or ())
    done = run_convert(outlines, output, ConvertOptions(forms, source, labels, smooth, all_frames))
    if as_json:
        print_json({"outputs": [str(path) for path in done.outputs], "voxels": done.voxels})
    else:
        print_table([{"structure": name, "voxels": voxels} for name, voxels in done.voxels.items()])
