"""Some studies in one call of ``medseg batch`` beside as many calls of nnU-Net's command line, on two cores.

    python benchmarks/batch_nnunet.py --nnunet-python /tmp/nnunet-venv/bin/python
    python -m venv /tmp/nnunet-venv && /tmp/nnunet-venv/bin/pip install nnunetv2 torch==2.13.0    # makes it

The same network with the same weights, windows, overlap and spacings, neither side mirrors. Ours reads a DICOM study of
three series and writes a DICOM segmentation, a measurement report and a picture; nnU-Net reads no DICOM, so it gets the
fitting series as NIfTI, whose making is not counted, and writes NIfTI. It starts one process each for preparing and
writing (``-npp 1 -nps 1``), as one study needs no more, and takes as many threads as the machine has cores, so run this
on a machine of two. Each way in turn, several rounds; ratios are taken within a round. On a CPU with
instructions for it, ours computes in bfloat16, nnU-Net in float32.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from batch_material import bodies, train_model, write_studies
from batch_run import Places, before_first, predictor_times, study_times
from process_tree import ProcessTree, on_cores
from record import record, table

from medseg.config.networks import UNetSection
from medseg.core.case import Case
from medseg.core.volume import LabelMap
from medseg.inference.bundle import Bundle, read_bundle
from medseg.inference.predictor import Predictor
from medseg.inference.settings import PredictionSettings
from medseg.io.formats import read_label_map, write_volume

OURS, THEIRS, THEIRS_AT_ONCE = "medseg batch, one call", "nnU-Net, a call a study", "nnU-Net, one call"
MODEL_SCRIPT = Path(__file__).with_name("nnunet_model.py")
STEP = 0.5
"""Share that windows overlap, and step between them in windows."""


@dataclass(frozen=True)
class Peer:
    """nnU-Net's command line: its Python, its model, its images and where it writes."""

    python: Path
    model: Path
    images: Path
    output: Path

    def predict(self, names: Sequence[str]) -> None:
        """One call for some of the images."""
        given = self.output / "given"
        given.mkdir(parents=True)
        for name in names:
            (given / name).symlink_to(self.images / name)
        program = self.python.with_name("nnUNetv2_predict_from_modelfolder")
        command: list[str | Path] = [
            *self.environment(),
            program,
            "-i",
            given,
            "-o",
            self.output / "labels",
            "-m",
            self.model,
        ]
        options = ["-f", "0", "--disable_tta", "-step_size", str(STEP), "-npp", "1", "-nps", "1", "-device", "cpu"]
        subprocess.run([*command, *options], check=True, capture_output=True)
        shutil.rmtree(given)

    def environment(self) -> list[str]:
        """Start of a command with the variables that it asks for; no file of theirs is used."""
        return ["env", *(f"nnUNet_{name}={self.output}" for name in ("raw", "preprocessed", "results"))]


