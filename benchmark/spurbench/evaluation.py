"""One cell: draw configurations, fit, select on validation, judge on test. What the rules say, carried out.

Test labels and groups never leave this module's caller: methods and predictors get views.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from . import metrics
from .cards import DatasetCard, Track
from .data import Examples, FeatureSource, Ints, View
from .errors import ConfigurationError, MethodError
from .method import Method, Predictor, Task, fit_many
from .record import Candidate, SeedResult, Selected, array_hash, predictions_name
from .rules import Rules, Selection
from .seeds import Seed
from .space import Config, draw_configs
from .text_space import TextSpace


@dataclass(frozen=True)
class Text:
    """The text side of a data set under a backbone, from which each method gets what it declares."""

    class_vectors: torch.Tensor
    attribute_vectors: torch.Tensor | None
    logit_scale: float
    encode: Callable[[Sequence[str]], torch.Tensor] | None
    prompted: Callable[[Sequence[str]], torch.Tensor] | None = None
    """Noun phrases -> unit vectors made as the class vectors are; None where a data set brings its own features."""


@dataclass(frozen=True)
class Prepared:
    """A data set under a backbone, ready to be fitted on."""

    card: DatasetCard
    examples: Examples
    source: FeatureSource
    text: Text | None
    fingerprints: tuple[str, str]
    """Of the data and of the backbone: what seeds are derived from, so that a new file name changes no number."""
    device: torch.device


def evaluate(
    method: Method, prepared: Prepared, rules: Rules, seed: int
) -> tuple[SeedResult, dict[str, NDArray[np.int16]]]:
    """The result of one seed, and the predicted classes on test by name (see `record.predictions_name`).

    Raises:
        SpurbenchError: the method broke its contract or asked for what it does not declare.
        Exception: whatever the method raises.
    """
    examples = prepared.examples
    validation = examples.rows("val")
    fit_rows, selection_rows = split_validation(method, examples, validation, rules, seed)
    if np.intersect1d(fit_rows, selection_rows).size or np.intersect1d(selection_rows, examples.rows("train")).size:
        raise AssertionError("examples that a method fits on must never be selected on")
    test_rows = examples.rows("test")
    # Without validation there is nothing to choose by, and the paper's own configuration is tried alone.
    budget = rules.tracks[method.card.track].configurations if len(validation) else 1
    configs = draw_configs(method.space, budget, Seed(("configurations", seed)))
    seed_path = Seed((*prepared.fingerprints, method.card.name, seed))

    with isolated_randomness(seed_path.derive("global")), threads_for(method.card.track):
        fitted = fit_many(method, _task(method, prepared, fit_rows, seed_path.derive("fit")), configs)
        judge = _Judge(method, prepared)
        candidates: list[Candidate] = []
        predicted: list[NDArray[np.int16] | None] = []
        for config, snapshots in zip(configs, fitted, strict=True):
            if isinstance(snapshots, ConfigurationError):
                candidates.append(Candidate(config=dict(config), snapshot=0, error=str(snapshots)))
                predicted.append(None)
                continue
            for snapshot, predictor in enumerate(snapshots):
                candidate, test = judge.candidate(config, snapshot, predictor, selection_rows, test_rows)
                candidates.append(candidate)
                predicted.append(test)
        chosen = select(candidates, judge.totals(selection_rows), rules.selection, examples.n_attributes)
        if method.card.refit:
            task = _task(method, prepared, validation, seed_path.derive("refit"))
            for index in sorted(set(chosen.values())):
                predicted[index] = judge.predict(_refitted(method, task, candidates[index]), test_rows)

    selected: dict[Selection, Selected] = {}
    predictions: dict[str, NDArray[np.int16]] = {}
    for rule, index in chosen.items():
        final = predicted[index]
        assert final is not None
        predictions[predictions_name(seed, rule)] = final
        selected[rule] = Selected(candidate=index, test=judge.correct(final, test_rows), predictions=array_hash(final))
    result = SeedResult(
        seed=seed,
        status="ok",
        selection_total=judge.totals(selection_rows),
        test_total=judge.totals(test_rows),
        candidates=candidates,
        selected=selected,
    )
    return result, predictions


def _refitted(method: Method, task: Task, chosen: Candidate) -> Predictor:
    """The chosen configuration fitted on all of validation, at the same snapshot."""
    snapshots = fit_many(method, task, [chosen.config])[0]
    if isinstance(snapshots, ConfigurationError):
        raise snapshots
    if len(snapshots) <= chosen.snapshot:
        raise MethodError(f"the refit returned {len(snapshots)} snapshots, and number {chosen.snapshot} was chosen")
    return snapshots[chosen.snapshot]


def split_validation(
    method: Method, examples: Examples, validation: Ints, rules: Rules, seed: int
) -> tuple[Ints, Ints]:
    """(rows the method may fit on, rows the harness selects on), both ascending.

    A method that declares `val_groups` gets a share of every group, drawn by the seed alone, so that all such methods
    get the same examples; the others get none, and all of validation is selected on.
    """
    if not method.card.supervision.val_groups:
        return validation[:0], validation
    generator = Seed(("validation split", seed)).numpy()
    groups = examples.groups[validation]
    parts = []
    for group in np.unique(groups):
        members = generator.permutation(validation[groups == group])
        parts.append(members[: round(len(members) * rules.validation_fit_share)])
    fit_rows = np.sort(np.concatenate(parts)) if parts else validation[:0]
    return fit_rows, np.setdiff1d(validation, fit_rows)


def select(
    candidates: Sequence[Candidate], total: Sequence[int], rules: Sequence[Selection], n_attributes: int
) -> dict[Selection, int]:
    """The index of the candidate that each rule chooses; the earliest among equals, so the paper's own before others.

    Raises MethodError if no candidate can be chosen.
    """
    usable = [i for i, candidate in enumerate(candidates) if candidate.selection is not None]
    if not usable:
        raise MethodError(f"no configuration gave usable predictions: {candidates[0].error}")
    if not sum(total):
        if len(candidates) > 1:
            raise MethodError("there is no validation split to choose a configuration on")
        return dict.fromkeys(rules, usable[0])
    scores: Mapping[Selection, Callable[[Sequence[int]], float]] = {
        "worst_group": lambda correct: metrics.worst_group_accuracy(correct, total),
        "worst_class": lambda correct: metrics.worst_class_accuracy(correct, total, n_attributes),
        "average": lambda correct: metrics.accuracy(correct, total),
    }
    return {rule: max(usable, key=lambda i: (scores[rule](candidates[i].selection or ()), -i)) for rule in rules}


@dataclass(frozen=True)
class _Judge:
    """Asks predictors for logits on label-free views, checks them, and counts."""

    method: Method
    prepared: Prepared

    def candidate(
        self, config: Config, snapshot: int, predictor: Predictor, selection_rows: Ints, test_rows: Ints
    ) -> tuple[Candidate, NDArray[np.int16] | None]:
        """A candidate with its counts and its predictions on test; with the reason where its logits are not finite."""
        values: dict[str, Any] = dict(config)
        try:
            selection = self.predict(predictor, selection_rows)
            test = self.predict(predictor, test_rows)
        except ConfigurationError as error:
            return Candidate(config=values, snapshot=snapshot, error=str(error)), None
        counts = self.correct(selection, selection_rows), self.correct(test, test_rows)
        return Candidate(config=values, snapshot=snapshot, selection=counts[0], test=counts[1]), test

    def predict(self, predictor: Predictor, rows: Ints) -> NDArray[np.int16]:
        """(n,) predicted classes.

        Predictors see the rows shuffled: a file's order may spell out classes or groups.

        Raises MethodError for anything but (n, K) logits, ConfigurationError for NaN or infinity.
        """
        order = _shuffle(len(rows))
        view = _view(self.method, self.prepared, "evaluation", rows[order])
        if not hasattr(predictor, "logits"):
            raise MethodError(f"fit returned a {type(predictor).__name__}, which has no logits(view)")
        logits = predictor.logits(view)
        expected = (len(rows), self.prepared.examples.n_classes)
        if not isinstance(logits, torch.Tensor):
            raise MethodError(f"logits must be a torch.Tensor of shape {expected}, not {type(logits).__name__}")
        if tuple(logits.shape) != expected:
            raise MethodError(f"logits must have shape {expected} (examples, classes), not {tuple(logits.shape)}")
        logits = logits.detach().float().cpu()
        finite = torch.isfinite(logits).all(dim=1)
        if not bool(finite.all()):
            raise ConfigurationError(f"logits are NaN or infinite for {int((~finite).sum())} of {len(rows)} examples")
        predictions = np.empty(len(rows), dtype=np.int16)
        predictions[order] = logits.argmax(dim=1).numpy()
        return predictions

    def correct(self, predictions: NDArray[np.int16], rows: Ints) -> list[int]:
        """Correct per group."""
        examples = self.prepared.examples
        n_groups = examples.n_classes * examples.n_attributes
        return metrics.group_counts(examples.y[rows], examples.groups[rows], predictions, n_groups)[0]

    def totals(self, rows: Ints) -> list[int]:
        """Examples per group."""
        examples = self.prepared.examples
        counts = np.bincount(examples.groups[rows], minlength=examples.n_classes * examples.n_attributes)
        return [int(count) for count in counts]


def _task(method: Method, prepared: Prepared, validation_rows: Ints, seed: Seed) -> Task:
    card, examples = method.card, prepared.examples
    supervision = card.supervision
    # A file's order may spell out classes or groups.
    train = examples.rows("train")[_shuffle(len(examples.rows("train")))]
    validation_rows = validation_rows[_shuffle(len(validation_rows))]
    text = prepared.text if "text" in card.inputs else None
    return Task(
        method=card.name,
        train=_view(method, prepared, "train", train, labels=True, attribute=supervision.train_groups),
        n_classes=examples.n_classes,
        n_attributes=examples.n_attributes,
        text=TextSpace(
            method=card.name,
            supervision=supervision,
            class_vectors=text.class_vectors if text else None,
            logit_scale=text.logit_scale if text else 1.0,
            attribute_vectors=text.attribute_vectors if text and supervision.attribute_text else None,
            encoder=text.encode if text else None,
            prompted=text.prompted if text else None,
            class_names=prepared.card.classes if text else (),
            words=card.words,
            attribute_text=prepared.card.attribute_text
            if text and supervision.attribute_text and set(card.words) - {"concepts"}
            else None,
            concept_pairs=prepared.card.concepts if text and "concepts" in card.words else None,
        ),
        seed=seed,
        device=prepared.device,
        val_view=_view(method, prepared, "val", validation_rows, labels=True, attribute=True)
        if supervision.val_groups
        else None,
    )


def _shuffle(n: int) -> Ints:
    """One fixed order of n rows that has nothing to do with what they hold."""
    return Seed(("row order", n)).numpy().permutation(n)


def _view(
    method: Method, prepared: Prepared, split: str, rows: Ints, *, labels: bool = False, attribute: bool = False
) -> View:
    examples = prepared.examples
    return View(
        split,
        rows,
        prepared.source,
        method=method.card.name,
        inputs=method.card.inputs,
        n_attributes=examples.n_attributes,
        supervision=method.card.supervision,
        y=examples.y[rows] if labels else None,
        a=examples.a[rows] if attribute else None,
    )


@contextmanager
def threads_for(track: Track) -> Iterator[None]:
    """One torch thread for heads: their steps are too small to share, and threads that wait for each other on a busy
    machine make them many times slower. It also takes the number of cores out of the result.
    """
    before = torch.get_num_threads()
    if track == "head":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def isolated_randomness(seed: Seed) -> Iterator[None]:
    """Start the global generators from a named seed and put them back after.

    Methods draw from `task.seed`; should one use global state all the same, it neither depends on what ran before nor
    disturbs what runs next.
    """
    states = random.getstate(), np.random.get_state(), torch.random.get_rng_state()
    number = seed.integer()
    random.seed(number)
    np.random.seed(number % 2**32)
    torch.manual_seed(number)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.random.set_rng_state(states[2])
