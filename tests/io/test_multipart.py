"""Messages of many parts: however they are cut, the parts are the same, and a message that lies is refused."""

from __future__ import annotations

import email
import email.policy
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medseg.core.errors import ReadError
from medseg.io.multipart import Files, Parts

TYPE = 'multipart/related; type="application/dicom"; boundary="b-1"'
HEAD = b"Content-Type: application/dicom\r\nContent-Length: 5\r\n\r\n"


def message(*parts: bytes, before=b"", end=b"--\r\n") -> bytes:
    return before + b"".join(b"\r\n--b-1\r\n" + HEAD + part for part in parts) + b"\r\n--b-1" + end


def parts_of(content: bytes, size=7, content_type=TYPE) -> list[bytes]:
    stream = io.BytesIO(content)
    parts = Parts(lambda _: stream.read(size), content_type)
    found = []
    while parts.next():
        found.append(b"".join(parts.content()))
    return found


@given(st.lists(st.binary(max_size=60)), st.integers(1, 70))
def test_parts_are_the_same_however_the_message_is_cut(contents, size):
    assert parts_of(message(*contents), size) == contents


@pytest.mark.parametrize("size", range(1, 60))
def test_what_looks_like_a_boundary_stays(size):
    contents = [b"\r\n--b-", b"--b-1--", b"\r\n--b-2\r\n\r\n", b"\r\n\r\n", b""]
    assert parts_of(message(*contents), size) == contents


def test_first_boundary_may_stand_at_the_beginning_or_after_a_preamble():
    assert parts_of(message(b"one")[2:]) == [b"one"]
    assert parts_of(message(b"one", before=b"This is a message of many parts.")) == [b"one"]
    assert parts_of(b"--b-1\r\n\r\nwithout headers\r\n--b-1--") == [b"without headers"]
    assert parts_of(b"--b-1--") == []


@pytest.mark.parametrize("cut", [0, 5, 9, 30, 70, 75, 76])
def test_message_that_ends_too_early(cut):
    whole = message(b"12345")
    assert len(whole) == 79
    with pytest.raises(ReadError, match="ends before its last part does"):
        parts_of(whole[:cut])


def test_headers_and_preamble_without_end():
    with pytest.raises(ReadError, match="headers that do not end"):
        parts_of(b"--b-1\r\n" + b"X: y\r\n" * 10_000, size=1000)
    with pytest.raises(ReadError, match="too much before its first part"):
        parts_of(message(b"one", before=bytes(20_000)))


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "multipart/related",
        'multipart/related; boundary=""',
        "multipart/mixed; boundary=b-1",
        'multipart/related; boundary="b\u00fc"',
        f"multipart/related; boundary={'x' * 71}",
    ],
)
def test_no_message_of_many_parts(content_type):
    with pytest.raises(ReadError, match="not a message of many parts"):
        parts_of(b"", content_type=content_type)


def test_files_as_a_message_that_pythons_own_parser_reads(tmp_path):
    contents = [b"first", bytes(range(256)) * 3000, b""]
    for number, content in enumerate(contents):
        (tmp_path / str(number)).write_bytes(content)
    files = Files([tmp_path / str(number) for number in range(3)])
    body = b"".join(files)
    assert len(body) == files.length
    assert b"".join(files) == body
    whole = f"Content-Type: {files.content_type}\r\n\r\n".encode() + body
    read = email.message_from_bytes(whole, policy=email.policy.HTTP)
    assert [part.get_content_type() for part in read.iter_parts()] == ["application/dicom"] * 3
    assert parts_of(body, 1000, files.content_type) == contents
