"""LISA: who is mixed with whom, how much, and that it is trained on just that."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from spurbench.heads import LinearHead
from spurbench.method import Task
from spurbench.seeds import Seed
from spurbench.tasks import Prepared, make_task, train_view
from spurbench_methods.lisa_features import BATCH, EPOCHS, LISAFeatures, pairs

if TYPE_CHECKING:
    from conftest import MakePrepared


def task_of(prepared: Prepared, seed: int = 0) -> Task:
    method = LISAFeatures()
    return make_task(
        method, prepared, train_view(method, prepared), prepared.examples.rows("val")[:0], Seed(("lisa", seed))
    )


@pytest.mark.parametrize(
    ("sizes", "attributes"), [((60, 12, 8, 40), 2), ((9, 20, 5, 30, 8, 7), 2), ((9, 20, 5, 30, 8, 7, 6, 4, 3), 3)]
)
def test_a_batch_mixes_one_class_or_one_attribute_and_both_kinds_are_as_likely(
    make_prepared: MakePrepared, sizes: tuple[int, ...], attributes: int
) -> None:
    task = task_of(make_prepared(train=sizes, val=sizes, test=sizes, n_attributes=attributes))
    y, a = task.train.y, task.train.a
    kinds = []
    for first, second, share in islice(pairs(task), 400):
        assert first.shape == second.shape == share.shape == (BATCH,)
        within_class = (y[first] == y[second]) & (a[first] != a[second])
        within_attribute = (a[first] == a[second]) & (y[first] != y[second])
        # Every group is there, so everybody has a partner of either kind, and a batch is of one kind.
        assert bool(within_class.all()) != bool(within_attribute.all())
        kinds.append(bool(within_class.all()))
    # Half of 400 is 200, and 40 are four standard deviations.
    assert abs(sum(kinds) - 200) < 40


def test_shares_are_drawn_from_beta_2_2(make_prepared: MakePrepared) -> None:
    shares = torch.cat([share for _, _, share in islice(pairs(task_of(make_prepared())), 200)]).double()
    assert (shares > 0).all()
    assert (shares < 1).all()
    # Mean 1/2, variance 1/20, fourth central moment 3/560: n = 25,600 leaves errors of 0.0014 and 0.0004.
    assert shares.mean().item() == pytest.approx(0.5, abs=0.007)
    assert shares.var().item() == pytest.approx(0.05, abs=0.002)
    assert (shares - 0.5).pow(4).mean().item() == pytest.approx(3 / 560, abs=4e-4)


def test_rows_and_partners_are_uniform(make_prepared: MakePrepared) -> None:
    task = task_of(make_prepared(train=(4, 3, 2, 5)))
    y, a = task.train.y, task.train.a
    rows, partners = np.zeros(len(y)), np.zeros((len(y), len(y)))
    for first, second, _ in islice(pairs(task), 3000):
        np.add.at(rows, first.numpy(), 1)
        np.add.at(partners, (first.numpy(), second.numpy()), 1)
    np.testing.assert_allclose(rows / rows.sum(), 1 / len(y), rtol=0.03)
    for i in range(len(y)):
        for same, other in ((y, a), (a, y)):
            fitting = torch.nonzero((same == same[i]) & (other != other[i]))[:, 0].numpy()
            found = partners[i][fitting]
            np.testing.assert_allclose(found / found.sum(), 1 / len(fitting), rtol=0.06)
    assert partners.trace() == 0


def test_an_example_without_a_partner_stays_itself(make_prepared: MakePrepared) -> None:
    """Class 1 occurs with attribute 1 alone, and attribute 0 with class 0 alone."""
    task = task_of(make_prepared(train=(10, 6, 0, 8)))
    y, a = task.train.y, task.train.a
    kept = {True: 0, False: 0}
    for first, second, _ in islice(pairs(task), 50):
        alone = first == second
        within_class = bool(((y[first] == y[second]) & (a[first] != a[second])).any())
        expected = y[first] == 1 if within_class else a[first] == 0
        assert torch.equal(alone, expected)
        kept[within_class] += int(alone.sum())
    assert min(kept.values()) > 100


def test_seeds_mix_differently_and_the_same_seed_alike(make_prepared: MakePrepared) -> None:
    prepared = make_prepared()
    runs = [next(iter(pairs(task_of(prepared, seed)))) for seed in (0, 1, 0)]
    assert all(torch.equal(one, other) for one, other in zip(runs[0], runs[2], strict=True))
    assert not any(torch.equal(one, other) for one, other in zip(runs[0], runs[1], strict=True))


def test_a_fit_is_literal_sgd_on_mixed_features_and_mixed_labels(make_prepared: MakePrepared) -> None:
    prepared = make_prepared()
    task = task_of(prepared)
    snapshots = LISAFeatures().fit(task, {"lr": 0.05, "weight_decay": 0.1})
    assert len(snapshots) == len(EPOCHS)
    raw = task.train.embeddings().double()
    x, y = (raw - raw.mean(dim=0)) / raw.std(dim=0, correction=0), task.train.y
    layer = torch.nn.Linear(x.shape[1], 2).double()
    torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    optimiser = torch.optim.SGD(
        [{"params": [layer.weight], "weight_decay": 0.1}, {"params": [layer.bias]}], lr=0.05, momentum=0.9
    )
    for step, (first, second, share) in enumerate(islice(pairs(task), EPOCHS[-1]), 1):  # 120 examples: one batch
        share = share.double()
        z = layer(share[:, None] * x[first] + (1 - share)[:, None] * x[second])
        # Soft labels are the mixture of the two cross-entropies.
        losses = [torch.nn.functional.cross_entropy(z, y[part], reduction="none") for part in (first, second)]
        optimiser.zero_grad()
        (share * losses[0] + (1 - share) * losses[1]).mean().backward()
        optimiser.step()
        if step in EPOCHS:
            head = snapshots[EPOCHS.index(step)]
            assert isinstance(head, LinearHead)
            ours = raw @ head.weight.double().T + head.bias
            torch.testing.assert_close(ours, layer(x).detach(), atol=1e-4, rtol=1e-4)
