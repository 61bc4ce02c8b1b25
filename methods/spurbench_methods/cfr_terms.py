"""The terms of CFR's loss: calibration, recalibrating contrast, and the contrast that keeps the rest in place."""

from __future__ import annotations

import math

import torch

from .erm_adapter import mean_cross_entropy

# Contrastive feature recalibration (CVPR 2024), stage 2. C configurations are trained side by side: every function of
# tensors returns (C,), and no configuration's value depends on another's.

cross_entropy = mean_cross_entropy
"""L_cal: (C,) mean cross-entropy of zero-shot logits (C, B, K) of the calibration examples with classes (B,)."""


def recalibration(
    positive: torch.Tensor,
    negative: torch.Tensor,
    positives: torch.Tensor | None = None,
    negatives: torch.Tensor | None = None,
) -> torch.Tensor:
    """L_con: each positive against all negatives of its anchor, (1/P) sum_p mean_j -log e^p / (e^p + sum_n e^n).

    With masks: the mean over an anchor's own positives, then over the anchors that have one. An anchor without a
    negative has nothing to lose to; its loss is 0, and counts.

    Args:
        positive: (C, m, P) similarities over tau of m anchors to their positives.
        negative: (C, m, N) and to their negatives.
        positives: (m, P) bool, which of them count; by default all.
        negatives: (m, N) bool, likewise.
    """
    if positives is None:
        positives = torch.ones_like(positive[0], dtype=torch.bool)
    if negatives is None:
        negatives = torch.ones_like(negative[0], dtype=torch.bool)
    opposed = negatives.any(dim=1, keepdim=True)
    # A sum of nothing has a gradient of NaN: without a negative there is any sum, and no weight.
    against = torch.logsumexp(negative.masked_fill(~negatives & opposed, -torch.inf), dim=2, keepdim=True)
    # As a softmax of two: softplus is not the same to the bit at every place of a tensor.
    both = torch.stack([positive, against.expand_as(positive)], dim=-1)
    losses = -torch.log_softmax(both, dim=-1)[..., 0]
    count = positives.sum(dim=1)
    anchors = (losses * (positives & opposed)).sum(dim=2) / count.clamp_min(1)
    return anchors.sum(dim=1) / (count > 0).sum().clamp_min(1)


def supervised_contrast(f: torch.Tensor, y: torch.Tensor, tau: torch.Tensor | float) -> torch.Tensor:
    """L_hol: SupCon on a batch (Khosla et al. 2020, arXiv 2004.11362, equation 2, L_out), averaged over anchors.

    -(1/|P_i|) sum_{p in P_i} log e^{<f_i, f_p> / tau} / sum_{j != i} e^{<f_i, f_j> / tau}, P_i the others of i's class.
    Examples that are alone in their class are no anchors, and still stand in the others' sums.

    Args:
        f: (C, B, d) unit features.
        y: (B,) classes.
        tau: (C,) temperatures, or one for all.
    """
    z = f @ f.mT / torch.as_tensor(tau, dtype=f.dtype, device=f.device).reshape(-1, 1, 1)
    itself = torch.eye(len(y), dtype=torch.bool, device=y.device)
    partner = (y[:, None] == y) & ~itself
    count = partner.sum(dim=1)
    # As above: who is no anchor may be alone in the batch, where nothing would be left to sum.
    against = torch.logsumexp(z.masked_fill(itself & (count > 0)[:, None], -torch.inf), dim=2)
    anchors = (against - (z * partner).sum(dim=2) / count.clamp_min(1)) * (count > 0)
    return anchors.sum(dim=1) / (count > 0).sum().clamp_min(1)


def emphasis(epoch: int, epochs: int) -> float:
    """w(e) = 1 + cos(2 pi e / E) / 2, the weight of L_cal and L_con in epoch e of E, counted from 0.

    1.5 at both ends, 0.5 halfway. The released code never passes the epoch, and stays at w(0).
    """
    return 1 + 0.5 * math.cos(2 * math.pi * epoch / epochs)
