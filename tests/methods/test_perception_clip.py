"""PerceptionCLIP against its equations, written out as loops over contexts and classes."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import pytest

from spurbench.evaluation import evaluate
from spurbench.rules import load_rules
from spurbench.tasks import view_of
from spurbench_methods.perception_clip import PerceptionCLIP, TwoStep
from spurbench_methods.zero_shot import ZeroShot

if TYPE_CHECKING:
    from conftest import World

Which = Literal["values", "all"]


def reference(world: World, contexts: Which, infer: str, t: float) -> np.ndarray:
    """(n, K) p(y|x)."""
    text = world.attribute_text
    phrases = text.values if contexts == "values" else text.contexts
    both = {(k, z): world.noun(f"{name} {z}".strip()) for k, name in enumerate(world.classes) for z in phrases}
    alone = {z: world.unit(world.embed(f"a photo of a bird {z}." if z else "a photo of a bird.")) for z in phrases}
    rows = []
    for x in world.x:
        f = {key: world.scale * float(x @ vector) for key, vector in both.items()}
        if infer == "with_y":
            weight = {z: sum(math.exp(f[k, z] / t) for k in range(2)) for z in phrases}
        else:
            weight = {z: math.exp(world.scale * float(x @ alone[z]) / t) for z in phrases}
        p_y = [0.0, 0.0]
        for z in phrases:
            p_z = weight[z] / sum(weight.values())
            for k in range(2):
                p_y[k] += p_z * math.exp(f[k, z]) / sum(math.exp(f[j, z]) for j in range(2))
        rows.append(p_y)
    return np.array(rows)


@pytest.mark.parametrize("t", [0.5, 1.0, 10.0])
@pytest.mark.parametrize("infer", ["with_y", "without_y"])
@pytest.mark.parametrize("contexts", ["values", "all"])
def test_probabilities_are_those_of_the_equations(world: World, contexts: Which, infer: str, t: float) -> None:
    found = np.exp(world.logits(PerceptionCLIP(), contexts=contexts, infer=infer, temperature=t).astype(np.float64))
    np.testing.assert_allclose(found, reference(world, contexts, infer, t), atol=1e-4)


@pytest.mark.parametrize("infer", ["with_y", "without_y"])
def test_probabilities_sum_to_one_however_sharp(world: World, infer: str) -> None:
    prepared = world.prepared
    assert prepared.text is not None
    sharp = type(world)(replace(prepared, text=replace(prepared.text, logit_scale=1e5)))
    found = sharp.logits(PerceptionCLIP(), contexts="all", infer=infer, temperature=0.5).astype(np.float64)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(np.exp(found).sum(axis=1), 1, atol=1e-5)


def test_one_context_alone_is_zero_shot(world: World) -> None:
    plain = world.logits(ZeroShot())
    class_vectors = world.task(ZeroShot()).text.classes()
    view = view_of(ZeroShot(), world.prepared, "evaluation", world.test_rows)
    for alone in (None, class_vectors[:1]):
        found = TwoStep(class_vectors[:, None], alone, world.scale, 3.0).logits(view).numpy()
        np.testing.assert_allclose(found, plain - np.logaddexp(plain[:, :1], plain[:, 1:]), atol=1e-4)


def test_where_one_set_of_contexts_is_given_both_names_mean_it(world: World) -> None:
    for left in ({"values": ()}, {"contexts": ()}):
        told = world.telling(replace(world.attribute_text, **left))
        one, other = (
            told.logits(PerceptionCLIP(), contexts=name, infer="with_y", temperature=1.0) for name in ("values", "all")
        )
        np.testing.assert_array_equal(one, other)


def test_the_first_configuration_is_the_released_codes_and_all_are_tried(world: World) -> None:
    [(result, _)] = evaluate(PerceptionCLIP(), world.prepared, load_rules("v1"), [0])
    assert result.configs[0] == {"contexts": "values", "infer": "with_y", "temperature": 1.0}
    assert len(result.candidates) == load_rules("v1").tracks["head"].configurations
    assert not any(candidate.error for candidate in result.candidates)
