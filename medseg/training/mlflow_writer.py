"""A run as MLflow keeps it; MLflow is an extra, loaded here and nowhere else."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import math
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from medseg.config.sections import RunConfig
from medseg.core.errors import InputError, OutputError
from medseg.core.files import write_text
from medseg.core.messages import hush_mlflow
from medseg.inference.bundle import portable

from .callbacks import Callback, EpochReport, RunReport, ValidationReport

if TYPE_CHECKING:
    from mlflow import MlflowClient

_EXPERIMENT, _MARK = "medseg", "mlflow-run.txt"
_LONGEST, _AT_ONCE = 500, 100
_CARD = ("card.html", "card.md")
_UNWANTED = re.compile(r"[^\w. :/-]")
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class MlflowPlace:
    """Where MLflow keeps a run.

    Attributes:
        folder: Of the run; a file in it remembers under which number MLflow keeps it, so that a resumed run goes on
            with its curves.
        store: Folder for MLflow's data base and files; the folds of a cross-validation share one.
        uri: Of a server that takes the place of the store; None for none.
    """

    folder: Path
    store: Path
    uri: str | None = None


class MlflowWriter(Callback):
    """Configuration, loss, learning rate, gradient, Dice and overlay pictures of a run.

    Nothing else goes there: MLflow's usual way to start a run would add the names of user, host and script. If the
    server fails while the run trains, it goes on without it, and a warning is logged.

    Args:
        place: Where MLflow keeps it.
        config: Of the run; the places of data are left out.

    Raises:
        InputError: If MLflow is not installed.
        OutputError: If the server or the store does not take the run.
    """

    def __init__(self, place: MlflowPlace, config: RunConfig) -> None:
        self._client = _client(place)
        with _explained():
            self._run = _run(self._client, place, config)
        self._is_lost = False

    def on_epoch(self, report: EpochReport) -> None:
        """Write loss, learning rate and gradient."""
        values = {"loss": report.loss, "learning_rate": report.lr, "gradient": report.gradient}
        self._unless_lost(lambda: self._write(values, report.step))

    def on_validation(self, report: ValidationReport) -> None:
        """Write Dice by structure, and the picture."""
        dice = {f"dice/{name}": value for name, value in {"mean": report.mean_dice, **report.dice}.items()}
        self._unless_lost(lambda: self._write(dice, report.epoch))
        draw = report.picture
        if draw is not None:
            file = f"overlay/{report.epoch:06d}.png"
            self._unless_lost(lambda: self._client.log_image(self._run, draw(), artifact_file=file))

    def on_end(self, report: RunReport) -> None:  # noqa: ARG002 - the curves tell it already
        """Say that the run is over."""
        self._unless_lost(lambda: self._client.set_terminated(self._run))

    def _write(self, values: Mapping[str, float], step: int) -> None:
        from mlflow.entities import Metric  # noqa: PLC0415 - an extra

        now = int(1000 * time.time())
        known = {_name(name): value for name, value in values.items() if math.isfinite(value)}
        self._client.log_batch(self._run, metrics=[Metric(name, value, now, step) for name, value in known.items()])

    def _unless_lost(self, write: Callable[[], None]) -> None:
        """Write, and after a failure never again: a server that is away would hold up every epoch."""
        from mlflow.exceptions import MlflowException  # noqa: PLC0415 - an extra

        if self._is_lost:
            return
        try:
            write()
        except (MlflowException, OSError):
            self._is_lost = True
            _LOG.warning("MLflow does not take what is written; the run goes on without it")


def log_card(place: MlflowPlace, bundle: Path) -> None:
    """Put the model card of a bundle to its run; a failure is a warning, as the model is there already."""
    mark = place.folder / _MARK
    if not mark.is_file():
        return
    _prepare()
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - an extra

    try:
        client = _client(place)
        for name in _CARD:
            client.log_artifact(mark.read_text(encoding="ascii"), str(bundle / name))
    except (MlflowException, OSError, OutputError):
        _LOG.warning("MLflow does not take the model card; it is in the bundle")


def _prepare() -> None:
    """What has to be before MLflow is loaded."""
    if importlib.util.find_spec("mlflow") is None:
        raise InputError("training.tracking is mlflow, which is not installed: pip install 'medseg[mlflow]'")
    hush_mlflow()


def _client(place: MlflowPlace) -> MlflowClient:
    _prepare()
    from mlflow import MlflowClient  # noqa: PLC0415 - an extra

    if place.uri:
        return MlflowClient(place.uri)
    with _explained():
        place.store.mkdir(parents=True, exist_ok=True)
        return MlflowClient(f"sqlite:///{place.store.resolve() / 'mlflow.db'}")


def _run(client: MlflowClient, place: MlflowPlace, config: RunConfig) -> str:
    """The number of the run: that of its first sitting if MLflow knows it, or a new one with the configuration."""
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - an extra

    mark = place.folder / _MARK
    if mark.is_file():
        known = mark.read_text(encoding="ascii")
        with contextlib.suppress(MlflowException):
            client.update_run(known, status="RUNNING")
            return known
    experiment = client.get_experiment_by_name(_EXPERIMENT)
    files = None if place.uri else (place.store.resolve() / "files").as_uri()
    number = experiment.experiment_id if experiment else client.create_experiment(_EXPERIMENT, files)
    name = config.name if place.folder == place.store.parent else f"{config.name} {place.folder.name}"
    run: str = client.create_run(number, run_name=name).info.run_id
    _write_configuration(client, run, config)
    write_text(mark, run)
    return run


def _write_configuration(client: MlflowClient, run: str, config: RunConfig) -> None:
    from mlflow.entities import Param  # noqa: PLC0415 - an extra

    told = list(_flat(portable(config).model_dump(mode="json", exclude_none=True)))
    for start in range(0, len(told), _AT_ONCE):
        part = told[start : start + _AT_ONCE]
        client.log_batch(run, params=[Param(_name(key), value[:_LONGEST]) for key, value in part])


def _flat(tree: Mapping[str, object], before: str = "") -> Iterator[tuple[str, str]]:
    """Values by dotted key."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", str(value)


def _name(text: str) -> str:
    """A name as MLflow allows it."""
    return _UNWANTED.sub("_", text)


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - an extra

    try:
        yield
    except (MlflowException, OSError) as error:
        raise OutputError(
            "MLflow does not take the run; look whether training.tracking_uri answers, or set training.tracking=none"
        ) from error
