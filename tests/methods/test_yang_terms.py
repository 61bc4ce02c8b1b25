"""Yang 2023's terms against loops over the equations, and the released ones against a replay of their indexing."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spurbench_methods.yang_terms import (
    image_text,
    language_class,
    language_spurious,
    released_language_class,
    released_language_spurious,
    released_settings,
    released_vision_class,
    vision_class,
    vision_spurious,
)

SIZES = st.tuples(st.integers(1, 7), st.integers(2, 4), st.integers(4, 6), st.integers(1, 3), st.integers(0, 999))
"""B, K, T, A, seed; every class has a template of its number."""


class Drawn:
    """Three configurations of unit vectors, logits and labels of a batch, in float64."""

    def __init__(self, sizes: tuple[int, int, int, int, int], configurations: int = 3) -> None:
        b, k, t, a, seed = sizes
        generator = torch.Generator().manual_seed(seed)

        def unit(*shape: int) -> torch.Tensor:
            drawn = torch.randn(configurations, *shape, 5, generator=generator, dtype=torch.float64)
            return torch.nn.functional.normalize(drawn, dim=-1)

        self.f, self.t, self.q = unit(b), unit(k, t), unit(a, t)
        self.z = 6 * torch.randn(configurations, b, k, generator=generator, dtype=torch.float64)
        self.za = 6 * torch.randn(configurations, b, a, generator=generator, dtype=torch.float64)
        self.y, self.a = (torch.randint(n, (b,), generator=generator) for n in (k, a))


def one(drawn: Drawn, c: int) -> Drawn:
    """One of its configurations."""
    alone = Drawn.__new__(Drawn)
    for name, value in vars(drawn).items():
        setattr(alone, name, value if name in ("y", "a") else value[c : c + 1])
    return alone


def literal_image_text(z: torch.Tensor, y: list[int]) -> torch.Tensor:
    n = len(y)
    square = torch.stack([torch.stack([z[i, y[j]] for j in range(n)]) for i in range(n)])
    rows = [-torch.log(square[i, i].exp() / sum(square[i, j].exp() for j in range(n))) for i in range(n)]
    columns = [-torch.log(square[j, j].exp() / sum(square[i, j].exp() for i in range(n))) for j in range(n)]
    return (torch.stack(rows).mean() + torch.stack(columns).mean()) / 2


def literal_vision_class(f: torch.Tensor, y: list[int]) -> torch.Tensor:
    n, losses = len(y), []
    for i in range(n):
        signed = [(-1 if y[j] == y[i] else 1) * (f[i] @ f[j]) for j in range(n)]
        losses.append(torch.stack(signed).sum() / n)
    return torch.stack(losses).mean()


def literal_language_class(t: torch.Tensor) -> torch.Tensor:
    k, templates = t.shape[:2]
    losses = []
    for c in range(k):
        for m in range(templates):
            near = sum((t[c, m] @ t[c, n] for n in range(templates)), torch.zeros(()))
            far = sum((t[c, m] @ t[b, n] for b in range(k) if b != c for n in range(templates)), torch.zeros(()))
            losses.append((far - near) / (templates * k))
    return torch.stack(losses).mean()


def literal_language_spurious(t: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    losses = []
    for text in t.flatten(0, 1):
        losses.append(torch.stack([(text @ name).abs() for value in q for name in value]).mean())
    return torch.stack(losses).mean()


def literal_vision_spurious(z: torch.Tensor, a: list[int]) -> torch.Tensor:
    return torch.stack([-torch.log(z[i, a[i]].exp() / z[i].exp().sum()) for i in range(len(a))]).mean()


def flattened(k: int, templates: int) -> tuple[list[tuple[int, int]], list[int]]:
    """The released rows as (template, class), and the label that each is given."""
    rows = [(m, c) for m in range(templates) for c in range(k)]
    labels = [c for c in range(k) for _ in range(templates)]
    return rows, labels


def per_template(row_losses: list[torch.Tensor], k: int, y: list[int]) -> torch.Tensor:
    """The released reduction: rows viewed as (T, K), averaged over K, indexed by the batch's classes."""
    viewed = torch.stack(row_losses).view(-1, k).mean(dim=-1)
    return torch.stack([viewed[label] for label in y]).mean()


