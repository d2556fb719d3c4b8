"""What a run tells while it works."""

from __future__ import annotations


class Notes:
    """Progress that remembers what it was told: the texts, and the names of the stages."""

    def __init__(self):
        self.texts, self.stages = [], []

    def start(self, label, total):
        self.stages.append(label)

    def advance(self, steps=1): ...

    def note(self, text):
        self.texts.append(text)

    def finish(self): ...
