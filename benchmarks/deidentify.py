"""Speed of de-identification beside other tools: the same files, each tool in turn, several rounds in one run.

    python benchmarks/deidentify.py                                  # pydicom's bundled files
    python benchmarks/deidentify.py --data FOLDER                    # and all DICOM files below a folder
    python benchmarks/deidentify.py --install-peers /tmp/peers       # and deid, installed by pip into a new environment
    python benchmarks/deidentify.py --peers /tmp/peers               # and deid, from an environment made before

Files are copied a few times with other UIDs, so that a run is long enough to time processes, and lie in a temporary
folder that all tools read. Ratios are taken within a round and their median is shown, so that other work on the machine
disturbs them little. The floor is pydicom alone, which reads and writes. Images are not searched for burned-in text:
no other tool here does.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import statistics
import subprocess
import tempfile
import time
import venv
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pydicom
from dicognito.anonymizer import Anonymizer
from dicomanonymizer.simpledicomanonymizer import anonymize_dicom_file, initialize_actions
from record import machine, table

from medseg.config.deid import DeidProfile, Option, TextSearch
from medseg.core.errors import DataError, DeidError
from medseg.core.pseudonyms import ProjectKey
from medseg.deid.elements import bare
from medseg.deid.engine import Engine
from medseg.deid.identifiers import identifiers_of
from medseg.deid.identity import PatientIdentity
from medseg.deid.proof import Search
from medseg.deid.removed import Removed
from medseg.io.dicom_file import encode_dicom, read_dicom
from medseg.pipelines.deidentify import DeidentifyOptions, deidentify

DEID = "deid==0.4.13"
FLOOR, ANONYMIZER = "floor: read, write", "dicom-anonymizer, table 2026c"
PEER_SCRIPT = Path(__file__).with_name("deid_peer.py")
KEY = ProjectKey(bytes(range(32)))
BASIC = DeidProfile(text_search=TextSearch.OFF)
RESEARCH = DeidProfile(
    name="research",
    options=frozenset({Option.RETAIN_MODIFIED_DATES, Option.CLEAN_DESCRIPTORS, Option.CLEAN_STRUCTURED_CONTENT}),
    text_search=TextSearch.OFF,
)
_UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")


@dataclass(frozen=True)
class Tool:
    """What is timed: ``run`` gets the files and an empty folder, and gives how many it wrote and the seconds.

    Attributes:
        name: In the table.
        run: The work.
    """

    name: str
    run: Callable[[Sequence[Path], Path], tuple[int, float]]


def main() -> None:
    arguments = _arguments()
    warnings.simplefilter("ignore")
    logging.disable()
    peers = arguments.install_peers or arguments.peers
    if arguments.install_peers:
        _install(arguments.install_peers)
    tools = _tools(peers)
    sources = {"pydicom's bundled files": Path(pydicom.__file__).parent / "data"}
    if arguments.data:
        sources["files of --data"] = arguments.data
    for name, source in sources.items():
        with tempfile.TemporaryDirectory() as folder:
            paths = _copied(source, Path(folder) / "in", arguments.copies)
            print(f"\n{name}: {len(paths)} files, {sum(path.stat().st_size for path in paths) / 2**20:.1f} MB")
            print(table(_timed(tools, paths, Path(folder), arguments.rounds)))
    packages = ("pydicom", "dicom-anonymizer", "dicognito")
    print(f"\n{machine()}; " + ", ".join(f"{package} {version(package)}" for package in packages) + f"; {DEID}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with DICOM files of your own")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--copies", type=int, default=4, help="how often each file is there, with other UIDs")
    parser.add_argument("--peers", type=Path, help=f"environment that holds {DEID}")
    parser.add_argument("--install-peers", type=Path, help=f"make that environment and install {DEID} into it by pip")
    return parser.parse_args()


def _install(folder: Path) -> None:
    venv.create(folder, with_pip=True)
    subprocess.run([folder / "bin" / "python", "-m", "pip", "install", "--quiet", DEID], check=True)


def _tools(peers: Path | None) -> list[Tool]:
    tools = [
        Tool(FLOOR, _each(_copy)),
        Tool("floor: read, parse all values, write", _each(_parse)),
        Tool(ANONYMIZER, _each(_dicom_anonymizer)),
        Tool("dicognito", _dicognito),
        Tool("medseg engine, no proof", _engine(BASIC, proof=False)),
        Tool("medseg engine, proof", _engine(BASIC, proof=True)),
        Tool("medseg engine, research options, no proof", _engine(RESEARCH, proof=False)),
        Tool("medseg deidentify, no proof, 1 process", _command(workers=1, proof=False)),
        Tool("medseg deidentify, no proof, 2 processes", _command(workers=2, proof=False)),
        Tool("medseg deidentify, proof, 1 process", _command(workers=1, proof=True)),
        Tool("medseg deidentify, proof, 2 processes", _command(workers=2, proof=True)),
    ]
    if peers is not None:
        tools.insert(4, Tool("deid, default recipe", _deid(peers)))
    return tools


def _copied(source: Path, folder: Path, copies: int) -> list[Path]:
    """Copies of the files that all tools write, in each copy with other UIDs of the same length."""
    paths = []
    for path in sorted(path for path in source.rglob("*") if path.is_file()):
        try:
            dataset = pydicom.dcmread(path)
            dataset.save_as(folder.with_suffix(".tmp"))
            is_taken = read_dicom(path) is not None and all(dataset.get(keyword) for keyword in ("SOPClassUID", *_UIDS))
        except Exception:  # noqa: BLE001, S112 - no DICOM file, or one of the broken ones
            continue
        if not is_taken:
            continue
        raw = path.read_bytes()
        for copy in range(copies):
            paths.append(folder / str(copy) / f"{len(paths):06d}.dcm")
            paths[-1].parent.mkdir(parents=True, exist_ok=True)
            paths[-1].write_bytes(_renumbered(raw, dataset, copy))
    return paths


def _renumbered(raw: bytes, dataset: pydicom.Dataset, copy: int) -> bytes:
    for keyword in _UIDS:
        uid = str(dataset.get(keyword, "")).encode()
        if len(uid) > 12:
            raw = raw.replace(uid, uid[:-3] + b"%03d" % (100 + copy))
    return raw


def _timed(tools: Sequence[Tool], paths: Sequence[Path], folder: Path, rounds: int) -> list[dict[str, object]]:
    """A row a tool; the first round warms up and does not count."""
    seconds: dict[str, list[float]] = {tool.name: [] for tool in tools}
    written = {}
    for turn in range(rounds + 1):
        for tool in tools:
            with tempfile.TemporaryDirectory(dir=folder) as output:
                written[tool.name], duration = tool.run(paths, Path(output))
            if turn:
                seconds[tool.name].append(duration)
    return [
        {
            "tool": tool.name,
            "files/s": f"{len(paths) / statistics.median(seconds[tool.name]):.0f}",
            "written": written[tool.name],
            "slowest to fastest round": _spread(seconds[tool.name]),
            "times dicom-anonymizer": _ratio(seconds[ANONYMIZER], seconds[tool.name]),
            "times floor": _ratio(seconds[FLOOR], seconds[tool.name]),
        }
        for tool in tools
    ]


def _spread(seconds: Sequence[float]) -> str:
    return f"{max(seconds) / min(seconds):.2f}"


def _ratio(theirs: Sequence[float], ours: Sequence[float]) -> str:
    """How many times as fast, median over the rounds."""
    return f"{statistics.median(their / our for their, our in zip(theirs, ours, strict=True)):.2f}"


def _each(clean: Callable[[Path, Path], object]) -> Callable[[Sequence[Path], Path], tuple[int, float]]:
    """A tool that takes one file at a time; what it cannot do counts as not written."""

    def run(paths: Sequence[Path], output: Path) -> tuple[int, float]:
        start, written = time.perf_counter(), 0
        for number, path in enumerate(paths):
            with contextlib.suppress(Exception):
                clean(path, output / f"{number}.dcm")
                written += 1
        return written, time.perf_counter() - start

    return run


def _copy(path: Path, target: Path) -> None:
    pydicom.dcmread(path).save_as(target)


def _parse(path: Path, target: Path) -> None:
    dataset = pydicom.dcmread(path)
    for _ in dataset.iterall():
        pass
    dataset.save_as(target)


def _dicom_anonymizer(path: Path, target: Path) -> None:
    anonymize_dicom_file(str(path), str(target), base_rules_gen=lambda: ACTIONS)


ACTIONS = initialize_actions("dicomfields_2026c")


def _dicognito(paths: Sequence[Path], output: Path) -> tuple[int, float]:
    anonymizer = Anonymizer(seed="benchmark")

    def clean(path: Path, target: Path) -> None:
        dataset = pydicom.dcmread(path)
        anonymizer.anonymize(dataset)
        dataset.save_as(target)

    return _each(clean)(paths, output)


def _deid(peers: Path) -> Callable[[Sequence[Path], Path], tuple[int, float]]:
    def run(paths: Sequence[Path], output: Path) -> tuple[int, float]:
        listing = output.with_suffix(".txt")
        listing.write_text("\n".join(map(str, paths)), encoding="utf-8")
        command = [peers / "bin" / "python", "-W", "ignore", PEER_SCRIPT, listing, output]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        seconds, written = done.stdout.split()[-2:]
        return int(written), float(seconds)

    return run


def _engine(profile: DeidProfile, *, proof: bool) -> Callable[[Sequence[Path], Path], tuple[int, float]]:
    """The engine in this process; with ``proof`` each study's outputs are searched for what was taken out of it."""
    engine = Engine(profile, KEY)

    def run(paths: Sequence[Path], output: Path) -> tuple[int, float]:
        start = time.perf_counter()
        removed: dict[str, dict[Removed, None]] = {}
        staged: list[tuple[str, Path, frozenset[str]]] = []
        for number, path in enumerate(paths):
            with contextlib.suppress(DataError, DeidError):
                file = read_dicom(path)
                if file is None:
                    continue
                identity = PatientIdentity(*(bare(file.dataset, tag) for tag in (0x00100021, 0x00100020, 0x0020000D)))
                cleaned = engine.clean(file, identity, proof=proof)
                target = output / f"{number}.dcm"
                target.write_bytes(encode_dicom(cleaned.file.dataset, cleaned.file.syntax))  # as the others: no fsync
                staged.append((cleaned.study, target, cleaned.kept_dates))
                removed.setdefault(cleaned.study, {}).update(dict.fromkeys(cleaned.removed))
        if proof:
            _prove(engine, removed, staged)
        return len(staged), time.perf_counter() - start

    return run


def _prove(
    engine: Engine, removed: dict[str, dict[Removed, None]], staged: Sequence[tuple[str, Path, frozenset[str]]]
) -> None:
    for study, values in removed.items():
        mine = [(path, dates) for name, path, dates in staged if name == study]
        dates = frozenset().union(*(dates for _, dates in mine))
        search = Search(identifiers_of(values, engine.vocabulary, dates))
        for path, _ in mine:
            search.hits(path.read_bytes())


def _command(*, workers: int, proof: bool) -> Callable[[Sequence[Path], Path], tuple[int, float]]:
    """The whole command: index, pixels' rules, engine, staging, proof and reports."""

    def run(paths: Sequence[Path], output: Path) -> tuple[int, float]:
        key = output / "project.key"
        key.touch(mode=0o600)
        key.write_text(KEY.secret.hex(), encoding="ascii")
        options = DeidentifyOptions(profile=BASIC, key=key, workers=workers, proof=proof)
        start = time.perf_counter()
        deidentify(paths[0].parents[1], output / "out", options)
        seconds = time.perf_counter() - start
        return sum(1 for _ in output.rglob("*.dcm")), seconds

    return run


if __name__ == "__main__":
    main()
