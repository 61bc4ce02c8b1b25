"""The batched solvers against scikit-learn's tight optima and the optimality conditions written out."""

from __future__ import annotations

import warnings
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression
from torch.nn.functional import cross_entropy, softplus

from spurbench.errors import MethodError
from spurbench.parallel import Map, cores, workers
from spurbench.solvers import Design, Solution, solve_logistic

Penalty = Literal["l1", "l2"]
CS = (1.0, 0.1, 0.01)


def blobs(n: int, d: int, k: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(k), rng.integers(k, size=n - k)])
    return torch.from_numpy(rng.normal(size=(n, d)) + 1.2 * np.eye(k, d)[y]), torch.from_numpy(y)


def objective(
    weight: torch.Tensor, bias: torch.Tensor, x: torch.Tensor, y: torch.Tensor, v: torch.Tensor, c: float, p: Penalty
) -> float:
    """What is minimised, in float64, of heads (K, d) and (K,)."""
    weight, bias = weight.double(), bias.double()
    z = x.double() @ weight.T + bias
    if p == "l2":
        square = (weight[1] - weight[0]).square().sum() if len(bias) == 2 else weight.square().sum()
        return float(square / 2 + c * (v * cross_entropy(z, y, reduction="none")).sum())
    if len(bias) == 2:
        w, b, z, t = (weight[1:] - weight[:1], bias[1:] - bias[:1], z[:, 1:] - z[:, :1], (y == 1)[:, None])
    else:
        w, b, t = weight, bias, y[:, None] == torch.arange(len(bias))
    return float(w.abs().sum() + b.abs().sum() + c * (v[:, None] * softplus(torch.where(t, -z, z))).sum())


