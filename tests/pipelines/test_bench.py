from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from factories import bundle, geometry, volume
from PIL import Image
from pydicom.data import get_testdata_file

from medseg.core.errors import InputError
from medseg.inference.bundle import TrainingFacts, write_bundle
from medseg.inference.settings import PredictionSettings
from medseg.inference.timings import STAGES
from medseg.io.formats import write_volume
from medseg.pipelines.bench import bench
from medseg.pipelines.bench_jobs import BenchOptions, usual_frame, usual_grid
from medseg.pipelines.bench_report import BenchReport, staged

FP32 = PredictionSettings(device="cpu", precision="fp32", runtime="torch")
ONCE = BenchOptions(settings=FP32, repeats=1)
FACTS = TrainingFacts(
    modalities=("CT",),
    spacing_min=(0.5, 1.0, 1.0),
    spacing_max=(2.0, 1.0, 4.0),
    extent_min_mm=(10.0, 20.0, 30.0),
    extent_max_mm=(30.0, 20.0, 50.0),
)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Folders of a model of volumes, one of pictures, and one of two plans."""
    folder = tmp_path_factory.mktemp("models")
    size = {"extent_min_mm": (24.0, 20.0, 1.0), "extent_max_mm": (24.0, 20.0, 1.0)}
    grey = [{"name": "image", "intensity": "unit"}]
    pictures = bundle(dims=2, channels=grey, preprocessing={"orientation": "LPS"})
    colours = [{"name": name, "intensity": "unit"} for name in ("red", "green", "blue")]
    first, second = bundle(), bundle(sampling={"patch": (12, 12, 12)})
    kinds = {
        "volumes": bundle(postprocessing={"largest_component": ("one",)}),
        "pictures": replace(pictures, facts=pictures.facts.model_copy(update=size)),
        "colours": bundle(dims=2, channels=colours, preprocessing={"orientation": "LPS"}),
        "plans": type(first)((*first.members, *second.members), first.scheme, first.facts),
    }
    for name, model in kinds.items():
        write_bundle(folder / name, model)
    return folder


def test_a_generated_volume_is_measured_from_file_to_file(models):
    report = bench(models / "volumes", BenchOptions(shape=(20, 24, 16), settings=FP32, repeats=3))
    assert report.input.model_dump() == {
        "kind": "volumes", "is_phantom": True, "count": 1, "shape": (20, 24, 16), "spacing_mm": (1, 1, 1),
        "channels": 1,
    }  # fmt: skip
    assert (report.model.runtime, report.model.precision, report.model.device) == ("torch", "fp32", "cpu")
    assert report.model.window == (16, 16, 16)
    assert (report.latency.runs, report.warm_up, report.staged_runs) == (3, 1, 3)
    assert all(report.stages[name] > 0 for name in STAGES)
    assert sum(report.stages.values()) == pytest.approx(report.latency.mean_s)
    assert (report.floor.passes, report.floor.windows) == (4, 4)
    assert report.floor.seconds > 0
    assert report.per_second == pytest.approx(1 / report.latency.mean_s)


def test_members_and_mirrored_windows_are_counted_in_the_floor(models):
    report = bench(models / "plans", BenchOptions(shape=(16, 16, 16), settings=replace(FP32, mirror=True), repeats=1))
    assert report.model.networks == 2
    assert report.floor.windows == 8 * (1 + 8)


def test_frames_are_measured_in_memory(models):
    report = bench(models / "pictures", BenchOptions(settings=FP32, repeats=100))
    assert (report.input.kind, report.input.count, report.input.shape) == ("frames", 64, (20, 24))
    assert report.input.spacing_mm is None
    assert report.stages["reading"] == report.stages["writing"] == 0
    assert report.latency.p99_s is not None
    assert report.floor.windows == 4
    whole = bench(models / "pictures", replace(ONCE, whole_frame=True))
    assert (whole.floor.windows, whole.floor.passes) == (1, 1)
    assert "frames a second" in " ".join(whole.lines())


def test_frames_of_a_folder_and_of_a_file(models, tmp_path):
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 255, (14, 10), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"frame{number}.png")
    report = bench(models / "pictures", replace(ONCE, input=tmp_path))
    assert (report.input.count, report.input.shape, report.input.is_phantom) == (3, (14, 10), False)
    report = bench(models / "pictures", replace(ONCE, input=tmp_path / "frame0.png"))
    assert report.input.count == 1


def test_frames_of_a_dicom_clip_in_colour(models):
    clip = Path(get_testdata_file("SC_rgb_rle_2frame.dcm"))
    report = bench(models / "colours", replace(ONCE, input=clip, whole_frame=True))
    assert (report.input.count, report.input.shape, report.input.channels) == (2, (100, 100), 3)
    assert report.floor.windows == 1
    with pytest.raises(InputError, match=r"the model wants 1 channel \(image\)"):
        bench(models / "pictures", replace(ONCE, input=clip))


def test_volumes_of_a_folder_take_turns(models, tmp_path):
    for number, length in enumerate((16, 20)):
        write_volume(tmp_path / f"scan{number}.nii.gz", volume(geometry((16, 16, length), (1, 1, 1))))
    report = bench(models / "volumes", BenchOptions(input=tmp_path, settings=FP32, repeats=2))
    assert (report.input.count, report.input.shape) == (2, (16, 16, 16))
    assert report.floor.passes == round((1 + 2) / 2)


def test_a_picture_model_measures_volumes_where_it_is_given_one(models, tmp_path):
    write_volume(tmp_path / "scan.nii.gz", volume(geometry((16, 16, 3), (1, 1, 1))))
    report = bench(models / "pictures", replace(ONCE, input=tmp_path / "scan.nii.gz"))
    assert (report.input.kind, report.input.shape) == ("volumes", (16, 16, 3))


def test_time_is_a_limit_for_beginning_runs(models):
    started = time.perf_counter()
    report = bench(models / "pictures", BenchOptions(shape=(16, 16), settings=FP32, seconds=0.2))
    assert report.latency.runs >= 1
    assert sum([report.latency.mean_s] * report.latency.runs) >= 0.2 - report.latency.max_s
    assert time.perf_counter() - started < 60


def test_the_report_is_json_that_reads_back_and_has_a_schema(models):
    report = bench(models / "pictures", ONCE)
    assert BenchReport.model_validate_json(report.model_dump_json()) == report
    content = json.loads(report.model_dump_json())
    schema = BenchReport.model_json_schema()
    assert set(content) == set(schema["properties"]) == set(schema["required"])
    assert content["latency"]["p95_s"] is None
    assert set(content["stages"]) == {*STAGES, "other"}


def test_in_words(models):
    report = bench(models / "volumes", replace(ONCE, shape=(16, 16, 16)))
    lines = {line.split(":")[0]: line for line in report.lines()}
    assert lines["model"].startswith("model: 1 network in 3D, ")
    assert lines["model"].endswith("million parameters, window 16 x 16 x 16, torch fp32 on cpu")
    assert lines["input"] == "input: 1 volume, generated, 16 x 16 x 16 of 1 x 1 x 1 mm"
    assert "after 1 to warm up that do not count" in lines["runs"]
    assert "1 run is too few for p95 (20) and p99 (100)" in lines["latency, from the file to the written labels"]
    assert "volumes a second, one after the other" in lines["throughput"]
    assert "the network alone on 1 window in 1 pass; a run takes" in lines["floor"]
    rows = report.stage_rows()
    assert sum(row["%"] for row in rows) == pytest.approx(100, abs=0.5)
    assert [row["stage"] for row in rows][:2] == ["reading", "preprocessing"]


def test_what_no_stage_covers_is_told():
    stages = staged({"reading": 2.0, "network": 5.0}, 10.0, runs=2)
    assert stages["reading"] == 1
    assert stages["network"] == 2.5
    assert stages["other"] == 1.5
    assert sum(stages.values()) == 5


def test_a_usual_image_is_like_those_of_the_training():
    grid = usual_grid(FACTS, BenchOptions())
    assert grid.axis_codes == "LPS"
    assert grid.spacing == pytest.approx((1, 1, 2))
    assert grid.shape == (20, 20, 20)
    assert usual_grid(FACTS, BenchOptions(spacing=(2, 2, 4))).shape == (10, 10, 10)
    assert usual_grid(FACTS, BenchOptions(shape=(5, 6, 7))).shape == (5, 6, 7)
    assert usual_frame(FACTS, BenchOptions()) == (20, 20)
    assert usual_frame(FACTS, BenchOptions(shape=(48, 64))) == (48, 64)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("volumes", {"shape": (16, 16)}, "the shape of a volume has 3 numbers, got 2"),
        ("volumes", {"shape": (2000, 2000, 2000)}, "is larger than 2147483648 voxels"),
        ("pictures", {"shape": (16, 16, 1)}, "the shape of a frame is rows and columns, got 3 numbers"),
        ("pictures", {"shape": (9000, 9000)}, "frames of 9000 x 9000 pixels are larger than"),
        ("pictures", {"spacing": (1, 1, 1)}, "frames have pixels and no spacing"),
        ("volumes", {"shape": (16, 0, 16)}, "shape and spacing are numbers above 0"),
        ("volumes", {"spacing": (1, float("nan"), 1)}, "shape and spacing are numbers above 0"),
        ("volumes", {"repeats": 0}, "repeats is at least 1, got 0"),
        ("volumes", {"repeats": None, "seconds": 0.0}, "seconds is a number above 0"),
    ],
)
def test_options_that_cannot_be_are_refused(models, name, changes, message):
    with pytest.raises(InputError, match=message):
        bench(models / name, replace(ONCE, **changes))


def test_an_input_that_is_not_there_or_described_too_is_refused(models, tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        bench(models / "volumes", replace(ONCE, input=tmp_path / "nowhere"))
    with pytest.raises(InputError, match="does not exist"):
        bench(models / "pictures", replace(ONCE, input=tmp_path / "nowhere"))
    with pytest.raises(InputError, match="for a generated image, and an input is given"):
        bench(models / "volumes", replace(ONCE, input=tmp_path, shape=(16, 16, 16)))
