"""The command ``medseg bench``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medseg.core.errors import InputError

from .arguments import Device, DeviceOption, Precision, PrecisionOption, Runtime, RuntimeOption
from .console import ConsoleProgress, print_line, print_table

ShapeOption = Annotated[
    str | None,
    typer.Option(
        help="Of a generated image: voxels along right, anterior, superior, as 512,512,300; rows,columns of a frame.",
        show_default="as in training",
    ),
]
SpacingOption = Annotated[
    str | None,
    typer.Option(help="Of a generated volume: mm along the same axes, as 0.8,0.8,1.", show_default="as in training"),
]


def bench(
    bundle: Annotated[Path, typer.Argument(help="Folder of the model, RUN/bundle.")],
    image: Annotated[
        Path | None,
        typer.Option("--input", help="Image, folder of images or frames, DICOM clip.", show_default="a generated one"),
    ] = None,
    shape: ShapeOption = None,
    spacing: SpacingOption = None,
    runtime: RuntimeOption = Runtime.auto,
    device: DeviceOption = Device.auto,
    precision: PrecisionOption = Precision.auto,
    whole_frame: Annotated[
        bool,
        typer.Option("--whole-frame", help="Frames larger than the window in one forward pass.", show_default="off"),
    ] = False,
    repeats: Annotated[
        int | None, typer.Option(min=1, help="Runs to measure.", show_default="as many as fit into --seconds")
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long to measure.")] = 30.0,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="JSON file to write all of it to.", show_default="none")
    ] = None,
) -> None:
    """Measure a model here: latency, throughput, memory, and where the time goes."""
    from medseg.core.files import write_text
    from medseg.inference.settings import PredictionSettings
    from medseg.pipelines.bench import bench as run_bench
    from medseg.pipelines.bench_jobs import BenchOptions

    settings = PredictionSettings(device.value, precision.value, runtime=runtime.value)
    options = BenchOptions(image, _shape(shape), _spacing(spacing), settings, whole_frame, repeats, seconds)
    report = run_bench(bundle, options, ConsoleProgress())
    for line in report.lines():
        print_line(line)
    print_table(report.stage_rows())
    if json_file is not None:
        write_text(json_file, report.model_dump_json(indent=1))


def _shape(text: str | None) -> tuple[int, ...] | None:
    numbers = _numbers("--shape", text)
    if numbers is not None and not all(number.is_integer() for number in numbers):
        raise InputError(f"--shape takes whole numbers, got {text!r}")
    return None if numbers is None else tuple(map(int, numbers))


def _spacing(text: str | None) -> tuple[float, float, float] | None:
    numbers = _numbers("--spacing", text)
    if numbers is not None and len(numbers) != 3:
        raise InputError(f"--spacing takes 3 numbers, got {text!r}")
    return None if numbers is None else (numbers[0], numbers[1], numbers[2])


def _numbers(name: str, text: str | None) -> tuple[float, ...] | None:
    """Numbers between commas.

    Raises:
        InputError: If one is none.
    """
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"{name} takes numbers between commas, such as 512,512,300, got {text!r}") from None
