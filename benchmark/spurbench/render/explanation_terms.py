"""What the terms of an explanation mean, in words that need no further reading."""

from __future__ import annotations

from ..explained.report import ExplanationReport
from ..findings.words import shown
from .explanation_words import KINDS

Term = tuple[str, str]
"""A term, and what it means in a sentence."""

MEASURES: tuple[Term, ...] = (
    ("Energy", "the share of the map of a photo's own class that lies in the object (Wang et al. 2020)."),
    ("Pointing", "how often the strongest place of that map lies in the object (Zhang et al. 2016)."),
    (
        "AIoU",
        "adjusted IoU, that is the IoU of the own class's map with the object, divided by the sum of it and the "
        "rival's. 50 %: both are the same, which is no chance level; 100 %: only the own class's map touches the "
        "object. Averaged over the thresholds from which a place counts as part of a map (Yang et al. 2023).",
    ),
    ("IoU", "the area that a map and the object share, divided by the area that either of them covers."),
)
"""In the order in which they stand everywhere."""
APART = "Numbers of Grad-CAM and of transformer relevance are not comparable with each other."
_KINDS = {
    "grad-cam": "what a layer finds in each place, weighted by how much the class's score rises with it "
    "(Selvaraju et al. 2017).",
    "relevance": "how much of each place reaches the model's answer through its attentions, weighted by how much the "
    "class's score rises with them (Chefer et al. 2021).",
}
_LAYERS = {
    "grad-cam": "the part of the model whose output the map is drawn from; maps of later parts are coarser.",
    "relevance": "the part of the model from which on attentions count.",
}
_SCORES: dict[str, Term] = {
    "odds": (
        "Odds",
        "a class's probability divided by that of all other classes together; their logarithm is the class's score.",
    ),
    "logit": ("Logit", "a class's score before probabilities are made of the scores of all classes."),
}


def terms(report: ExplanationReport) -> list[Term]:
    """Those that a report of its kind needs, its measures first."""
    kind = _KINDS[report.kind] + (f" {APART}" if report.objects else "")
    return [
        *(MEASURES if report.objects else ()),
        (KINDS[report.kind][0].upper() + KINDS[report.kind][1:], kind),
        ("Layer", f"{shown(report.layer)}, {_LAYERS[report.kind]}"),
        _SCORES[report.score],
    ]
