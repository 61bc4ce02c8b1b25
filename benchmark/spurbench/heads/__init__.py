"""Heads on frozen features: predictors, and the training that several methods share."""

from .adapter import AdapterHead, Adapters
from .descent import Descent, Weights, column_sums, cross_entropy_gradient, descend, drawn, heads_of, shuffled
from .early import early_logits
from .linear import (
    LANES,
    LinearHead,
    Standardiser,
    UnitLinearHead,
    balanced_subset,
    balancing_weights,
    padded,
    standardised,
)
from .perceptron import PerceptronHead, Perceptrons
from .probes import L2_GRID, fit_probes, fit_subset_probes, fit_weighted_probes, probe

__all__ = [
    "L2_GRID",
    "LANES",
    "AdapterHead",
    "Adapters",
    "Descent",
    "LinearHead",
    "PerceptronHead",
    "Perceptrons",
    "Standardiser",
    "UnitLinearHead",
    "Weights",
    "balanced_subset",
    "balancing_weights",
    "column_sums",
    "cross_entropy_gradient",
    "descend",
    "drawn",
    "early_logits",
    "fit_probes",
    "fit_subset_probes",
    "fit_weighted_probes",
    "heads_of",
    "padded",
    "probe",
    "shuffled",
    "standardised",
]
