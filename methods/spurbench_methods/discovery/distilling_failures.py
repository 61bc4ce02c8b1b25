"""Directions of failure: a linear classifier for each class, between what the model gets wrong and right."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from spurbench.cards import DiscovererCard
from spurbench.discovery.contract import Discovery, Evidence, Finding
from spurbench.seeds import Seed

from .region_clusters import check_regions

CS = (0.001, 0.01, 0.1, 1.0)
FOLDS = 2
FITTED_ON = 5000
"""Regions of a class at most that a classifier is fitted on."""


class DistillingFailures:
    """Failures of each class as a direction (Jain et al. 2022, arXiv 2206.14754; code: MadryLab/failure-directions).

    The paper fits, for each class, a linear support vector machine with balanced weights that tells images which the
    model gets wrong from those that it gets right by their CLIP embeddings, standardised and scaled to unit length;
    C and the trust in the direction come from the balanced accuracy in two-fold cross-validation.

    Here the regions of the class's images are classified, as in RaVL's study, by whether their image is wrong; regions
    of one image never stand in both folds. The score is the balanced accuracy above one half; a class on which it is
    none is no finding. The regions on the side of failure are the finding, the farthest first.
    """

    card = DiscovererCard("distilling_failures", "Distilling failures", "arXiv 2206.14754")

    def discover(self, evidence: Evidence, seed: Seed) -> Discovery:
        """One finding for each class whose failures have a direction. Raises MethodError without regions."""
        check_regions(self.card.name, evidence)
        wrong = (evidence.predicted != evidence.y)[evidence.image_of]
        y = evidence.y[evidence.image_of]
        findings = []
        for k in range(evidence.n_classes):
            rows = torch.nonzero(y == k)[:, 0]
            target = wrong[rows].numpy()
            image = evidence.image_of[rows].numpy()
            if min(len(np.unique(image[target])), len(np.unique(image[~target]))) < FOLDS:
                continue
            x = _standardised(evidence.region_embeddings[rows].double().numpy())
            score, far = _failing(x, target, image, seed.derive("class", k))
            side = np.flatnonzero(far > 0)
            if score > 0 and len(side):
                findings.append(Finding(rows[torch.from_numpy(side[np.argsort(-far[side], kind="stable")])], score))
        return Discovery(tuple(sorted(findings, key=lambda finding: -finding.score)))


def _standardised(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of mean 0 and deviation 1 in every column, then every row at unit length."""
    deviation = x.std(axis=0)
    x = (x - x.mean(axis=0)) / np.where(deviation > 0, deviation, 1)
    x /= np.linalg.norm(x, axis=1, keepdims=True).clip(min=1e-12)
    return x


def _failing(
    x: NDArray[np.float64], wrong: NDArray[np.bool_], image: NDArray[np.int64], seed: Seed
) -> tuple[float, NDArray[np.float64]]:
    """Cross-validated balanced accuracy minus 1/2, and how far each row lies on the side of failure."""
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
    from sklearn.svm import LinearSVC

    rows = _some_rows(wrong, image, seed)
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed.derive("folds").integer() % 2**32)
    split = list(folds.split(x[rows], wrong[rows], image[rows]))
    if any(len(np.unique(wrong[rows][fold])) < 2 for pair in split for fold in pair):
        return 0.0, np.zeros(len(x))
    best: tuple[float, Any] = (-1.0, None)
    for c in CS:
        machine = LinearSVC(C=c, class_weight="balanced", dual=False)
        guessed = cross_val_predict(machine, x[rows], wrong[rows], cv=split)
        score = float(balanced_accuracy_score(wrong[rows], guessed)) - 0.5
        if score > best[0]:
            best = score, machine
    far: NDArray[np.float64] = best[1].fit(x[rows], wrong[rows]).decision_function(x)
    return best[0], far


def _some_rows(wrong: NDArray[np.bool_], image: NDArray[np.int64], seed: Seed) -> NDArray[np.int64]:
    """Rows to fit on: all, or of very many, some of the wrong and of the right ones in proportion, two at least."""
    if len(image) <= FITTED_ON:
        return np.arange(len(image))
    generator = seed.derive("rows").numpy()
    share = FITTED_ON / len(image)
    parts = []
    for side in (wrong, ~wrong):
        members = generator.permutation(np.flatnonzero(side))
        parts.append(members[: max(FOLDS, round(share * len(members)))])
    return np.sort(np.concatenate(parts))
