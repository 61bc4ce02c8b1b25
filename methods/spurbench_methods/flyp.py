"""FLYP: fine-tune like CLIP was pre-trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch

from spurbench.cards import MethodCard
from spurbench.finetuning import Objective, Recipe, Trained, finetune
from spurbench.method import Predictor, Task
from spurbench.space import Config, Distribution, LogUniform

from .erm_finetune import BATCH, SPACE, snapshots


class FLYP:
    """The contrastive loss of pre-training between photos and captions of their classes; both towers trained.

    Goyal et al. 2023 (arXiv 2212.00638; released `flyp_loss.py`). For a batch of photos with one caption each,
    (CE over captions + CE over photos) / 2 of s <f_i, t_j> with the photo's own caption as the right answer; captions
    of the same class count as wrong answers all the same. A caption is one of the prompt set's templates, drawn anew
    for every photo and epoch, filled with the class. The temperature is trained too. Prediction is by the zero-shot
    head, made by the tuned text tower over all templates. AdamW, lr 1e-5 and weight decay 0.1 first, cosine schedule
    after 500 steps of warm-up (a tenth of the steps where that is less), gradients not clipped.

    Batches of 128 and 10 epochs instead of 256 to 512 and 10 to 20, as `erm_finetune` has, for one budget of the track;
    no augmentation; BatchNorm keeps its statistics. Candidates are the towers after 1, 3 and 10 epochs.
    """

    card = MethodCard(
        name="flyp",
        title="FLYP",
        paper="arXiv 2212.00638",
        inputs=("images", "text"),
        trains="image tower + text tower",
        track="image",
    )
    space: Mapping[str, Distribution] = {**SPACE, "lr": LogUniform(1e-6, 1e-4, first=1e-5)}

    def fit(self, task: Task, config: Config) -> Sequence[Predictor]:
        """The image tower after some epochs, with the head that the text tower makes then."""
        recipe = Recipe(
            lr=float(config["lr"]),
            weight_decay=float(config["weight_decay"]),
            epochs=int(config["epochs"]),
            batch=BATCH,
            snapshots=snapshots(config),
        )
        prompts = task.text.class_prompts()
        tokens = task.model.tokenize([prompt for of_class in prompts for prompt in of_class])
        objective = Contrastive(tokens, len(prompts), task.text.logit_scale, task.train.y)
        return finetune(task, config, objective, recipe, Trained(text="all"))


class Contrastive(Objective):
    """CLIP's loss between a batch of photos and as many captions.

    Args:
        texts: (K T, L) tokens of the captions, class after class.
        scale: s, where the temperature starts.
        y: (n,) classes of the training split.
    """

    def __init__(self, texts: torch.Tensor, n_classes: int, scale: float, y: torch.Tensor) -> None:
        super().__init__()
        self.texts: torch.Tensor = texts
        self.y, self.n_classes = y, n_classes
        self.templates = len(texts) // n_classes
        self.logit_scale = torch.nn.Parameter(torch.tensor(scale).log())

    def batch(self, rows: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Which of the captions at hand is each photo's; and these captions, each embedded once."""
        drawn = torch.randint(self.templates, (len(rows),), generator=generator)
        which, place = torch.unique(self.y[rows] * self.templates + drawn, return_inverse=True)
        return place, which

    def forward(self, image: torch.Tensor, target: torch.Tensor, text: torch.Tensor | None) -> torch.Tensor:
        """The loss."""
        assert text is not None
        f, t = (torch.nn.functional.normalize(x, dim=-1) for x in (image, text))
        return matching(self.logit_scale.exp() * f @ t[target].T)

    @torch.no_grad()
    def head(self, encode: Callable[[torch.Tensor], torch.Tensor] | None) -> tuple[torch.Tensor, torch.Tensor]:
        """The zero-shot head as zero-shot CLIP's is made."""
        assert encode is not None
        normalize = torch.nn.functional.normalize
        vectors = normalize(encode(self.texts), dim=-1).reshape(self.n_classes, self.templates, -1)
        weight = self.logit_scale.exp() * normalize(vectors.mean(dim=1), dim=-1)
        return weight, torch.zeros(self.n_classes)


def matching(logits: torch.Tensor) -> torch.Tensor:
    """CLIP's loss of b photos and as many captions, given (b, b) logits; the own caption is photo i's right answer."""
    own = torch.arange(len(logits), device=logits.device)
    cross_entropy = torch.nn.functional.cross_entropy
    return (cross_entropy(logits, own) + cross_entropy(logits.T, own)) / 2
