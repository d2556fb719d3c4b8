"""What a run did, as numbers: ``deid_report.json`` for machines and ``deid_report.html`` for people, never a value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

from medseg.config.deid import DeidProfile, Mode, Option, Unlisted
from medseg.io.listing import UNREAD
from medseg.render import page
from medseg.render.page import Html

from .attribute_names import action_in_words, attribute_name, shown_tag
from .names import STUDY
from .records import UnitRecord
from .table import read_table

SCHEMA = 1
_RETURN = (
    "RETURN MODE: the DICOM objects in this folder still name the patient, as the archive that sent them needs it. "
    "They may not leave the house. File names, this report and the manifest hold pseudonyms only."
)


@dataclass(frozen=True, eq=False)
class Report:
    """What is to be told.

    Attributes:
        profile: What was asked for.
        fingerprint: Of the project key.
        records: What became of each study.
        failed: Studies that could not be done, by reason.
        unlisted: What else lay in the input, by reason.
        proof: Whether the results were searched.
    """

    profile: DeidProfile
    fingerprint: str
    records: Sequence[UnitRecord]
    failed: Counter[str] = field(default_factory=Counter)
    unlisted: Counter[str] = field(default_factory=Counter)
    proof: bool = True

    @property
    def released(self) -> int:
        """Files in the output."""
        return sum(one.released for one in self.records)

    @property
    def quarantined(self) -> int:
        """Files that were held back."""
        return sum(self.reasons.values())

    @property
    def passed(self) -> Counter[str]:
        """What was passed over, by reason."""
        return _sum([self.unlisted, *(one.passed for one in self.records)])

    @property
    def unread(self) -> int:
        """Files and folders that could not be looked at."""
        return sum(self.unlisted[reason] for reason in UNREAD)

    @property
    def reasons(self) -> Counter[str]:
        """Files that were held back, by reason."""
        return _sum(one.quarantined for one in self.records)

    @property
    def pixels(self) -> Counter[str]:
        """Files by result of the pixel step."""
        return _sum(one.pixels for one in self.records)

    @property
    def notes(self) -> Counter[str]:
        """Series by what a person should know of them."""
        return _sum(one.notes for one in self.records)

    def attributes(self) -> list[tuple[str, str, str, int]]:
        """Tag, keyword, action and how many elements; all private attributes are one."""
        counts: Counter[tuple[str, str]] = Counter()
        for record in self.records:
            for tag, actions in record.actions.items():
                for action, count in actions.items():
                    counts[shown_tag(int(tag, 16)), action] += count
        return [(tag, attribute_name(tag), action, count) for (tag, action), count in sorted(counts.items())]

    def to_json(self) -> dict[str, Any]:
        """The content of ``deid_report.json``."""
        attributes = self.attributes()
        return {
            "schema": SCHEMA,
            "made_by": f"medseg {version('medseg')}",
            "profile": self.profile.name,
            "mode": self.profile.mode.value,
            "options": [option.value for option in Option if option in self.profile.options],
            "unlisted": self.profile.unlisted.value,
            "text_search": self.profile.text_search.value,
            "table_edition": read_table().edition,
            "key_fingerprint": self.fingerprint,
            "proof": self.proof,
            "patients": len({one.patient for one in self.records if one.released and one.patient}),
            "studies": len([one for one in self.records if one.released and one.unit.startswith(STUDY)]),
            "images": sum(len(one.series) for one in self.records),
            "files": {
                "released": self.released,
                "quarantined": self.quarantined,
                "equal_copies": sum(one.copies for one in self.records),
                "in_failed_studies": sum(self.failed.values()),
                "passed_over": sum(self.passed.values()),
            },
            "quarantined": _by_count(self.reasons),
            "failed": _by_count(self.failed),
            "passed_over": _by_count(self.passed),
            "notes": _by_count(self.notes),
            "pixels": _by_count(self.pixels),
            "actions": _by_count(_sum({action: count} for _, _, action, count in attributes)),
            "attributes": [dict(zip(("tag", "keyword", "action", "count"), row, strict=True)) for row in attributes],
        }

    def to_html(self) -> str:
        """The page ``deid_report.html``."""
        return page.page(
            "De-identification report",
            [*self._lead(), *self._held_back(), *self._pixels(), *self._settings(), *self._actions()],
        )

    def summary(self) -> list[dict[str, Any]]:
        """The one table that the command prints."""
        told = self.to_json()
        files = told["files"]
        rows = [
            ("released", files["released"], self._whose()),
            ("quarantined", files["quarantined"], _foremost(self.reasons)),
            ("failed", files["in_failed_studies"], _foremost(self.failed)),
            ("equal copies", files["equal_copies"], "written once"),
            ("passed over", files["passed_over"], _foremost(self.passed)),
        ]
        return [{"files": name, "count": count, "": why} for name, count, why in rows if count or name == "released"]

    def _lead(self) -> list[Html]:
        others = f", {self.quarantined} held back" if self.quarantined else ""
        others += f", {sum(self.failed.values())} failed" if self.failed else ""
        parts = [page.paragraph(f"{_count(self.released, 'file')} released{others}: {self._whose()}.")]
        if self.profile.mode is Mode.RETURN:
            parts.insert(0, page.alarm(_RETURN))
        if not self.proof:
            parts.append(page.alarm("The results were not searched for identifiers that may be left: proof was off."))
        elif self.profile.mode is Mode.RELEASE:
            parts.append(page.paragraph(_PROOF, muted=True))
        return parts

    def _whose(self) -> str:
        """What was released, in words."""
        told = self.to_json()
        counts = [(told["studies"], "study"), (told["images"], "series or image"), (told["patients"], "patient")]
        return ", ".join(_count(number, noun) for number, noun in counts if number) or "nothing"

    def _held_back(self) -> list[Html]:
        parts = []
        for title, found, text in (
            ("Held back", self.reasons, "These files lie in the quarantine folder, which stays in the house."),
            ("Failed", self.failed, "Files of studies that could not be done; run the command again to try once more."),
            ("For a person to know", self.notes, "Series, by what there is to know of them."),
            ("Passed over", self.passed, "What else lay in the input; nothing of it was copied."),
        ):
            if found:
                rows = [(reason, str(count)) for reason, count in found.most_common()]
                parts += [page.heading(title), page.paragraph(text, muted=True), page.table(("reason", "count"), rows)]
        return parts

    def _pixels(self) -> list[Html]:
        if not self.pixels:
            return []
        rows = [(result, str(count)) for result, count in self.pixels.most_common()]
        return [page.heading("Text in the pixels"), page.table(("result", "files"), rows)]

    def _actions(self) -> list[Html]:
        attributes = self.attributes()
        if not attributes:
            return []
        total = _sum({action: count} for _, _, action, count in attributes)
        rows = [(action_in_words(action), str(count)) for action, count in total.most_common()]
        each = [(tag, keyword, action_in_words(action), str(count)) for tag, keyword, action, count in attributes]
        table = page.table(("tag", "attribute", "what was done", "elements"), each, text_columns=3)
        return [
            page.heading("What was done to the headers"),
            page.table(("", "elements"), rows),
            page.folded(f"each of {len({tag for tag, _, _, _ in attributes})} attributes", [table]),
        ]

    def _settings(self) -> list[Html]:
        options = [option.value.replace("_", " ") for option in Option if option in self.profile.options]
        by_vr = self.profile.unlisted is Unlisted.BY_REPRESENTATION
        rows = [
            ("profile", self.profile.name),
            ("mode", f"{self.profile.mode.value}: {_MODES[self.profile.mode]}"),
            ("options", ", ".join(options) or "none: the Basic Profile"),
            ("other attributes", "by value representation" if by_vr else "only those on the modality's list"),
            ("search for text", f"{self.profile.text_search.value} images"),
            ("table", f"DICOM PS3.15 Table E.1-1, edition {read_table().edition}"),
            ("project key", f"fingerprint {self.fingerprint}"),
            ("made by", f"medseg {version('medseg')}"),
        ]
        return [page.heading("How"), page.table(("", ""), rows, text_columns=2)]


_MODES = {
    Mode.RELEASE: "everything is cleaned, so that objects may leave the house",
    Mode.RETURN: "objects go back to where they came from and still name the patient",
}
_PROOF = (
    "The bytes of every released file were searched for all that was taken out of its study: names, numbers, dates, "
    "texts and UIDs. A file in which something was left is in quarantine."
)


def _sum(counts: Iterable[Mapping[str, int]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for one in counts:
        total.update(one)
    return total


def _by_count(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _foremost(reasons: Counter[str]) -> str:
    """The most frequent reason, and how many others there are."""
    if not reasons:
        return ""
    others = len(reasons) - 1
    return reasons.most_common(1)[0][0] + (f"; and {_count(others, 'other reason')}" if others else "")


def _count(number_of: int, noun: str) -> str:
    plural = {"study": "studies", "series or image": "series and images"}.get(noun, f"{noun}s")
    return f"{number_of} {noun if number_of == 1 else plural}"
