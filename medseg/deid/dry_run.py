"""What cleaning would do to the headers of a study, without writing anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .attribute_names import action_in_words, attribute_name, shown_tag
from .study import StudyTask, Tick, engine_for, read_object, unexpected


@dataclass(frozen=True, eq=False)
class Foreseen:
    """What would happen.

    Attributes:
        counts: Files by tag, as the standard writes it, and action.
        problems: Files that would be held back, by reason; what the pixels hold is not looked at.
    """

    counts: Counter[tuple[str, str]]
    problems: Counter[str]


def foresee(task: StudyTask, tick: Tick) -> Foreseen:
    """What would happen to the attributes of one study; files are read and nothing is written.

    Args:
        task: The study.
        tick: Called for each file.
    """
    counts: Counter[tuple[str, str]] = Counter()
    problems: Counter[str] = Counter()
    study, engine = task.study, engine_for(task.job.profile, task.job.key)
    if study.problem or study.identity is None:
        return Foreseen(counts, Counter({study.problem: len(study.paths)}))
    for instance in study.instances:
        try:
            cleaned = engine.clean(read_object(instance.path), study.identity, proof=False)
            counts.update({(shown_tag(tag), action.value) for tag, action in cleaned.counts})
        except Exception as error:  # noqa: BLE001 - a hostile file may raise anything
            problems[unexpected(error)] += 1
        tick()
    return Foreseen(counts, problems)


def table_of(found: Iterable[Foreseen]) -> list[dict[str, Any]]:
    """One row an attribute and action: tag, keyword, action in words, and how many files."""
    total: Counter[tuple[str, str]] = Counter()
    for one in found:
        total.update(one.counts)
    return [
        {"tag": tag, "attribute": attribute_name(tag), "action": action_in_words(action), "files": files}
        for (tag, action), files in sorted(total.items())
    ]
