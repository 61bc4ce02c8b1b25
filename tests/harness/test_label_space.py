"""Which classes an example is told apart from, and how prompts say them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import open_clip
import pytest
import torch
from numpy.typing import NDArray

from spurbench.cards import DatasetCard, MethodCard, PromptSet
from spurbench.data import Examples, View
from spurbench.errors import ConfigurationError, DataError
from spurbench.features import FeatureStore
from spurbench.files import HashCache
from spurbench.judge import Judge, Judged
from spurbench.method import Task
from spurbench.rules import load_rules
from spurbench.space import Config, Distribution
from spurbench.texts import text_of

from .test_texts import Fake, Loader

if TYPE_CHECKING:
    from conftest import MakePrepared


class Scores:
    """Logits that anyone can compute: fixed rows of a table, by the example's first feature."""

    card = MethodCard("scores", "Scores", "none")
    space: Mapping[str, Distribution] = MappingProxyType({})

    def fit(self, task: Task, config: Config) -> list[Scores]:
        return [self]

    def logits(self, view: View) -> torch.Tensor:
        x = view.embeddings()
        return x @ torch.from_numpy(np.random.default_rng(5).normal(size=(x.shape[1], 4))).float()


def classes(judged: list[Judged | ConfigurationError]) -> list[NDArray[np.int16]]:
    """The predicted classes of predictors that gave some."""
    return [some.classes for some in judged if isinstance(some, Judged)]


def test_the_most_likely_class_is_taken_among_the_candidates(make_prepared: MakePrepared) -> None:
    prepared = make_prepared(train=(9,) * 8, val=(9,) * 8, test=(30,) * 8)
    among = np.eye(4, dtype=bool)
    among[0, 1] = among[2, 3] = among[2, 0] = among[3, :] = True
    narrowed = replace(prepared, examples=replace(prepared.examples, candidates=among))
    rows = prepared.examples.rows("test")
    method = Scores()
    [found] = classes(Judge(method, narrowed).predict([method], rows, scored=True))
    view = View("test", rows, prepared.source, method="scores", inputs=("embeddings",), n_attributes=2)
    logits = method.logits(view).numpy()
    for row, predicted, scores in zip(rows, found, logits, strict=True):
        allowed = np.flatnonzero(among[prepared.examples.y[row]])
        assert predicted == allowed[scores[allowed].argmax()]
    assert (found[prepared.examples.y[rows] == 1] == 1).all()
    [everything] = classes(Judge(method, prepared).predict([method], rows))
    np.testing.assert_array_equal(everything, logits.argmax(axis=1))


def test_candidates_are_checked_and_part_of_the_data(make_prepared: MakePrepared) -> None:
    examples, card = make_prepared().examples, make_prepared().card
    for wrong in (np.ones((2, 3), bool), np.ones((2, 2), np.int64), np.zeros((2, 2), bool)):
        with pytest.raises(DataError, match=r"candidates must be \(2, 2\) bool, true on the diagonal"):
            replace(examples, candidates=wrong)

    def fingerprint(some: Examples) -> str:
        return some.fingerprint(card, HashCache(None))

    everything, itself = np.ones((2, 2), bool), np.eye(2, dtype=bool)
    prints = {fingerprint(replace(examples, candidates=among)) for among in (None, everything, itself)}
    assert len(prints) == 3


SETS = (
    PromptSet("own", ("a photo of a {}.",), class_names=("crane", "crane")),
    PromptSet("cleaned", ("a photo of a {}.",), open_clip_names="IMAGENET_CLASSNAMES"),
    PromptSet("card", ("a photo of a {}.",)),
)
CARD = DatasetCard("birds", "Birds", ("crane (134)", "crane (517)"), ("a",), "none", prompts=SETS, imagenet=(134, 517))


@pytest.mark.parametrize(
    ("prompts", "said"),
    [
        ("own", ["crane", "crane"]),
        ("cleaned", [open_clip.IMAGENET_CLASSNAMES[134], open_clip.IMAGENET_CLASSNAMES[517]]),
        ("card", ["crane (134)", "crane (517)"]),
    ],
)
def test_prompts_may_say_classes_in_their_own_way(tmp_path: Path, prompts: str, said: list[str]) -> None:
    rules = load_rules("v1").variant(None, prompts)
    text = text_of(CARD, rules, FeatureStore(tmp_path), Fake(), Loader())
    alone = replace(CARD, classes=("a", "b"), prompts=(PromptSet("x", ("a photo of a {}.",), class_names=tuple(said)),))
    expected = text_of(alone, load_rules("v1"), FeatureStore(tmp_path), Fake(), Loader())
    assert list(text.class_names) == said
    assert torch.equal(text.class_vectors, expected.class_vectors)
    by_hand = Loader().encode([f"a photo of a {name}." for name in said])
    torch.testing.assert_close(text.class_vectors, torch.nn.functional.normalize(by_hand, dim=-1))


def test_cards_with_names_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="needs one name per class"):
        replace(CARD, prompts=(PromptSet("own", ("{}",), class_names=("crane",)),))
    with pytest.raises(ValueError, match="needs the classes' ImageNet indices"):
        replace(CARD, imagenet=())
    with pytest.raises(ValueError, match="one ImageNet-1K index"):
        replace(CARD, imagenet=(3, 3))
    with pytest.raises(ValueError, match="one ImageNet-1K index"):
        replace(CARD, imagenet=(3, 1000))
    with pytest.raises(ValueError, match="give class names, as a tuple, or the name"):
        PromptSet("both", ("{}",), class_names=("a",), open_clip_names="X")
