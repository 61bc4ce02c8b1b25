"""Training the projections of a backbone on cached penultimate features, many configurations at once."""

from .forms import Form, Linear, Pool, form_of, initial
from .head import ProjectionHead
from .rows import PenultimateRows
from .spread import Shared, fit_projections
from .text_side import Prompts, TextSide, TextTraining
from .training import SGD, Loss, Step, train

__all__ = [
    "SGD",
    "Form",
    "Linear",
    "Loss",
    "PenultimateRows",
    "Pool",
    "ProjectionHead",
    "Prompts",
    "Shared",
    "Step",
    "TextSide",
    "TextTraining",
    "fit_projections",
    "form_of",
    "initial",
    "train",
]
