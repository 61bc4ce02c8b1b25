"""Training the projections of a backbone on cached penultimate features, many configurations at once."""

from .forms import Form, Linear, Pool, form_of, initial
from .head import ProjectionHead
from .rows import PenultimateRows
from .spread import Shared, fit_projections
from .text_side import TextSide, TextTraining
from .training import SGD, Step, train

__all__ = [
    "SGD",
    "Form",
    "Linear",
    "PenultimateRows",
    "Pool",
    "ProjectionHead",
    "Shared",
    "Step",
    "TextSide",
    "TextTraining",
    "fit_projections",
    "form_of",
    "initial",
    "train",
]
