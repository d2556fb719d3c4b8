"""The desk: all that the app works with, put together once for a process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from medseg.config.review import ReviewConfig, ReviewLimits
from medseg.core.errors import InputError
from medseg.core.pseudonyms import ProjectKey, load_key

from .access import may_see
from .case_files import CaseFiles, FoundCases
from .drafts import Drafts
from .infer import InferenceJobs, Inferred
from .laid_over import LaidOver
from .opened import OpenedCase, opened_case
from .passes import Passes
from .predictions import Predictions
from .records import Act, CaseName, Reader
from .refining import Refining
from .refusals import RefusalLog
from .session_files import Session, SessionFiles
from .sitting import Records, Sitting
from .sources import CaseFinder
from .store import Store, open_store
from .tickets import Tickets
from .vault import Vault
from .visits import Kept, Visits
from .worklist import WorkItem, work_list

_LOOK_AGAIN_S = 5.0
_SHOWN = "shown"
_NO_LIMIT = ReviewLimits(session_mb=2**30)


@dataclass(frozen=True, eq=False)
class Seat:
    """What one browser tab has before it.

    Attributes:
        sitting: The case, and what is drawn.
        over: What can be laid over it.
        refining: Corrections by clicks.
        passes: The tab's tickets.
    """

    sitting: Sitting
    over: LaidOver
    refining: Refining
    passes: Passes

    def close(self) -> None:
        """Take back the tickets, and remove the files that are for this tab alone."""
        self.passes.close()
        self.over.close()
        self.sitting.close()


class Desk:
    """What ``open_desk`` gives; safe among threads.

    Attributes:
        config: What is shown, and to whom.
        key: Of the project.
        store: Cases, versions, decisions and the log.
        vault: Outlines of all versions.
        drafts: Strokes that are in no version.
        predictions: Outlines that were made in the app, of cases that came without.
        tickets: What lets browsers fetch voxels.
        refusals: Told of what was refused.
        jobs: Models that run.
        uploads: Temporary files of the people who are there.
        visits: Who is there.
    """

    def __init__(self, config: ReviewConfig, key: ProjectKey, store: Store) -> None:
        """Take over the folder of reviews from processes that are gone.

        Raises:
            InputError: If others may enter the folder of uploads.
            OutputError: If the folder cannot be written to.
        """
        self.config, self.key, self.store = config, key, store
        self.vault, self.drafts = Vault(config.folder), Drafts(config.folder, key)
        self.predictions = Predictions(config.folder)
        self.tickets = Tickets(config.limits.ticket_minutes)
        self.refusals = RefusalLog(store.log)
        self.jobs = InferenceJobs(config)
        self.uploads = SessionFiles(config.folder, config.limits)
        self.visits = Visits(self._gone)
        self._shown_files = SessionFiles(config.folder / _SHOWN, _NO_LIMIT)
        self._shown = self._shown_files.open("the app")
        self._opened: Kept[OpenedCase] = Kept(OpenedCase.close)
        self._sessions: dict[str, Session] = {}
        self._seats: dict[str, Seat] = {}
        self._lock = threading.Lock()
        self._found = _Found(CaseFinder(config, key).find)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def notes(self) -> tuple[str, ...]:
        """What is wrong with the sources of cases, a sentence each."""
        return self._found.get().notes

    def session(self, visit: str, reader: Reader) -> Session:
        """Temporary files of a visit; another reader in the same browser tab gets new ones."""
        with self._lock:
            session = self._sessions.get(visit)
            if session is None or session.owner != reader.name:
                if session is not None:
                    session.close()
                session = self._sessions[visit] = self.uploads.open(reader.name)
            return session

    def cases(self, reader: Reader) -> list[CaseFiles]:
        """The cases that a reader may see: those of the sources, and what they have uploaded."""
        uploaded = (
            one.files
            for session in self.uploads.sessions()
            for upload in tuple(session.uploads)
            for one in upload.cases
        )
        by_name = {files.name: files for files in (*self._found.get().cases, *uploaded)}
        return [self.predictions.given(files) for files in by_name.values() if may_see(reader, files.record)]

    def work(self, reader: Reader) -> list[WorkItem]:
        """The reader's work list, the worst first.

        Raises:
            InputError: If the database is damaged.
            OutputError: If it cannot be reached.
        """
        return work_list(self.store, self.cases(reader), reader, self.drafts.names(reader))

    def files(self, name: CaseName, reader: Reader) -> CaseFiles:
        """The files of a case.

        Raises:
            InputError: If there is none of that name that the reader may see.
        """
        for files in self.cases(reader):
            if files.name == name:
                return files
        raise InputError("there is no such case here, or no longer; choose one from the work list")

    def sit(self, visit: str, name: CaseName, reader: Reader) -> Seat:
        """Where the reader sits with a case, taken anew if it is another case than before.

        Raises:
            MedsegError: If the case cannot be read, or what is kept of it not written.
        """
        files = self.files(name, reader)
        seat = self._seats.get(visit)
        if seat is not None and seat.sitting.reader == reader and _is_about(seat.sitting, files):
            seat.sitting.look_again()
            return seat
        opened = self._open(visit, files)
        if not opened.is_of(files):
            self._opened.drop(name)
            opened = self._open(visit, files)
        sitting = Sitting(Records(self.store, self.vault, self.drafts), reader, opened)
        limits = self.config.limits
        passes = Passes(self.tickets, limits.ticket_minutes)
        new = Seat(sitting, LaidOver(sitting, limits), Refining(sitting), passes)
        with self._lock:
            before = self._seats.get(visit)
            self._seats[visit] = new
        if before is not None:
            before.close()
        return new

    def prepare(self, visit: str, name: CaseName, reader: Reader) -> None:
        """Read a case in the background, since it is likely to be next."""
        files = self.files(name, reader)
        self._opened.prepare(visit, name, lambda: opened_case(files, self._shown, self.config.limits))

    def take_in(self, seat: Seat, inferred: Inferred) -> str:
        """Keep what a model said of the case of a seat, which the log tells of.

        Where the case had no outlines they become its prediction, and it is opened anew; else they become a version.

        Returns:
            What became of it, in words.

        Raises:
            LabelError: If the model knows none of the structures of the case.
            OutputError: If it cannot be kept.
        """
        sitting, name = seat.sitting, seat.sitting.opened.case.files.name
        model = inferred.model
        details = {"model": model.name, "version": model.version, "digest": model.digest}
        if sitting.opened.case.files.prediction is None:
            self.predictions.keep(name, inferred)
            words = "the outlines are there"
        else:
            version = sitting.take_in(inferred)
            details["kept as"] = str(version.number)
            words = f"the outlines are version {version.number}"
        self.store.log(Act.INFERRED, sitting.reader, name, details)
        return words

    def leave(self, visit: str) -> None:
        """Let go of the case that a visit has open."""
        with self._lock:
            seat = self._seats.pop(visit, None)
        if seat is not None:
            seat.close()
        self._opened.release(visit)

    def close(self) -> None:
        """End all that runs, and remove all temporary files."""
        self.visits.close()
        self.jobs.close()
        self._opened.close()
        self.uploads.close()
        self._shown_files.close()
        self.store.close()

    def _open(self, visit: str, files: CaseFiles) -> OpenedCase:
        return self._opened.get(visit, files.name, lambda: opened_case(files, self._shown, self.config.limits))

    def _gone(self, visit: str) -> None:
        self.leave(visit)
        with self._lock:
            session = self._sessions.pop(visit, None)
        if session is not None:
            session.close()


class _Found:
    """The cases of the sources, looked for again after a while."""

    def __init__(self, find: Callable[[], FoundCases]) -> None:
        self._find = find
        self._last: FoundCases | None = None
        self._looked = 0.0
        self._lock = threading.Lock()

    def get(self) -> FoundCases:
        with self._lock:
            if self._last is None or time.monotonic() - self._looked > _LOOK_AGAIN_S:
                self._last = self._find()
                self._looked = time.monotonic()
            return self._last


def open_desk(config: ReviewConfig) -> Desk:
    """The desk of a configuration; to be closed.

    Raises:
        InputError: If the key, the folder or the database is not as it has to be.
        OutputError: If the folder cannot be written to.
    """
    key = load_key(config.key, outside=config.folder)
    store = open_store(config.folder, key, config.database)
    try:
        return Desk(config, key, store)
    except BaseException:
        store.close()
        raise


def _is_about(sitting: Sitting, files: CaseFiles) -> bool:
    return sitting.opened.case.files.name == files.name and sitting.opened.is_of(files)
