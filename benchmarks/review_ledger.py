"""Who was sent what that is one person's alone."""

from __future__ import annotations

import re
import secrets
from collections import defaultdict
from dataclasses import dataclass, field

DOMAIN = "hospital.example"
_BEGIN = bytes((1, 0, 1, 1, 0, 0)) * 3
_BITS = 32
_PRIVATE = re.compile(
    rb"marker-[0-9a-f]{16}"  # in comments, and in the voxels of uploads
    rb"|upload-[0-9a-f]{16}"  # the pseudonym of an uploaded case
    rb"|reader\d+@hospital\.example"
    rb"|/medseg/(?:voxels|slice|mask)/[\w-]{43}"  # tickets
    rb"|" + _BEGIN + rb"[\x00\x01]{32}"  # strokes
)


@dataclass(frozen=True)
class Marks:
    """What is one person's alone, and what the app must show to nobody else.

    Attributes:
        address: To sign in with.
        text: For comments, and as bytes among the voxels of an image.
        stroke: A row of labels 0 and 1 that nobody else draws.
    """

    address: str
    text: str
    stroke: bytes

    @classmethod
    def of(cls, number: int) -> Marks:
        """New ones for a person."""
        bits = secrets.randbits(_BITS)
        stroke = _BEGIN + bytes((bits >> place & 1) for place in range(_BITS))
        return cls(f"reader{number}@{DOMAIN}", f"marker-{secrets.token_hex(8)}", stroke)

    @property
    def all(self) -> tuple[bytes, ...]:
        """As they are found in what is sent."""
        return self.address.encode(), self.text.encode(), self.stroke


@dataclass
class Ledger:
    """What everybody was sent.

    Attributes:
        heard: People by what they were sent of what is one person's alone.
        owners: Whose it is, where that is known before.
        messages: How many messages were looked through.
        bytes: How large they were together.
    """

    heard: dict[bytes, set[int]] = field(default_factory=lambda: defaultdict(set))
    owners: dict[bytes, int] = field(default_factory=dict)
    messages: int = 0
    bytes: int = 0

    def hear(self, person: int, data: bytes) -> None:
        """Somebody was sent something."""
        self.messages += 1
        self.bytes += len(data)
        for found in set(_PRIVATE.findall(data)):
            self.heard[found].add(person)

    def leaks(self) -> list[str]:
        """What somebody was sent that is another's: known to be, or sent to two people."""
        return [
            f"{thing.decode('ascii', 'backslashreplace')[:40]} was sent to {sorted(people)}"
            for thing, people in self.heard.items()
            if len(people) > 1 or not people <= {self.owners.get(thing, min(people))}
        ]

    def unheard(self) -> list[str]:
        """Marks that their own owners were never sent: nothing is known of these."""
        return [thing.decode("ascii", "backslashreplace") for thing in self.owners if thing not in self.heard]