def main() -> None:
    options = _options()
    cores = on_cores(2)
    with contextlib.ExitStack() as stack:
        folder = (options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        cases = bodies()
        bundle = options.bundle or train_model(folder, options.budget)
        if read_bundle(bundle).config.inference.overlap != STEP:
            raise SystemExit(f"windows have to overlap by {STEP} on both sides; name another bundle")
        names = (folder / name for name in ("studies", "output", "project.key", "log.txt"))
        places = Places(bundle, *names)
        write_studies(places.studies, cases, options.studies)
        ways: dict[str, Callable[[], None]] = {OURS: lambda: _ours(places)}
        facts = [f"{options.studies} studies, {options.rounds} rounds, {cores} cores"]
        if options.nnunet_python is None:
            print("nnU-Net is left out: name the Python that holds it by --nnunet-python")
        else:
            peer = Peer(options.nnunet_python, folder / "model", folder / "images", folder / "nnunet")
            facts.extend(_prepared(peer, places, cases))
            images = _images(peer, cases, options.studies)
            ways |= {THEIRS: lambda: _one_by_one(peer, images), THEIRS_AT_ONCE: lambda: peer.predict(images)}
        rows, start = _timed(ways, places, peer_output=folder / "nnunet", rounds=options.rounds)
        facts.append(f"one call of ours starts its first study after {start:.1f} s")
        if THEIRS in rows and options.studies > 1:
            more = [apart - once for apart, once in zip(rows[THEIRS], rows[THEIRS_AT_ONCE], strict=True)]
            facts.append(f"each further call of nnU-Net costs {statistics.median(more) / (options.studies - 1):.1f} s")
        text = "; ".join(facts) + "\n\n"
        listing = text + table(_listed(rows, options.studies))
    if options.no_record or options.nnunet_python is None:
        print(listing)
    else:
        record("batch-nnunet", listing, ("torch", "numpy"))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--nnunet-python", type=Path, help="Python of an environment that holds nnunetv2")
    parser.add_argument("--bundle", type=Path, help="model of an earlier run; by default one is trained")
    parser.add_argument("--budget", default="3min", help="what that model is planned and trained for")
    parser.add_argument("--folder", type=Path, help="new folder for studies and results; by default a temporary one")
    parser.add_argument("--no-record", action="store_true", help="only print; leave docs/benchmarks.md alone")
    return parser.parse_args()


def _prepared(peer: Peer, places: Places, cases: Sequence[Case]) -> list[str]:
    """Make nnU-Net's model and images; says whether both networks are the same and whether they see the same."""
    peer.images.mkdir()
    for number, case in enumerate(cases):
        write_volume(peer.images / f"torso-{number}_0000.nii.gz", case.image.reoriented("RAS"))
    bundle = read_bundle(places.bundle)
    specification = peer.images.with_name("specification.json")
    specification.write_text(json.dumps(_specification(bundle, cases)), encoding="utf-8")
    command: list[str | Path] = [
        *peer.environment(),
        peer.python,
        MODEL_SCRIPT,
        specification,
        places.bundle / "model.safetensors",
        peer.model,
    ]
    found = subprocess.run(command, check=True, capture_output=True, text=True)
    theirs, ours = int(found.stdout.split()[-1]), sum(one.numel() for one in bundle.members[0].network.parameters())
    if theirs != ours:
        raise SystemExit(f"the networks differ: ours has {ours} parameters, nnU-Net's {theirs}")
    peer.predict([f"torso-{number}_0000.nii.gz" for number in range(len(cases))])
    agreed = _agreement(peer, bundle, cases)
    shutil.rmtree(peer.output)
    as_is, exact = (predictor_times(places.bundle, cases, precision)[0] for precision in ("auto", "fp32"))
    patch = "x".join(map(str, bundle.config.sampling.patch))
    return [
        f"one U-Net of {ours} parameters on both sides, windows of {patch}",
        f"in float32 {100 * agreed:.2f} % of the voxels get the same label",
        f"our predictor alone takes {as_is:.2f} s a study, in float32 {exact:.2f} s",
    ]


def _specification(bundle: Bundle, cases: Sequence[Case]) -> dict[str, object]:
    """The model along z, y, x, as nnU-Net reads arrays; its images are written in the orientation of our network."""
    config, network, channel = bundle.config, bundle.config.network, bundle.config.channels[0]
    if not isinstance(network, UNetSection):
        raise SystemExit("the bundle's network is no U-Net")
    low, high = channel.clip or (0.0, 0.0)
    return {
        "features": network.features,
        "strides": [level[::-1] for level in network.strides],
        "kernels": [level[::-1] for level in network.kernels],
        "convolutions": network.convolutions,
        "patch": config.sampling.patch[::-1],
        "spacing": (config.preprocessing.spacing or (1.0, 1.0, 1.0))[::-1],
        "shape": cases[0].image.geometry.shape[::-1],
        "structures": list(bundle.scheme.targets),
        "intensities": {
            "mean": channel.mean,
            "median": channel.mean,
            "std": channel.std,
            "min": low,
            "max": high,
            "percentile_00_5": low,
            "percentile_99_5": high,
        },
    }


def _agreement(peer: Peer, bundle: Bundle, cases: Sequence[Case]) -> float:
    """Smallest share of a body's voxels to which both sides give the same label."""
    predictor = Predictor(bundle, PredictionSettings(device="cpu", precision="fp32", postprocess=False))
    shares = []
    for number, case in enumerate(cases):
        ours = predictor.predict(case.image).labels.reoriented("RAS")
        theirs = read_label_map(peer.output / "labels" / f"torso-{number}.nii.gz").reoriented("RAS")
        assert isinstance(ours, LabelMap)  # noqa: S101 - the structures of a torso exclude each other
        shares.append(float(np.mean(ours.array == theirs.array)))
    return min(shares)


def _images(peer: Peer, cases: Sequence[Case], studies: int) -> list[str]:
    """An image a study, of the body that the study is of."""
    names = []
    for number in range(studies):
        names.append(f"study-{number:05d}_0000.nii.gz")
        (peer.images / names[-1]).symlink_to(peer.images / f"torso-{number % len(cases)}_0000.nii.gz")
    return names


def _ours(places: Places) -> None:
    tree = ProcessTree(places.command, places.log)
    while tree.code is None:
        time.sleep(0.05)
    if tree.code != 0:
        raise SystemExit(f"medseg batch ended with {tree.code}; see {places.log}")


def _one_by_one(peer: Peer, images: Sequence[str]) -> None:
    for name in images:
        peer.predict([name])


def _timed(
    ways: dict[str, Callable[[], None]], places: Places, peer_output: Path, rounds: int
) -> tuple[dict[str, list[float]], float]:
    """Seconds of each way in each round, and the median start-up of ours."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    starts = []
    for _ in range(rounds):
        for name, way in ways.items():
            shutil.rmtree(places.output, ignore_errors=True)
            shutil.rmtree(peer_output, ignore_errors=True)
            begun, clock = time.time(), time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - clock)
            if name == OURS:
                starts.append(before_first(study_times(places.output), begun))
    return seconds, statistics.median(starts)


def _listed(seconds: dict[str, list[float]], studies: int) -> list[dict[str, object]]:
    return [
        {
            "way": name,
            "s": f"{statistics.median(taken):.1f}",
            "s a study": f"{statistics.median(taken) / studies:.2f}",
            "times ours": f"{statistics.median(one / own for one, own in zip(taken, seconds[OURS], strict=True)):.2f}",
        }
        for name, taken in seconds.items()
    ]


if __name__ == "__main__":
    main()
