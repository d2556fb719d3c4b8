"""What an exported network says about itself: ``model.json`` for programs, ``README.md`` for people."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch

import medseg
from medseg.config.sections import ChannelSection, Intensity
from medseg.postprocess.clean import steps_in_words

from .bundle import Bundle, Member
from .export_forms import ExportForm
from .runtime import input_shape

FACTS, README, AGREEMENT = "model.json", "README.md", "agreement.json"
_FAR = 1e4


def model_facts(bundle: Bundle, form: ExportForm, places: Sequence[str]) -> dict[str, Any]:
    """All that a program has to know to use the networks; plain values.

    Args:
        bundle: The model.
        form: What its networks were written as.
        places: Folder of each network, relative to that of the export; empty for the same.
    """
    scheme = bundle.scheme
    known = ["background", *scheme.targets] if scheme.is_exclusive else list(scheme.targets)
    values = {one.name: one.value for one in scheme.target_structures}
    return {
        "name": bundle.config.name,
        "form": form.value,
        "made_by": {"medseg": medseg.__version__, "torch": torch.__version__},
        "networks": [_network_facts(one, form, place) for one, place in zip(bundle.members, places, strict=True)],
        "outputs": {
            "activation": "softmax" if scheme.is_exclusive else "sigmoid",
            "channels": [{"index": n, "name": name, "value": values.get(name, 0)} for n, name in enumerate(known)],
            "temperature": bundle.calibration.temperature,
            "thresholds": {} if scheme.is_exclusive else {n: bundle.calibration.threshold(n) for n in scheme.targets},
        },
        "inference": bundle.config.inference.model_dump(mode="json"),
        "postprocessing": bundle.config.postprocessing and bundle.config.postprocessing.model_dump(mode="json"),
    }


def _network_facts(member: Member, form: ExportForm, place: str) -> dict[str, Any]:
    config = member.config
    return {
        "files": [f"{place}/{name}" if place else name for name in form.files],
        "input": list(input_shape(member, config.sampling.patch)),
        "dims": config.network.dims,
        "window": list(config.sampling.patch),
        "channels": [channel.model_dump(mode="json") for channel in config.channels],
        "preprocessing": config.preprocessing.model_dump(mode="json"),
        "mirror_axes": [axis for axis in config.augmentation.mirror_axes if axis < config.network.dims],
    }


def readme(bundle: Bundle, form: ExportForm, places: Sequence[str], agreement: Sequence[str]) -> str:
    """The same for people, with a few lines that run it.

    Args:
        bundle: The model.
        form: What its networks were written as.
        places: As of ``model_facts``.
        agreement: How far they agree with torch, a sentence each.
    """
    return "\n".join([*_head(bundle, form, places), *_inputs(bundle), *_outputs(bundle), *_agreement(agreement), ""])


def _head(bundle: Bundle, form: ExportForm, places: Sequence[str]) -> Iterator[str]:
    scheme = bundle.scheme
    yield f"# {bundle.config.name}\n"
    yield f"Outlines {', '.join(scheme.targets)}. Written by medseg {medseg.__version__} as {form.value}; medseg is not"
    yield f"needed to run it. `{FACTS}` says all that follows in numbers. For research only: not a medical device.\n"
    if len(places) > 1:
        logits = _averages_logits(bundle)
        what = "logits" if logits else "probabilities"
        other = "; of networks with other windows or voxels, that of the probabilities" if logits else ""
        yield f"There are {len(places)} networks, in {', '.join(f'`{place}`' for place in places)}: compute the"
        yield f"{what} of each, and take their mean{other}. What follows is of the first; the file knows the others.\n"
    if bundle.localiser is not None:
        yield "medseg first finds the region to look at by a small network, which is not here: give the whole image, or"
        yield "a box around what is to be outlined.\n"
    member = bundle.members[0]
    yield "## Run it\n"
    yield _LINES[form].format(
        shape=input_shape(member, member.config.sampling.patch), file=_file(form, places[0]), classes=_classes(bundle)
    )


def _averages_logits(bundle: Bundle) -> bool:
    return bundle.config.inference.average == "logits"


def _file(form: ExportForm, place: str) -> str:
    return f"{place}/{form.files[0]}" if place else form.files[0]


def _classes(bundle: Bundle) -> str:
    if bundle.scheme.is_exclusive:
        return "logits.argmax(axis=1)"
    calibration = bundle.calibration
    least = [_least_logit(calibration.threshold(name), calibration.temperature) for name in bundle.scheme.targets]
    if not any(least):
        return "logits > 0"
    ones = ", 1" * (bundle.members[0].config.network.dims)
    return f"logits > np.reshape({[round(one, 4) for one in least]}, (1, -1{ones}))"


def _least_logit(threshold: float, temperature: float) -> float:
    """The logit whose probability, once divided by the temperature, is the threshold; far away for 0 and 1."""
    if threshold in (0, 1):
        return _FAR if threshold else -_FAR
    return temperature * math.log(threshold / (1 - threshold))


def _inputs(bundle: Bundle) -> Iterator[str]:
    config = bundle.config
    section = config.preprocessing
    yield "## What goes in\n"
    yield "An array `(1, channel, i, j, k)` of float32; `(1, channel, i, j)` for a network of slices. In this order:\n"
    if sorted(section.orientation) == ["i", "j", "k"]:
        yield f"1. Order the axes of the file as {', '.join(section.orientation)}; turn nothing."
    else:
        yield f"1. Turn the axes so that they point to {section.orientation} (nibabel's axis codes)."
    if section.crop == "nonzero":
        yield "2. Cut away the border that is exactly zero in all channels."
    yield "3. Make intensities comparable, channel by channel:"
    yield from (f"   - `{channel.name}`: {_intensity(channel)}." for channel in config.channels)
    yield f"4. {_spacing(bundle)}"
    roi, overlap = " x ".join(map(str, config.sampling.patch)), config.inference.overlap
    yield f"5. Cut windows of {roi} voxels that overlap by {overlap:g} of their size; zeros beyond the image.\n"


def _intensity(channel: ChannelSection) -> str:
    match channel.intensity:
        case Intensity.CT:
            low, high = channel.clip or (0.0, 0.0)
            words = f"clip to {low:g} to {high:g}, subtract {channel.mean:g}, divide by {channel.std:g}"
        case Intensity.ZSCORE:
            where = "its voxels that are not zero" if channel.nonzero_only else "the whole image"
            words = f"subtract the mean of {where}, divide by its standard deviation"
        case Intensity.UNIT:
            words = "divide by 255"
        case Intensity.RESCALE:
            words = "scale the image's range to 0 to 1"
        case _:
            words = "as it is"
    return f"{words}; zeros if the image lacks it" if channel.optional else words


def _spacing(bundle: Bundle) -> str:
    section = bundle.config.preprocessing
    if section.spacing is None:
        return "Resample nothing."
    axes = "along all axes" if section.resample_slices else "along the first two axes"
    size = " x ".join(f"{mm:.4g}" for mm in section.spacing)
    clipped = " Clip to the range that the image, or the slice, had." if section.resampling == "nnunet" else ""
    return (
        f"Resample to voxels of {size} mm {axes} by cubic B-splines; the outer faces of the grids coincide. Along the "
        "one axis that is more than 3 times as coarse as the finest, before it or else after it, take the nearest "
        f"slice.{clipped}"
    )


def _outputs(bundle: Bundle) -> Iterator[str]:
    scheme, calibration = bundle.scheme, bundle.calibration
    yield "## What comes out\n"
    if scheme.is_exclusive:
        names = ", ".join(f"{number} {name}" for number, name in enumerate(scheme.targets, start=1))
        yield f"Logits `(1, {1 + len(scheme.targets)}, ...)`: 0 background, {names}."
        yield "A softmax makes probabilities of them; the most probable wins."
    else:
        names = ", ".join(f"{n} {name} above {calibration.threshold(name):g}" for n, name in enumerate(scheme.targets))
        yield f"Logits `(1, {len(scheme.targets)}, ...)`: {names}. A sigmoid each makes probabilities of them."
    if calibration.temperature != 1:
        yield f"Divide logits by {calibration.temperature:g} first."
    what = "Logits" if _averages_logits(bundle) else "Probabilities"
    yield f"{what} of windows are blended by a Gaussian (sigma an eighth of the window), then brought back to the"
    yield "image's grid."
    steps = steps_in_words(bundle.config.postprocessing) if bundle.config.postprocessing else ()
    yield f"Clean-up: {'; '.join(steps) or 'none'}.\n"


def _agreement(sentences: Sequence[str]) -> Iterator[str]:
    yield "## How far it agrees with torch\n"
    yield from (f"- {sentence}" for sentence in sentences)
    yield f"\nThe numbers are in `{AGREEMENT}`."


_LINES = {
    ExportForm.ONNX: """```python
import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession("{file}")
window = np.zeros({shape}, np.float32)
(logits,) = session.run(None, {{"image": window}})
classes = {classes}
```
""",
    ExportForm.OPENVINO: """```python
import numpy as np
import openvino

model = openvino.compile_model("{file}", "CPU")
window = np.zeros({shape}, np.float32)
logits = model(window)[0]
classes = {classes}
```
""",
    ExportForm.TORCH_EXPORT: """```python
import numpy as np
import torch

network = torch.export.load("{file}").module()
window = np.zeros({shape}, np.float32)
with torch.inference_mode():
    logits = network(torch.from_numpy(window)).numpy()
classes = {classes}
```
""",
    ExportForm.MONAI_BUNDLE: """Put images into a folder, named as nnU-Net does (`case_0000.nii.gz` for the first
channel, `case_0001.nii.gz` for the second); MONAI does the steps below, with windows that begin elsewhere and a
resampling of its own.

```
pip install monai nibabel scipy pytorch-ignite
python -m monai.bundle run --config_file configs/inference.json --bundle_root . --dataset_dir images
```
""",
}
