"""The terms of RaVL's loss: regions and classes find each other, and spurious regions are the wrong answer."""

from __future__ import annotations

import torch

# Varma et al. 2024 (arXiv 2411.04097, sec. 4.2). A batch B of images has regions; R_i^s are those of image i that fell
# into the spurious cluster, R_i^r the rest, R_B^s all spurious ones of the batch. With sigma(r, k) = exp(<r, w_k>/tau),
# and sigma_m(R, k) the largest of them over the regions of R:
#
#   P     = sum_{r in R_B^s} max_k sigma(r, k)
#   L_R^i = -log sigma_m(R_i^r, y_i) / [sum_k sigma_m(R_i^r, k) + P]
#   L_A^i = -log sigma_m(R_i^r, y_i) / [sigma_m(R_i^r, y_i) + sum_{j: y_j != y_i} sigma_m(R_j^r, y_i)
#                                       + sum_{r in R_B^s} sigma(r, y_i)]
#
# Everything stays in logarithms. Where the paper leaves it open: k runs over the classes that occur in the batch, each
# once however many images it has; images without a region of the rest have no loss and are in no other image's sum over
# j, though their class is one of the batch's and their spurious regions are in R_B^s; losses are means over the images
# that have one.


def region_losses(
    f: torch.Tensor, spurious: torch.Tensor, rest: torch.Tensor, y: torch.Tensor, w: torch.Tensor, tau: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Means of L_R^i and of L_A^i over the images that have regions of the rest; zeros where none has.

    Args:
        f: (b, r, d) unit region embeddings; what is in neither mask may hold anything.
        spurious, rest: (b, r) bool, R^s and R^r; no region is in both.
        y: (b,) classes.
        w: (K, d) unit class vectors.
        tau: temperature.
    """
    in_batch = torch.unique(y)
    anchors = rest.any(dim=1)
    if not bool(anchors.any()):
        nothing = (f[spurious].sum() + w.sum()) * 0
        return nothing, nothing
    label = torch.searchsorted(in_batch, y[anchors])
    classes = w[in_batch] / tau
    best = _best(f[anchors], rest[anchors], classes)
    wrong = f[spurious] @ classes.T
    own = best.gather(1, label[:, None])[:, 0]
    # P, in the denominator of every image, is the last column.
    penalty = wrong.amax(dim=1).expand(len(best), -1)
    over_classes = torch.logsumexp(torch.cat([best, penalty], dim=1), dim=1)
    # Row i, column j: sigma_m(R_j^r, y_i), of image i itself and those of other classes.
    others = best.T[label]
    same = (label[:, None] == label) & ~torch.eye(len(label), dtype=torch.bool, device=label.device)
    over_images = torch.logsumexp(torch.cat([others.masked_fill(same, -torch.inf), wrong.T[label]], dim=1), dim=1)
    return (over_classes - own).mean(), (over_images - own).mean()


def _best(f: torch.Tensor, rest: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """(a, k) log sigma_m(R_i^r, k) for images of which each has a region of the rest."""
    # Zeros in the place of what is not there: neither its value nor its gradient may be NaN.
    there = torch.where(rest[..., None], f, 0.0) @ classes.T
    return there.masked_fill(~rest[..., None], -torch.inf).amax(dim=1)
