"""Between the labels of a configuration and the label scheme that the code works with."""

from __future__ import annotations

from medseg.core.anatomy import colours_of, described
from medseg.core.labels import CodedConcept, LabelScheme, Region, Structure

from .sections import CodeSection, LabelsSection, RegionSection, StructureSection


def label_scheme(section: LabelsSection) -> LabelScheme:
    """The scheme that a section describes; what it leaves out comes from the dictionary of structures.

    A missing colour that the dictionary does not know, or that another structure has, comes from the palette.
    """
    given = section.structures
    colours = colours_of([one.name for one in given], [one.colour for one in given])
    structures = tuple(
        described(
            Structure(one.name, one.value, colour, coded_concept(one.code), coded_concept(one.category), one.laterality)
        )
        for one, colour in zip(given, colours, strict=True)
    )
    return LabelScheme(
        structures, tuple(map(_region, section.regions)), section.ignore, section.overlapping, section.background
    )


def labels_section(scheme: LabelScheme) -> LabelsSection:
    """The section that describes a scheme."""
    return LabelsSection(
        structures=tuple(
            StructureSection(
                name=one.name,
                value=one.value,
                colour=one.colour,
                code=_code_section(one.code),
                category=_code_section(one.category),
                laterality=one.laterality,
            )
            for one in scheme.structures
        ),
        regions=tuple(
            RegionSection(
                name=one.name,
                structures=one.structures,
                code=_code_section(one.code),
                category=_code_section(one.category),
                laterality=one.laterality,
            )
            for one in scheme.regions
        ),
        ignore=scheme.ignore,
        overlapping=scheme.overlapping,
        background=scheme.background,
    )


def coded_concept(section: CodeSection | None) -> CodedConcept | None:
    """The concept that a section describes; None for none."""
    return None if section is None else CodedConcept(section.value, section.scheme, section.meaning)


def _region(section: RegionSection) -> Region:
    region = Region(
        section.name,
        section.structures,
        coded_concept(section.code),
        coded_concept(section.category),
        section.laterality,
    )
    return described(region)


def _code_section(code: CodedConcept | None) -> CodeSection | None:
    return None if code is None else CodeSection(value=code.value, scheme=code.scheme, meaning=code.meaning)
