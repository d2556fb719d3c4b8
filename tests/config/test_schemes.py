"""Labels of a configuration and label schemes, both ways."""

from __future__ import annotations

import pytest
from factories import run_config

from medseg.config.load import dump_config, parse_config
from medseg.config.schemes import label_scheme, labels_section
from medseg.config.sections import CodeSection, LabelsSection, StructureSection
from medseg.core.anatomy import known_structure
from medseg.core.errors import ConfigError
from medseg.core.labels import CodedConcept, LabelScheme, Laterality, Region, Structure, palette_colour

OWN = CodedConcept("1", "99X", "own")
OWN_SECTION = {"value": "1", "scheme": "99X", "meaning": "own"}


def section(*structures: StructureSection) -> LabelsSection:
    return LabelsSection(structures=structures)


def test_a_scheme_survives_the_configuration():
    scheme = LabelScheme(
        (Structure("liver", 6, (1, 2, 3), OWN, OWN, Laterality.LEFT), Structure("thing", 7, (4, 5, 6))),
        (Region("organ", ("liver", "thing")),),
        ignore=9,
        background=("table", "*"),
    )
    assert label_scheme(labels_section(scheme)) == scheme


def test_what_is_left_out_comes_from_the_dictionary_or_the_palette():
    kidney, thing = label_scheme(
        section(StructureSection(name="Kidney_L", value=1), StructureSection(name="thing", value=2))
    ).structures
    known = known_structure("left kidney")
    assert kidney == Structure("Kidney_L", 1, known.colour, known.code, None, Laterality.LEFT)
    assert thing == Structure("thing", 2, palette_colour(1))


def test_what_is_given_stays():
    given = StructureSection(
        name="left kidney", value=1, colour=(1, 2, 3), code=CodeSection(value="1", scheme="99X", meaning="own"),
        laterality=Laterality.RIGHT,
    )  # fmt: skip
    assert label_scheme(section(given)).structures == (
        Structure("left kidney", 1, (1, 2, 3), OWN, None, Laterality.RIGHT),
    )


def test_sides_and_categories_survive_a_file():
    described = StructureSection(name="a", value=1, laterality=Laterality.BOTH, category=CodeSection(**OWN.__dict__))
    config = run_config().model_copy(update={"labels": section(described)})
    assert parse_config(dump_config(config), "c.yaml").labels == config.labels
    with pytest.raises(
        ConfigError, match=r"labels\.structures\.0\.laterality: Input should be 'left', 'right' or 'both'"
    ):
        parse_config(dump_config(config).replace("both", "top"), "c.yaml")


def test_a_region_is_coded_by_its_name_or_as_the_section_says():
    section = LabelsSection.model_validate(
        {
            "structures": [{"name": "core", "value": 1}, {"name": "left kidney", "value": 2}],
            "regions": [
                {"name": "left kidney", "structures": ["left kidney"]},
                {"name": "both", "structures": ["core", "left kidney"], "code": OWN_SECTION, "laterality": "both"},
                {"name": "liver", "structures": ["core"]},
            ],
        }
    )
    kidney, both, liver = label_scheme(section).target_structures
    assert (kidney.code.meaning, kidney.laterality) == ("Kidney", "left")
    assert (both.code.value, both.laterality) == (OWN.value, "both")
    assert liver.code.meaning == "Liver"
    assert labels_section(label_scheme(section)).regions[1].code == section.regions[1].code
