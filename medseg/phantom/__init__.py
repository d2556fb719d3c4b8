"""Generated bodies with known answers, as DICOM studies."""
