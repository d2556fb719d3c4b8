"""All units of one run: which of them have to be done, and what came of each."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from medseg.config.deid import Option
from medseg.core.errors import InputError
from medseg.core.files import write_text
from medseg.core.progress import Progress

from .image_table import image_table
from .image_unit import ImageTask, clean_images, image_tasks
from .index import Index, Study
from .lookup import Original
from .names import INSTANCE, SERIES, file_name_of, name_of
from .output import HELD, OutputFolder
from .records import Ledger, UnitRecord, input_stamp
from .report import Report
from .study import Failed, Job, StudyTask, Tick, clean_study
from .workers import Died, Work, run_all

KILLED = "the process was killed twice, for lack of memory or by a damaged file"
REPORT, PAGE, TABLE = "deid_report.json", "deid_report.html", "manifest.csv"
_REFUSED, _ORIGIN = "unreadable", "origin"


@dataclass(frozen=True)
class Input:
    """Where the originals come from.

    Attributes:
        folder: The originals; of an archive, what was unpacked.
        named: What the user named.
        is_archive: Whether that was an archive, whose times stand for those of the files.
    """

    folder: Path
    named: Path
    is_archive: bool


def clean_unit(task: StudyTask | ImageTask, tick: Tick) -> UnitRecord | Failed:
    """What became of a unit of either kind; a function for a worker process."""
    return clean_study(task, tick) if isinstance(task, StudyTask) else clean_images(task, tick)


class Run:
    """One run into a claimed folder."""

    def __init__(self, source: Input, results: OutputFolder, job: Job) -> None:
        self._source, self._results, self._job = source, results, job
        self._origin = job.key.name(_ORIGIN, str(source.named.resolve()))
        self._failed: Counter[str] = Counter()
        self.unchanged = 0

    def finish(self, index: Index, workers: int, progress: Progress) -> Report:
        """Do what has to be done, and write the report and the manifest.

        Raises:
            InputError: If the folder holds studies made with other settings that are not in this input, or images of
                another input under the same names.
            OutputError: If results cannot be written.
        """
        tasks = self._tasks(index)
        self._check_others(index, tasks)
        self._forget_reports()
        self._hold_refused(index.refused)
        progress.start("de-identifying", sum(task.files for task in tasks))
        largest_first = sorted(tasks, key=lambda task: -task.files)
        for task, result in run_all(Work(clean_unit, progress.advance), largest_first, workers):
            self._settle(task, result, progress)
        report = self._report(index)
        self._write(report)
        progress.finish()
        return report

    def originals(self, index: Index) -> list[Original]:
        """What the released series were, for the honest broker."""
        return [row for study in index.studies if self._is_released(study.name) for row in self._rows(study)]

    def _tasks(self, index: Index) -> list[StudyTask | ImageTask]:
        """What has to be done; studies that may not be released at all are held back at once."""
        tasks: list[StudyTask | ImageTask] = []
        images = image_tasks(index, self._job)
        self._check_origins(images)
        for study in index.studies:
            stamp = self._stamp(study.paths, [study.problem, *self._accepted(study), self._patient(study)])
            if self._is_done(study.name, stamp):
                self.unchanged += 1
            elif study.problem:
                self._hold_study(study, stamp)
            else:
                tasks.append(StudyTask(study, stamp, self._job))
        for task in images:
            stamped = task.with_stamp(self._stamp(task.sources, sorted(self._job.accepted)))
            if self._is_done(task.unit, stamped.stamp):
                self.unchanged += 1
            else:
                tasks.append(stamped)
        return tasks

    def _settle(self, task: StudyTask | ImageTask, result: UnitRecord | Failed | Died, progress: Progress) -> None:
        if isinstance(result, UnitRecord):
            origin = self._origin if isinstance(task, ImageTask) else ""
            self._results.publish(result.model_copy(update={"origin": origin}))
            return
        reason = KILLED if isinstance(result, Died) else result.reason
        self._failed[reason] += task.files
        progress.note(f"{task.unit}: failed, {reason}")
        self._results.withdraw(task.unit)
        self._results.discard(task.unit)

    def _hold_study(self, study: Study, stamp: str) -> None:
        """Hold back all files of a study without opening them."""
        ledger, key = Ledger(), self._job.key
        for instance in study.instances:
            ledger.hold(name_of(key, INSTANCE, instance.uid), study.problem, self._relative(instance.path))
        for path in study.twins:
            ledger.hold(file_name_of(key, self._relative(path)), study.problem, self._relative(path))
        self._publish_held(study.name, ledger, stamp)

    def _hold_refused(self, refused: Iterable[tuple[Path, str]]) -> None:
        ledger, key = Ledger(), self._job.key
        for path, reason in refused:
            ledger.hold(file_name_of(key, self._relative(path)), reason, self._relative(path))
        unit = key.name(_REFUSED, str(self._source.named.resolve()))
        if ledger.held or unit in self._results.records:
            self._publish_held(unit, ledger, "")

    def _publish_held(self, unit: str, ledger: Ledger, stamp: str) -> None:
        ledger.write(self._results.staging / unit / HELD)
        record = UnitRecord(
            unit=unit,
            patient="",
            stamp=stamp,
            settings=self._job.settings,
            files=len(ledger.held),
            quarantined=ledger.reasons(),
        )
        self._results.publish(record)

    def _check_origins(self, tasks: Iterable[ImageTask]) -> None:
        """Refuse images that would take the place of others, because only paths below the input tell them apart."""
        known = (self._results.records.get(task.unit) for task in tasks)
        others = [one for one in known if one is not None and one.origin not in ("", self._origin)]
        if others:
            raise InputError(
                f"{str(self._results.root)!r} holds images of another input, and {len(others)} of the names there are "
                "names of this input too; name a new folder"
            )

    def _check_others(self, index: Index, tasks: Iterable[StudyTask | ImageTask]) -> None:
        mine = {study.name for study in index.studies} | {task.unit for task in tasks}
        others = [
            one
            for one in self._results.records.values()
            if one.unit not in mine and one.paths and one.settings != self._job.settings
        ]
        if others:
            raise InputError(
                f"{str(self._results.root)!r} holds {len(others)} studies that are not in this input and were made "
                "with another profile or version; name a new folder"
            )

    def _is_done(self, unit: str, stamp: str) -> bool:
        record = self._results.records.get(unit)
        if record is None or (record.stamp, record.settings) != (stamp, self._job.settings):
            return False
        here = all((self._results.root / path).exists() for path in record.paths)
        return here and (not record.quarantined or (self._results.quarantine / unit).is_dir())

    def _is_released(self, unit: str) -> bool:
        record = self._results.records.get(unit)
        return record is not None and bool(record.paths)

    def _report(self, index: Index) -> Report:
        records = [self._results.records[unit] for unit in sorted(self._results.records)]
        job = self._job
        return Report(job.profile, job.key.fingerprint, records, self._failed, index.passed, proof=job.proof)

    def _write(self, report: Report) -> None:
        self._results.list_quarantine()
        root = self._results.root
        if any(record.series for record in report.records):
            write_text(root / TABLE, image_table(report.records, self._job.profile.keep_in_manifest))
        write_text(root / PAGE, report.to_html())
        write_text(root / REPORT, json.dumps(report.to_json(), indent=1) + "\n")

    def _forget_reports(self) -> None:
        """An interrupted run leaves no report that tells of something else."""
        for name in (REPORT, PAGE, TABLE):
            (self._results.root / name).unlink(missing_ok=True)

    def _rows(self, study: Study) -> list[Original]:
        key, patient = self._job.key, self._patient(study)
        moved = Option.RETAIN_MODIFIED_DATES in self._job.profile.options
        return [
            Original(
                patient,
                study.name,
                name_of(key, SERIES, series),
                key.days(patient) if moved else None,
                study.identity.issuer if study.identity else "",
                study.identity.number if study.identity else "",
                accession,
                study.uid,
                series,
            )
            for series, accession in sorted(study.accessions.items())
        ]

    def _stamp(self, paths: Iterable[Path], others: Iterable[str]) -> str:
        named = self._source.named
        told = [*others, *([f"{named.stat().st_size} {named.stat().st_mtime_ns}"] if self._source.is_archive else [])]
        return input_stamp(self._job.key, self._source.folder, paths, told, dated=not self._source.is_archive)

    def _accepted(self, study: Study) -> list[str]:
        """The accepted names that are of this study."""
        key, accepted = self._job.key, self._job.accepted
        if not accepted:
            return []
        names = {name_of(key, INSTANCE, one.uid) for one in study.instances}
        return sorted(accepted & (names | {name_of(key, SERIES, series) for series in study.accessions}))

    def _patient(self, study: Study) -> str:
        return study.identity.pseudonym(self._job.key) if study.identity else ""

    def _relative(self, path: Path) -> str:
        return str(path.relative_to(self._source.folder)) if path != self._source.folder else path.name
