"""What a method minimises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import nn


class Objective(nn.Module, ABC):
    """A loss over batches of embeddings, with the parameters that belong to it: a head, a temperature.

    Its parameters are trained together with the towers. Its persistent buffers are what else it has learned on the way,
    such as the weights of groups: a run that was killed goes on with them.

    Attributes:
        separable: a batch's loss is the mean of its examples' own, so that a part of a batch has a loss by itself.
        texts: (m, L) tokens of all texts that batches may ask for; None where no text tower is trained.
        boxes: (n, r, 4) float32, regions of the rows of `task.train`, as `View.boxes` gives them, NaN where there is
            none; None where regions are not embedded.
        weights: (n,) of the same rows, not negative: batches are drawn with replacement in proportion to them, as many
            to an epoch as without. None where every epoch is one pass over all rows.
    """

    separable = False
    texts: torch.Tensor | None = None
    boxes: torch.Tensor | None = None
    weights: torch.Tensor | None = None

    @abstractmethod
    def batch(self, rows: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor | None]:
        """What the loss of a batch needs to know; called once per batch, in order.

        Args:
            rows: (b,) which rows of `task.train` are in the batch.
            generator: of this epoch, for what is drawn anew for every batch; on the CPU.

        Returns:
            target, (b, ...) one entry per example; and (u,) which of `texts` to embed for it, or None.
        """

    @abstractmethod
    def forward(self, image: torch.Tensor, target: torch.Tensor, text: torch.Tensor | None) -> torch.Tensor:
        """The loss, a number, given (b, d) and (u, d) float32 embeddings, not normalised.

        With `boxes`, image is (b, 1 + r, d): each photo and then its regions, of which those that are not there hold
        anything. Called once per batch, unless `separable`.
        """

    @abstractmethod
    def head(self, encode: Callable[[torch.Tensor], torch.Tensor] | None) -> tuple[torch.Tensor, torch.Tensor]:
        """Weight (K, d) and bias (K,) of the head on unit embeddings that predicts, as things stand.

        Args:
            encode: (n, L) tokens -> (n, d) embeddings by the text tower as trained so far, in parts and without
                gradients; None where none is trained.
        """
