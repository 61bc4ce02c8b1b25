"""From embeddings of pictures and their regions to the evidence that discoverers are given."""

from __future__ import annotations

import torch

from .contract import Evidence


def gather(
    embeddings: torch.Tensor, present: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, y: torch.Tensor
) -> Evidence:
    """The evidence of a model with a linear head on unit embeddings.

    Args:
        embeddings: (n, 1 + r, d), of each picture and then of its regions, not normalised.
        present: (n, r) bool, which regions there are.
        weight, bias: (K, d) and (K,) of the head, logit scale included. Zero-shot, weight is the class vectors divided
            by a temperature, 0.07 in RaVL (Varma et al. 2024), and bias 0.
        y: (n,) classes.
    """
    kept = torch.nonzero(present)
    regions = torch.nn.functional.normalize(embeddings[:, 1:][present].float(), dim=-1)
    images = torch.nn.functional.normalize(embeddings[:, 0].float(), dim=-1)
    return Evidence(
        y=y,
        image_embeddings=images,
        image_scores=torch.softmax(images @ weight.T + bias, dim=1),
        image_of=kept[:, 0],
        region_embeddings=regions,
        region_scores=torch.softmax(regions @ weight.T + bias, dim=1),
    )
