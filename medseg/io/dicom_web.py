"""DICOMweb (PS3.18): find studies and series, fetch them into a spool, store objects.

Over Python's own HTTP rather than dicomweb-client's: that one holds each object and all that is stored in memory, of
whatever size the server makes it, follows redirects, and decodes what it hands out. Here objects go to the disk as
they come, byte for byte.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

from pydicom.datadict import tag_for_keyword

from medseg.core.errors import InputError, MedsegError, ReadError

from .dicom_header import parsing, read_header, text
from .dicom_net import DUPLICATE, SendOutcome, is_final, status_text
from .http_client import Server, check_answer, read_json, requested, try_again
from .incoming import Incoming
from .multipart import Files, Parts
from .spool import Arrival, Spool

_JSON = "application/dicom+json"
_MULTIPART = 'multipart/related; type="application/dicom"; transfer-syntax=*'
_PAGE = 200
_MOST_FOUND = 100_000
_UID = re.compile(r"[0-9.]{1,64}")
_STUDY, _SERIES, _MODALITY, _MODALITIES = "0020000D", "0020000E", "00080060", "00080061"
_BODY_PART, _SERIES_DESCRIPTION, _STUDY_OBJECTS, _SERIES_OBJECTS = "00180015", "0008103E", "00201208", "00201209"
_FAILED, _STORED, _INSTANCE, _FAILURE, _WARNING = "00081198", "00081199", "00081155", "00081197", "00081196"
_SOP_INSTANCE = 0x00080018
_POSTED_OBJECTS, _POSTED_BYTES = 50, 2**28


@dataclass(frozen=True)
class WebStudy:
    """A study that a server has.

    Attributes:
        uid: Study instance UID.
        modalities: Of its series, as far as the server says.
        objects: How many it has; None if the server does not say.
    """

    uid: str = field(repr=False)
    modalities: tuple[str, ...]
    objects: int | None


@dataclass(frozen=True)
class WebSeries:
    """A series that a server has.

    Attributes:
        uid: Series instance UID.
        modality: Such as ``CT``.
        body_part: As the header says.
        description: What the site called it.
        objects: How many it has; None if the server does not say.
    """

    uid: str = field(repr=False)
    modality: str
    body_part: str
    description: str = field(repr=False)
    objects: int | None


@dataclass(frozen=True)
class DicomWeb:
    """A DICOMweb server.

    Attributes:
        server: Its address, and how it is talked to.
        largest_object: Bytes; a fetch that meets a larger one fails.
        most_objects: In one fetch.
    """

    server: Server
    largest_object: int = 2**31
    most_objects: int = 100_000

    def find_studies(self, filters: Mapping[str, str] | None = None) -> tuple[WebStudy, ...]:
        """The studies that match, in the server's order (QIDO-RS, PS3.18 section 10.6).

        Args:
            filters: Values by DICOM keyword, such as ``{"ModalitiesInStudy": "CT", "StudyDate": "20240101-"}``.

        Raises:
            InputError: If a filter is no DICOM keyword.
            ReadError: If the server cannot be used, does not answer as it should, or finds more than 100,000.
        """
        query = {**_query(filters or {}), "includefield": f"{_MODALITIES},{_STUDY_OBJECTS}"}
        return tuple(
            WebStudy(uid, _values(item, _MODALITIES), _count(item, _STUDY_OBJECTS))
            for uid, item in self._found("/studies", query, _STUDY).items()
        )

    def find_series(self, study_uid: str, filters: Mapping[str, str] | None = None) -> tuple[WebSeries, ...]:
        """The series of a study that match.

        Raises:
            InputError: If a filter is no DICOM keyword, or the UID none.
            ReadError: As ``find_studies``.
        """
        fields = (_BODY_PART, _SERIES_DESCRIPTION, _SERIES_OBJECTS)
        query = {**_query(filters or {}), "includefield": ",".join(fields)}
        return tuple(
            WebSeries(
                uid=uid,
                modality=_first(item, _MODALITY),
                body_part=_first(item, _BODY_PART),
                description=_first(item, _SERIES_DESCRIPTION),
                objects=_count(item, _SERIES_OBJECTS),
            )
            for uid, item in self._found(f"/studies/{_checked(study_uid)}/series", query, _SERIES).items()
        )

    def fetch_study(self, study_uid: str, spool: Spool) -> tuple[Arrival, ...]:
        """The objects of a study, put into ``spool`` as the server has them (WADO-RS, PS3.18 section 10.4).

        They are put there together once all have come: of a fetch that fails nothing stays. Memory is bounded by a
        small piece.

        Raises:
            InputError: If the UID is none.
            ReadError: If the server cannot be used, does not have the study, sends something else, or stops half-way.
            OutputError: If an object is too large, or the spool or the disk is full.
        """
        return self._fetch(f"/studies/{_checked(study_uid)}", study_uid, spool)

    def fetch_series(self, study_uid: str, series_uid: str, spool: Spool) -> tuple[Arrival, ...]:
        """The objects of one series; else as ``fetch_study``."""
        return self._fetch(f"/studies/{_checked(study_uid)}/series/{_checked(series_uid)}", study_uid, spool)

    def store(self, paths: Sequence[Path]) -> tuple[SendOutcome, ...]:
        """What became of each file when they were posted, in order (STOW-RS, PS3.18 section 10.5).

        They go in requests of at most 50 files or 256 MiB, which are tried again if the network fails.
        """
        outcomes: dict[Path, SendOutcome] = {}
        instances: dict[Path, str] = {}
        for path in paths:
            try:
                instances[path] = _instance(path)
            except ReadError as error:
                outcomes[path] = _failed(path, str(error))
        for batch in _batches({path: path.stat().st_size for path in instances}):
            try:
                answers = try_again(self.server.retries, partial(self._post, batch))
                outcomes |= {path: _outcome(path, answers.get(instances[path])) for path in batch}
            except MedsegError as error:
                outcomes |= {path: _failed(path, str(error)) for path in batch}
        return tuple(outcomes[path] for path in paths)

    def _found(self, path: str, query: Mapping[str, str], key: str) -> dict[str, Any]:
        """Matches by UID, asked for page by page until one brings nothing new; a server may send less than is asked."""
        found: dict[str, Any] = {}
        while len(found) <= _MOST_FOUND:
            page = {**query, "limit": str(_PAGE), "offset": str(len(found))}
            items = try_again(self.server.retries, partial(self._search, path, page))
            new = {uid: item for item in items if _UID.fullmatch(uid := _first(item, key)) and uid not in found}
            found |= new
            if not new:
                return found
        raise ReadError(f"the DICOMweb server finds more than {_MOST_FOUND}; narrow the search")

    def _search(self, path: str, query: Mapping[str, str]) -> list[dict[str, Any]]:
        with requested(self.server, path, _JSON, query) as response:
            check_answer(response, (200, 204), "json")
            answer = read_json(response)
        items = [] if answer is None else answer
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise ReadError("the DICOMweb server does not answer with a list of data sets")
        return items

    def _fetch(self, path: str, study_uid: str, spool: Spool) -> tuple[Arrival, ...]:
        return try_again(self.server.retries, partial(self._fetch_once, path, spool.name(study_uid), spool))

    def _fetch_once(self, path: str, study: str, spool: Spool) -> tuple[Arrival, ...]:
        received: list[Incoming] = []
        try:
            with requested(self.server, path, _MULTIPART) as response:
                check_answer(response, (200,), "multipart/related")
                parts = Parts(partial(_read_some, response), response.headers["Content-Type"])
                while parts.next():
                    if len(received) >= self.most_objects:
                        raise ReadError(f"the DICOMweb server sends more than {self.most_objects} objects")
                    received.append(spool.receive(self.largest_object))
                    for piece in parts.content():
                        received[-1].write(piece)
                    received[-1].finish()
            for incoming in received:
                if spool.identify(incoming).study != study:
                    raise ReadError("the DICOMweb server sends an object of another study")
            return tuple(spool.keep(incoming) for incoming in received)
        finally:
            for incoming in received:
                incoming.discard()

    def _post(self, paths: Sequence[Path]) -> dict[str, tuple[int, str]]:
        """Status and reason by SOP instance UID."""
        with parsing("a file to store"):
            files = Files(paths)
        with requested(self.server, "/studies", _JSON, body=files) as response:
            check_answer(response, (200, 202, 409), "json")
            answer = read_json(response)
        if not isinstance(answer, dict):
            raise ReadError("the DICOMweb server does not say what it stored")
        stored = {_first(item, _INSTANCE): (_number(item, _WARNING), "") for item in _items(answer, _STORED)}
        failed = {_first(item, _INSTANCE): (_number(item, _FAILURE), "refused") for item in _items(answer, _FAILED)}
        return stored | failed


def _read_some(response: HTTPResponse, most: int) -> bytes:
    """The next bytes of an answer that is known to go on."""
    received = response.read(most)
    if not received:
        raise ConnectionError("the answer ends too early")
    return received


def _instance(path: Path) -> str:
    header = read_header(path, (_SOP_INSTANCE,))
    if header is None:
        raise ReadError("not a DICOM file")
    return text(header.dataset, _SOP_INSTANCE)


def _outcome(path: Path, answer: tuple[int, str] | None) -> SendOutcome:
    if answer is None:
        return _failed(path, "the receiver does not say what became of the object")
    status, refused = answer
    is_stored = not refused or status == DUPLICATE
    reason = status_text(status) or refused
    return SendOutcome(path, is_stored, status, reason, is_final=not is_stored and is_final(status))


def _failed(path: Path, reason: str) -> SendOutcome:
    return SendOutcome(path, stored=False, status=None, reason=reason)


def _batches(sizes: Mapping[Path, int]) -> Iterator[list[Path]]:
    batch: list[Path] = []
    for path, size in sizes.items():
        if batch and (len(batch) >= _POSTED_OBJECTS or sum(map(sizes.__getitem__, batch)) + size > _POSTED_BYTES):
            yield batch
            batch = []
        batch.append(path)
    if batch:
        yield batch


def _query(filters: Mapping[str, str]) -> dict[str, str]:
    for keyword in filters:
        if tag_for_keyword(keyword) is None:
            raise InputError(f"{keyword!r} is no DICOM keyword to search by; one is ModalitiesInStudy")
    return dict(filters)


def _checked(uid: str) -> str:
    if not _UID.fullmatch(uid):
        raise InputError("a UID is at most 64 digits and dots")
    return uid


def _values(item: Mapping[str, Any], tag: str) -> tuple[str, ...]:
    """Values of an element in the DICOM JSON model, those that are text or numbers (PS3.18 section F.2)."""
    element = item.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    return tuple(str(one) for one in values if isinstance(one, str | int)) if isinstance(values, list) else ()


def _first(item: Mapping[str, Any], tag: str) -> str:
    return next(iter(_values(item, tag)), "")


def _number(item: Mapping[str, Any], tag: str) -> int:
    value = _first(item, tag)
    return int(value) if value.isascii() and value.isdigit() else 0


def _count(item: Mapping[str, Any], tag: str) -> int | None:
    return _number(item, tag) if _first(item, tag) else None


def _items(answer: Mapping[str, Any], tag: str) -> list[dict[str, Any]]:
    element = answer.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    return [one for one in values if isinstance(one, dict)] if isinstance(values, list) else []