def replayed_language_class(t: torch.Tensor, y: list[int]) -> torch.Tensor:
    k, templates = t.shape[:2]
    rows, labels = flattened(k, templates)
    losses = []
    for (m, c), mine in zip(rows, labels, strict=True):
        signed = [
            (-1 if theirs == mine else 1) * (t[c, m] @ t[b, n]) for (n, b), theirs in zip(rows, labels, strict=True)
        ]
        losses.append(torch.stack(signed).mean())
    return per_template(losses, k, y)


def replayed_language_spurious(t: torch.Tensor, q: torch.Tensor, y: list[int], logged: bool) -> torch.Tensor:
    k, templates = t.shape[:2]
    total = torch.zeros(())
    for texts in (q, t) if logged else (q,):
        losses = []
        for m, c in flattened(k, templates)[0]:
            losses.append(torch.stack([(t[c, m] @ text).abs() for text in texts.flatten(0, 1)]).mean())
        total = total + per_template(losses, k, y)
    return total


Term = Callable[[Drawn], torch.Tensor]
TERMS: dict[str, tuple[Term, Callable[[Drawn, int], torch.Tensor]]] = {
    "image_text": (lambda d: image_text(d.z, d.y), lambda d, c: literal_image_text(d.z[c], d.y.tolist())),
    "vision_class": (lambda d: vision_class(d.f, d.y), lambda d, c: literal_vision_class(d.f[c], d.y.tolist())),
    "language_class": (lambda d: language_class(d.t), lambda d, c: literal_language_class(d.t[c])),
    "language_spurious": (
        lambda d: language_spurious(d.t, d.q),
        lambda d, c: literal_language_spurious(d.t[c], d.q[c]),
    ),
    "vision_spurious": (
        lambda d: vision_spurious(d.za, d.a),
        lambda d, c: literal_vision_spurious(d.za[c], d.a.tolist()),
    ),
    "released_vision_class": (
        lambda d: released_vision_class(d.f),
        lambda d, c: literal_vision_class(d.f[c], [0] * len(d.y)),
    ),
    "released_language_class": (
        lambda d: released_language_class(d.t, d.y),
        lambda d, c: replayed_language_class(d.t[c], d.y.tolist()),
    ),
    "released_language_spurious": (
        lambda d: released_language_spurious(d.t, d.q, d.y),
        lambda d, c: replayed_language_spurious(d.t[c], d.q[c], d.y.tolist(), logged=True),
    ),
    "released_language_spurious, not logged": (
        lambda d: released_language_spurious(d.t, d.q, d.y, logged=False),
        lambda d, c: replayed_language_spurious(d.t[c], d.q[c], d.y.tolist(), logged=False),
    ),
}
each_term = pytest.mark.parametrize("name", list(TERMS))


@each_term
@settings(max_examples=15)
@given(sizes=SIZES)
def test_every_term_is_that_of_the_loops_whatever_else_is_trained_beside_it(
    name: str, sizes: tuple[int, int, int, int, int]
) -> None:
    term, literal = TERMS[name]
    drawn = Drawn(sizes)
    together = term(drawn)
    assert together.shape == (3,)
    assert together.dtype == torch.float64
    for c in range(3):
        torch.testing.assert_close(together[c], literal(drawn, c), rtol=1e-9, atol=1e-9, check_dtype=False)
        torch.testing.assert_close(together[c : c + 1], term(one(drawn, c)), rtol=1e-12, atol=1e-12)


@each_term
def test_a_configuration_of_nan_harms_no_other(name: str) -> None:
    term, _ = TERMS[name]
    drawn = Drawn((6, 2, 4, 2, 0))
    expected = term(drawn)
    for value in (drawn.f, drawn.t, drawn.q, drawn.z, drawn.za):
        value[1] = torch.nan
    found = term(drawn)
    assert torch.isnan(found[1])
    torch.testing.assert_close(found[[0, 2]], expected[[0, 2]], rtol=1e-12, atol=1e-12)


@each_term
@settings(max_examples=10)
@given(sizes=SIZES)
def test_the_order_of_a_batch_does_not_matter(name: str, sizes: tuple[int, int, int, int, int]) -> None:
    term, _ = TERMS[name]
    drawn = Drawn(sizes)
    expected = term(drawn)
    order = torch.randperm(sizes[0], generator=torch.Generator().manual_seed(1))
    drawn.f, drawn.z, drawn.za = drawn.f[:, order], drawn.z[:, order], drawn.za[:, order]
    drawn.y, drawn.a = drawn.y[order], drawn.a[order]
    torch.testing.assert_close(term(drawn), expected, rtol=1e-10, atol=1e-12)


