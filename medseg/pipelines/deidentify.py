"""``medseg deidentify``: images become images that name nobody, proven file by file."""

from __future__ import annotations

import secrets
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medseg.config.deid import DeidProfile
from medseg.core.errors import InputError
from medseg.core.files import existing
from medseg.core.progress import SILENT, Progress
from medseg.core.pseudonyms import ProjectKey, load_key
from medseg.deid.accepted import read_accepted
from medseg.deid.audit import Audit, audit
from medseg.deid.descriptors import Vocabulary
from medseg.deid.dry_run import Foreseen, foresee, table_of
from medseg.deid.index import Index, read_index
from medseg.deid.lookup import Broker
from medseg.deid.output import OutputFolder, check_output, claimed
from medseg.deid.records import settings_stamp
from medseg.deid.report import Report
from medseg.deid.run import Input, Run
from medseg.deid.study import Job, StudyTask, finder_for
from medseg.deid.workers import Work, run_all
from medseg.io.archives import is_archive, unpacked


@dataclass(frozen=True)
class DeidentifyOptions:
    """What varies between runs.

    Attributes:
        profile: How to clean.
        key: File of the project key; None for the user's own.
        workers: Processes. With 0 the work is done in this one, which a file that crashes a decoder would end.
        quarantine: Folder for what is held back; None for one beside the output folder.
        accepted: File with the names of series, instances and pictures that a person has reviewed, one a line.
        lookup: File for the sealed table of pseudonyms and originals; None for no such table.
        broker: Public key of those who may open the table.
        proof: Whether to search the results for what was taken out.
    """

    profile: DeidProfile = field(default_factory=DeidProfile)
    key: Path | None = None
    workers: int = 1
    quarantine: Path | None = None
    accepted: Path | None = None
    lookup: Path | None = None
    broker: Path | None = None
    proof: bool = True


@dataclass(frozen=True, eq=False)
class Deidentified:
    """What a run did.

    Attributes:
        report: All numbers; those of earlier runs into the same folder are among them.
        output: Folder of what was released.
        quarantine: Folder of what was held back.
        unchanged: Studies that an earlier run had done.
    """

    report: Report
    output: Path
    quarantine: Path
    unchanged: int

    @property
    def has_failures(self) -> bool:
        """Whether anything was held back, failed, or could not be looked at."""
        return bool(self.report.quarantined or self.report.failed or self.report.unread)


def deidentify(
    source: Path, output: Path, options: DeidentifyOptions | None = None, progress: Progress = SILENT
) -> Deidentified:
    """Write copies of all images below ``source`` that name nobody; the originals are only read.

    Each study is written, searched and put in place as a whole. What an earlier run has done with the same settings,
    and whose files have not changed since, is not done again.

    Args:
        source: A folder, a file, or an archive.
        output: New folder, or one of an earlier run with the same key.
        options: What varies.
        progress: Told of each file.

    Raises:
        InputError: If a path, the key or the list of accepted names does not fit, or there is nothing to clean.
        OutputError: If results cannot be written; finished studies stay, nothing else does.
    """
    options = options or DeidentifyOptions()
    quarantine = options.quarantine or output.absolute().with_name(f"{output.absolute().name}-quarantine")
    _check_places(existing(source), output, quarantine)
    broker = _broker(options, (output, source))
    key = load_key(options.key, outside=output)
    accepted = read_accepted(options.accepted, key) if options.accepted else frozenset()
    check_output(output, quarantine, key.fingerprint)
    with unpacked(source) as folder:
        index = _indexed(folder, source, key, progress)
        with claimed(output, quarantine, key.fingerprint) as results:
            job = _job(folder.resolve(), results, key, accepted, options)
            run = Run(Input(folder.resolve(), source, is_archive(source)), results, job)
            report = run.finish(index, options.workers, progress)
            if broker and options.lookup:
                broker.seal(run.originals(index), options.lookup)
    return Deidentified(report, output, quarantine, run.unchanged)


