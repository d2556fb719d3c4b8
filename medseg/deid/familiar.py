"""Words and values that tell of nobody: the vocabulary, and what DICOM files hold everywhere."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from importlib.resources import files
from typing import Protocol

_WORD_ENDS = re.compile(r"[\W_]+")
_MADE_NAME = re.compile(r"[a-z]+-[0-9a-f]{16}|A[0-9A-F]{15}")


class Words(Protocol):
    """What is asked of the vocabulary of descriptors."""

    def knows(self, text: str) -> bool:
        """Whether every word of the text is in the vocabulary."""


@dataclass(frozen=True)
class Familiar:
    """What may be seen by anyone: values of ``data/common_values.txt`` and words of a vocabulary."""

    vocabulary: Words

    def knows(self, text: str) -> bool:
        """Whether the text is a common value, or every word of it is common or in the vocabulary; true if empty."""
        if _folded(text) in _common_values() or self.vocabulary.knows(text):
            return True
        return all(_folded(word) in _common_values() or self.vocabulary.knows(word) for word in _words(text))


def is_made_name(text: str) -> bool:
    """Whether the text has the form of a pseudonym of medseg: ``patient-`` and 16 digits, or an accession number."""
    return _MADE_NAME.fullmatch(text) is not None


@functools.cache
def _common_values() -> frozenset[str]:
    lines = files(__package__).joinpath("data/common_values.txt").read_text(encoding="utf-8").splitlines()
    return frozenset(_folded(line) for line in lines if line and not line.startswith("#"))


def _folded(text: str) -> str:
    return " ".join(text.upper().split())


def _words(text: str) -> list[str]:
    return [word for word in _WORD_ENDS.split(text) if word]
