"""Placebo: directions counted one by one, the shares of words beside them, and what they find where nothing is."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.metrics import mutual_info_score

from spurbench.seeds import Seed
from spurbench.suspects import placebo as module
from spurbench.suspects.placebo import DIRECTIONS, Placebo, placebo
from spurbench.suspects.presence import presence
from spurbench.suspects.separation import Separation, information, separate

SEED = Seed(("test", 0))
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Photos = tuple[Floats, Bools, Ints]


def unit(rng: np.random.Generator, *shape: int) -> Floats:
    x = rng.standard_normal(shape)
    return np.asarray(x / np.linalg.norm(x, axis=-1, keepdims=True))


def photos(seed: int, strength: float, n: int = 160, d: int = 6) -> Photos:
    """The model errs by the first coordinate of the embedding, the more so the larger the strength."""
    rng = np.random.default_rng(seed)
    embeddings = unit(rng, n, d)
    right = strength * embeddings[:, 0] + rng.normal(0, 0.4, n) < 0.3
    return embeddings, right, rng.integers(0, 2, n)


def compared(some: Photos, words: Floats, directions: int = 99) -> tuple[Separation, Placebo]:
    embeddings, right, y = some
    shown = presence(embeddings @ words.T, y, 2)
    found = separate(shown.present, right, y, 2, SEED, min_photos=5, permutations=199)
    return found, placebo(embeddings, right, y, 2, found, SEED, min_photos=5, directions=directions)


def drawn(directions: int, d: int) -> Floats:
    """What is drawn, again."""
    x = SEED.derive("directions").numpy().standard_normal((directions, d))
    return np.asarray(x / np.sqrt((x * x).sum(axis=1))[:, None])


def test_directions_are_asked_exactly_as_words_are() -> None:
    some = photos(0, 1.0)
    embeddings, right, y = some
    found, beside = compared(some, np.eye(6)[:3])
    shown = presence(embeddings @ drawn(99, 6).T, y, 2).present
    for b in range(99):
        told = 0.0
        for k in range(2):
            there, hit = shown[y == k, b], right[y == k]
            if min(int(there.sum()), int((~there).sum())) >= 5:
                told += len(hit) / len(y) * mutual_info_score(there, hit)
        assert beside.information[b] == pytest.approx(told, abs=1e-12)
        reached = sum(largest >= told - 1e-9 for largest in found.largest.tolist())
        assert beside.p_value[b] == (1 + reached) / 200
    for w in range(3):
        as_much = sum(told >= found.information[w] - 1e-9 for told in beside.information.tolist())
        assert beside.of_words[w] == (1 + as_much) / 100


def test_a_direction_that_is_a_word_has_the_word_s_information_and_p_value() -> None:
    some = photos(1, 1.0)
    found, beside = compared(some, drawn(99, 6)[:5])
    assert np.allclose(beside.information[:5], found.information, atol=1e-12)
    assert np.array_equal(beside.p_value[:5], found.p_value)


def test_how_many_are_asked_at_once_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = compared(photos(2, 1.0), np.eye(6), 50)[1]
    monkeypatch.setattr(module, "BLOCK", 7)
    parts = compared(photos(2, 1.0), np.eye(6), 50)[1]
    assert len(parts.information) == 50
    assert np.allclose(parts.information, whole.information, atol=1e-12)
    assert np.allclose(parts.of_words, whole.of_words)


def test_where_errors_hang_on_one_direction_it_beats_the_others_which_survive_the_permutations_as_well() -> None:
    found, beside = compared(photos(3, 3.0, n=600), np.eye(6), DIRECTIONS)
    assert found.p_value[0] == 1 / 200
    assert beside.of_words[0] <= 0.01
    assert (beside.p_value <= 0.05).mean() > 0.4, "a small p-value alone means little"
    assert (beside.of_words[1:] > 0.05).all(), "what has no part along it is no better than chance"


def test_where_errors_hang_on_nothing_hardly_a_direction_survives() -> None:
    beside = [compared(photos(seed, 0.0), unit(np.random.default_rng(seed), 30, 6))[1] for seed in range(8)]
    assert np.mean([(some.p_value <= 0.05).mean() for some in beside]) < 0.02
    # A word is then as good as any direction: shares are spread over all of 0 to 1.
    shares = np.concatenate([some.of_words for some in beside])
    assert 0.35 < shares.mean() < 0.65


def test_words_none_of_which_can_be_asked_tell_nothing() -> None:
    embeddings, right, y = photos(4, 1.0)
    told = information(presence(embeddings, y, 2).present, right, y, 2, min_photos=1000)
    assert not told.any()
