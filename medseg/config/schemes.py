"""Between the labels of a configuration and the label scheme that the code works with."""

from __future__ import annotations

from medseg.core.labels import CodedConcept, LabelScheme, Region, Structure, palette_colour

from .sections import CodeSection, LabelsSection, RegionSection, StructureSection


def label_scheme(section: LabelsSection) -> LabelScheme:
    """The scheme that a section describes; missing colours come from the palette."""
    structures = tuple(
        Structure(
            one.name,
            one.value,
            one.colour or palette_colour(index),
            CodedConcept(one.code.value, one.code.scheme, one.code.meaning) if one.code else None,
        )
        for index, one in enumerate(section.structures)
    )
    regions = tuple(Region(region.name, region.structures) for region in section.regions)
    return LabelScheme(structures, regions, section.ignore, section.overlapping)


def labels_section(scheme: LabelScheme) -> LabelsSection:
    """The section that describes a scheme."""
    return LabelsSection(
        structures=tuple(
            StructureSection(
                name=one.name,
                value=one.value,
                colour=one.colour,
                code=CodeSection(value=one.code.value, scheme=one.code.scheme, meaning=one.code.meaning)
                if one.code
                else None,
            )
            for one in scheme.structures
        ),
        regions=tuple(RegionSection(name=region.name, structures=region.structures) for region in scheme.regions),
        ignore=scheme.ignore,
        overlapping=scheme.overlapping,
    )
