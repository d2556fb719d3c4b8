"""What torch could not do, as one sentence that says what to change."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from medseg.config.training import TrainingSection
from medseg.core.case import CaseId
from medseg.core.errors import TrainingError
from medseg.data.loaders import Batch

from .memory import Size, fitting, is_out_of_memory
from .step import Stepper


def explained(error: Exception, section: TrainingSection, device: torch.device) -> TrainingError | None:
    """What a user can do about an error of torch; None if nobody knows."""
    text, module = str(error), type(error).__module__
    if is_out_of_memory(error):
        return TrainingError(
            "memory ran out while patches were prepared or validation cases were scored; "
            f"lower training.workers (now {section.workers}) or sampling.patch"
        )
    if "DataLoader worker" in text:
        return TrainingError(
            "a process that prepares patches died, most likely for lack of main memory or of shared memory (/dev/shm); "
            f"lower training.workers (now {section.workers}), 0 does without them"
        )
    if "does not have a deterministic implementation" in text:
        return TrainingError(
            f"{text.partition(' does not have')[0]} has no deterministic form on {device.type}; "
            "take another network or loss, or switch training.deterministic off"
        )
    if module.startswith(("torch._dynamo", "torch._inductor")):
        return TrainingError(
            f"torch.compile cannot compile this network here ({type(error).__name__}); set training.compile=off"
        )
    return None


def too_large(batch: Batch, factors: Sequence[int], stepper: Stepper, section: TrainingSection) -> TrainingError:
    """What to set after a batch did not fit into memory: the first smaller one that does, found by trying.

    Args:
        batch: What did not fit.
        factors: What the size of a patch has to be a multiple of, along each axis; empty if any size does.
        stepper: Did not manage the batch; its weights are of no use after this.
        section: The loop's settings.
    """
    patch = tuple(batch.image.shape[2:])
    size = Size(len(batch.image), patch)
    smaller = fitting(
        size, tuple(factors)[: len(patch)] or (1,) * len(patch), lambda s: stepper.trial(_zeros(batch, s))
    )
    what = f"memory is too small for {size}"
    if smaller is None:
        return TrainingError(f"{what}, and even the smallest patch does not fit; take a smaller network")
    changes = [f"sampling.batch={smaller.batch}"]
    if smaller.patch != patch:
        changes.append(f"sampling.patch={[*smaller.patch, 1][:3]}")
    times = math.ceil(section.accumulate * size.batch / smaller.batch)
    if times > section.accumulate:
        changes.append(f"training.accumulate={times} (as good as a batch of {size.batch})")
    return TrainingError(f"{what}; {smaller} fit{'s' * (smaller.batch == 1)}: set {', '.join(changes)}")


def _zeros(batch: Batch, size: Size) -> Batch:
    image, target = batch.image, batch.target
    lead = target.shape[1 : target.ndim - len(size.patch)]
    return Batch(
        image.new_zeros(size.batch, image.shape[1], *size.patch),
        target.new_zeros(size.batch, *lead, *size.patch),
        (CaseId(""),) * size.batch,
    )
