"""Fine-tuning with CLIP's loss between photos and captions of their classes, the standard of RaVL's study."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

from spurbench.cards import MethodCard
from spurbench.finetuning import Objective, Recipe, Trained, TunedTower, finetune
from spurbench.method import Predictor, Task
from spurbench.space import Config, Distribution, LogUniform, Switch

from .erm_finetune import BATCH, SPACE, snapshots
from .flyp import matching

TEMPERATURE = 0.07
FINETUNING: Mapping[str, Distribution] = {
    **SPACE,
    "lr": LogUniform(5e-6, 5e-4, first=5e-5),
    "text": Switch("frozen", "all"),
}
"""The hyper-parameters that all methods of the study have."""


class CLIPFinetune:
    """The contrastive loss of pre-training between photos and captions of their classes, the text tower locked.

    The standard fine-tuning of RaVL's study (Varma et al. 2024, arXiv 2411.04097, sec. 5): learning rate 5e-5, batches
    of 128, temperature 0.07 throughout, text encoder frozen. A caption is one of the prompt set's templates, drawn anew
    for every photo and epoch, filled with the class; captions of the same class count as wrong answers all the same.
    Prediction is by the zero-shot head.

    The paper names neither the optimiser nor its schedule; here AdamW with weight decay 0.1, and those of
    `erm_finetune`: cosine schedule after 500 steps of warm-up (a tenth of the steps where that is less), candidates
    after 1, 3 and 10 epochs, of which the harness chooses, in the place of up to 100 epochs and early stopping. No
    augmentation; BatchNorm keeps its statistics; gradients are not clipped.

    `text=all` trains the text tower as well, for backbones whose vocabulary lacks the names of the classes.
    """

    card = MethodCard(
        name="clip_finetune",
        title="Standard fine-tuning (CLIP loss)",
        paper="arXiv 2411.04097",
        inputs=("images", "text"),
        trains="image tower",
        track="image",
    )
    space = FINETUNING

    def fit(self, task: Task, config: Config) -> Sequence[Predictor]:
        """The towers after some epochs."""
        return tuned(task, config, ImageText(Captions.of(task, config), task.train.y))


def tuned(task: Task, config: Config, objective: Objective, stage: str = "") -> list[TunedTower]:
    """The towers after some epochs of one stage of training, by `FINETUNING` in the configuration."""
    recipe = Recipe(
        lr=float(config["lr"]),
        weight_decay=float(config["weight_decay"]),
        epochs=int(config["epochs"]),
        batch=BATCH,
        snapshots=snapshots(config),
    )
    return finetune(
        task, config, objective, recipe, Trained(text="all" if config["text"] == "all" else "frozen"), stage
    )


@dataclass(frozen=True)
class Captions:
    """Each class's T captions, class after class, and what a text tower that stays as it is makes of them.

    Attributes:
        classes: (K, d) unit class vectors before training.
        tokens: (K T, L) where the text tower is trained, else None.
        vectors: (K T, d) unit vectors where it is not, else None.
    """

    classes: torch.Tensor
    tokens: torch.Tensor | None
    vectors: torch.Tensor | None

    @classmethod
    def of(cls, task: Task, config: Config) -> Captions:
        """Those of a task's prompt set. Raises MethodError where the backbone has no text tower."""
        captions = [caption for of_class in task.text.class_prompts() for caption in of_class]
        if config["text"] == "all":
            return cls(task.text.classes(), task.model.tokenize(captions), None)
        with torch.no_grad():
            vectors = task.model.text_projection()(task.model.text_features(captions)).float()
        return cls(task.text.classes(), None, _unit(vectors))


class ImageText(Objective):
    """L_CL: CLIP's loss between a batch of photos and as many captions, at a fixed temperature.

    Losses that have more terms are subclasses.

    Args:
        y: (n,) classes of the training split.

    Attributes:
        asks_for_classes: whether `loss` uses the class vectors w. Where the text tower is trained these are, for each
            batch, one caption of each class, drawn anew; where it is not, the zero-shot head's.
    """

    asks_for_classes = False
    y: torch.Tensor
    classes: torch.Tensor
    captions: torch.Tensor | None

    def __init__(self, captions: Captions, y: torch.Tensor) -> None:
        super().__init__()
        self.texts = captions.tokens
        every = captions.vectors if captions.tokens is None else captions.tokens
        assert every is not None
        self.n_classes = len(captions.classes)
        self.templates = len(every) // self.n_classes
        # What they hold does not change: there is nothing to go on with after a kill.
        for name, value in (("y", y), ("classes", captions.classes), ("captions", captions.vectors)):
            self.register_buffer(name, value, persistent=False)

    def batch(self, rows: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor | None]:
        """(b, 2) each photo's row, and where its caption is: among all, or among those that are to be embedded.

        These are K captions, one of each class, if asked for; then those of the photos, each once.
        """
        own = self.y[rows.to(self.y.device)].cpu() * self.templates
        own = own + torch.randint(self.templates, (len(rows),), generator=generator)
        if self.texts is None:
            return torch.stack([rows, own], dim=1), None
        which, place = torch.unique(own, return_inverse=True)
        if self.asks_for_classes:
            drawn = torch.randint(self.templates, (self.n_classes,), generator=generator)
            which = torch.cat([torch.arange(self.n_classes) * self.templates + drawn, which])
            place = place + self.n_classes
        return torch.stack([rows, place], dim=1), which

    def forward(self, image: torch.Tensor, target: torch.Tensor, text: torch.Tensor | None) -> torch.Tensor:
        """The loss."""
        rows, place = target.T
        f = _unit(image)
        if text is None:
            assert self.captions is not None
            w, captions = self.classes, self.captions
        else:
            captions = _unit(text)
            w = captions[: self.n_classes]
        photos = f if f.ndim == 2 else f[:, 0]
        return self.loss(matching(photos @ captions[place].T / TEMPERATURE), f, rows, w)

    def loss(self, matched: torch.Tensor, f: torch.Tensor, rows: torch.Tensor, w: torch.Tensor) -> torch.Tensor:  # noqa: ARG002
        """The whole loss.

        Args:
            matched: L_CL.
            f: (b, d) unit embeddings of the photos, or (b, 1 + r, d) with their regions.
            rows: (b,) which rows of the training split they are.
            w: (K, d) unit class vectors.
        """
        return matched

    @torch.no_grad()
    def head(self, encode: Callable[[torch.Tensor], torch.Tensor] | None) -> tuple[torch.Tensor, torch.Tensor]:
        """The zero-shot head as zero-shot CLIP's is made, at the temperature of training."""
        w = self.classes
        if encode is not None and self.texts is not None:
            vectors = _unit(encode(self.texts)).reshape(self.n_classes, self.templates, -1)
            w = _unit(vectors.mean(dim=1))
        return w / TEMPERATURE, torch.zeros(self.n_classes)


def _unit(x: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.normalize(x, dim=-1)
