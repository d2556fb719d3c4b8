"""What only the owner of a model can say about it: ``card.yaml`` in its bundle."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from .section import Section

Words = Annotated[str, Field(max_length=4000)]


class OwnerSection(Section):
    """The owner's part of a model card; what is empty is shown as not given."""

    title: Words = ""
    """What the model is called; the name of its run if it is empty."""
    version: Words = ""
    """Of the model."""
    owner: Words = ""
    """Who answers for it."""
    contact: Words = ""
    """Where to ask, and where to report a wrong result."""
    license: Words = ""
    """Licence of the weights, such as `CC-BY-NC-4.0`."""
    data_license: Words = ""
    """Licence or agreement under which the training data was used."""
    data_source: Words = ""
    """Where the training data came from and how cases were chosen; name no patient."""
    reference_standard: Words = ""
    """Who drew the reference outlines, by which rules."""
    intended_use: Words = ""
    """What the model is for."""
    intended_users: Words = ""
    """Who may use it."""
    not_intended: Words = ""
    """Uses that the owner advises against."""
    limits: Words = ""
    """What the owner knows that the model does badly."""
    citation: Words = ""
    """How to cite it."""
