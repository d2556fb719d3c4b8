"""The clean-up that a model was found to gain from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medseg.config.sections import PostprocessingSection
from medseg.core.errors import LabelError
from medseg.core.labels import LabelScheme
from medseg.core.volume import LabelMap, Labels, MultiLabelMap

from .components import keep_largest
from .holes import fill_holes


def clean(labels: Labels, section: PostprocessingSection, scheme: LabelScheme) -> Labels:
    """Labels of which only the largest components are kept and holes are filled, structure by structure.

    First components of groups of structures, then those of each, then holes. What is removed becomes background, and
    only background is filled, so that a structure inside another (a tumour in a liver) stays. Where structures overlap,
    one that is not of the group keeps its voxels; regions lose them too, as their structures do.

    Args:
        labels: A prediction; not changed.
        section: Which targets get which step.
        scheme: What the labels mean.

    Returns:
        New labels; the same object if the section asks for nothing.

    Raises:
        LabelError: If the section names what the scheme does not have.
    """
    named = {name for group in section.largest_together for name in group}
    unknown = {*named, *section.largest_component, *section.fill_holes} - set(scheme.targets)
    if unknown:
        raise LabelError(f"postprocessing names {sorted(unknown)}; the scheme has {', '.join(scheme.targets)}")
    if section == PostprocessingSection():
        return labels
    if isinstance(labels, MultiLabelMap):
        return MultiLabelMap(_cleaned_masks(labels, section, scheme), labels.geometry, labels.structures)
    return LabelMap(_cleaned_values(labels, section, scheme), labels.geometry)


def steps_in_words(section: PostprocessingSection) -> list[str]:
    """Each step that some target gets, such as ``fill holes of liver, spleen``."""
    together = [f"largest component of {', '.join(group)} together" for group in section.largest_together]
    steps = (("largest component", section.largest_component), ("fill holes", section.fill_holes))
    return [*together, *(f"{step} of {', '.join(names)}" for step, names in steps if names)]


def _cleaned_masks(labels: MultiLabelMap, section: PostprocessingSection, scheme: LabelScheme) -> NDArray[np.bool_]:
    masks = labels.array.copy()
    for group in section.largest_together:
        rows = [labels.structures.index(name) for name in group]
        union: NDArray[np.bool_] = np.any(masks[rows], axis=0)
        lost = union & ~keep_largest(union)
        for row in rows if scheme.overlapping else range(len(masks)):
            masks[row, lost] = False
    for name, mask in zip(labels.structures, masks, strict=True):
        if name in section.largest_component:
            mask[...] = keep_largest(mask)
        if name in section.fill_holes:
            mask[...] = fill_holes(mask)
    return masks


def _cleaned_values(labels: LabelMap, section: PostprocessingSection, scheme: LabelScheme) -> NDArray[np.integer]:
    values = labels.array.copy()
    for group in section.largest_together:
        union = np.isin(values, [scheme[name].value for name in group])
        values[union & ~keep_largest(union)] = 0
    for name in section.largest_component:
        mask = values == scheme[name].value
        values[mask & ~keep_largest(mask)] = 0
    for name in section.fill_holes:
        filled = fill_holes(values == scheme[name].value)
        values[filled & (values == 0)] = scheme[name].value
    return values
