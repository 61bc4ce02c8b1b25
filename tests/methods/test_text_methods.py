"""The methods that work on text, on rendered photos and a small CLIP that has learned their shortcut."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

from spurbench.backbones import Setting
from spurbench.cards import SPLITS
from spurbench.data import Examples, Photos
from spurbench.evaluation import Prepared, evaluate
from spurbench.features import FeatureStore
from spurbench.files import HashCache
from spurbench.method import Method
from spurbench.rules import load_rules
from spurbench.texts import text_of
from spurbench.workbench import LazyTower
from spurbench_datasets.menagerie.backbones import MenagerieRN
from spurbench_datasets.menagerie.worlds import MenagerieBirds
from spurbench_methods.group_prompt import GroupPrompt
from spurbench_methods.orth import OrthCal, OrthProj
from spurbench_methods.perception_clip import PerceptionCLIP
from spurbench_methods.roboshot import RoboShot
from spurbench_methods.zero_shot import ZeroShot

if TYPE_CHECKING:
    from conftest import ArraySource

RULES = load_rules("v1")
PER_GROUP = {"train": 1, "val": 25, "test": 100}


class Some:
    """A few of the photos."""

    def __init__(self, photos: Photos, rows: Sequence[int]) -> None:
        self.photos, self.rows, self.at_once = photos, rows, photos.at_once

    def __len__(self) -> int:
        return len(self.rows)

    def open(self, rows: Sequence[int]) -> list[Image.Image]:
        return self.photos.open([self.rows[row] for row in rows])

    def fingerprint(self, ids: Sequence[str], hashes: HashCache) -> str:
        return "some"


@pytest.fixture(scope="module")
def birds(tmp_path_factory: pytest.TempPathFactory, array_source: type[ArraySource]) -> Prepared:
    cache = tmp_path_factory.mktemp("cache")
    data = MenagerieBirds()
    full = data.load(Path("unused"))
    rows = np.concatenate(
        [full.rows(s)[full.groups[full.rows(s)] == g][: PER_GROUP[s]] for s in SPLITS for g in range(4)]
    )
    assert full.photos is not None
    photos = Some(full.photos, rows.tolist())
    columns = (column[rows] for column in (full.y, full.a, full.split))
    examples = Examples([full.ids[row] for row in rows], *columns, 2, 2, photos)
    backbone = MenagerieRN().resolve(Setting(cache))
    tower, store = LazyTower(backbone, "cpu"), FeatureStore(cache)
    found, _ = store.images("some", backbone, tower, photos, ["embeddings"], "test", "cpu", lambda done, total: None)
    text = text_of(data.card, RULES, store, backbone, tower)
    source = array_source(found["embeddings"].float().numpy())
    return Prepared(data.card, examples, source, text, ("some", backbone.fingerprint), torch.device("cpu"))


def groups(method: Method, birds: Prepared) -> np.ndarray:
    [(result, _)] = evaluate(method, birds, RULES, [0])
    assert not [candidate.error for candidate in result.candidates if candidate.error]
    return np.array(result.selected["worst_group"].test) / np.array(result.test_total)


@pytest.mark.parametrize("method", [GroupPrompt(), PerceptionCLIP(), OrthProj(), OrthCal(), RoboShot()])
def test_they_run_and_the_worst_group_is_not_worse_than_zero_shots(method: Method, birds: Prepared) -> None:
    before, after = groups(ZeroShot(), birds), groups(method, birds)
    assert before.min() < 0.8, "there is a shortcut to mend"
    assert after.min() > before.min() - 0.02
    assert after.mean() > 0.75


def test_what_is_told_of_places_takes_away_what_places_tell(birds: Prepared) -> None:
    """The gap between the same birds at home and away shrinks where the attribute is projected away or rejected."""

    def gap(found: np.ndarray) -> float:
        return float(abs(found[0] - found[1]) + abs(found[3] - found[2]))

    before = gap(groups(ZeroShot(), birds))
    for method in (OrthProj(), OrthCal(), RoboShot()):
        assert gap(groups(method, birds)) < 0.75 * before
