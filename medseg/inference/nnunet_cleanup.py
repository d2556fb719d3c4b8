"""The clean-up that nnU-Net found in its cross-validation: ``postprocessing.json``, not the pickle beside it."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from medseg.config.sections import PostprocessingSection
from medseg.core.errors import BundleError, DataError
from medseg.core.labels import LabelScheme
from medseg.data.documents import parse_document, read_json

_LARGEST = 64 * 2**20
_KNOWN = "remove_all_but_largest_component_from_segmentation"


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid")

    labels_or_regions: int | tuple[int | tuple[int, ...], ...]
    background_label: int = 0


class _Document(BaseModel):
    postprocessing_fns: tuple[str, ...] = ()
    postprocessing_kwargs: tuple[_Arguments, ...] = ()


def read_clean_up(path: Path, scheme: LabelScheme) -> PostprocessingSection:
    """The steps in a ``postprocessing.json``, in their order.

    Each keeps the largest component of some labels, taken together or alone, and makes background of the rest.

    Args:
        path: The file.
        scheme: The structures or regions of the model.

    Raises:
        BundleError: If it cannot be read, or holds a step or labels that are not known here.
    """
    try:
        document = parse_document(read_json(path, _LARGEST), _Document, path.name)
    except DataError as error:
        raise BundleError(f"the nnU-Net model's clean-up cannot be read: {error}") from error
    unknown = sorted({name for name in document.postprocessing_fns if name != _KNOWN})
    if unknown or len(document.postprocessing_fns) != len(document.postprocessing_kwargs):
        raise BundleError(
            f"{path.name}: holds steps that are not known here: {', '.join(unknown) or 'without arguments'}"
        )
    groups = tuple(_targets(_labels(step), scheme, path.name) for step in document.postprocessing_kwargs)
    if scheme.is_exclusive and all(len(group) == 1 for group in groups[1:]):
        # As a person would write it: first all structures together, then single ones.
        together = tuple(group for group in groups if len(group) > 1)
        return PostprocessingSection(
            largest_together=together, largest_component=tuple(group[0] for group in groups if len(group) == 1)
        )
    return PostprocessingSection(largest_together=groups)


def _labels(step: _Arguments) -> set[int]:
    if isinstance(step.labels_or_regions, int):
        return {step.labels_or_regions}
    parts = (one if isinstance(one, tuple) else (one,) for one in step.labels_or_regions)
    return {label for part in parts for label in part}


def _targets(labels: set[int], scheme: LabelScheme, name: str) -> tuple[str, ...]:
    """The structures of these labels; with regions, the region of just these labels, or all regions."""
    values = {one.name: one.value for one in scheme.structures}
    if not scheme.regions:
        named = tuple(structure for structure, value in values.items() if value in labels)
        known = {values[structure] for structure in named}
    else:
        regions = {one.name: {values[part] for part in one.structures} for one in scheme.regions}
        named = tuple(region for region, parts in regions.items() if parts == labels)[:1]
        if not named and labels == set(values.values()):
            named = tuple(regions)
        known = labels if named else set()
    if not named or known != labels:
        raise BundleError(
            f"{name}: keeps the largest component of labels {sorted(labels)}, which the model does not have"
        )
    return named
