"""What is an image that a model may take, and what is made of images."""

from __future__ import annotations

import pytest
from pydicom import uid

from medseg.io.dicom_classes import LABEL_MAP_STORAGE, is_derived, is_derived_modality

DERIVED = [
    *(uid.SegmentationStorage, uid.SurfaceSegmentationStorage, uid.RTStructureSetStorage, uid.RTPlanStorage),
    *(uid.BasicTextSRStorage, uid.Comprehensive3DSRStorage, uid.XRayRadiationDoseSRStorage),
    *(uid.KeyObjectSelectionDocumentStorage, uid.GrayscaleSoftcopyPresentationStateStorage),
    *(uid.SpatialRegistrationStorage, uid.RealWorldValueMappingStorage, uid.EncapsulatedPDFStorage),
    LABEL_MAP_STORAGE,
]
IMAGES = [
    *(uid.CTImageStorage, uid.MRImageStorage, uid.EnhancedCTImageStorage, uid.PositronEmissionTomographyImageStorage),
    *(uid.UltrasoundMultiFrameImageStorage, uid.SecondaryCaptureImageStorage, uid.RTDoseStorage),
    *(uid.ParametricMapStorage, uid.RawDataStorage, uid.DigitalMammographyXRayImageStorageForPresentation),
]


@pytest.mark.parametrize("kind", DERIVED)
def test_outlines_and_reports_are_made_of_images(kind):
    assert is_derived(str(kind))


@pytest.mark.parametrize("kind", [*IMAGES, "", "1.2.3"])
def test_what_may_be_an_image_is_none_of_them(kind):
    assert not is_derived(str(kind))


def test_modalities():
    assert all(map(is_derived_modality, ("SEG", "SR", "RTSTRUCT", "PR", "KO")))
    assert not any(map(is_derived_modality, ("CT", "MR", "PT", "US", "OT", "RTDOSE", "")))
