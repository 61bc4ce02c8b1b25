"""What the parts of the builder hand each other: the table of photos, and what is found in it. Needs no torch.

The table is a pandas DataFrame with one row per photo, in the order of `path`. Each part adds columns and leaves the
others as they are; text columns hold str, never NaN ("" where nothing is known).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

READ = (
    "path", "photo_id", "label", "background", "observation", "photographer", "licence", "attribution", "source_url",
)  # fmt: skip
"""What `sources` gives: `path` (below the folder of photos, with /), unique; `photo_id`, unique, the path where the
source has none; `label`, the class's name; `background`, as written; `observation`, which photos share that were taken
together, "" for a photo of its own; who took it, licence, attribution, and where it is from."""
CLEANED = ("sha256", "width", "height", "truncated", "status", "twin")
"""What `cleaning` adds: sha256 of the file, pixels (0 where it cannot be read), `truncated` (bool: incomplete, yet
shown as far as it goes), `status` ("" kept, else one of STATUSES) and `twin`, the photo_id that it repeats."""
NAMED = ("background", "background_by")
"""What `backgrounds` settles: the background's one name, and BY whom."""
JUDGED = ("predicted", "correct")
"""What `instrument` adds for photos that are kept: the predicted label (str) and whether it is right (bool)."""
FOUND = ("half", "group", "split")
"""What `halves` and `splits` add: HALVES or "", GROUPS or "" (not of the pair), and train, val, test or ""."""

STATUSES = ("unreadable", "tiny", "duplicate", "near_duplicate", "burst", "conflict", "no_background")
"""Why a photo is left out. `conflict`: the same photo, or nearly, stands under two classes or two backgrounds."""
BY = ("label", "confirmed", "draft")
HALVES = ("discovery", "evaluation")
GROUPS = ("easy", "hard")
By = Literal["label", "confirmed", "draft"]


@dataclass(frozen=True)
class Share:
    """How many of some photos are named rightly."""

    correct: int
    total: int

    @property
    def accuracy(self) -> float | None:
        """Of none, nothing is known."""
        return self.correct / self.total if self.total else None


@dataclass(frozen=True)
class Interval:
    """An estimate with its bounds, shares (0..1)."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class Rule:
    """How classes and pairs are chosen.

    Attributes:
        min_drop: least drop of a class, as a share: 0.05 are 5 points.
        min_cell: photos that a class must have before a background in each half for it to be looked at; in all, where
            the rule is the published one.
        alpha: of the test, all classes together.
        confidence: of intervals.
        draws: permutations of a test, at least.
        resamples: of a bootstrap.
        published: choose and report on the same photos, by the drop alone, as the paper did; nothing is tested.
        split_by: what halves and splits never part: photos of one observation, or of one photographer.
    """

    min_drop: float = 0.05
    min_cell: int = 20
    alpha: float = 0.05
    confidence: float = 0.95
    draws: int = 9_999
    resamples: int = 2_000
    published: bool = False
    split_by: Literal["observation", "photographer"] = "observation"


@dataclass(frozen=True)
class BackgroundResult:
    """A class before one background."""

    name: str
    discovery: Share
    evaluation: Share
    """Of no photos where the rule is the published one: `discovery` then has all of them."""


@dataclass(frozen=True)
class ClassResult:
    """What was found of one class.

    Attributes:
        backgrounds: all that it has photos of, by name.
        easy, hard: the backgrounds with the highest and the lowest accuracy on the discovery half, as `drops.standing`
            compares them; "" where fewer than two have enough photos.
        drop_found: easy minus hard on the photos that chose them, where it is too large on average.
        drop: the same pair on the evaluation half; None where nothing was chosen, or the rule is the published one.
        p_value, p_adjusted: that a drop this large is chosen by chance; Holm over all classes that were tested.
        reason: why it is not kept, for people; "" where it is.
    """

    label: str
    backgrounds: tuple[BackgroundResult, ...]
    easy: str
    hard: str
    drop_found: float | None
    drop: Interval | None
    p_value: float | None
    p_adjusted: float | None
    kept: bool
    reason: str


@dataclass(frozen=True)
class Found:
    """What was found of all classes; averages are over the kept ones, each counting the same.

    Attributes:
        easy, hard, drop: on the evaluation half; None where nothing was kept, or the rule is the published one.
        drop_found: on the photos that chose the pairs; None where nothing was kept.
    """

    rule: Rule
    classes: tuple[ClassResult, ...]
    easy: Interval | None
    hard: Interval | None
    drop: Interval | None
    drop_found: float | None

    @property
    def kept(self) -> tuple[ClassResult, ...]:
        """The classes of the data set."""
        return tuple(result for result in self.classes if result.kept)


@dataclass(frozen=True)
class Instrument:
    """The zero-shot model that says which photos are hard: everything that decides its answers.

    Attributes:
        backbone, fingerprint, weights, activation, precision: of the model.
        preprocessing: in words, e.g. the printed transform.
        templates: with one {} for the name; none for a supervised model, which answers by its own classifier.
        label_space: `classes`, `imagenet`, or the file's name.
        labels: what photos are told apart into, in order; a class's number in the data set is its place here.
        names: how those are said in prompts, one each.
        software: versions of open_clip, timm and torch.
    """

    backbone: str
    fingerprint: str
    weights: str
    activation: str
    precision: str
    preprocessing: str
    templates: tuple[str, ...]
    label_space: str
    labels: tuple[str, ...]
    names: tuple[str, ...]
    software: tuple[tuple[str, str], ...]
