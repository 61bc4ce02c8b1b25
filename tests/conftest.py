"""Fixtures that every test may use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import hypothesis
import numpy as np
import numpy.typing as npt
import pytest
import sklearn
import torch
from sklearn.linear_model import LogisticRegression

from spurbench.cards import DatasetCard
from spurbench.data import Examples, OwnFeatures
from spurbench.tasks import Prepared, Text

# Shared machines stall now and then; a test's time is not what is tested.
hypothesis.settings.register_profile("steady", deadline=None)
hypothesis.settings.load_profile("steady")
# As the harness does for heads: sums depend on how many threads share them. Workers share the cores anyway.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data beside the checkout; tests that need it are skipped where it is absent."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}")
    return folder


class ArraySource:
    """Features for a `Prepared`, from an array in memory."""

    def __init__(self, x: npt.NDArray[np.float32]) -> None:
        self.x = torch.from_numpy(x)

    def features(self, kind: str, rows: npt.NDArray[np.int64]) -> torch.Tensor:
        return self.x[torch.from_numpy(rows)].clone()

    def images(self, rows: npt.NDArray[np.int64]) -> object:
        raise AssertionError("no images here")


@pytest.fixture(scope="session")
def array_source() -> type[ArraySource]:
    """The class, for tests that have features of their own."""
    return ArraySource


class Liblinear(LogisticRegression):  # type: ignore[misc]
    """scikit-learn's L1 regression by liblinear; how to ask for it changed in its version 1.8."""

    def __init__(self, C: float = 1.0, tol: float = 1e-4, max_iter: int = 5000) -> None:
        new = tuple(int(part) for part in sklearn.__version__.split(".")[:2]) >= (1, 8)
        penalty = {"l1_ratio": 1.0} if new else {"penalty": "l1"}
        super().__init__(C=C, tol=tol, max_iter=max_iter, solver="liblinear", random_state=0, **penalty)


@pytest.fixture(scope="session")
def liblinear() -> type[Liblinear]:
    """The class of DFR's published recipe."""
    return Liblinear


MakePrepared = Callable[..., Prepared]


@pytest.fixture
def make_prepared() -> MakePrepared:
    """Build a small `Prepared`: K classes, A attributes, features that carry both, group sizes as given."""

    def make(
        train: tuple[int, ...] = (60, 12, 8, 40),
        val: tuple[int, ...] = (30, 24, 20, 26),
        test: tuple[int, ...] = (40, 30, 35, 25),
        n_attributes: int = 2,
        d: int = 6,
        seed: int = 0,
    ) -> Prepared:
        n_classes = len(train) // n_attributes
        rng = np.random.default_rng(seed)
        sizes = np.concatenate([train, val, test])
        group = np.concatenate([np.repeat(np.arange(len(part)), part) for part in (train, val, test)])
        split = np.repeat([0, 1, 2], [sum(train), sum(val), sum(test)])
        order = rng.permutation(int(sizes.sum()))
        group, split = group[order].astype(np.int64), split[order].astype(np.int64)
        y, a = group // n_attributes, group % n_attributes
        x = rng.normal(size=(len(y), d)).astype(np.float32)
        x[:, 0] += 1.2 * y
        x[:, 1] += 2.0 * a
        text = np.zeros((n_classes, d), np.float32)
        text[:, 0] = np.arange(n_classes)
        text[:, 2] = 1.0
        own = OwnFeatures("toy", x, text)
        examples = Examples([f"e{i}" for i in range(len(y))], y, a, split, n_classes, n_attributes, features=own)
        card = DatasetCard(
            name="toy",
            title="toy",
            classes=tuple(f"c{k}" for k in range(n_classes)),
            attributes=tuple(f"a{k}" for k in range(n_attributes)),
            licence="none",
            own_features=True,
        )
        unit = torch.nn.functional.normalize(torch.from_numpy(text), dim=-1)
        return Prepared(
            card, examples, ArraySource(x), Text(unit, None, 100.0, None), ("toy", "own"), torch.device("cpu")
        )

    return make
