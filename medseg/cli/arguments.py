"""Options that several commands share."""

from __future__ import annotations

import json
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from medseg.core.errors import InputError

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.", show_default="off")]


class Device(StrEnum):
    """Where to compute."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


class Runtime(StrEnum):
    """What computes the network."""

    auto = "auto"
    torch = "torch"
    torch_compile = "torch-compile"
    openvino = "openvino"
    onnx = "onnx"


class Precision(StrEnum):
    """What numbers the network computes with."""

    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"
    fp16 = "fp16"
    int8 = "int8"


class FormName(StrEnum):
    """What a result can be written as."""

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


FormsOption = Annotated[
    list[FormName] | None,
    typer.Option("--write", help="What to write; may be repeated.", show_default="seg and sr"),
]


class WhichSeries(StrEnum):
    """Which fitting series of a study are predicted."""

    best = "best"
    all = "all"


SeriesOption = Annotated[WhichSeries, typer.Option(help="Predict the best fitting series of a study, or all that fit.")]

RulesOption = Annotated[Path | None, typer.Option(help="YAML file of rules for series.", show_default="the model's")]

TimeLimitOption = Annotated[str, typer.Option(help="Longest time for one study.")]

KeyOption = Annotated[
    Path | None,
    typer.Option(help="Project key that makes the pseudonyms.", show_default="~/.config/medseg/project.key"),
]

MirrorOption = Annotated[bool | None, typer.Option(help="Average over mirrored images.", show_default="the model's")]

FillGapsFlag = Annotated[
    bool, typer.Option("--fill-gaps", help="Interpolate missing DICOM slices.", show_default="off")
]

AllFramesFlag = Annotated[
    bool, typer.Option("--all-frames", help="A frame for every slice in DICOM SEG.", show_default="off")
]

DeviceOption = Annotated[Device, typer.Option(help="Where to compute; auto takes CUDA, then MPS, then the CPU.")]

DevicesOption = Annotated[
    str,
    typer.Option(
        metavar="auto|cpu|cuda|mps|cuda:N,…|all",
        help="Where to compute; auto takes CUDA, then MPS, then the CPU; several GPUs share the windows.",
    ),
]

StructuresOption = Annotated[
    list[str] | None,
    typer.Option("--structures", metavar="NAME,NAME", help="Only these structures.", show_default="all"),
]

SkipAirOption = Annotated[
    bool | None,
    typer.Option(
        "--skip-air/--no-skip-air",
        help="Take windows of air for background without looking at them.",
        show_default="the model's",
    ),
]

RuntimeOption = Annotated[
    Runtime,
    typer.Option(help="What computes the network; auto is torch, or OpenVINO where it converted it before."),
]

PrecisionOption = Annotated[
    Precision, typer.Option(help="Numbers of the network; auto is 16 bits where the device is fast in them.")
]

OverrideOption = Annotated[
    list[str] | None, typer.Option("--set", help="key=value, may be repeated.", show_default="none")
]

InitOption = Annotated[
    Path | None,
    typer.Option(
        help="Start from this model: a bundle, what `medseg pretrain` left, a MONAI bundle.",
        show_default="random weights",
    ),
]


def start_override(bundle: Path | None) -> tuple[str, ...]:
    """The override that makes a training start from a bundle; none without one."""
    return () if bundle is None else (f"training.init.bundle={json.dumps(str(bundle))}",)


def read_names(texts: Sequence[str]) -> tuple[str, ...]:
    """Names from texts such as ``liver,spleen``, each once; blanks around them do not count."""
    return tuple(dict.fromkeys(name.strip() for text in texts for name in text.split(",") if name.strip()))


def read_channels(texts: Sequence[str]) -> dict[str, Path]:
    """Files by channel from texts such as ``T1=scan.nii.gz``.

    Raises:
        InputError: If a text is not of that form, or a channel comes twice.
    """
    channels: dict[str, Path] = {}
    for text in texts:
        name, equals, path = text.partition("=")
        if not (name and equals and path):
            raise InputError(f"--channel {text!r} is not of the form NAME=PATH")
        if name in channels:
            raise InputError(f"--channel {name!r} is given twice")
        channels[name] = Path(path)
    return channels
