"""Exports without the app: all accepted cases of a configuration, one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from medseg.batch.outputs import ResultForm
from medseg.config.review import ReviewConfig
from medseg.core.errors import MedsegError
from medseg.core.progress import SILENT, Progress
from medseg.core.pseudonyms import ProjectKey, load_key

from .accepted import accepted_cases
from .case_files import CaseFiles
from .export import ExportMode, ExportRequest, export_case
from .open_case import open_case
from .records import CaseName, Reader
from .sources import find_cases
from .store import Store, open_store
from .training_set import TrainingSet, write_training_set
from .vault import Vault


@dataclass(frozen=True)
class Exported:
    """What became of the cases.

    Attributes:
        folders: Of each exported case.
        left_out: Why each case is not accepted.
        failed: Why each accepted case could not be exported.
    """

    folders: dict[CaseName, Path]
    left_out: dict[CaseName, str]
    failed: dict[CaseName, str]


@dataclass(frozen=True, eq=False)
class _Reviews:
    config: ReviewConfig
    key: ProjectKey
    store: Store
    vault: Vault

    def cases(self) -> list[CaseFiles]:
        return find_cases(self.config, self.key)


def export_accepted(
    config: ReviewConfig, forms: Sequence[ResultForm], mode: ExportMode, actor: Reader, progress: Progress = SILENT
) -> Exported:
    """Export every accepted case of the sources, as ``export_case`` does; one that fails does not end the others.

    Raises:
        InputError: If the key or the database is not as it has to be.
        OutputError: If the review folder cannot be written to.
    """
    folders, failed = {}, {}
    with _reviews(config) as reviews:
        chosen, left_out = accepted_cases(reviews.store, reviews.cases(), actor)
        progress.start("exporting", len(chosen))
        for files, version in chosen:
            try:
                request = ExportRequest(version.number, tuple(forms), mode)
                folders[files.name] = export_case(reviews, open_case(files), request, actor)
            except MedsegError as error:
                failed[files.name] = str(error)
            progress.advance()
    progress.finish()
    return Exported(folders, left_out, failed)


def export_training_set(config: ReviewConfig, output: Path, actor: Reader, progress: Progress = SILENT) -> TrainingSet:
    """Write the accepted cases of the sources as a data set, as ``write_training_set`` does."""
    with _reviews(config) as reviews:
        return write_training_set(reviews, reviews.cases(), output, actor, progress)


@contextmanager
def _reviews(config: ReviewConfig) -> Iterator[_Reviews]:
    key = load_key(config.key, outside=config.folder)
    with open_store(config.folder, key, config.database) as store:
        yield _Reviews(config, key, store, Vault(config.folder))
