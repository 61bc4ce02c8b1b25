"""Fine-tuning of whole towers from photos: one engine for every method of the image track.

A method says what it minimises (`Objective`), how it descends (`Recipe`) and what it trains (`Trained`); `finetune`
does the rest: it opens photos ahead of the tower, splits batches into what memory holds, and goes on after a kill where
it was, with the same numbers bit for bit (on the same machine, with as many threads and as much memory).
"""

from .objective import Objective
from .predictor import TunedTower
from .schedule import cosine
from .towers import ImageTower, Trained
from .training import Recipe, finetune

__all__ = ["ImageTower", "Objective", "Recipe", "Trained", "TunedTower", "cosine", "finetune"]
