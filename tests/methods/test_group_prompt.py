"""Group prompts against a loop over all prompts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from spurbench_methods.group_prompt import GroupPrompt
from spurbench_methods.zero_shot import ZeroShot

if TYPE_CHECKING:
    from conftest import World


def test_the_class_is_that_of_the_nearest_of_all_prompts(world: World) -> None:
    prompts = [world.noun(f"{name} {phrase}") for name in world.classes for phrase in world.attribute_text.values]
    logits = world.logits(GroupPrompt())
    for row, x in enumerate(world.x):
        cosines = [float(x @ prompt) for prompt in prompts]
        assert logits[row].argmax() == int(np.argmax(cosines)) // 2
        best = [max(cosines[2 * k : 2 * k + 2]) for k in range(2)]
        np.testing.assert_allclose(logits[row], world.scale * np.array(best), atol=1e-4)


def test_a_value_that_says_nothing_leaves_the_class_prompt(world: World) -> None:
    """Of `clean` and `with a sticker`, the first is zero-shot's own prompt: no score falls below zero-shot's."""
    told = world.telling(replace(world.attribute_text, values=("", "with a sticker")))
    alone, grouped = told.logits(ZeroShot()), told.logits(GroupPrompt())
    assert (grouped >= alone - 1e-4).all()
    assert np.isclose(grouped, alone, atol=1e-4).any()
    assert not np.isclose(grouped, alone, atol=1e-4).all()
