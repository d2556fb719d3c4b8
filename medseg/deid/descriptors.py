"""Free text, cleaned by keeping only words that are known to say nothing about a person (PS3.15 section E.3.6).

Cutting out what looks like a name leaks the names that look like none; this works the other way round.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.resources import files

_LONGEST_PHRASE = 6
_TOKEN = re.compile(r"[tT]2\*|\d+(?:[.,]\d+)?%?[^\W_]*|[^\W_]+")
_COUNTED = (
    "acquisition|ch|channel|class|cycle|dyn|dynamic|echo|fraction|frame|gate|label|level|lesion|loc|node|nodule|pass|phase"
    "|position|run|scan|stack|stage|station|step|target|tumor|tumour|vol|volume|window"
)
_PATTERNS = re.compile(
    r"\d{1,2}(?:[.,]\d{1,3})? ?(?:mm|cm|t|gy|%)"  # thickness, field strength, dose, phase of the heart
    r"|\d{1,3} ?(?:s|sec|ms|min|kv|kvp|kev|mas|hz|mhz|ml|cc|%)"  # delays, X-ray energy, amount of contrast
    r"|b ?(?:[05]|[1-9]0|[1-9]\d?[05]0)"  # diffusion weighting, up to b9950
    rf"|(?:{_COUNTED}) ?\d"
    r"|(?:rib|rib left|rib right|roi|segment|vertebra|[cgip]tv|igtv) ?\d{1,2}"
    r"|(?:[bhiu]\d\d[fhmrsv]|(?:b[flrv]|h[cfrv]|qr|sa|ur)\d\d[dfhu]?|fc\d\d)"  # reconstruction kernels
    r"|(?:64|96|128|192|256|320|384|448|512|768|1024)x(?:64|96|128|192|256|320|384|448|512|768|1024)",
    re.ASCII,
)
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue"})


@dataclass(frozen=True)
class Vocabulary:
    """The words and phrases that may stay in free text, in lower case and without accents."""

    words: frozenset[str]

    @classmethod
    def load(cls, extra: Iterable[str] = ()) -> Vocabulary:
        """The vocabulary of the package, and the words or phrases in ``extra``."""
        return cls(_read_words() | _entries(extra))

    def clean(self, text: str) -> str:
        """What is known of a text: order and case stay, one space between the words; empty if nothing is known."""
        kept = self._known(text)
        # Words that came together may fall into other phrases than before, so until nothing changes.
        while (again := self._known(kept)) != kept:
            kept = again
        return kept

    def knows(self, text: str) -> bool:
        """Whether every word of a text is known; true of a text without letters and digits."""
        return all(is_known for _, is_known in self._parts(text))

    def _known(self, text: str) -> str:
        return " ".join(part for part, is_known in self._parts(text) if is_known)

    def _parts(self, text: str) -> Iterator[tuple[str, bool]]:
        """The text in known phrases, as long as they can be, and unknown words."""
        tokens = _TOKEN.findall(unicodedata.normalize("NFC", text))
        place = 0
        while place < len(tokens):
            length = self._known_length(tokens[place : place + _LONGEST_PHRASE])
            yield " ".join(tokens[place : place + max(length, 1)]), length > 0
            place += max(length, 1)

    def _known_length(self, tokens: list[str]) -> int:
        """How many of the first tokens make the longest known phrase; 0 if none does."""
        folded = [_folded(token) for token in tokens]
        lengths = range(len(folded), 0, -1)
        return next((length for length in lengths if self._has(" ".join(folded[:length]))), 0)

    def _has(self, phrase: str) -> bool:
        return phrase in self.words or _PATTERNS.fullmatch(phrase) is not None


@functools.cache
def _read_words() -> frozenset[str]:
    text = files(__package__).joinpath("data/vocabulary.txt").read_text(encoding="utf-8")
    return _entries(line for line in text.splitlines() if not line.startswith("#"))


def _entries(texts: Iterable[str]) -> frozenset[str]:
    """Texts as they are compared; one with umlauts also in its spelling without them."""
    spellings = (spelling for text in texts for spelling in {text, text.translate(_UMLAUTS)})
    return frozenset(
        entry for text in spellings if (entry := " ".join(_folded(token) for token in _TOKEN.findall(text)))
    )


def _folded(text: str) -> str:
    """Lower case without accents, so that ``Schädel`` and ``SCHADEL`` are one word."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))
