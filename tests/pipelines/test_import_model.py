"""Models of nnU-Net become bundles that say the same."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import nnunet_models as models
import nnunet_pipeline as peer
import numpy as np
import pytest
from factories import geometry

from medseg.core.errors import BundleError, InputError, ReadError
from medseg.core.geometry import Geometry, LengthUnit
from medseg.core.volume import LabelMap, MultiLabelMap, Volume
from medseg.inference.bundle import read_bundle
from medseg.inference.predictor import Predictor
from medseg.inference.settings import PredictionSettings
from medseg.io.formats import write_label_map
from medseg.pipelines.import_model import ImportOptions, import_model

FP32 = PredictionSettings(device="cpu", precision="fp32")
MODEL = "nnUNetTrainer__nnUNetPlans__3d_fullres"


def image(grid: Geometry, channels=("MRI",), seed=0, border=2) -> Volume:
    """Smooth random voxels inside a border of zeros."""
    rng = np.random.default_rng(seed)
    array = np.zeros((len(channels), *grid.shape), np.float32)
    inside = tuple(slice(border, n - border) if n > 2 * border else slice(None) for n in grid.shape)
    part = array[(slice(None), *inside)]
    for channel in part:
        coarse = rng.normal(60, 40, [max(2, n // 3) for n in channel.shape])
        zoom = [n / m for n, m in zip(channel.shape, coarse.shape, strict=True)]
        from scipy import ndimage

        channel[...] = ndimage.zoom(coarse, zoom, order=1, grid_mode=True, mode="nearest")
    part[:, 1:3, 1:3] = 0  # a hole of the mask that touches its border
    return Volume(array, grid, channels)


def zyx(volume: Volume) -> np.ndarray:
    return volume.array.transpose(0, 3, 2, 1)


def imported(tmp_path: Path, plan, described=None, options=None, **changes):
    networks = models.write_model(tmp_path / MODEL, plan, described, **changes)
    done = import_model(tmp_path / MODEL, tmp_path / "bundle", options)
    return read_bundle(tmp_path / "bundle"), networks, done


def agreement(one: np.ndarray, other: np.ndarray) -> float:
    return float((one == other).mean())


def expected(networks, plan, whole, axes, volume, spacing) -> np.ndarray:
    """nnU-Net's label map along i, j, k."""
    logits, box = peer.nnunet_logits(networks, plan, whole, axes, zyx(volume), spacing)
    labels = peer.on_the_grid(logits.argmax(axis=0), box, zyx(volume).shape[1:], whole)
    return labels.transpose(2, 1, 0)


SETUPS = {
    "isotropic": ({}, (1.0, 1.0, 1.0), (26, 22, 20)),
    "resampled": ({"spacing": [1.25, 1.0, 0.75]}, (0.9, 1.1, 1.3), (24, 22, 20)),
    "separate z": ({"spacing": [4.0, 1.0, 1.0]}, (0.8, 0.8, 5.0), (30, 26, 20)),
    "separate z, back only": ({"spacing": [4.0, 1.0, 1.0]}, (1.2, 1.2, 2.4), (24, 22, 30)),
    "threshold of separate z": ({"spacing": [3.0, 1.0, 1.0]}, (1.0, 1.0, 2.5), (20, 22, 25)),
    "smaller than a window": ({"patch_size": [32, 16, 24]}, (1.0, 1.0, 1.0), (15, 21, 13)),
    "transposed": ({"spacing": [2.0, 1.0, 1.0]}, (1.6, 0.9, 0.9), (20, 24, 22)),
    "masked": ({"use_mask_for_norm": [True]}, (1.0, 1.0, 1.0), (22, 20, 18)),
    "ct": ({"normalization_schemes": ["CTNormalization"]}, (1.0, 1.0, 1.0), (22, 20, 18)),
    "none": ({"normalization_schemes": ["NoNormalization"]}, (1.0, 1.0, 1.0), (22, 20, 18)),
    "rescaled": (
        {"normalization_schemes": ["RescaleTo01Normalization"], "spacing": [0.8] * 3},
        (1.0, 1.0, 1.0),
        (20, 18, 18),
    ),
    "bytes": ({"normalization_schemes": ["RGBTo01Normalization"]}, (1.0, 1.0, 1.0), (22, 20, 18)),
}


@pytest.mark.parametrize("setup", SETUPS)
def test_labels_are_nnunets(tmp_path, setup):
    changes, spacing, shape = SETUPS[setup]
    plan = models.configuration(**changes)
    whole = {"transpose_forward": [2, 0, 1], "transpose_backward": [1, 2, 0]} if setup == "transposed" else {}
    model, networks, _ = imported(tmp_path, plan, axes=(0, 2), **whole)
    volume = image(Geometry.from_spacing(shape, spacing))
    found = Predictor(model, FP32).predict(volume).labels.array
    wanted = expected(networks, plan, models.plans({}, **whole), (0, 2), volume, spacing[::-1])
    assert np.sort(np.bincount(wanted.ravel(), minlength=3))[1] > 0.05 * wanted.size
    assert agreement(found, wanted) >= 0.9995


