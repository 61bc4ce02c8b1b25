"""Orth-Proj and Orth-Cal: what a projection must be, and the formula with its inverse written out."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spurbench.errors import ConfigurationError
from spurbench.evaluation import evaluate
from spurbench.heads import UnitLinearHead
from spurbench.rules import load_rules
from spurbench.seeds import Seed
from spurbench.tasks import Prepared, make_task, train_view
from spurbench.texts import own_text
from spurbench_datasets.gaussians import CORE, SPURIOUS, Gaussians
from spurbench_methods.orth import OrthCal, OrthProj, calibrated, projection
from spurbench_methods.spans import span_basis

if TYPE_CHECKING:
    from conftest import ArraySource, World


def texts(m: int, d: int, seed: int) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(m, d))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@given(st.integers(1, 9), st.integers(10, 40), st.integers(0, 10**6))
def test_p0_is_the_projection_that_annihilates_the_texts(m: int, d: int, seed: int) -> None:
    rows = texts(m, d, seed)
    p0 = projection(rows)
    np.testing.assert_allclose(p0 @ rows.T, 0, atol=1e-12)
    np.testing.assert_allclose(p0 @ p0, p0, atol=1e-12)
    np.testing.assert_array_equal(p0, p0.T)
    assert np.trace(p0) == pytest.approx(d - m)


@given(st.integers(2, 6), st.integers(0, 10**6))
def test_texts_that_depend_on_others_up_to_rounding_add_no_direction(m: int, seed: int) -> None:
    rows = texts(m, 30, seed)
    more = np.concatenate([rows, rows[:1], (rows[:1] + rows[1:2]) / 2]).astype(np.float32).astype(np.float64)
    assert len(span_basis(more)) == m
    np.testing.assert_allclose(projection(more), projection(rows), atol=1e-4)
    assert span_basis(np.zeros((0, 5))).shape == (0, 5)
    assert span_basis(np.zeros((2, 5))).shape == (0, 5)


@given(st.floats(0.1, 1e5), st.integers(0, 10**6))
def test_orth_cal_is_the_formula_with_its_inverse(strength: float, seed: int) -> None:
    scenes, ends = texts(4, 16, seed), texts(10, 16, seed + 1).reshape(5, 2, 16)
    total = np.zeros((16, 16))
    for one, other in ends:
        total += np.outer(one - other, one - other)
    expected = projection(scenes) @ np.linalg.inv(np.eye(16) + strength / 5 * total)
    np.testing.assert_allclose(calibrated(projection(scenes), ends, strength), expected, atol=1e-9)


def test_calibration_draws_pairs_together_the_more_the_larger_lambda_is() -> None:
    scenes, ends = texts(3, 16, 0), texts(8, 16, 1).reshape(4, 2, 16)
    p0 = projection(scenes)
    left = [
        np.linalg.norm((ends[:, 0] - ends[:, 1]) @ calibrated(p0, ends, strength).T, axis=1)
        for strength in (1e-9, 1.0, 100.0, 1e4)
    ]
    np.testing.assert_allclose(left[0], np.linalg.norm((ends[:, 0] - ends[:, 1]) @ p0, axis=1), atol=1e-6)
    assert all((strong**2).sum() < (weak**2).sum() for weak, strong in pairwise(left))
    assert left[-1].max() < 1e-2


def test_class_vectors_move_and_images_do_not(world: World) -> None:
    text = world.attribute_text
    scenes = np.stack([world.unit(world.embed(scene)) for scene in text.scenes])
    p0 = projection(scenes)
    expected = world.scale * world.x @ world.unit(world.class_vectors @ p0.T).T
    np.testing.assert_allclose(world.logits(OrthProj()), expected, atol=1e-3)

    pairs = []
    for name in world.classes:
        ends = [world.noun(f"{name} {phrase}") for phrase in text.pairs]
        pairs += [(ends[i], ends[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    total = sum(np.outer(one - other, one - other) for one, other in pairs)
    matrix = p0 @ np.linalg.inv(np.eye(len(p0)) + 500.0 / len(pairs) * total)
    expected = world.scale * world.x @ world.unit(world.class_vectors @ matrix.T).T
    np.testing.assert_allclose(world.logits(OrthCal(), **{"lambda": 500.0}), expected, atol=1e-3)
    assert OrthCal.space["lambda"].first == 1000.0


def test_without_scenes_the_attribute_prompts_take_their_place(world: World) -> None:
    told = world.telling(replace(world.attribute_text, scenes=()))
    assert told.prepared.text is not None
    assert told.prepared.text.attribute_vectors is not None
    p0 = projection(told.prepared.text.attribute_vectors.double().numpy())
    expected = world.scale * world.x @ world.unit(world.class_vectors @ p0.T).T
    np.testing.assert_allclose(told.logits(OrthProj()), expected, atol=1e-3)


def test_a_class_whose_text_the_scenes_span_is_an_error_not_a_random_direction(world: World) -> None:
    scenes = tuple(f"scene {i}" for i in range(24))
    with pytest.raises(ConfigurationError, match="nothing is left of the text of class"):
        world.telling(replace(world.attribute_text, scenes=scenes)).predictor(OrthProj())


def test_on_gaussians_the_shortcut_is_taken_out_of_the_class_texts(array_source: type[ArraySource]) -> None:
    """Attribute vectors are (0.25, 1) and its opposite: one direction. What is left of (1, 1.125) is on (1, -0.25)."""
    data = Gaussians()
    examples = data.load(Path("unused"))
    assert examples.features is not None
    source = array_source(examples.features.embeddings)
    prepared = Prepared(data.card, examples, source, own_text(examples.features), ("g", "own"), torch.device("cpu"))
    (head,) = OrthProj().fit(
        make_task(OrthProj(), prepared, train_view(OrthProj(), prepared), examples.rows("val")[:0], Seed(("s",))), {}
    )
    assert isinstance(head, UnitLinearHead)
    difference = (head.weight[1] - head.weight[0]).numpy()
    assert difference[SPURIOUS] / difference[CORE] == pytest.approx(-0.25, abs=1e-5)
    [(result, _)] = evaluate(OrthProj(), prepared, load_rules("quick"), [0])
    worst = min(np.array(result.selected["worst_group"].test) / np.array(result.test_total))
    assert worst > 0.8
