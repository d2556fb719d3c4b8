"""One study from its files to its results: choose, read, predict, write."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import medseg
from medseg.config.selection import SelectionSection
from medseg.core.errors import DataError, InputError, MedsegError, OutputError
from medseg.core.files import atomic_folder, flush_folder
from medseg.core.labels import LabelScheme
from medseg.core.messages import redacted
from medseg.core.pseudonyms import ProjectKey, load_key
from medseg.core.segmentation import Segmentation
from medseg.core.volume import Volume
from medseg.data.joining import Joining
from medseg.deid.names import SERIES, name_of
from medseg.inference.agreement import disputed
from medseg.inference.bundle import Bundle, read_bundle
from medseg.inference.bundle_files import model_files
from medseg.inference.expected import measured, odd, volume_ml
from medseg.inference.predictor import Predictor
from medseg.inference.restore import Prediction
from medseg.inference.settings import PredictionSettings
from medseg.inference.suitability import missing_channels
from medseg.io.dicom_result import Algorithm, ResultHeader, SourceSeries, derived_uid, read_source
from medseg.io.studies import Inventory, Series, sort_series

from .channels import read_channels
from .outputs import THUMBNAIL, Product, ResultForm, write_forms, write_thumbnail
from .receipt import write_receipt
from .records import Measured, OutputFile, Stage, Status, StudyResult, StudyTask
from .select import Match, Rules, Which, choose
from .worker import Enter

STUDIES = "studies"
_SERIES_NUMBERS = {form: 9001 + index for index, form in enumerate(ResultForm)}
_FREE_BYTES = 2**25
_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class WorkSettings:
    """What is done to each study.

    Attributes:
        bundle: Folder of the model.
        output: Folder of the batch; a study's results lie in ``studies/<its pseudonym>``.
        key: File of the project key.
        forms: What is written, as ``outputs.completed`` has it.
        prediction: How the model predicts.
        selection: Rules for the series, instead of the bundle's.
        any_size: Take series unlike the training images in size too.
        which: Whether the best series of a study is predicted, or every one that fits.
        fill_gaps: Interpolate missing slices.
        all_frames: Give DICOM segmentations a frame for every slice.
        thumbnails: Draw a small picture of each result.
    """

    bundle: Path
    output: Path
    key: Path | None
    forms: tuple[ResultForm, ...]
    prediction: PredictionSettings = field(default_factory=PredictionSettings)
    selection: SelectionSection | None = None
    any_size: bool = False
    which: Which = "best"
    fill_gaps: bool = False
    all_frames: bool = False
    thumbnails: bool = True


@dataclass(frozen=True, eq=False)
class Model:
    """What a worker knows of its model, besides the network: it names results and judges them."""

    bundle: Bundle
    rules: Rules
    key: ProjectKey
    algorithm: Algorithm


@dataclass(frozen=True, eq=False)
class _Match:
    """Series that are predicted together, their pseudonym, and what is made of them."""

    chosen: Match
    name: str
    version: str


class StudyWorker:
    """Does studies; several threads may call it at once, one of which computes.

    Args:
        settings: What is done to each.
        model: The model and what belongs to it.

    Raises:
        BundleError: If the model cannot be read.
        InputError: If the device is not there, or the key cannot be read.
    """

    def __init__(self, settings: WorkSettings, model: Model) -> None:
        self._settings, self._model = settings, model
        keep = bool({ResultForm.SEG_FRACTIONAL, ResultForm.PROBABILITIES} & set(settings.forms))
        self._predictor = Predictor(model.bundle, _for_batch(settings.prediction, keep=keep))
        # All of a network's work from one thread: each thread that computes would bring its own team of threads.
        self._computing = ThreadPoolExecutor(1)

    def process(self, task: StudyTask, enter: Enter) -> StudyResult:
        """Do one study; whatever is wrong with it becomes its status and reason."""
        clock, lacks_room = Clock(enter), False
        try:
            return self._process(task, clock)
        except MedsegError as error:
            reason, cause = redacted(str(error)), error.__cause__
            lacks_room = isinstance(cause, OSError) and cause.errno in _FULL
        except MemoryError:
            reason = "not enough memory for this study"
        return StudyResult(task.name, task.version, Status.FAILED, reason, seconds=clock.seconds, lacks_room=lacks_room)

    def _process(self, task: StudyTask, clock: Clock) -> StudyResult:
        settings = self._settings
        with clock.stage(Stage.READ):
            _check_space(settings.output)
            matches = self._matches(task)
        if isinstance(matches, str):
            return StudyResult(task.name, task.version, Status.SKIPPED, matches, seconds=clock.seconds)
        found: list[Measured] = []
        folder = settings.output / STUDIES / task.name
        with atomic_folder(folder) as partial_folder:
            for match in matches:
                found.extend(self._predict_one(match, partial_folder / match.name, clock))
            with clock.stage(Stage.WRITE):
                result = StudyResult(
                    task.name,
                    task.version,
                    Status.DONE,
                    self._unusual(matches),
                    series=tuple(match.name for match in matches),
                    seconds=clock.seconds,
                    measured=tuple(found),
                    outputs=tuple(_outputs(partial_folder)),
                )
                write_receipt(partial_folder, result)
                flush_folder(partial_folder)
        return result

    def _matches(self, task: StudyTask) -> list[_Match] | str:
        """What is to be predicted, or why nothing is."""
        if task.problem:
            raise DataError(task.problem)
        inventory = sort_series([Path(path) for path in task.paths], fill_gaps=self._settings.fill_gaps)
        if problem := damaged_files(inventory):
            raise DataError(problem)
        choice = choose(inventory.series, self._model.rules, self._settings.which)
        if choice.is_damaged:
            raise DataError(choice.reason)
        if not choice.matches:
            return redacted(choice.reason)
        names = [name_of(self._model.key, SERIES, match.series[0].uid) for match in choice.matches]
        return [_Match(match, name, task.version) for match, name in zip(choice.matches, names, strict=True)]

    def _predict_one(self, match: _Match, folder: Path, clock: Clock) -> list[Measured]:
        settings, scheme = self._settings, self._predictor.scheme
        with clock.stage(Stage.READ):
            source = self._source(match.chosen.series[0])
            volume = read_channels(match.chosen, self._model.rules.joining, fill_gaps=settings.fill_gaps)
        prediction = self._computing.submit(clock.run, Stage.PREDICT, partial(self._predictor.predict, volume)).result()
        with clock.stage(Stage.WRITE):
            product = self._product(match, source, volume, prediction)
            folder.mkdir()
            write_forms(folder, product, settings.forms)
            if settings.thumbnails:
                write_thumbnail(folder / THUMBNAIL, product)
            return self._measured(match.name, prediction, scheme)

    def _product(self, match: _Match, source: SourceSeries | None, volume: Volume, prediction: Prediction) -> Product:
        scheme = self._predictor.scheme
        maps = prediction.probabilities
        return Product(
            Segmentation(prediction.labels, scheme),
            volume,
            None if maps is None else Volume(maps, volume.geometry, scheme.targets),
            source,
            partial(self._header, match, datetime.now(UTC).astimezone()),
            all_frames=self._settings.all_frames,
        )

    def _source(self, series: Series) -> SourceSeries | None:
        if not any(form.is_dicom for form in self._settings.forms):
            return None
        return read_source(series, fill_gaps=self._settings.fill_gaps)

    def _header(self, match: _Match, made: datetime, form: ResultForm) -> ResultHeader:
        """The same UIDs whenever the same is made of the same, so that a PACS keeps one."""
        origin, algorithm = f"{match.chosen.series[0].uid} {match.version} {form}", self._model.algorithm
        return ResultHeader(
            derived_uid(f"series of {origin}"),
            derived_uid(f"instance of {origin}"),
            _SERIES_NUMBERS[form],
            f"{algorithm.name} {form}"[:64],
            algorithm,
            made,
        )

    def _unusual(self, matches: Sequence[_Match]) -> str:
        """What the user should know of a study that is done: the channels that it lacks; empty if it has all."""
        lacks = (missing_channels(match.chosen.channels, self._model.rules.facts) for match in matches)
        return "; ".join(dict.fromkeys(f"predicted {lack}" for lack in lacks if lack))

    def _measured(self, series: str, prediction: Prediction, scheme: LabelScheme) -> list[Measured]:
        grid, facts = prediction.labels.geometry, self._model.rules.facts.structures
        rows = []
        for target, form in measured(prediction.labels, scheme).items():
            ml = volume_ml(form, grid)
            flags = prediction.notes + odd(form, ml, facts.get(target))
            if form.voxels:  # what hardly any member finds is no result to look at
                flags += disputed(prediction.agreement, target)
            rows.append(Measured(series, target, ml, form.components, flags))
        return rows


class Clock:
    """Tells which stage a study is in, and adds up the seconds of each."""

    def __init__(self, enter: Enter) -> None:
        self._enter = enter
        self.seconds: dict[Stage, float] = {}

    @contextmanager
    def stage(self, stage: Stage) -> Iterator[None]:
        """The block is that stage; after it the study waits."""
        self._enter(stage)
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - begun
            self._enter(None)

    def run(self, stage: Stage, what: partial[Prediction]) -> Prediction:
        """Call ``what`` as that stage."""
        with self.stage(stage):
            return what()


def open_model(settings: WorkSettings) -> Model:
    """The model that the settings name.

    Raises:
        BundleError: If it cannot be read.
        InputError: If the key cannot be.
    """
    bundle = read_bundle(settings.bundle)
    version = f"{medseg.__version__}-{model_digest(settings.bundle)[:8]}"
    selection = settings.selection or bundle.config.selection
    if settings.any_size:
        selection = selection.model_copy(update={"any_size": True})
    rules = Rules(bundle.facts, selection, Joining.of(bundle.config))
    return Model(bundle, rules, load_key(settings.key), Algorithm(bundle.config.name, version))


def open_worker(settings: WorkSettings, processes: int, index: int) -> StudyWorker:
    """The worker of one of some processes, which share the cores and the GPUs of the machine."""
    import torch  # noqa: PLC0415 - the parent process never needs it

    if torch.cuda.is_available() and settings.prediction.device in ("auto", "cuda"):
        torch.cuda.set_device(index % torch.cuda.device_count())
    else:
        torch.set_num_threads(max(1, torch.get_num_threads() // processes))
    return StudyWorker(settings, open_model(settings))


def model_digest(bundle: Path) -> str:
    """Digest of what a bundle's results depend on; see ``model_files``.

    Raises:
        BundleError: If its members cannot be told.
        InputError: If a file is missing.
    """
    digest = hashlib.sha256()
    for name in model_files(bundle):
        path = bundle / name
        if not path.is_file():
            raise InputError(f"bundle {str(bundle)!r} lacks {name}")
        with path.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def damaged_files(inventory: Inventory) -> str:
    """Why a study cannot be done whose files, all DICOM, were looked at; empty if they are whole."""
    damaged = inventory.unreadable + inventory.other_files - inventory.derived
    return f"{damaged} of its files are damaged, so slices may be missing" if damaged else ""


def _for_batch(settings: PredictionSettings, *, keep: bool) -> PredictionSettings:
    return replace(settings, probabilities=keep or settings.probabilities, agreement=True)


def _check_space(folder: Path) -> None:
    """Refuse to begin what could not be written anyway."""
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise OutputError(f"the output folder is not there any more ({error.strerror})") from error
    if free < _FREE_BYTES:
        full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        raise OutputError("the disk of the results is full; make room and start the same command again") from full


def _outputs(folder: Path) -> Iterator[OutputFile]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            yield OutputFile(path.relative_to(folder).as_posix(), path.stat().st_size, digest)
