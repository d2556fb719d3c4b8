"""Messages of many parts, ``multipart/related`` (RFC 2046 section 5.1, RFC 2387), a piece at a time, within bounds."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from email.message import Message
from pathlib import Path

from medseg.core.errors import ReadError

_PIECE = 2**18
_MOST_HEAD = 2**14
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")
_PART_HEAD = b"Content-Type: application/dicom\r\n\r\n"


class Parts:
    """The parts of a message that is being received; each is to be read to its end before the next.

    Args:
        read: Gives at most so many bytes of the message; none at its end.
        content_type: The message's, which names the boundary.

    Raises:
        ReadError: If it is no message of many parts.
    """

    def __init__(self, read: Callable[[int], bytes], content_type: str) -> None:
        self._read = read
        self._delimiter = b"\r\n--" + _boundary(content_type)
        self._held = b"\r\n"  # the first delimiter may stand at the very beginning
        if sum(map(len, self.content())) > _MOST_HEAD:
            raise ReadError("an answer says too much before its first part")

    def next(self) -> bool:
        """Go to the next part; False if there is none.

        Raises:
            ReadError: If the message ends before, or the part's headers are longer than 16 KiB.
        """
        while len(self._held) < 2:
            self._more()
        if self._held.startswith(b"--"):
            return False
        while b"\r\n\r\n" not in self._held:
            if len(self._held) > _MOST_HEAD:
                raise ReadError("a part of a message has headers that do not end")
            self._more()
        self._held = self._held.split(b"\r\n\r\n", 1)[1]
        return True

    def content(self) -> Iterator[bytes]:
        """The part in pieces.

        Raises:
            ReadError: If the message ends inside it.
        """
        keep = len(self._delimiter) - 1
        while True:
            end = self._held.find(self._delimiter)
            if end >= 0:
                if end:
                    yield self._held[:end]
                self._held = self._held[end + len(self._delimiter) :]
                return
            if len(self._held) > keep:
                piece, self._held = self._held[:-keep], self._held[-keep:]
                yield piece
            self._more()

    def _more(self) -> None:
        received = self._read(_PIECE)
        if not received:
            raise ReadError("a message ends before its last part does")
        self._held += received


class Files:
    """Files as one message of DICOM parts, read while it is sent.

    Attributes:
        content_type: Of the message.
        length: Bytes of the message.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        boundary = secrets.token_hex(16)
        self.content_type = f'multipart/related; type="application/dicom"; boundary={boundary}'
        self._paths = paths
        self._head = f"\r\n--{boundary}\r\n".encode() + _PART_HEAD
        self._end = f"\r\n--{boundary}--\r\n".encode()
        self.length = sum(len(self._head) + path.stat().st_size for path in paths) + len(self._end)

    def __iter__(self) -> Iterator[bytes]:
        for path in self._paths:
            yield self._head
            with path.open("rb") as file:
                while piece := file.read(_PIECE):
                    yield piece
        yield self._end


def _boundary(content_type: str) -> bytes:
    message = Message()
    message["Content-Type"] = content_type
    boundary = message.get_boundary("")
    if message.get_content_type() != "multipart/related" or not _BOUNDARY.fullmatch(boundary):
        raise ReadError("the answer is not a message of many parts (multipart/related)")
    return boundary.encode()