@settings(max_examples=10)
@given(sizes=SIZES)
def test_the_order_of_templates_and_names_does_not_matter_as_intended(sizes: tuple[int, int, int, int, int]) -> None:
    _, k, templates, a, seed = sizes
    drawn = Drawn(sizes)
    generator = torch.Generator().manual_seed(seed)
    t = drawn.t[:, torch.randperm(k, generator=generator)][:, :, torch.randperm(templates, generator=generator)]
    q = drawn.q[:, torch.randperm(a, generator=generator)][:, :, torch.randperm(templates, generator=generator)]
    torch.testing.assert_close(language_class(t), language_class(drawn.t), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(language_spurious(t, q), language_spurious(drawn.t, drawn.q), rtol=1e-10, atol=1e-12)


@each_term
@pytest.mark.parametrize("sizes", [(5, 2, 4, 2, 3), (6, 4, 5, 3, 4)])
def test_gradients_are_those_of_differences(name: str, sizes: tuple[int, int, int, int, int]) -> None:
    term, _ = TERMS[name]
    drawn = Drawn(sizes, configurations=2)
    inputs = [value.clone().requires_grad_() for value in (drawn.f, drawn.t, drawn.q, drawn.z, drawn.za)]

    def of(*values: torch.Tensor) -> torch.Tensor:
        drawn.f, drawn.t, drawn.q, drawn.z, drawn.za = values
        return term(drawn)

    assert torch.autograd.gradcheck(of, inputs)


def test_image_and_text_of_a_batch_of_one_class_by_hand() -> None:
    """Three images, one text three times: no image can find its own copy, no copy its own image."""
    z = torch.tensor([[[2.0, -1.0], [2.0, 5.0], [2.0, 0.0]]], dtype=torch.float64)
    found = image_text(z, torch.tensor([0, 0, 0]))
    torch.testing.assert_close(found, torch.tensor([3.0], dtype=torch.float64).log())


def test_one_class_in_the_batch_is_only_pulled_together() -> None:
    drawn = Drawn((5, 3, 4, 2, 0))
    torch.testing.assert_close(vision_class(drawn.f, torch.full((5,), 2)), released_vision_class(drawn.f))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_large_logits_stay_finite_and_so_do_their_gradients(dtype: torch.dtype) -> None:
    z = torch.tensor([[[1e4, -1e4, 0.0], [-1e4, 1e4, 0.0], [1e4, 1e4, 1e4]]], dtype=dtype, requires_grad=True)
    for labels in ([0, 1, 0], [1, 0, 1], [2, 2, 2]):
        for term in (image_text, vision_spurious):
            found = term(z, torch.tensor(labels))
            (slope,) = torch.autograd.grad(found.sum(), z)
            assert found.dtype == dtype
            assert bool(torch.isfinite(found).all())
            assert bool(torch.isfinite(slope).all())
    # Two of the three pairs are of class 0 and cannot be told apart, in either direction.
    right = image_text(z[:, [0, 1, 0]], torch.tensor([0, 1, 0]))
    assert right.item() == pytest.approx(2 / 3 * math.log(2), abs=1e-3 if dtype == torch.float32 else 1e-9)


def test_the_released_image_term_has_no_negatives() -> None:
    """What each cosine weighs: as intended, its sign says whether the classes differ; as released, it is minus."""
    f = torch.eye(6, dtype=torch.float64)[None].requires_grad_()
    y = torch.tensor([0, 0, 0, 1, 1, 2])
    weights = {}
    for name, found in (("intended", vision_class(f, y)), ("released", released_vision_class(f))):
        (slope,) = torch.autograd.grad(found.sum(), f)
        weights[name] = slope[0] * 6 * 6 / 2
    same = y[:, None] == y
    torch.testing.assert_close(weights["intended"], torch.where(same, -1.0, 1.0).double())
    torch.testing.assert_close(weights["released"], -torch.ones(6, 6, dtype=torch.float64))


@given(sizes=SIZES)
def test_the_released_image_term_is_minus_the_mean_cosine_and_knows_no_class(
    sizes: tuple[int, int, int, int, int],
) -> None:
    f = Drawn(sizes).f
    torch.testing.assert_close(released_vision_class(f), -(f @ f.mT).mean(dim=(1, 2)))


def test_the_intended_image_term_changes_with_the_classes() -> None:
    f = Drawn((6, 2, 4, 2, 5)).f
    values = {tuple(y): vision_class(f, torch.tensor(y))[0].item() for y in ([0] * 6, [0, 1] * 3, [0] * 3 + [1] * 3)}
    assert len(set(values.values())) == 3


def pair_weights(term: Callable[[torch.Tensor], torch.Tensor], k: int, templates: int) -> torch.Tensor:
    """(T K, T K) the second derivative by two texts' first coordinates, rows template by template."""
    n = k * templates

    def of(rows: torch.Tensor) -> torch.Tensor:
        t = torch.stack([rows, torch.zeros(n, dtype=torch.float64)], dim=1).view(templates, k, 2).transpose(0, 1)
        return term(t[None]).sum()

    found = torch.autograd.functional.hessian(of, torch.ones(n, dtype=torch.float64))  # type: ignore[no-untyped-call]
    assert isinstance(found, torch.Tensor)
    return found


def test_half_of_the_released_language_pairs_have_the_wrong_sign() -> None:
    rows, labels = flattened(2, 80)
    wrong = [
        (one[1] == other[1]) != (mine == theirs)
        for one, mine in zip(rows, labels, strict=True)
        for other, theirs in zip(rows, labels, strict=True)
    ]
    assert sum(wrong) == len(wrong) / 2 == 160 * 160 / 2
    # The same counted on the functions: pairs of the first template's rows, which is all that class 0 brings in.
    intended = pair_weights(language_class, 2, 80).sign()
    released = pair_weights(lambda t: released_language_class(t, torch.tensor([0])), 2, 80).sign()
    assert torch.equal(released[2:, 2:], torch.zeros(158, 158, dtype=torch.float64))
    disagree = (intended != released)[:2, 2:]
    assert int(disagree.sum()) == disagree.numel() / 2


@pytest.mark.parametrize("k", [2, 3])
def test_only_as_many_templates_as_classes_are_ever_compared_with_the_others(k: int) -> None:
    """Rows of the first k templates meet all texts; between two texts of other templates there is no pair."""
    batch = torch.arange(k).repeat(4)
    released = pair_weights(lambda t: released_language_class(t, batch), k, 10)
    assert bool(released[: k * k].ne(0).all())
    assert not bool(released[k * k :, k * k :].ne(0).any())
    assert bool(pair_weights(language_class, k, 10).ne(0).all())


def test_a_batch_of_one_class_trains_on_one_template() -> None:
    drawn = Drawn((4, 3, 5, 2, 7))
    for label in range(3):
        y = torch.full((4,), label)
        t = drawn.t.clone().requires_grad_()
        (slope,) = torch.autograd.grad(released_language_spurious(t, drawn.q, y, logged=False).sum(), t)
        moved = slope.ne(0).any(dim=-1)
        assert moved[:, :, label].all()
        assert int(moved.sum()) == 3 * 3


def test_a_class_without_a_template_of_its_number_is_an_index_error_as_in_the_released_code() -> None:
    drawn = Drawn((3, 3, 2, 2, 0))
    for y, fails in (([0, 1, 1], False), ([0, 1, 2], True)):
        for term in (
            lambda y: released_language_class(drawn.t, y),
            lambda y: released_language_spurious(drawn.t, drawn.q, y),
        ):
            if fails:
                with pytest.raises(IndexError):
                    term(torch.tensor(y))
            else:
                assert term(torch.tensor(y)).shape == (3,)


def test_logging_makes_classes_orthogonal_to_themselves() -> None:
    """Classes that have nothing in common with the attribute still pay, for each is its own neighbour."""
    t, q = torch.eye(4, dtype=torch.float64).view(1, 4, 1, 4), torch.zeros(1, 2, 1, 4, dtype=torch.float64)
    y = torch.tensor([0])
    assert released_language_spurious(t, q, y, logged=False).item() == 0
    assert released_language_spurious(t, q, y).item() == pytest.approx(1 / 4)


def test_released_settings_share_one_norm() -> None:
    u = Drawn((1, 2, 4, 3, 8)).q
    found = released_settings(u)
    for c in range(3):
        means = [sum(u[c, a, m] for m in range(4)) / 4 for a in range(3)]
        norm = sum((mean @ mean for mean in means), torch.zeros(())).sqrt()
        torch.testing.assert_close(found[c], torch.stack([mean / norm for mean in means]))
    alike = u[:, :1].expand(-1, 3, -1, -1)
    torch.testing.assert_close(found.square().sum(dim=(1, 2)), torch.ones(3, dtype=torch.float64))
    lengths = torch.linalg.vector_norm(released_settings(alike), dim=2)
    torch.testing.assert_close(lengths, torch.full((3, 3), 3**-0.5, dtype=torch.float64))