def foresee_actions(
    source: Path, options: DeidentifyOptions | None = None, progress: Progress = SILENT
) -> list[dict[str, Any]]:
    """What would happen to each attribute of the DICOM objects below ``source``; nothing is written.

    Returns:
        One row an attribute and action, with the number of files; all private attributes are one.

    Raises:
        InputError: If there are no images.
    """
    options = options or DeidentifyOptions()
    key = ProjectKey(secrets.token_bytes(32))
    with unpacked(existing(source)) as folder:
        index = _indexed(folder, source, key, progress)
        job = Job(options.profile, key, folder.resolve(), folder, "")
        tasks = [StudyTask(study, "", job) for study in index.studies]
        progress.start("looking", sum(task.files for task in tasks))
        found = [one for _, one in run_all(Work(foresee, progress.advance), tasks, options.workers)]
    foreseen = [one for one in found if isinstance(one, Foreseen)]
    problems = Counter(reason for _, reason in index.refused)
    for one in foreseen:
        problems.update(one.problems)
    progress.finish()
    for reason, count in problems.most_common():
        progress.note(f"{count} {'file' if count == 1 else 'files'} would be held back: {reason}")
    return table_of(foreseen)


def check_folder(folder: Path, profile: DeidProfile | None = None, progress: Progress = SILENT) -> Audit:
    """What is left in a folder that somebody has cleaned, by whatever tool.

    Args:
        folder: Where it lies.
        profile: Its ``words`` may stand in free text.
        progress: Told of each file.

    Raises:
        InputError: If nothing is there.
    """
    return audit(folder, Vocabulary.load((profile or DeidProfile()).words), progress)


def _indexed(folder: Path, source: Path, key: ProjectKey, progress: Progress) -> Index:
    index = read_index(folder.resolve(), key, progress)
    if not (index.studies or index.refused or index.images):
        passed = ", ".join(f"{count} x {reason}" for reason, count in index.passed.most_common(3))
        only = f", only: {passed}" if passed else "; it is empty"
        raise InputError(f"{str(source)!r} holds no DICOM object and no other image{only}")
    return index


def _job(
    folder: Path, results: OutputFolder, key: ProjectKey, accepted: frozenset[str], options: DeidentifyOptions
) -> Job:
    profile = options.profile
    others = {"proof": options.proof, "reads text": finder_for(profile) is not None}
    settings = settings_stamp(key, profile, others)
    return Job(profile, key, folder, results.staging, settings, accepted, options.proof)


def _broker(options: DeidentifyOptions, folders: tuple[Path, ...]) -> Broker | None:
    """Who may open the lookup table, if there is to be one.

    Raises:
        InputError: If only one of table and key is named, or the table would lie where it may not.
    """
    if options.lookup is None and options.broker is None:
        return None
    if options.lookup is None or options.broker is None:
        raise InputError("a lookup table needs both --lookup FILE and --broker-key PEM; it is sealed or not written")
    if options.lookup.exists():
        raise InputError(f"{str(options.lookup)!r} exists, and a sealed table cannot be added to; name a new file")
    if any(_lies_in(options.lookup, folder) for folder in folders):
        raise InputError("the lookup table may not lie in the input or output folder; name another place by --lookup")
    return Broker(options.broker)


def _check_places(source: Path, output: Path, quarantine: Path) -> None:
    """Refuse folders that lie in each other: results would be read as originals, or held back files be released.

    Raises:
        InputError: If they do.
    """
    if _lies_in(output, source) or _lies_in(source, output):
        raise InputError("input and output lie in each other; name an output folder outside of the input")
    if _lies_in(quarantine, output) or _lies_in(output, quarantine):
        raise InputError(
            "quarantine and output lie in each other, so what is held back would be released with the rest"
        )
    if _lies_in(quarantine, source) or _lies_in(source, quarantine):
        raise InputError("quarantine and input lie in each other; name another folder by --quarantine")


def _lies_in(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())
