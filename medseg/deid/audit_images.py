"""What is left in NIfTI, NRRD, MHA, PNG, JPEG and TIFF files beside voxels and pixels."""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

from PIL import Image

from medseg.core.errors import ReadError
from medseg.io.limits import decoding_unnamed
from medseg.io.meta_image import is_meta_image
from medseg.io.nifti import LARGEST_HEADER, is_nifti, is_two_file_nifti, nifti_header, nifti_voxel_offset
from medseg.io.nrrd import is_nrrd, nrrd_field, nrrd_header_lines
from medseg.io.raster import is_raster
from medseg.io.streams import decompressed, opened_regular, read_up_to

from .audit_trace import Trace
from .familiar import Familiar
from .jpeg_parts import split_jpeg
from .pictures import LARGEST_FILE
from .texts import texts_in, texts_in_gzip_header

_HEAD, _LONGEST_HEADER = 4096, 2**20
_FIELD, _GZIP, _PICTURE = "text in a header field", "text in the gzip header", "text beside the pixels"
_NIFTI_FIELDS = ("data_type", "db_name", "descrip", "aux_file", "intent_name", "unused_str")
_SOFTWARE = re.compile(
    r"(FSL|FreeSurfer|SPM|ANTs|AFNI|ITK|MRtrix|NiftyReg|nnU-Net|3D ?Slicer)[\w .:+-]{0,20}", re.IGNORECASE
)
_NUMBERS = re.compile(r"[-+\d\s.,()eE]*|none|nan")
_FORMAT_FIELDS = frozenset({
    "type", "dimension", "sizes", "encoding", "endian", "space", "kinds", "centerings", "spacedirections",
    "spaceorigin", "spaceunits", "units", "measurementframe", "objecttype", "binarydata", "binarydatabyteordermsb",
    "elementbyteordermsb", "compresseddata", "elementtype", "elementdatafile", "anatomicalorientation", "modality",
})  # fmt: skip
_TEEM = ("# Complete NRRD file format specification at:", "# http://teem.sourceforge.net/nrrd/format.html")
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_TEXTS = ("tEXt", "zTXt", "iTXt", "eXIf", "tIME")
_PNG_END = b"IEND"
_META_LINE = re.compile(r"\s*(\S+)\s*[=:]\s*(.*?)\s*")
_FIELD_NAME = re.compile(r"[A-Za-z][\w |:.-]{0,39}|[\dA-Fa-f]{4}\|[\dA-Fa-f]{4}")


class ImageAudit:
    """Audits files that are no DICOM."""

    def __init__(self, familiar: Familiar) -> None:
        self._familiar = familiar

    def traces(self, path: Path) -> list[Trace] | None:
        """What is left in a file; None if it is no image.

        Raises:
            ReadError: If it is damaged. The file is not named.
        """
        with opened_regular(path) as file, decoding_unnamed():
            start = file.read(_HEAD)
            file.seek(0)
            with decompressed(file) as stream:
                head = read_up_to(stream, _LONGEST_HEADER)
            look = self._looks(head)
            if look is None:
                return None
            taken = texts_in_gzip_header(start)
            return [*(Trace(_GZIP, "file name or comment") for _ in taken[:1]), *look(head, path)]

    def _looks(self, head: bytes) -> Callable[[bytes, Path], Iterator[Trace]] | None:
        if is_nifti(head):
            return self._nifti
        if is_nrrd(head):
            return self._nrrd
        if is_meta_image(head[:_HEAD]):
            return self._meta_image
        return self._picture if is_raster(head) else None

    def _nifti(self, head: bytes, _path: Path) -> Iterator[Trace]:
        header = nifti_header(head[:LARGEST_HEADER])
        for name in _NIFTI_FIELDS:
            value = bytes(header[name]) if name in header else b""
            if self._says_something(value.strip(b"\0 ").decode("latin-1")):
                yield Trace(_FIELD, f"NIfTI {name}")
        start = int(header["sizeof_hdr"]) + 4
        if is_two_file_nifti(head):
            yield Trace("file of a pair", "NIfTI .hdr and .img", is_note=True)
        elif any(head[start : nifti_voxel_offset(header)]):
            yield Trace("extension", "NIfTI extension")

    def _nrrd(self, head: bytes, _path: Path) -> Iterator[Trace]:
        for line in nrrd_header_lines(io.BytesIO(head))[1:]:
            field = nrrd_field(line)
            name, value = field or line.split(":=", 1) if field or ":=" in line else ("comment", line.lstrip("# "))
            if line not in _TEEM and not _is_of_format(name, value) and self._says_something(value):
                yield Trace(_FIELD, f"NRRD {_shown(name)}")

    def _meta_image(self, head: bytes, _path: Path) -> Iterator[Trace]:
        for line in head.decode("latin-1").split("\n"):
            match = _META_LINE.fullmatch(line)
            if match is None or match[1] == "ElementDataFile":
                return
            if not _is_of_format(match[1], match[2]) and self._says_something(match[2]):
                yield Trace(_FIELD, f"MetaImage {_shown(match[1])}")

    def _picture(self, head: bytes, path: Path) -> Iterator[Trace]:
        with opened_regular(path) as file:
            data = file.read(LARGEST_FILE)
        yield Trace("pixels may show text", "picture", is_note=True)
        if head.startswith(_PNG):
            yield from _png(data)
        elif head.startswith(b"\xff\xd8"):
            texts = (one.value.decode("latin-1") for part in split_jpeg(data).dropped for one in texts_in(part))
            yield from (Trace(_PICTURE, "JPEG comment or Exif") for text in texts if self._says_something(text))
        else:
            yield from self._tiff(data)

    def _tiff(self, data: bytes) -> Iterator[Trace]:
        with Image.open(io.BytesIO(data), formats=["TIFF"]) as picture:
            for number, value in picture.getexif().items():
                if isinstance(value, str | bytes) and self._says_something(str(value)):
                    yield Trace(_PICTURE, f"TIFF tag {number}")

    def _says_something(self, text: str) -> bool:
        readable = "".join(letter for letter in text if letter.isprintable()).strip()
        known = _NUMBERS.fullmatch(readable) or _SOFTWARE.fullmatch(readable)
        return not known and not self._familiar.knows(readable)


def _png(data: bytes) -> Iterator[Trace]:
    """Chunks with text, and bytes behind the end (ISO/IEC 15948)."""
    position = len(_PNG)
    while position + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        name = kind.decode("latin-1")
        if name in _PNG_TEXTS:
            yield Trace(_PICTURE, f"PNG {name}")
        position += 12 + length
        if kind == _PNG_END:
            if any(data[position:]):
                yield Trace("bytes behind the picture", "PNG")
            return
    raise ReadError("truncated or damaged; it has no end")


def _is_of_format(name: str, value: str) -> bool:
    """Whether a field is one that the format itself needs."""
    return re.sub(r"[\s_]", "", name.lower()) in _FORMAT_FIELDS or _NUMBERS.fullmatch(value.strip()) is not None


def _shown(name: str) -> str:
    """The name of a field, unless it could be a value itself."""
    return name if _FIELD_NAME.fullmatch(name) and not re.search(r"\d{6}", name) else "unknown field"