def test_two_dimensions(tmp_path):
    plan = models.configuration(2, spacing=[0.7, 1.2])
    model, networks, _ = imported(tmp_path, plan, name="2d", axes=(0, 1))
    volume = image(Geometry.from_spacing((24, 30, 6), (1.0, 1.1, 4.0)))
    found = Predictor(model, FP32).predict(volume).labels.array
    wanted = expected(networks, plan, models.plans({}), (0, 1), volume, (4.0, 1.1, 1.0))
    assert model.config.network.dims == 2
    assert agreement(found, wanted) >= 0.9995


def test_folds_are_averaged_as_logits(tmp_path):
    plan = models.configuration(residual=True, channels=2)
    model, networks, done = imported(tmp_path, plan, models.description(("T1", "T2")), folds=(0, 1, 2), axes=None)
    volume = image(Geometry.from_spacing((22, 20, 18)), ("T1", "T2"))
    found = Predictor(model, FP32).predict(volume).labels.array
    wanted = expected(networks, plan, models.plans({}), (), volume, (1.0, 1.0, 1.0))
    assert len(model.members) == 3
    assert agreement(found, wanted) >= 0.9995
    assert "folds 0, 1, 2, images not mirrored" in done.notes[0]


def test_probabilities_are_the_softmax_of_interpolated_logits(tmp_path):
    plan = models.configuration(spacing=[1.5, 1.0, 1.0])
    model, networks, _ = imported(tmp_path, plan, axes=None)
    volume = image(Geometry.from_spacing((18, 20, 22)), border=0)
    settings = PredictionSettings(device="cpu", precision="fp32", probabilities=True, entropy=True)
    found = Predictor(model, settings).predict(volume)
    logits, _ = peer.nnunet_logits(networks, plan, models.plans({}), (), zyx(volume), (1.0, 1.0, 1.0))
    shares = np.exp(logits - logits.max(axis=0))
    shares /= shares.sum(axis=0)
    assert np.allclose(found.probabilities, shares[1:].transpose(0, 3, 2, 1), atol=2e-3)
    entropy = -(shares * np.log(shares)).sum(axis=0) / np.log(3)
    assert np.allclose(found.entropy, entropy.transpose(2, 1, 0), atol=2e-3)
    assert np.array_equal(found.labels.array, Predictor(model, FP32).predict(volume).labels.array)


def test_regions_are_masks(tmp_path):
    described = models.description(labels={"background": 0, "whole": [1, 2], "core": 2, "ignore": 3})
    plan = models.configuration(spacing=[1.5, 1.0, 1.0])
    model, networks, _ = imported(tmp_path, plan, described | {"regions_class_order": [1, 2]}, axes=None)
    volume = image(Geometry.from_spacing((18, 20, 22)), border=0)
    found = Predictor(model, FP32).predict(volume).labels
    logits, _ = peer.nnunet_logits(networks, plan, models.plans({}), (), zyx(volume), (1.0, 1.0, 1.0))
    assert isinstance(found, MultiLabelMap)
    assert found.structures == ("whole", "core")
    assert agreement(found.array, (logits > 0).transpose(0, 3, 2, 1)) >= 0.9995
    assert model.scheme.ignore == 3


def test_pictures_are_taken_as_they_lie(tmp_path):
    described = models.description(("R", "G", "B"), file_ending=".png")
    plan = models.configuration(2, channels=3, normalization_schemes=["RGBTo01Normalization"] * 3)
    model, networks, _ = imported(
        tmp_path, plan, described, name="2d", axes=(0,), image_reader_writer="NaturalImage2DIO"
    )
    pixels = np.random.default_rng(0).integers(1, 255, (3, 30, 22, 1)).astype(np.uint8)
    grid = Geometry((30, 22, 1), np.diag([-1.0, -1, 1, 1]), LengthUnit.PIXEL)
    volume = Volume(pixels, grid, ("red", "green", "blue"))
    wanted = expected(networks, plan, models.plans({}), (0,), volume, (999, 1, 1))
    assert model.facts.modalities == ("red", "green", "blue")
    assert agreement(Predictor(model, FP32).predict(volume).labels.array, wanted) >= 0.9995


def test_each_file_is_taken_as_it_lies_where_nothing_is_known(tmp_path):
    plan = models.configuration()
    model, networks, done = imported(tmp_path, plan, axes=None)
    volume = image(geometry((20, 18, 22), (1.0, 1.0, 1.0), "LPI"))
    wanted = expected(networks, plan, models.plans({}), (), volume, (1.0, 1.0, 1.0))
    assert model.config.preprocessing.orientation == "kji"
    assert agreement(Predictor(model, FP32).predict(volume).labels.array, wanted) >= 0.9995
    assert "nothing tells how the training files were oriented" in done.notes[1]


