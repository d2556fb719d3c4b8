"""A study with a marker in every place where an identifier can hide; a leak test searches outputs for the markers.

Two visits of one patient, 30 days apart: CT, RTSTRUCT, SEG and SR that refer to each other. Each place holds its own
marker, so that a leak tells where it came from.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset, PrivateBlock
from pydicom.sequence import Sequence as Items
from pydicom.uid import ExplicitVRLittleEndian
from study_objects import ROOT, Visit, code, content, item, reference, visit_objects

from medseg.config.deid import Option

FIRST_DAY = date(2024, 6, 11)
INTERVAL_DAYS = 30
BIRTH_DATE, HIDDEN_DATE, UNLISTED_DATE = "19520317", "19870523", "19990401"
SAFE_CREATOR = "MARKED SAFE"
"""Private creator of an element that a site could vouch for: (0019,xx01), DS."""
_NOWHERE: frozenset[Option] = frozenset()
_UIDS = frozenset({Option.RETAIN_UIDS})
_INSTITUTION = frozenset({Option.RETAIN_INSTITUTION_IDENTITY})
_DEVICE = frozenset({Option.RETAIN_DEVICE_IDENTITY})
_CHARACTERISTICS = frozenset({Option.RETAIN_PATIENT_CHARACTERISTICS})


@dataclass(frozen=True)
class Token:
    """A marker.

    Attributes:
        text: What to search for; no other place holds it.
        place: Where it stands.
        kept_by: Options of which one is enough to keep it.
        returned: Whether it belongs to the patient and study modules, which an object keeps on its way back.
    """

    text: str
    place: str
    kept_by: frozenset[Option] = _NOWHERE
    returned: bool = False


@dataclass(frozen=True)
class Marked:
    """What was planted.

    Attributes:
        tokens: All markers.
        uids: Original UIDs in standard attributes, with the options of which one is enough to keep them.
        hidden_uids: UIDs in private attributes, texts and the file meta information; nothing keeps them.
        dates: The days of the visits and one in other date attributes, which the options for dates may keep.
        hidden_dates: Dates that nothing keeps: birth, and inside of what is removed.
        files: Path of each object by ``visit/name``, such as ``0/ct1``.
    """

    tokens: tuple[Token, ...]
    uids: dict[str, frozenset[Option]]
    hidden_uids: frozenset[str]
    dates: tuple[str, ...]
    hidden_dates: tuple[str, ...]
    files: dict[str, Path]


def write_marked_study(folder: Path, *, visits: int = 2, slices: int = 3, marked: bool = True) -> Marked:
    """Write the study; with ``marked=False`` the same objects without anything planted.

    Args:
        folder: Made if it is not there; file names say nothing.
        visits: Time points, 30 days apart.
        slices: Slices of each CT series.
        marked: Whether to plant markers.
    """
    folder.mkdir(parents=True, exist_ok=True)
    planter, files = _Planter(), {}
    days = [f"{FIRST_DAY + timedelta(days=INTERVAL_DAYS * number):%Y%m%d}" for number in range(visits)]
    for number, day in enumerate(days):
        for name, dataset in visit_objects(Visit(number, day, slices)).items():
            planter.uids.update(dict.fromkeys(_uids(dataset), _UIDS))
            path = folder / f"{len(files):03d}.dcm"
            path.write_bytes(_marked_bytes(dataset, name, planter) if marked else encoded(dataset))
            files[f"{number}/{name}"] = path
    return Marked(
        tokens=tuple(planter.tokens.values()),
        uids=planter.uids,
        hidden_uids=frozenset(planter.hidden_uids),
        dates=(*days, UNLISTED_DATE),
        hidden_dates=(BIRTH_DATE, HIDDEN_DATE),
        files=files,
    )


def encoded(dataset: Dataset, meta: FileMetaDataset | None = None, preamble: bytes = b"\0" * 128) -> bytes:
    """The data set as a file, Explicit VR Little Endian."""
    dataset.file_meta = meta or FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.preamble = preamble
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, dataset, enforce_file_format=True)
    return stream.getvalue()


@dataclass
class _Planter:
    """Gives each place its marker, the same one in every file."""

    tokens: dict[str, Token] = field(default_factory=dict)
    uids: dict[str, frozenset[Option]] = field(default_factory=dict)
    hidden_uids: set[str] = field(default_factory=set)

    def text(self, place: str, kept_by: frozenset[Option] = _NOWHERE, *, returned: bool = False) -> str:
        token = self.tokens.get(place) or Token(f"Qx{len(self.tokens):03d}zorb", place, kept_by, returned)
        self.tokens[place] = token
        return token.text

    def raw(self, place: str) -> bytes:
        text = self.text(place).encode()
        return text + b"\0" * (len(text) % 2)

    def uid(self, number: int, kept_by: frozenset[Option] = _UIDS) -> str:
        """A UID that refers to nothing; one that no option keeps is a hidden one."""
        uid = f"{ROOT}.7777.{number}.31415926535"
        if kept_by:
            self.uids[uid] = kept_by
        else:
            self.hidden_uids.add(uid)
        return uid


def _marked_bytes(dataset: Dataset, name: str, planter: _Planter) -> bytes:
    _plant_patient(dataset, planter)
    _plant_study(dataset, planter)
    _plant_equipment(dataset, planter)
    _plant_sequences(dataset, planter)
    _plant_unlisted(dataset, planter)
    _plant_private(dataset, planter)
    _plant_remains(dataset, planter)
    if name.startswith("ct"):
        _plant_graphics(dataset, planter)
    if name == "rtstruct":
        _plant_structures(dataset, planter)
    if name == "seg":
        _plant_segments(dataset, planter)
    if name == "sr":
        _plant_content(dataset, planter)
    preamble = (b"MZ" + planter.raw("preamble") + b" " + HIDDEN_DATE.encode()).ljust(128, b"\1")
    return encoded(dataset, _meta(planter), preamble)


def _plant_patient(dataset: Dataset, planter: _Planter) -> None:
    family, given = (planter.text(f"PatientName {part}", returned=True) for part in ("family", "given"))
    dataset.PatientName = f"{family}^{given}^^Dr."
    dataset.PatientID = planter.text("PatientID", returned=True)
    dataset.IssuerOfPatientID = planter.text("IssuerOfPatientID", returned=True)
    dataset.PatientBirthDate = BIRTH_DATE
    for keyword in ("PatientBirthName", "PatientMotherBirthName"):
        setattr(dataset, keyword, f"{planter.text(keyword, returned=True)}^Given")
    for keyword in (
        *("PatientAddress", "PatientTelephoneNumbers", "PatientComments", "Occupation", "AdditionalPatientHistory"),
        *("MilitaryRank", "RegionOfResidence", "PatientReligiousPreference", "MedicalAlerts"),
    ):
        setattr(dataset, keyword, planter.text(keyword, returned=True))
    dataset.OtherPatientIDs = ["nothing", planter.text("OtherPatientIDs, second value", returned=True)]
    dataset.EthnicGroup = planter.text("EthnicGroup", _CHARACTERISTICS, returned=True)
    other = item(PatientID=planter.text("OtherPatientIDsSequence", returned=True), TypeOfPatientID="TEXT")
    dataset.OtherPatientIDsSequence = Items([other])


def _plant_study(dataset: Dataset, planter: _Planter) -> None:
    for keyword in ("AccessionNumber", "StudyID", "StudyDescription", "AdmissionID"):
        setattr(dataset, keyword, planter.text(keyword, returned=True))
    for keyword in ("ReferringPhysicianName", "PhysiciansOfRecord", "NameOfPhysiciansReadingStudy"):
        setattr(dataset, keyword, f"{planter.text(keyword, returned=True)}^Doctor")
    doctor = item(
        PersonIdentificationCodeSequence=code("1", "99LOCAL", planter.text("code of a person", returned=True)),
        PersonTelephoneNumbers=planter.text("telephone of a person", returned=True),
        InstitutionName=planter.text("institution of a person", returned=True),
    )
    dataset.ReferringPhysicianIdentificationSequence = Items([doctor])
    for keyword in ("PerformingPhysicianName", "OperatorsName", "RequestingPhysician"):
        setattr(dataset, keyword, f"{planter.text(keyword)}^Staff")
    for keyword in ("SeriesDescription", "ProtocolName", "ImageComments", "PerformedProcedureStepID"):
        setattr(dataset, keyword, planter.text(keyword))
    dataset.PerformedProcedureStepDescription = f"abdomen of {planter.text('PerformedProcedureStepDescription')}"
    uid = planter.uid(1, _NOWHERE)
    dataset.CommentsOnThePerformedProcedureStep = f"{planter.text('comments')} on {HIDDEN_DATE} as in {uid}"


def _plant_equipment(dataset: Dataset, planter: _Planter) -> None:
    for keyword in ("InstitutionName", "InstitutionAddress", "InstitutionalDepartmentName"):
        setattr(dataset, keyword, planter.text(keyword, _INSTITUTION))
    for keyword in ("StationName", "DeviceSerialNumber", "GantryID"):
        setattr(dataset, keyword, planter.text(keyword, _DEVICE))
    dataset.DeviceUID = planter.uid(2, _UIDS | _DEVICE)


def _plant_sequences(dataset: Dataset, planter: _Planter) -> None:
    """One sequence that the table lists, and sequences that it does not list, up to three deep."""
    request = item(
        RequestedProcedureID=planter.text("RequestAttributesSequence, id"),
        ScheduledProcedureStepDescription=planter.text("RequestAttributesSequence, text"),
    )
    dataset.RequestAttributesSequence = Items([request])
    third = item(
        PatientName=f"{planter.text('third level, name')}^Given",
        PatientBirthDate=BIRTH_DATE,
        AccessionNumber=planter.text("third level, accession number"),
        InstanceCreatorUID=planter.uid(3),
    )
    second = item(
        PatientID=planter.text("second level, id"),
        PatientComments=planter.text("second level, comment"),
        AnatomicRegionModifierSequence=Items([third]),
    )
    first = code("818981001", "SCT", planter.text("code meaning"))[0]
    first.ReferringPhysicianName = f"{planter.text('first level, name')}^Doctor"
    first.PrimaryAnatomicStructureSequence = Items([second])
    dataset.AnatomicRegionSequence = Items([first])


def _plant_unlisted(dataset: Dataset, planter: _Planter) -> None:
    """Attributes that Table E.1-1 does not list, one of each representation."""
    dataset.ComponentWelderIDs = planter.text("unlisted LO")
    dataset.PatientBirthDateInAlternativeCalendar = planter.text("unlisted LO, birth date", returned=True)
    dataset.SecondaryReviewerName = f"{planter.text('unlisted PN')}^Reviewer"
    dataset.ProtocolElementPurpose = planter.text("unlisted UT")
    dataset.RetrieveURL = f"https://{planter.text('unlisted UR')}.example/studies"
    dataset.LocalNamespaceEntityID = planter.text("unlisted UT of an issuer")
    dataset.PotentialReasonsForProcedure = planter.text("unlisted UC")
    dataset.InterventionDescription = planter.text("unlisted ST")
    dataset.MaterialNotes = planter.text("unlisted LT")
    dataset.TargetLabel = planter.text("unlisted SH")
    dataset.RouteSegmentStartTime = f"{UNLISTED_DATE}101112.000000+0100"
    dataset.ExpiryDate = UNLISTED_DATE
    dataset.TargetFrameOfReferenceUID = planter.uid(4)


def _plant_private(dataset: Dataset, planter: _Planter) -> None:
    block = dataset.private_block(0x0009, "MARKED VENDOR", create=True)
    _plant_private_block(block, planter, "private")
    block.add_new(0x05, "UI", planter.uid(5, _NOWHERE))
    creator = dataset.private_block(0x0011, planter.text("private creator"), create=True)
    creator.add_new(0x01, "US", 5)
    dataset.private_block(0x0019, SAFE_CREATOR, create=True).add_new(0x01, "DS", "12.5")
    nested = dataset.AnatomicRegionSequence[0].PrimaryAnatomicStructureSequence[0]
    _plant_private_block(nested.private_block(0x0029, "MARKED VENDOR", create=True), planter, "nested private")


def _plant_private_block(block: PrivateBlock, planter: _Planter, place: str) -> None:
    block.add_new(0x01, "LO", planter.text(f"{place} LO"))
    block.add_new(0x02, "UN", planter.raw(f"{place} UN"))
    block.add_new(0x03, "SQ", [item(PatientName=f"{planter.text(f'{place} SQ')}^Given")])
    block.add_new(0x04, "OB", planter.raw(f"{place} OB"))


def _plant_remains(dataset: Dataset, planter: _Planter) -> None:
    """What keeps older values, signs them, or is no attribute of the object at all."""
    older = item(PatientName=f"{planter.text('original attributes, name')}^Given", PatientBirthDate=BIRTH_DATE)
    dataset.OriginalAttributesSequence = Items(
        [
            item(
                SourceOfPreviousValues=planter.text("original attributes, source"),
                AttributeModificationDateTime=f"{HIDDEN_DATE}101112",
                ModifyingSystem=planter.text("original attributes, system"),
                ReasonForTheAttributeModification="CORRECT",
                ModifiedAttributesSequence=Items([older]),
            )
        ]
    )
    sealed = item(EncryptedContentTransferSyntaxUID=ExplicitVRLittleEndian, EncryptedContent=planter.raw("encrypted"))
    dataset.EncryptedAttributesSequence = Items([sealed])
    signature = item(
        MACIDNumber=1,
        DigitalSignatureUID=planter.uid(6),
        DigitalSignatureDateTime=f"{HIDDEN_DATE}101112",
        CertificateOfSigner=planter.raw("signature"),
        CertificateType="X509_1993_SIG",
        Signature=planter.raw("signature bytes"),
    )
    dataset.DigitalSignaturesSequence = Items([signature])
    dataset.ICCProfile = planter.raw("ICC profile")
    dataset.add_new(0xFFFCFFFC, "OB", planter.raw("trailing padding"))


def _plant_graphics(dataset: Dataset, planter: _Planter) -> None:
    """An overlay, a curve and an icon."""
    dataset.add_new(0x60000010, "US", dataset.Rows)
    dataset.add_new(0x60000011, "US", dataset.Columns)
    dataset.add_new(0x60000022, "LO", planter.text("overlay description"))
    dataset.add_new(0x60000040, "CS", "G")
    dataset.add_new(0x60000050, "SS", [1, 1])
    dataset.add_new(0x60000100, "US", 1)
    dataset.add_new(0x60000102, "US", 0)
    dataset.add_new(0x60001500, "LO", planter.text("overlay label"))
    dataset.add_new(0x60003000, "OW", planter.raw("overlay data").ljust(dataset.Rows * dataset.Columns // 8, b"\0"))
    dataset.add_new(0x60004000, "LT", planter.text("overlay comments"))
    dataset.add_new(0x50000005, "US", 2)
    dataset.add_new(0x50002500, "LO", planter.text("curve label"))
    dataset.add_new(0x50003000, "OW", planter.raw("curve data"))
    icon = item(Rows=1, Columns=10, SamplesPerPixel=1, PhotometricInterpretation="MONOCHROME2")
    icon.BitsAllocated, icon.BitsStored, icon.HighBit, icon.PixelRepresentation = 8, 8, 7, 0
    icon.add_new(0x7FE00010, "OB", planter.raw("icon"))
    dataset.IconImageSequence = Items([icon])


def _plant_structures(dataset: Dataset, planter: _Planter) -> None:
    dataset.StructureSetLabel = planter.text("StructureSetLabel")
    dataset.StructureSetDescription = planter.text("StructureSetDescription")
    region = dataset.StructureSetROISequence[0]
    region.ROIName = f"liver {planter.text('ROIName')}"
    region.ROIDescription = planter.text("ROIDescription")
    dataset.RTROIObservationsSequence[0].ROIInterpreter = f"{planter.text('ROIInterpreter')}^Doctor"
    dataset.RTROIObservationsSequence[0].ROIObservationLabel = planter.text("ROIObservationLabel")


def _plant_segments(dataset: Dataset, planter: _Planter) -> None:
    dataset.ContentCreatorName = f"{planter.text('ContentCreatorName')}^Doctor"
    dataset.ContentDescription = f"liver of {planter.text('ContentDescription')}"
    dataset.SegmentSequence[0].SegmentLabel = f"liver {planter.text('SegmentLabel')}"
    dataset.SegmentSequence[0].SegmentDescription = planter.text("SegmentDescription")
    dataset.SegmentSequence[0].TrackingID = planter.text("TrackingID")
    dataset.SegmentSequence[0].TrackingUID = planter.uid(7)


def _plant_content(dataset: Dataset, planter: _Planter) -> None:
    observer, measurements = dataset.ContentSequence
    observer.PersonName = f"{planter.text('SR PNAME')}^Observer"
    group = measurements.ContentSequence[0].ContentSequence
    group[0].TextValue = planter.text("SR tracking identifier")
    comment = content("CONTAINS", "TEXT", ("121106", "DCM", "Comment"))
    comment.TextValue = f"{planter.text('SR comment')} was born on {HIDDEN_DATE}, see {planter.uid(8, _NOWHERE)}"
    history = content("CONTAINS", "TEXT", ("121060", "DCM", "History"), TextValue=planter.text("SR history"))
    institution = content("HAS OBS CONTEXT", "TEXT", ("121009", "DCM", "Person Observer's Organization Name"))
    institution.TextValue = planter.text("SR organization", _INSTITUTION)
    group.extend([comment, history])
    dataset.ContentSequence.append(institution)
    verifier = item(
        VerifyingObserverName=f"{planter.text('SR verifier')}^Doctor",
        VerifyingOrganization=planter.text("SR verifier's organization", _INSTITUTION),
        VerificationDateTime=f"{UNLISTED_DATE}101112",
        VerifyingObserverIdentificationCodeSequence=Items(),
    )
    dataset.VerifyingObserverSequence = Items([verifier])
    dataset.VerificationFlag = "VERIFIED"
    request = item(
        StudyInstanceUID=dataset.StudyInstanceUID,
        ReferencedStudySequence=Items([reference("1.2.840.10008.3.1.2.3.1", dataset.StudyInstanceUID)]),
        AccessionNumber=planter.text("SR request, accession number"),
        PlacerOrderNumberImagingServiceRequest=planter.text("SR request, order"),
        FillerOrderNumberImagingServiceRequest="",
        RequestedProcedureID="",
        RequestedProcedureCodeSequence=Items(),
        RequestedProcedureDescription=planter.text("SR request, text"),
    )
    dataset.ReferencedRequestSequence = Items([request])


def _meta(planter: _Planter) -> FileMetaDataset:
    meta = FileMetaDataset()
    for keyword in (
        *("SourceApplicationEntityTitle", "SendingApplicationEntityTitle", "ReceivingApplicationEntityTitle"),
        "ImplementationVersionName",
    ):
        setattr(meta, keyword, planter.text(f"file meta {keyword}"))
    meta.ImplementationClassUID = planter.uid(9, _NOWHERE)
    meta.PrivateInformationCreatorUID = planter.uid(10, _NOWHERE)
    meta.PrivateInformation = planter.raw("file meta PrivateInformation")
    return meta


def _uids(dataset: Dataset) -> Iterator[str]:
    """UIDs that name no class (PS3.6 Annex A)."""
    for element in dataset.iterall():
        if element.VR == "UI":
            values = [element.value] if isinstance(element.value, str) else element.value
            yield from (str(value) for value in values if not str(value).startswith("1.2.840.10008."))
