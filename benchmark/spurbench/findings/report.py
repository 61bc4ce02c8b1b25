"""`DiscoveryReport`: what was found, as a document of counts, examples and where they come from; needs no torch.

Accuracies are kept as integers, right and in all, so that any share, gap or interval can be computed from the file
alone. The same command on the same data and weights gives the same bytes.
"""

from __future__ import annotations

import json
from typing import Annotated, Literal

from pydantic import Field, model_validator

from ..rules import Strict

Count = Annotated[int, Field(ge=0)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]


class Tally(Strict):
    """How many of some images are as asked."""

    hits: Count
    total: Count

    @model_validator(mode="after")
    def _consistent(self) -> Tally:
        if self.hits > self.total:
            raise ValueError(f"{self.hits} of {self.total}")
        return self

    @property
    def share(self) -> float | None:
        """Of none, nothing is known."""
        return self.hits / self.total if self.total else None


class Contrast(Strict):
    """The same question asked of the images that have a region of the finding, and of those that have none."""

    present: Tally
    absent: Tally

    @property
    def gap(self) -> float | None:
        """Share where present minus share where absent; None where one of them is of no image."""
        present, absent = self.present.share, self.absent.share
        return None if present is None or absent is None else present - absent


class ClassRow(Strict):
    """The images of one class."""

    label: str
    right: Contrast
    """How many the model gets right."""
    influence: Finite | None
    """How often a region of the finding is what an error of this class hangs on; None where not known."""
    attributes_present: list[Count] | None
    """Images with a region of the finding, by value of the known spurious attribute; None if it was not asked for."""
    attributes_absent: list[Count] | None
    """The other images, likewise."""


class Example(Strict):
    """One region that is typical of a finding."""

    id: str
    """The image's id in the data set; bytes that are not UTF-8 are spelled `\\udcXX`."""
    row: Count
    """The image's row in the data set."""
    box: tuple[Finite, Finite, Finite, Finite]
    """Left, top, right, bottom, in shares of the photo's width and height."""
    label: str
    predicted: str
    confidence: Share | None
    """The probability that the region alone gets for the finding's class; None where the finding has none."""
    known: bool | None
    """Whether it shows the known spurious attribute; None where that was not asked for, or is not known."""

    @property
    def right(self) -> bool:
        """Whether the model gets the image right."""
        return self.label == self.predicted


class FindingReport(Strict):
    """A set of regions that is suspected of being spurious."""

    rank: Annotated[int, Field(ge=1)]
    label: str | None
    """The class that the model takes such regions for; None where the discoverer does not say."""
    score: Finite
    influence: Finite | None
    """The largest of the classes'."""
    p_value: Share | None
    n_regions: Annotated[int, Field(ge=1)]
    n_images: Annotated[int, Field(ge=1)]
    right: Contrast
    """All classes together."""
    called: Contrast | None
    """How many images of *other* classes the model takes for `label`."""
    classes: list[ClassRow]
    """Those of whose images some have such a region, in the data set's order."""
    known_share: Share | None
    """The share of all its regions that show the known spurious attribute."""
    precision_at_10: Share | None
    """The share of its ten most typical regions that do; of fewer than ten, the missing ones count as wrong."""
    examples: list[Example]
    """The most typical first, a region of another image before a second one of the same."""

    @property
    def row(self) -> ClassRow | None:
        """The class `label`, if it has images with and without."""
        return next((row for row in self.classes if row.label == self.label and row.right.gap is not None), None)

    @property
    def by_gap(self) -> list[ClassRow]:
        """The classes, the largest difference first, either way; those without one last."""
        return sorted(self.classes, key=lambda row: -1.0 if row.right.gap is None else abs(row.right.gap), reverse=True)


class DiscovererName(Strict):
    """Who looked."""

    name: str
    title: str
    paper: str


class Provenance(Strict):
    """What the numbers depend on."""

    seed: int
    fingerprints: dict[str, str]
    """sha256 over the data, the backbone's weights and settings, the discoverer's code, and a checkpoint's file."""
    environment: dict[str, str]
    """Versions and hardware."""


class DiscoveryReport(Strict):
    """A discovery on one data set, by one model."""

    schema_version: Literal[1] = 1
    dataset: str
    title: str
    backbone: str
    model: str
    regions: str
    split: str
    discoverer: DiscovererName
    classes: list[str]
    attributes: list[str]
    n_regions: Count
    right: Tally
    """Of all images."""
    facts: dict[str, Finite]
    n_findings: Count
    """In all; `findings` has the first of them."""
    findings: list[FindingReport]
    against: bool
    """Whether the known spurious attribute was looked up, for comparison; the discoverer never sees it."""
    why_no_truth: str
    """Why it is not known of regions, or empty."""
    provenance: Provenance

    @property
    def why_none(self) -> str:
        """Why there is no finding, as a sentence."""
        errors = self.right.total - self.right.hits
        if not errors:
            return f"The model gets all {self.right.total:,} images right: there is no error to explain."
        clusters = self.facts.get("clusters")
        looked = f"none of the {clusters:,.0f} clusters of regions" if clusters else "no set of regions"
        looked = f"{looked.capitalize()} passes the filter of {self.discoverer.name}"
        return f"{looked}: the model's {errors:,} errors hang on no one of them."

    def to_json(self) -> str:
        """The document, one line per number, names as they are."""
        return json.dumps(self.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n"