def test_validation_cases_tell_the_orientation(tmp_path):
    models.write_model(tmp_path / MODEL, models.configuration())
    grid = geometry((4, 4, 4), codes="LPS")
    for name in ("a", "b"):
        write_label_map(
            tmp_path / MODEL / "fold_0" / "validation" / f"{name}.nii.gz",
            LabelMap(np.zeros(grid.shape, np.uint8), grid),
        )
    done = import_model(tmp_path / MODEL, tmp_path / "bundle")
    assert done.bundle.config.preprocessing.orientation == "SPL"
    assert "images are turned to LPS" in done.notes[1]
    volume = image(geometry((20, 18, 22), (1.0, 1.0, 1.0), "LPS"))
    predictor = Predictor(done.bundle, FP32)
    once, turned = (predictor.predict(one).labels for one in (volume, volume.reoriented("ASR")))
    assert np.array_equal(once.array, turned.reoriented("LPS").array)
    as_stored = import_model(tmp_path / MODEL, tmp_path / "other", ImportOptions(orientation="stored"))
    assert as_stored.bundle.config.preprocessing.orientation == "kji"


def test_an_orientation_by_hand_and_one_that_is_none(tmp_path):
    models.write_model(tmp_path / MODEL, models.configuration(2), name="2d", transpose_forward=[1, 0, 2])
    done = import_model(tmp_path / MODEL, tmp_path / "bundle", ImportOptions(orientation="ras"))
    assert done.bundle.config.preprocessing.orientation == "SRA"
    with pytest.raises(InputError, match="--orientation: axis codes must be three of R/L, A/P, S/I.* or 'stored'"):
        import_model(tmp_path / MODEL, tmp_path / "other", ImportOptions(orientation="up"))


def test_a_reader_that_turns_images(tmp_path):
    model, _, done = imported(tmp_path, models.configuration(), image_reader_writer="NibabelIOWithReorient")
    assert model.config.preprocessing.orientation == "SAR"
    assert "as the reader of the model's plans does" in done.notes[1]


def zipped(folder: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, Path("Dataset001_Small") / file.relative_to(folder.parent))
    return path


def test_an_export_gives_the_same_bundle(tmp_path):
    models.write_model(tmp_path / MODEL, models.configuration())
    import_model(tmp_path / MODEL, tmp_path / "one")
    import_model(zipped(tmp_path / MODEL, tmp_path / "export.zip"), tmp_path / "two")
    for name in ("model.safetensors", "config.yaml", "facts.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_an_export_with_a_name_that_leads_elsewhere(tmp_path):
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as archive:
        archive.writestr("../plans.json", "{}")
    with pytest.raises(ReadError, match="holds a name that leads elsewhere"):
        import_model(tmp_path / "export.zip", tmp_path / "bundle")


def test_the_clean_up_is_taken_over(tmp_path):
    models.write_model(tmp_path / MODEL, models.configuration(), folds=(0, 1))
    folder = tmp_path / MODEL / "crossval_results_folds_0_1"
    folder.mkdir()
    (folder / "postprocessing.pkl").write_bytes(b"not read")
    done = import_model(tmp_path / MODEL, tmp_path / "one")
    assert "postprocessing.pkl is a program, which is not read" in done.notes[2]
    steps = ["remove_all_but_largest_component_from_segmentation"] * 2
    arguments = [{"labels_or_regions": [1, 2]}, {"labels_or_regions": 2}]
    (folder / "postprocessing.json").write_text(
        json.dumps({"postprocessing_fns": steps, "postprocessing_kwargs": arguments, "input_folder": {}})
    )
    done = import_model(tmp_path / MODEL, tmp_path / "two")
    section = read_bundle(tmp_path / "two").config.postprocessing
    assert (section.largest_together, section.largest_component) == ((("one", "two"),), ("two",))
    assert done.notes[2] == "clean-up: largest component of one, two together; largest component of two"
    options = ImportOptions(folds=("1",), postprocessing=folder / "postprocessing.json")
    one = import_model(tmp_path / MODEL, tmp_path / "three", options)
    assert len(one.bundle.members) == 1
    assert one.bundle.config.postprocessing == section


def test_what_is_refused(tmp_path):
    models.write_model(tmp_path / "a" / MODEL, models.configuration(previous_stage="3d_lowres"))
    with pytest.raises(
        BundleError, match="the second stage of a cascade cannot be imported, since it wants the labels"
    ):
        import_model(tmp_path / "a", tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()
    models.write_model(tmp_path / "b" / MODEL, models.configuration(), folds=(0, 1))
    other = models.checkpoint(models.peer(models.configuration(), models.description()), "2d")
    import torch

    torch.save(other, tmp_path / "b" / MODEL / "fold_1" / "checkpoint_final.pth")
    with pytest.raises(BundleError, match="fold_1 is of '2d', the first fold of '3d_fullres'"):
        import_model(tmp_path / "b", tmp_path / "bundle")
    (tmp_path / "note.txt").write_text("hello")
    with pytest.raises(InputError, match=r"'note\.txt' is neither a folder nor a zip"):
        import_model(tmp_path / "note.txt", tmp_path / "bundle")
    with pytest.raises(InputError, match="b' exists; remove it, or name another folder"):
        import_model(tmp_path / "a", tmp_path / "b")
