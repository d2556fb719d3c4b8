"""A small engine for the tests of what cleans items: the rules of attributes in a few lines."""

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from medseg.config.deid import Option
from medseg.deid.descriptors import Vocabulary
from medseg.deid.graphics import clean_graphics
from medseg.deid.structured import CONTENT_SEQUENCES, clean_structured


class SmallEngine:
    """Cleans names, UIDs, dates and texts; remembers what was taken, by keyword."""

    def __init__(self, *options: Option) -> None:
        self.vocabulary = Vocabulary.load()
        self.options = frozenset(options)
        self.taken: list[tuple[str, str]] = []

    def walk(self, dataset: Dataset) -> None:
        for element in list(dataset):
            if element.tag in CONTENT_SEQUENCES:
                element.value = Sequence(clean_structured(element.value, self))
            elif element.VR == "SQ":
                for item in element.value:
                    self.walk(item)
            else:
                self._clean(element)

    def take(self, item: Dataset) -> None:
        for element in item:
            if element.VR == "SQ":
                for inner in element.value:
                    self.take(inner)
            else:
                self.taken.append((element.keyword, str(element.value)))

    def annotations(self, items: list[Dataset]) -> list[Dataset]:
        return clean_graphics(items, self)

    def _clean(self, element):
        if element.VR == "PN":
            element.value = "Removed"
        elif element.keyword in ("UID", "ReferencedSOPInstanceUID"):
            element.value = f"2.25.{element.value.replace('.', '')}"
        elif element.VR in ("DA", "TM", "DT"):
            if Option.RETAIN_FULL_DATES not in self.options:
                element.value = {"DA": "19000101", "TM": "000000", "DT": "19000101000000"}[element.VR]
        elif element.VR in ("UT", "LO", "ST") and element.keyword != "CodingSchemeDesignator":
            element.value = self.vocabulary.clean(element.value) or "removed"