def scikit_learn(
    x: torch.Tensor, y: torch.Tensor, k: int, v: torch.Tensor, c: float, penalty: Penalty, liblinear: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    """Heads (K, d) and (K,) at a tight tolerance."""
    if penalty == "l2":
        fit = LogisticRegression(C=c, tol=1e-10, max_iter=20000).fit(x.numpy(), y.numpy(), v.numpy())
        w, b = torch.from_numpy(fit.coef_), torch.from_numpy(fit.intercept_)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fits = [
                liblinear(C=c, tol=1e-7, max_iter=3000)
                .fit(x.numpy(), (y == i).numpy(), v.numpy())
                for i in ([1] if k == 2 else range(k))
            ]  # fmt: skip
        w = torch.from_numpy(np.concatenate([fit.coef_ for fit in fits]))
        b = torch.from_numpy(np.concatenate([fit.intercept_ for fit in fits]))
    return (torch.cat([-w, w]) / 2, torch.cat([-b, b]) / 2) if len(w) == 1 else (w, b)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("k", [2, 12])
@pytest.mark.parametrize("penalty", ["l1", "l2"])
def test_the_objective_is_scikit_learns_optimum(
    penalty: Penalty, k: int, weighted: bool, dtype: torch.dtype, liblinear: Any
) -> None:
    x, y = blobs(300, 40, k)
    v = torch.from_numpy(np.random.default_rng(1).uniform(0.2, 3, size=300)) if weighted else torch.ones(300).double()
    design = Design(torch.tensor(CS), weight=v if weighted else None)
    (found,) = solve_logistic(x.to(dtype), y, k, [design], penalty=penalty)
    assert found.converged.all()
    assert found.weight.shape == (3, k, 40)
    assert found.weight.dtype == dtype
    for i, c in enumerate(CS):
        weight, bias = scikit_learn(x, y, k, v, c, penalty, liblinear)
        best = objective(weight, bias, x, y, v, c, penalty)
        ours = objective(found.weight[i], found.bias[i], x, y, v, c, penalty)
        assert ours <= best * (1 + 1e-6)
        same = (x @ weight.T + bias).argmax(1) == (x @ found.weight[i].double().T + found.bias[i].double()).argmax(1)
        assert same.double().mean() >= 0.99


def test_l2_has_no_gradient_left_and_is_where_scipy_ends() -> None:
    x, y = blobs(120, 10, 2, seed=3)
    (found,) = solve_logistic(x, y, 2, [Design(torch.tensor([0.5]))], penalty="l2", tolerance=1e-16)
    sign = 2 * y.double() - 1

    def value(theta: np.ndarray) -> tuple[float, np.ndarray]:
        w = torch.from_numpy(theta).requires_grad_()
        f = w[:-1].square().sum() / 2 + 0.5 * softplus(-sign * (x @ w[:-1] + w[-1])).sum()
        f.backward()  # type: ignore[no-untyped-call]
        return float(f.detach()), w.grad.numpy()  # type: ignore[union-attr]

    ours = torch.cat([found.weight[0, 1] - found.weight[0, 0], found.bias[0, 1:] - found.bias[0, :1]]).numpy()
    assert np.abs(value(ours)[1]).max() < 1e-6
    scipys = minimize(value, np.zeros(11), jac=True, method="BFGS", options={"gtol": 1e-9}).x
    np.testing.assert_allclose(ours, scipys, atol=1e-6)


@pytest.mark.parametrize("n", [60, 400])
def test_l1_meets_the_subgradient_conditions(n: int) -> None:
    """Each coefficient, and the intercept, has slope -sign(w) where it is not zero and at most 1 where it is."""
    x, y = blobs(n, 90, 2, seed=5)
    (found,) = solve_logistic(x, y, 2, [Design(torch.tensor(CS).double())], penalty="l1", tolerance=1e-12)
    assert found.converged.all()
    for i, c in enumerate(CS):
        w = torch.cat([found.weight[i, 1] - found.weight[i, 0], found.bias[i, 1:] - found.bias[i, :1]])
        x1 = torch.cat([x, torch.ones(n, 1).double()], 1)
        g = c * x1.T @ (torch.sigmoid(x1 @ w) - y)
        assert (g.abs() <= 1 + 1e-5).all()
        torch.testing.assert_close(g[w != 0], -w[w != 0].sign(), atol=1e-5, rtol=0)
    assert (found.weight[-1] == 0).any()


def both(solution: Solution) -> torch.Tensor:
    return torch.cat([solution.weight, solution.bias[..., None]], -1)


@pytest.mark.parametrize("k", [2, 5])
def test_l2_results_are_bitwise_the_same_in_any_company(k: int) -> None:
    x, y = blobs(700, 50, k)
    x = x.float()
    c = torch.tensor(np.geomspace(3, 0.003, 21), dtype=torch.float32)
    rows = torch.arange(650)
    designs = [Design(c), Design(c[:2], rows=rows), Design(c[3:4], weight=torch.ones(700))]
    together = solve_logistic(x, y, k, designs, penalty="l2", threads=2)
    (small,) = solve_logistic(x, y, k, designs[:1], penalty="l2", threads=1, memory_limit=2**20)
    assert torch.equal(both(together[0]), both(small))
    for i in (0, 7, 20):
        (alone,) = solve_logistic(x, y, k, [Design(c[i : i + 1])], penalty="l2", threads=1)
        assert torch.equal(both(together[0])[i], both(alone)[0])
    (other,) = solve_logistic(x, y, k, designs[1:2], penalty="l2", threads=2)
    assert torch.equal(both(together[1]), both(other))


@pytest.mark.parametrize(("n", "d"), [(300, 80), (200, 500), (3000, 300), (700, 900)])
def test_l2_bits_are_the_same_where_rows_are_taken_as_they_are(n: int, d: int) -> None:
    x, y = blobs(n, d, 2, seed=4)
    x = x.float()
    y = torch.where(torch.rand(n, generator=torch.Generator().manual_seed(0)) < 0.1, 1 - y, y)
    c = torch.tensor(np.geomspace(100, 0.001, 37), dtype=torch.float32)
    (together,) = solve_logistic(x, y, 2, [Design(c)], penalty="l2", threads=2)
    assert together.converged.all()
    for i in (0, 3, 18, 36):
        (alone,) = solve_logistic(x, y, 2, [Design(c[i : i + 1])], penalty="l2", threads=1)
        assert torch.equal(both(together)[i], both(alone)[0])


@pytest.mark.parametrize("k", [2, 3])
def test_l1_results_agree_to_the_tolerance_in_any_company(k: int) -> None:
    x, y = blobs(200, 150, k)
    c = torch.tensor([1.0, 0.7, 0.3, 0.1, 0.03]).double()
    designs = [Design(c, rows=torch.randperm(200, generator=torch.Generator().manual_seed(i))[:150]) for i in range(5)]
    together = solve_logistic(x, y, k, designs, penalty="l1", threads=2, tolerance=1e-12)
    for i, design in enumerate(designs):
        (alone,) = solve_logistic(x, y, k, [design], penalty="l1", threads=1, tolerance=1e-12, memory_limit=2**20)
        torch.testing.assert_close(both(together[i]), both(alone), atol=1e-5, rtol=0)


@settings(max_examples=15)
@given(st.integers(0, 10**6), st.sampled_from(["l1", "l2"]), st.integers(2, 4))
def test_weights_are_repetitions_and_order_does_not_matter(seed: int, penalty: Penalty, k: int) -> None:
    x, y = blobs(40, 6, k, seed)
    generator = torch.Generator().manual_seed(seed)
    times = torch.randint(0, 4, (40,), generator=generator)
    times[:k] = 1
    c = torch.tensor([0.7, 0.05]).double()
    repeated = torch.repeat_interleave(torch.arange(40), times)
    shuffled = repeated[torch.randperm(len(repeated), generator=generator)]
    designs = [Design(c, weight=times), Design(c, rows=repeated), Design(c.flip(0), rows=shuffled)]
    one, two, three = solve_logistic(x, y, k, designs, penalty=penalty, tolerance=1e-12)
    torch.testing.assert_close(both(one), both(two), atol=1e-4, rtol=0)
    torch.testing.assert_close(both(one), both(three).flip(0), atol=1e-4, rtol=0)


@pytest.mark.parametrize("penalty", ["l1", "l2"])
def test_a_number_that_is_not_finite_harms_only_its_own_problem(penalty: Penalty) -> None:
    x, y = blobs(80, 20, 2)
    weight = torch.ones(80, 3).double()
    weight[5, 1] = torch.nan
    (found,) = solve_logistic(x, y, 2, [Design(torch.ones(3), weight=weight)], penalty=penalty)
    assert found.converged.tolist() == [True, False, True]
    assert torch.isinf(found.optimality[1])
    (clean,) = solve_logistic(x, y, 2, [Design(torch.ones(3), weight=torch.ones(80, 3))], penalty=penalty)
    if penalty == "l2":
        assert torch.equal(both(found)[[0, 2]], both(clean)[[0, 2]])
    # Problems with the same weights share a path, which these two do not in the first call.
    torch.testing.assert_close(both(found)[[0, 2]], both(clean)[[0, 2]], atol=1e-5, rtol=1e-4)
    x[70] = torch.inf
    good, bad = solve_logistic(
        x, y, 2, [Design(torch.ones(2), rows=torch.arange(i, i + 60)) for i in (0, 20)], penalty=penalty
    )
    assert good.converged.all()
    assert not bad.converged.any()


@pytest.mark.parametrize("penalty", ["l1", "l2"])
def test_stopping_early_is_told(penalty: Penalty) -> None:
    x, y = blobs(200, 60, 2)
    (found,) = solve_logistic(x, y, 2, [Design(torch.tensor([100.0, 1e-9]))], penalty=penalty, max_iterations=1)
    assert not found.converged[0]
    assert found.iterations[0] == 1
    assert found.optimality[0] > 1e-6


@pytest.mark.parametrize("penalty", ["l1", "l2"])
def test_a_class_without_examples_or_weight_is_an_error(penalty: Penalty) -> None:
    x, y = blobs(50, 4, 2)
    with pytest.raises(MethodError, match=r"only \[0, 1\] of 3 occur"):
        solve_logistic(x, y, 3, [Design(torch.ones(1))], penalty=penalty)
    with pytest.raises(MethodError, match=r"only \[1\] of 2 occur"):
        solve_logistic(x, y, 2, [Design(torch.ones(1), weight=y.double())], penalty=penalty)
    with pytest.raises(MethodError, match=r"only \[0\] of 2 occur"):
        solve_logistic(x, y, 2, [Design(torch.ones(1), rows=torch.nonzero(y == 0)[:, 0])], penalty=penalty)


def test_designs_that_make_no_sense_are_errors() -> None:
    x, y = blobs(50, 4, 2)
    with pytest.raises(MethodError, match="positive"):
        solve_logistic(x, y, 2, [Design(torch.tensor([-1.0]))], penalty="l2")
    with pytest.raises(MethodError, match="do not fit 50 rows, 1 problems"):
        solve_logistic(x, y, 2, [Design(torch.ones(1), weight=torch.ones(49))], penalty="l2")
    with pytest.raises(MethodError, match="negative"):
        solve_logistic(x, y, 2, [Design(torch.ones(1), weight=-torch.ones(50))], penalty="l2")


def test_torch_keeps_its_threads() -> None:
    x, y = blobs(50, 4, 2)
    before = torch.get_num_threads()
    solve_logistic(x, y, 2, [Design(torch.ones(1))] * 3, penalty="l1", threads=2)
    assert torch.get_num_threads() == before


def test_all_the_cores_allowed_are_used_whatever_torch_is_set_to(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def counted(threads: int) -> AbstractContextManager[Map]:
        asked.append(threads)
        return workers(threads)

    monkeypatch.setattr("spurbench.solvers.solve.cores", lambda: 3)
    monkeypatch.setattr("spurbench.solvers.solve.workers", counted)
    x, y = blobs(50, 4, 2)
    solve_logistic(x, y, 2, [Design(torch.ones(1))], penalty="l2")
    assert asked == [3]
    assert cores() >= 1


@pytest.mark.parametrize("shape", [(700, 1200), (700, 60), (2000, 1600), (520, 600)])
def test_l2_shapes_with_and_without_spectrum_reach_the_optimum(shape: tuple[int, int], liblinear: Any) -> None:
    """More features than rows, fewer, too many for eigenvectors, and more rows than a Newton step takes."""
    x, y = blobs(*shape, 2, seed=2)
    c = torch.tensor([3.0, 0.01]).double()
    (found,) = solve_logistic(x, y, 2, [Design(c)], penalty="l2")
    assert found.converged.all()
    for i in range(2):
        weight, bias = scikit_learn(x, y, 2, torch.ones(len(y)).double(), float(c[i]), "l2", liblinear)
        best = objective(weight, bias, x, y, torch.ones(len(y)), float(c[i]), "l2")
        assert objective(found.weight[i], found.bias[i], x, y, torch.ones(len(y)), float(c[i]), "l2") <= best * 1.000001


@pytest.mark.slow
@pytest.mark.parametrize("k", [2, 12])
@pytest.mark.parametrize("penalty", ["l1", "l2"])
def test_real_features(shared_data: Path, penalty: Penalty, k: int, liblinear: Any) -> None:
    with np.load(shared_data / "waterbirds_mobilenet_v1.npz") as file:
        x, y, split = (torch.from_numpy(file[name].astype(np.int64)) for name in ("x", "y", "split"))
    x = x.double()
    scale = x[split == 0].std(0)
    x = (x - x[split == 0].mean(0)) / torch.where(scale > 0, scale, 1)
    if k > 2:
        generator = torch.Generator().manual_seed(0)
        teacher = torch.randn(1024, k, dtype=x.dtype, generator=generator)
        y = (x @ teacher + 20 * torch.randn(len(x), k, dtype=x.dtype, generator=generator)).argmax(1)
    train, test = x[split == 0], x[split == 2]
    rows = torch.arange(600 if penalty == "l1" else 2400)
    cs = (0.3, 0.01) if k == 2 else (0.03,)
    (found,) = solve_logistic(train.float(), y[split == 0], k, [Design(torch.tensor(cs), rows)], penalty=penalty)
    assert found.converged.all()
    ones = torch.ones(len(rows)).double()
    for i, c in enumerate(cs):
        weight, bias = scikit_learn(train[rows], y[split == 0][rows], k, ones, c, penalty, liblinear)
        best = objective(weight, bias, train[rows], y[split == 0][rows], ones, c, penalty)
        ours = objective(found.weight[i], found.bias[i], train[rows], y[split == 0][rows], ones, c, penalty)
        assert ours <= best * (1 + 1e-6)
        z = test @ found.weight[i].double().T + found.bias[i].double()
        assert ((test @ weight.T + bias).argmax(1) == z.argmax(1)).double().mean() >= 0.999
