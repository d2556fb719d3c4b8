"""What a code means, as the standard says it: the text beside a code cannot then carry anything else."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Mapping

from pydicom.dataset import Dataset

from .descriptors import Vocabulary
from .elements import bare

_CODE_VALUE, _SCHEME, _LONG_CODE_VALUE = 0x00080100, 0x00080102, 0x00080119
_LONGEST_MEANING = 64
_OLD_SNOMED = frozenset({"SRT", "SNM3", "99SDM"})


def clean_meaning(item: Dataset, meaning: str, vocabulary: Vocabulary) -> str:
    """The Code Meaning (0008,0104) that may stay in a code item (PS3.3 section 8.8).

    Args:
        item: With the code's value and scheme.
        meaning: As the file has it.
        vocabulary: Of words that may stay.

    Returns:
        ``meaning`` if all its words are known or it is what the standard says; or else the standard's text for the
        code, or else what is known of ``meaning``; empty if nothing is.
    """
    if vocabulary.knows(meaning):
        return meaning
    value = bare(item, _CODE_VALUE) or bare(item, _LONG_CODE_VALUE)
    known = _meanings().get(current_code(bare(item, _SCHEME), value), ())
    if meaning.strip().casefold() in {text.casefold() for text in known}:
        return meaning
    return known[0] if known else vocabulary.clean(meaning)


def standard_meaning(scheme: str, value: str) -> str | None:
    """Meaning of a code in the context groups of PS3.16, the shortest of several; None if they do not have it.

    Args:
        scheme: Coding Scheme Designator, such as ``SCT``; the old designators of SNOMED are understood.
        value: Code Value.
    """
    return next(iter(_meanings().get(current_code(scheme, value), ())), None)


def current_code(scheme: str, value: str) -> tuple[str, str]:
    """Scheme and value of a code, in today's SNOMED where it is in the old one."""
    if scheme in _OLD_SNOMED and value in _new_snomed():
        return "SCT", _new_snomed()[value]
    return scheme, value


@functools.cache
def _meanings() -> Mapping[tuple[str, str], tuple[str, ...]]:
    """All meanings of each code that fit into a Code Meaning, the shortest first."""
    # Imported here: it takes a third of a second, and many studies have no such code.
    from pydicom.sr._concepts_dict import concepts  # noqa: PLC0415

    found: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for scheme, keywords in concepts.items():
        for codes in keywords.values():
            for value, (meaning, *_) in codes.items():
                if len(meaning) <= _LONGEST_MEANING and meaning.isascii():
                    found[scheme, value].append(meaning)
    return {code: tuple(sorted(meanings, key=lambda text: (len(text), text))) for code, meanings in found.items()}


@functools.cache
def _new_snomed() -> Mapping[str, str]:
    from pydicom.sr._snomed_dict import mapping  # noqa: PLC0415

    return dict(mapping["SRT"])
