"""``medseg import``: a model that nnU-Net trained becomes a bundle."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from medseg.config.sections import PostprocessingSection, RunConfig
from medseg.core.errors import BundleError, GeometryError, InputError
from medseg.core.files import existing
from medseg.core.geometry import Geometry
from medseg.core.labels import LabelScheme
from medseg.core.progress import SILENT, Progress
from medseg.inference.bundle import Bundle, Member, output_channels, write_bundle
from medseg.inference.nnunet_cleanup import read_clean_up
from medseg.inference.nnunet_config import STORED, NnunetModel, fixed_orientation, label_scheme_of, model_config
from medseg.inference.nnunet_facts import training_facts
from medseg.inference.nnunet_folder import (
    ModelFolder,
    find_model,
    has_pickled_postprocessing,
    postprocessing_file,
    stored_orientation,
)
from medseg.inference.nnunet_plans import read_description, read_plans
from medseg.inference.nnunet_weights import Checkpoint, load_network, read_checkpoint
from medseg.io.archives import is_archive, unpacked
from medseg.postprocess.clean import steps_in_words

AS_STORED = "stored"


@dataclass(frozen=True)
class ImportOptions:
    """What a user may choose.

    Attributes:
        configuration: Which trained configuration, such as ``3d_fullres``, where there are several.
        folds: Which folds become members, such as ``("0", "1")``; None for all.
        checkpoint: ``final`` or ``best``.
        orientation: Where the axes of the training files point, such as ``LPS``; ``stored`` takes every file as it
            lies, as nnU-Net does. None for what the validation cases beside the weights tell, else ``stored``.
        postprocessing: A ``postprocessing.json`` that lies elsewhere; None for that of the model.
    """

    configuration: str | None = None
    folds: tuple[str, ...] | None = None
    checkpoint: str = "final"
    orientation: str | None = None
    postprocessing: Path | None = None


@dataclass(frozen=True, eq=False)
class Imported:
    """A model that was taken over, and what its user should know."""

    bundle: Bundle
    notes: tuple[str, ...]


def import_model(
    source: Path, output: Path, options: ImportOptions | None = None, progress: Progress = SILENT
) -> Imported:
    """Write the bundle of a model that nnU-Net v2 trained; nothing in the model is run as code.

    Args:
        source: A model folder (``nnUNetTrainer__nnUNetPlans__3d_fullres``), a folder that holds some, or a zip that
            ``nnUNetv2_export_model_to_zip`` made.
        output: Folder of the bundle; one that is there is not replaced.
        options: Configuration, folds, orientation.
        progress: Told of each fold.

    Raises:
        InputError: If there is no model, or several; or the output is there.
        BundleError: If the model is damaged, holds code, or does something that medseg does not do.
        ReadError: If the zip is damaged or not safe to unpack.
    """
    options = options or ImportOptions()
    if output.exists():
        raise InputError(f"{str(output)!r} exists; remove it, or name another folder")
    if existing(source).is_file() and not is_archive(source):
        raise InputError(f"{source.name!r} is neither a folder nor a zip")
    with unpacked(source) as folder:
        checkpoint = f"checkpoint_{options.checkpoint}.pth"
        model = find_model(folder, options.configuration, options.folds, checkpoint)
        imported = _imported(model, options, progress)
    write_bundle(output, imported.bundle)
    progress.finish()
    return imported


def _imported(folder: ModelFolder, options: ImportOptions, progress: Progress) -> Imported:
    plans, description = read_plans(folder.path), read_description(folder.path)
    scheme = label_scheme_of(description)
    stored, about_axes = _stored(folder, options.orientation, fixed_orientation(plans))
    clean_up, about_clean_up = _clean_up(folder, options.postprocessing, scheme)
    members = []
    for shown, checkpoint in _checkpoints(folder, progress):
        model = NnunetModel(plans, plans.configuration(checkpoint.configuration), description, stored)
        config = model_config(model, checkpoint, clean_up)
        members.append(Member(config, load_network(config, output_channels(scheme), checkpoint.weights, shown)))
    facts = training_facts(model, folder.path, [channel.name for channel in config.channels])
    bundle = Bundle(tuple(members), scheme, facts)
    return Imported(bundle, (_about_members(folder, bundle.config), about_axes, about_clean_up))


def _checkpoints(folder: ModelFolder, progress: Progress) -> Iterator[tuple[str, Checkpoint]]:
    """The folds, one at a time; of the axes that are mirrored those of the first count, as in nnU-Net."""
    progress.start("reading folds", len(folder.folds))
    first: Checkpoint | None = None
    for path in folder.checkpoints:
        checkpoint = read_checkpoint(path)
        first = first or replace(checkpoint, weights={})
        if checkpoint.configuration != first.configuration:
            raise BundleError(
                f"{path.parent.name} is of {checkpoint.configuration!r}, the first fold of {first.configuration!r}"
            )
        yield f"{path.parent.name}/{path.name}", replace(checkpoint, mirror_axes=first.mirror_axes)
        progress.advance()


def _stored(folder: ModelFolder, wanted: str | None, fixed: str | None) -> tuple[str, str]:
    """Letters of the axes i, j, k of the files that the network knows, and a note about them."""
    if fixed is not None:
        return fixed, f"images are turned to {fixed}, as the reader of the model's plans does"
    if wanted is not None and wanted.lower() == AS_STORED:
        return STORED, "images are taken as their files hold them, in whichever orientation, as nnU-Net does"
    if wanted is not None:
        try:
            Geometry.from_spacing((1, 1, 1)).axis_map(wanted.upper())
        except GeometryError as error:
            raise InputError(f"--orientation: {error}, or {AS_STORED!r}") from None
        return (
            wanted.upper(),
            f"images are turned to {wanted.upper()}, the orientation of the training files as you say",
        )
    found = stored_orientation(folder)
    if found is not None:
        return found, (
            f"images are turned to {found}, the orientation of the validation cases beside the weights; --orientation "
            f"{AS_STORED} takes each file as it lies, as nnU-Net does"
        )
    return STORED, (
        "nothing tells how the training files were oriented, so images are taken as their files hold them, as nnU-Net "
        "does; if you know it, say so by --orientation, such as LPS, and images in any orientation are turned to it"
    )


def _clean_up(folder: ModelFolder, given: Path | None, scheme: LabelScheme) -> tuple[PostprocessingSection, str]:
    """The clean-up after prediction, and a note about it."""
    path = postprocessing_file(folder) if given is None else existing(given)
    if path is not None:
        section = read_clean_up(path, scheme)
        return section, f"clean-up: {'; '.join(steps_in_words(section)) or 'none, as nnU-Net found'}"
    if has_pickled_postprocessing(folder):
        return PostprocessingSection(), (
            "no clean-up: postprocessing.pkl is a program, which is not read; name the postprocessing.json that "
            "nnU-Net wrote beside it by --postprocessing, or write its steps into postprocessing in config.yaml of the "
            "bundle"
        )
    return PostprocessingSection(), "no clean-up: the model has no postprocessing.json for these folds"


def _about_members(folder: ModelFolder, config: RunConfig) -> str:
    folds = ", ".join(folder.folds)
    mirrored = (
        f"mirrored along {len(config.augmentation.mirror_axes)} axes" if config.inference.mirror else "not mirrored"
    )
    return f"{folder.path.name}: {config.network.dims}D {config.network.name}, folds {folds}, images {mirrored}"
