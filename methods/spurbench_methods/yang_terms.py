"""The terms of Yang 2023's loss, as intended and as released."""

from __future__ import annotations

import torch

from .erm_adapter import mean_cross_entropy

# Yang et al. 2023 (arXiv 2304.03916) fine-tune CLIP's projections on L_CLIP + L_lc + L_vc and one of L_ls, L_vs. The
# first functions are these terms as their names and weights mean them; those called `released_*` are what the published
# code (losses.py, algorithms/multimodal.py) computes instead. C configurations are trained side by side: every function
# returns (C,), and no configuration's value depends on another's.


def image_text(z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """L_CLIP: half the cross-entropy of images among the batch's texts and half that of texts among its images.

    Text j of a batch is that of example j's class, so texts repeat: Z_ij = z_{i,y_j}. Only text i is right for image i,
    of equal texts as well. A softmax over repeated texts is one over classes, weighted by how often each occurs.

    Args:
        z: (C, B, K) s <f_i, mean_m t_{k,m}>.
        y: (B,) classes.
    """
    counts = torch.bincount(y, minlength=z.shape[2]).to(z)
    own = z[:, torch.arange(len(y), device=y.device), y]
    over_texts = torch.logsumexp(z + counts.log(), dim=2)
    over_images = torch.logsumexp(z, dim=1)[:, y]
    return ((over_texts + over_images) / 2 - own).mean(dim=1)


def vision_class(f: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """L_vc: images of a class together, of different classes apart; an image is its own partner, too.

    (1/B) sum_i [-(1/B) sum_{y_j = y_i} <f_i, f_j> + (1/B) sum_{y_j != y_i} <f_i, f_j>].

    Args:
        f: (C, B, d) unit features.
        y: (B,) classes.
    """
    member = torch.nn.functional.one_hot(y).to(f)
    return _pulled_and_pushed(member.T @ f, f.shape[1])


def language_class(t: torch.Tensor) -> torch.Tensor:
    """L_lc: the same of class texts, each under each template.

    Args:
        t: (C, K, T, d) unit vectors.
    """
    return _pulled_and_pushed(t.sum(dim=2), t.shape[1] * t.shape[2])


def language_spurious(t: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """L_ls: class texts orthogonal to attribute names; the mean of |<t_{c,m}, q_{a,m'}>| over all pairs.

    Args:
        t: (C, K, T, d) unit vectors of the classes.
        q: (C, A, T, d) unit vectors of the attribute's values.
    """
    return _overlap(t, q).mean(dim=1)


def vision_spurious(z: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
    """L_vs: the cross-entropy of the image's attribute among texts that name the attribute and no class.

    Args:
        z: (C, B, A) s <f_i, ubar_a>.
        a: (B,) attribute values.
    """
    return mean_cross_entropy(z, a)


def released_vision_class(f: torch.Tensor) -> torch.Tensor:
    """L_vc as released: minus the mean cosine of all pairs, whatever the classes. It has no negatives.

    Bug 1: labels are looked up by the place of "y" in the list of fields, which is 2, and column 2 of the metadata is
    `from_source_domain`, WILDS' own and constant in training. Every pair is a positive; all images attract each other.

    Args:
        f: (C, B, d) unit features.
    """
    return -f.mean(dim=1).square().sum(dim=1)


def released_language_class(t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """L_lc as released: pairs by the wrong labels, rows by the wrong index.

    Bug 2: texts are rows template by template (row m K + c is class c under template m), their labels class by class
    (row r is given label r // T). For two classes and 80 templates half of the pairs of rows count the wrong way.

    Bug 3: the rows' losses are averaged over the classes of each template, and an example takes the one of template
    y_i, as if it were that of class y_i. Only templates 0 to K - 1 are ever compared with the others.

    Args:
        t: (C, K, T, d) unit vectors. Needs as many templates as there are classes in y: beyond, it fails as the
            released code does, with an IndexError.
        y: (B,) classes.
    """
    n_classes, n_templates = t.shape[1:3]
    rows = t.transpose(1, 2).flatten(1, 2)
    sums = rows.reshape(len(t), n_classes, n_templates, -1).sum(dim=2)
    # Templates beyond the number of classes never enter.
    used = rows[:, : n_classes * n_classes]
    label = torch.arange(used.shape[1], device=t.device) // n_templates
    directions = sums.sum(dim=1, keepdim=True) - 2 * sums[:, label]
    losses = (used * directions).sum(dim=2) / rows.shape[1]
    return losses.reshape(len(t), -1, n_classes).mean(dim=2)[:, y].mean(dim=1)


def released_language_spurious(
    t: torch.Tensor, q: torch.Tensor, y: torch.Tensor, *, logged: bool = True
) -> torch.Tensor:
    """L_ls as released: the templates of `released_language_class`, and class texts orthogonal to class texts.

    Bug 3, as there. Bug 4: what decides on the term is `field == "spurious" and weight > 0 or use_wandb`, where "and"
    binds first. With Weights & Biases on, as in the README's command, the term is added for the field "y" too, whose
    texts are the classes' own: every class is to be orthogonal to every class, and to itself.

    Args:
        t: (C, K, T, d) unit vectors of the classes.
        q: (C, A, T, d) unit vectors of the attribute's values.
        y: (B,) classes; each needs a template of its number.
        logged: whether Weights & Biases is on.
    """
    used = t[:, :, : t.shape[1]]
    overlap = _overlap(used, q) + _overlap(used, t) if logged else _overlap(used, q)
    return overlap[:, y].mean(dim=1)


def released_settings(u: torch.Tensor) -> torch.Tensor:
    """(C, A, d) what the released L_vs has for ubar_a: the means over templates, all divided by one norm.

    Bug 5: the matrix of means is divided by its Frobenius norm, where each row's own was meant: logits of L_vs are too
    small by about sqrt(A). Attribute names in L_ls are not affected: the released code takes their cosines.

    Args:
        u: (C, A, T, d) unit vectors.
    """
    mean = u.mean(dim=2)
    return mean / mean.square().sum(dim=(1, 2), keepdim=True).sqrt()


def _pulled_and_pushed(sums: torch.Tensor, n: int) -> torch.Tensor:
    """(C,) mean over all n^2 pairs of their cosine, with a minus where both are of a class; sums (C, K, d) per class.

    Cosines of all pairs in a class add up to the squared length of the class' sum, those of all pairs to the squared
    length of the sums' sum.
    """
    within = sums.square().sum(dim=(1, 2))
    return (sums.sum(dim=1).square().sum(dim=1) - 2 * within) / n**2


def _overlap(t: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """(C, T) for each template of t (C, K, T, d), the mean |<t_{c,m}, q_{a,m'}>| over its classes and all of q."""
    cosines = t.flatten(1, 2) @ q.flatten(1, 2).mT
    return cosines.abs().mean(dim=2).reshape(t.shape[:3]).mean(dim=1)
