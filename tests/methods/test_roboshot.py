"""RoboShot against its steps, one after the other, in the paper's order."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from spurbench.attribute_text import Concepts
from spurbench.cards import Supervision
from spurbench.errors import ConfigurationError
from spurbench.evaluation import evaluate
from spurbench.rules import load_rules
from spurbench_methods.roboshot import MovedHead, RoboShot, movement

if TYPE_CHECKING:
    from conftest import World


def gram_schmidt(rows: list[np.ndarray]) -> list[np.ndarray]:
    """Orthonormal directions in the order of the rows; a row that depends on those before adds none."""
    basis: list[np.ndarray] = []
    for row in rows:
        left = row.copy()
        for _ in range(2):
            for u in basis:
                left -= (left @ u) * u
        if np.linalg.norm(left) > 1e-9:
            basis.append(left / np.linalg.norm(left))
    return basis


def literal(world: World, variant: str) -> tuple[np.ndarray, list[np.ndarray]]:
    """(n, d) moved images, and the rejected directions."""
    rejected, accepted = (
        gram_schmidt([world.unit(world.embed(one)) - world.unit(world.embed(other)) for one, other in pairs])
        for pairs in (world.concepts.reject, world.concepts.accept)
    )
    moved = []
    for row in world.x:
        x = row
        for u in rejected if variant != "accept" else []:
            x = x - (x @ u) * u
            x = x / np.linalg.norm(x)
        for u in accepted if variant != "reject" else []:
            x = x + (x @ u) * u
            x = x / np.linalg.norm(x)
        moved.append(x)
    return np.array(moved), rejected


@pytest.mark.parametrize("variant", ["both", "reject", "accept"])
def test_it_is_the_steps_one_after_the_other(world: World, variant: str) -> None:
    moved, _ = literal(world, variant)
    head = world.predictor(RoboShot(), variant=variant)
    assert isinstance(head, MovedHead)
    np.testing.assert_allclose(head.moved(torch.from_numpy(world.x).float()).numpy(), moved, atol=1e-5)
    expected = world.scale * moved @ world.class_vectors.T
    np.testing.assert_allclose(world.logits(RoboShot(), variant=variant), expected, atol=1e-3)


def test_nothing_is_left_along_what_is_rejected(world: World) -> None:
    _, rejected = literal(world, "reject")
    assert len(rejected) == 2, "a pair and the same pair turned round are one direction"
    head = world.predictor(RoboShot(), variant="reject")
    assert isinstance(head, MovedHead)
    moved = head.moved(torch.from_numpy(world.x).float()).double().numpy()
    np.testing.assert_allclose(moved @ np.array(rejected).T, 0, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(moved, axis=1), 1, atol=1e-6)


def test_rejecting_comes_before_accepting() -> None:
    """(5, 1) without (1, 0) is (0, 1), and gains (1/2, 1/2) along (1, 1); the other way round it ends on (0, 4)."""
    moved = movement(np.array([[1.0, 0.0]]), np.array([[1.0, 1.0]])) @ np.array([5.0, 1.0])
    np.testing.assert_allclose(moved, [0.5, 1.5])


def test_directions_count_by_their_span_not_by_length_order_or_repetition() -> None:
    rows = np.random.default_rng(0).normal(size=(4, 12))
    others = np.concatenate([3 * rows[::-1], rows[:1] - rows[1:2], rows[:2]])
    nothing = np.zeros((0, 12))
    for one, other in (((rows, nothing), (others, nothing)), ((nothing, rows), (nothing, others))):
        np.testing.assert_allclose(movement(*one), movement(*other), atol=1e-6)
    np.testing.assert_array_equal(movement(nothing, nothing), np.eye(12))


def test_a_variant_without_concepts_is_lost_and_both_makes_do_with_one(world: World) -> None:
    told = world.telling(world.attribute_text, Concepts(reject=world.concepts.reject))
    with pytest.raises(ConfigurationError, match="names no concepts to accept"):
        told.predictor(RoboShot(), variant="accept")
    one, other = (told.logits(RoboShot(), variant=variant) for variant in ("both", "reject"))
    np.testing.assert_array_equal(one, other)
    [(result, _)] = evaluate(RoboShot(), told.prepared, load_rules("v1"), [0])
    assert [bool(candidate.error) for candidate in result.candidates].count(True) == 1


def test_it_is_told_nothing_of_the_attribute(world: World) -> None:
    assert RoboShot.card.supervision == Supervision()
    task = world.task(RoboShot())
    assert task.text.attribute_text is None
    assert task.text.attribute_vectors is None
    silent = world.telling(replace(world.attribute_text, values=(), contexts=(), scenes=(), pairs=()))
    for variant in ("both", "reject", "accept"):
        np.testing.assert_array_equal(
            world.logits(RoboShot(), variant=variant), silent.logits(RoboShot(), variant=variant)
        )
