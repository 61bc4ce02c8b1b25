"""Multi-modal contrastive fine-tuning: class and spurious attribute, both named in language, are told apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from spurbench.cards import MethodCard, Supervision
from spurbench.errors import MethodError
from spurbench.heads import shuffled
from spurbench.method import BatchedMethod, Bundle, Fitted, Problem
from spurbench.projections import Loss, Prompts, Shared, Step, fit_projections, train
from spurbench.space import Distribution, LogUniform, Switch

from . import yang_terms
from .erm_projection import BATCH, SGD_SPACE, batch_alone, nothing_before, snapshots, text_side

SPACE: Mapping[str, Distribution] = {
    **SGD_SPACE,
    "lr": LogUniform(1e-6, 1e-3, first=1e-4),
    "spurious_weight": LogUniform(1.0, 1e4, first=1.0),
    "text": Switch("projection", "released", "frozen"),
    "variant": Switch("intended", "as_released"),
}


class ContrastiveYang(BatchedMethod):
    """L = L_CLIP + L_lc + L_vc + weight L_ls: the attribute is separated from the class in language.

    Yang et al. 2023 (arXiv 2304.03916), the form that knows the attribute's names only. L_CLIP: images and class texts
    of a batch find each other; L_lc, L_vc: texts, and images, of a class together, those of different classes apart;
    L_ls: class texts orthogonal to the attribute's names (`yang_terms` has the equations). The projections of both
    towers are trained, everything before them is frozen. Training as in `erm_projection`; the prediction is the
    zero-shot head of the trained projections.

    The published weight of L_ls is 1, which comes first. At a logit scale of 14 and more the other terms then decide
    alone, and on the menagerie and on Waterbirds with a small backbone training goes the way of ERM; the weight is
    searched up to 10,000, where separation in language comes first. `spurious_weight=1` can be pinned.

    `variant=as_released` computes what the published code does instead: no negatives among images, pairs of texts
    misnamed, most templates never used. It indexes templates by class, so the prompt set needs as many templates as
    there are classes (`--prompts imagenet80`). `text=released` also trains what the published code leaves trainable.
    Its BatchNorm in training mode and its half-precision SGD are not reproduced.
    """

    card = MethodCard(
        name="contrastive_yang",
        title="Contrastive, language-spurious (Yang)",
        paper="arXiv 2304.03916",
        supervision=Supervision(attribute_text=True),
        inputs=("penultimate", "text"),
        trains="projections",
        track="projection",
        words=("names",),
    )
    space = SPACE

    def fit_many(self, problems: Sequence[Problem]) -> Sequence[Fitted]:
        """Snapshots along training; the configurations of a seed see the same batches."""
        return fit_projections(problems, nothing_before, _train_language, batch_alone)


class ContrastiveYangVision(BatchedMethod):
    """L = L_CLIP + L_lc + L_vc + weight L_vs: the attribute has texts of its own to which images answer.

    The other form of `contrastive_yang`, which is given the attribute of every training image: L_vs is the
    cross-entropy of it among texts that name the attribute and no class ("bird on land"), so that images need not spend
    the class's direction on it. The one training command that the code's authors publish is of this form.
    """

    card = MethodCard(
        name="contrastive_yang_vs",
        title="Contrastive, vision-spurious (Yang)",
        paper="arXiv 2304.03916",
        supervision=Supervision(train_groups=True, attribute_text=True),
        inputs=("penultimate", "text"),
        trains="projections",
        track="projection",
        words=("settings",),
    )
    space = SPACE

    def fit_many(self, problems: Sequence[Problem]) -> Sequence[Fitted]:
        """Snapshots along training; the configurations of a seed see the same batches."""
        return fit_projections(problems, nothing_before, _train_vision, batch_alone)


def _train_language(part: Bundle, shared: Shared, _: None) -> list[Fitted]:
    weight = part.column("spurious_weight")
    terms = Terms.of(part, shared)

    def loss(step: Step) -> torch.Tensor:
        classes, names = step.text.templates("classes"), step.text.templates("names")
        if terms.released:
            spurious = yang_terms.released_language_spurious(classes, names, shared.y[step.batch])
        else:
            spurious = yang_terms.language_spurious(classes, names)
        return terms(step, step.embed(step.batch), classes) + weight * spurious

    return _train(part, shared, loss, names=part.task.text.name_prompts())


def _train_vision(part: Bundle, shared: Shared, _: None) -> list[Fitted]:
    weight = part.column("spurious_weight")
    terms = Terms.of(part, shared)
    a = part.task.train.a.to(shared.y.device)

    def loss(step: Step) -> torch.Tensor:
        f, settings = step.embed(step.batch), step.text.templates("settings")
        mean = yang_terms.released_settings(settings) if terms.released else settings.mean(dim=2)
        spurious = yang_terms.vision_spurious(step.scale * (f @ mean.mT), a[step.batch])
        return terms(step, f, step.text.templates("classes")) + weight * spurious

    return _train(part, shared, loss, settings=part.task.text.setting_prompts())


@dataclass(frozen=True)
class Terms:
    """What both forms have in common: L_CLIP + L_lc + L_vc.

    Attributes:
        y: (n,) classes of the training examples.
        released: whether the terms are those of the published code.
    """

    y: torch.Tensor
    released: bool

    @classmethod
    def of(cls, part: Bundle, shared: Shared) -> Terms:
        """Those of a bundle, whose configurations agree on the variant. Raises MethodError for too few templates."""
        released = part.configs[0]["variant"] == "as_released"
        templates, task = len(part.task.text.templates), part.task
        if released and templates < task.n_classes:
            raise MethodError(
                f"variant=as_released indexes templates by class, and the prompt set has {templates} for "
                f"{task.n_classes} classes: choose a larger one, such as --prompts imagenet80"
            )
        return cls(shared.y, released)

    def __call__(self, step: Step, f: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        """(C,) for embedded images f (C, b, d) of the step's batch and class texts (C, K, T, d)."""
        y = self.y[step.batch]
        matched = yang_terms.image_text(step.scale * (f @ classes.mean(dim=2).mT), y)
        if self.released:
            return matched + yang_terms.released_language_class(classes, y) + yang_terms.released_vision_class(f)
        return matched + yang_terms.language_class(classes) + yang_terms.vision_class(f, y)


def _train(part: Bundle, shared: Shared, loss: Loss, **prompts: Prompts) -> list[Fitted]:
    batches = shuffled(len(shared.y), BATCH, part.task.seed.derive("batches").torch())
    steps = -(-len(shared.y) // BATCH)
    return train(part, shared.rows, text_side(part, **prompts), loss, batches, steps, snapshots(part))
