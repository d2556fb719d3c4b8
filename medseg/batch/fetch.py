"""Studies from a DICOMweb server: each is fetched shortly before its turn, and forgotten when it has ended."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

from medseg.core.errors import MedsegError
from medseg.io.dicom_classes import is_derived_modality
from medseg.io.dicom_web import DicomWeb, WebStudy
from medseg.io.spool import Spool

from .discover import StudyFiles
from .records import StudyResult, StudyTask

_AHEAD = 2


def web_study(server: DicomWeb, study: WebStudy, name: str) -> StudyFiles:
    """A study that a server has, before any of its files is here; its version goes by what the server says of it.

    Outlines and reports do not count, such as results that were stored there: the server is asked for the series of a
    study that has some.

    Raises:
        ReadError: If the server does not answer.
    """
    modalities, objects = study.modalities, study.objects
    if objects is not None and any(map(is_derived_modality, modalities)):
        modalities = tuple(one for one in modalities if not is_derived_modality(one))
        series = server.find_series(study.uid)
        objects -= sum(one.objects or 0 for one in series if is_derived_modality(one.modality))
    digest = hashlib.sha256(f"{study.uid} {objects} {sorted(modalities)}".encode())
    return StudyFiles(name, (), digest.hexdigest()[:32])


class WebTasks:
    """Tasks whose files come from a server; at most two studies more than are in hand lie here at a time.

    A study that cannot be fetched is handed out with the reason, so that it becomes a row like any other.

    Args:
        server: Where the studies are.
        spool: Where their files lie as long as they are needed.
        tasks: What is to be done, without files.
        uids: Study instance UID by name.
    """

    def __init__(
        self,
        server: DicomWeb,
        spool: Spool,
        tasks: Sequence[StudyTask],
        uids: Mapping[str, str],
    ) -> None:
        self._server, self._spool, self._uids = server, spool, uids
        self._here: set[str] = set()
        self._left = deque(tasks)
        self._coming: deque[Future[StudyTask]] = deque()
        self._fetching = ThreadPoolExecutor(1)

    def next(self) -> StudyTask | None:
        """The next study that has come; None if none has yet."""
        while self._left and len(self._coming) < _AHEAD:
            self._coming.append(self._fetching.submit(self._fetched, self._left.popleft()))
        if not self._coming or not self._coming[0].done():
            return None
        return self._coming.popleft().result()

    def ended(self, result: StudyResult) -> None:
        """Its files are not needed any more."""
        if result.name in self._here:
            self._here.discard(result.name)
            self._spool.done(result.name)

    @property
    def are_over(self) -> bool:
        """Whether all were handed out."""
        return not self._left and not self._coming

    def close(self) -> None:
        """Stop fetching."""
        self._fetching.shutdown(wait=True, cancel_futures=True)

    def _fetched(self, task: StudyTask) -> StudyTask:
        """The task with its files, or with the reason why there are none."""
        try:
            self._server.fetch_study(self._uids[task.name], self._spool)
            folder = self._spool.take(task.name)
        except MedsegError as error:
            return replace(task, problem=f"it cannot be fetched: {error}")
        self._here.add(task.name)
        return replace(task, paths=tuple(sorted(str(path) for path in folder.iterdir())))
