"""What is differentiated: the score of a class, and which class a photo is taken for most."""

from __future__ import annotations

import torch

from .how import Score


def rivals(logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """(b,) of each photo the most likely class of all but its own; the first among equals.

    Args:
        logits: (b, K), -inf for classes that a photo is not told apart from.
        y: (b,) its own.
    """
    return logits.scatter(1, y[:, None], -torch.inf).argmax(dim=1)


def scores(logits: torch.Tensor, classes: torch.Tensor, score: Score) -> torch.Tensor:
    """(b,) score of a class for each photo (see `How`); `logits` as above."""
    own = logits.gather(1, classes[:, None])[:, 0]
    if score == "logit":
        return own
    return own - logits.scatter(1, classes[:, None], -torch.inf).logsumexp(dim=1)
