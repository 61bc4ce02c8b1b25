"""The model card that stands beside a backbone's weights, with numbers measured when they were made."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import jinja2

from spurbench.files import write_atomic

from .judging import JUDGED_PER_GROUP, PROMPT, judge
from .pretraining import Recipe
from .scenes import AS_USUAL

KNOBS = {
    "as rendered": AS_USUAL,
    "small animals (`size=(0.45, 0.6)`)": replace(AS_USUAL, size=(0.45, 0.6)),
    "large animals (`size=(0.95, 1.05)`)": replace(AS_USUAL, size=(0.95, 1.05)),
    "nothing in front (`occlusion=0`)": replace(AS_USUAL, occlusion=0.0),
    "always something in front (`occlusion=1`)": replace(AS_USUAL, occlusion=1.0),
    "coats near the ground's colour (`camouflage=0.6`)": replace(AS_USUAL, camouflage=0.6),
    "wilder colours (`colour=0.35`)": replace(AS_USUAL, colour=0.35),
    "dusk (`dim=0.85`)": replace(AS_USUAL, dim=0.85),
    "fog (`haze=0.9`)": replace(AS_USUAL, haze=0.9),
    "a bad sensor (`grain=80`)": replace(AS_USUAL, grain=80.0),
}
"""What the card shows: one knob turned at a time."""


TEMPLATE = Path(__file__).with_suffix(".md.jinja")


def write_card(recipe: Recipe, folder: Path, accuracies: dict[str, dict[str, float]]) -> None:
    """Write `README.md`.

    Args:
        accuracies: easy, hard and drop of each set of weights; the control's under `control`.
    """
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, autoescape=False)  # noqa: S701
    text = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        recipe=recipe,
        control=recipe.without_shortcut(),
        accuracies=accuracies,
        knobs={title: judge(folder, difficulty, JUDGED_PER_GROUP // 2) for title, difficulty in KNOBS.items()},
        prompt=PROMPT,
        per_group=JUDGED_PER_GROUP,
    )
    write_atomic(folder / "README.md", text.encode())
