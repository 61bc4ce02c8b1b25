"""What was published of CounterAnimal's 45 classes, and how what is on disk compares.

Numbers of photos are the labels in Figure 3 of Wang et al. 2024 (arXiv 2403.11497). `n_easy_printed` is the label as it
is; `n_easy` differs for one class, prairie chicken, whose label says 25: every published accuracy of that group is a
number of photos out of 259.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cache

from spurbench.published import PublishedClass, packaged, read_classes

log = logging.getLogger("spurbench")

GROUPS = ("easy", "hard")
"""What version 1 of the paper, and the folders, call common and counter."""


@cache
def published_classes() -> Mapping[int, PublishedClass]:
    """The 45 classes by their ImageNet-1K index, ascending. Raises DataError."""
    return {one.imagenet_idx: one for one in read_classes(packaged(), "counteranimal")}


def compare_counts(counts: Mapping[int, tuple[int, int]]) -> None:
    """Compare with the published numbers of photos, and warn once if they are others.

    Nothing is refused: the paper itself prints a total that one of its own tables contradicts.

    Args:
        counts: easy and hard photos of each class, by its index.
    """
    published = published_classes()
    wrong = [
        f"class {index} {group}: {found} photos, {expected} published"
        for index in sorted(published)
        for group, found, expected in zip(GROUPS, counts.get(index, (0, 0)), published[index].counts, strict=True)
        if found != expected
    ]
    wrong += [f"class {index}: not one of the published" for index in sorted(counts) if index not in published]
    if not wrong:
        return
    easy, hard = (sum(pair[group] for pair in counts.values()) for group in range(2))
    printed = sum(one.n_easy_printed for one in published.values())
    likely, n_hard = (sum(one.counts[group] for one in published.values()) for group in range(2))
    shown = "; ".join(wrong[:5]) + (f"; and {len(wrong) - 5} more" if len(wrong) > 5 else "")
    log.warning(
        "CounterAnimal has %s easy and %s hard photos here, not those published, so results may differ: %s. "
        "The paper prints %s easy and %s hard; %s easy are likelier, because Figure 3 labels those of prairie chicken "
        "(83) with 25 where every published accuracy is out of 259",
        f"{easy:,}", f"{hard:,}", shown, f"{printed:,}", f"{n_hard:,}", f"{likely:,}",
    )  # fmt: skip
