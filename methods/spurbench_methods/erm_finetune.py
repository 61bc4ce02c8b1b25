"""ERM by fine-tuning the whole image tower."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch

from spurbench.cards import MethodCard
from spurbench.finetuning import Objective, Recipe, Trained, TunedTower, finetune
from spurbench.method import Predictor, Task
from spurbench.space import Config, Distribution, LogUniform, Switch

EPOCHS, BATCH = (1, 3, 10, 30), 128
"""Epochs after which a tower is a candidate, up to the configuration's own number; examples per step."""
SPACE: Mapping[str, Distribution] = {
    "lr": LogUniform(3e-6, 3e-4, first=3e-5),
    "weight_decay": LogUniform(1e-3, 1.0, first=0.1),
    "epochs": Switch(10, 1, 3, 30),
}


class ERMFinetune:
    """Cross-entropy of a head on unit embeddings, the whole image tower and the head trained from the zero-shot head.

    The end-to-end fine-tuning of WiSE-FT (Wortsman et al. 2022, arXiv 2109.01903; released `finetune.py`): W starts as
    s w_c and b as 0, so that training starts at zero-shot predictions. AdamW, lr 3e-5 and weight decay 0.1 first, 10
    epochs, cosine schedule after 500 steps of warm-up (a tenth of the steps where that is less), gradients clipped to
    norm 1. Batches of 128, the default of the code; the paper's are 512.

    Unlike the released code: no augmentation; BatchNorm keeps its statistics; biases and norms do not decay (see
    `Recipe`). Candidates are the towers after 1, 3 and 10 epochs, so that a method may stop early: three passes over
    validation and test cost about an epoch of training on Waterbirds.

    `trains=projection` trains the projection (and the head) behind a frozen trunk that runs in every epoch, as the
    released codes of Yang et al. 2023 and CFR do it, and `batch_norm=train` with their drifting statistics;
    `erm_projection` is the quick way to the former.
    """

    card = MethodCard(
        name="erm_finetune",
        title="ERM (fine-tuned tower)",
        paper="arXiv 2109.01903",
        inputs=("images", "text"),
        trains="image tower + linear head",
        track="image",
    )
    space: Mapping[str, Distribution] = {
        **SPACE,
        "trains": Switch("all", "projection"),
        "batch_norm": Switch("eval", "train"),
    }

    def fit(self, task: Task, config: Config) -> Sequence[Predictor]:
        """The tower after some epochs."""
        trained = Trained(
            image="projection" if config["trains"] == "projection" else "all",
            batch_norm="train" if config["batch_norm"] == "train" else "eval",
        )
        return tuned_towers(task, config, snapshots(config), trained)


class CrossEntropy(Objective):
    """Mean cross-entropy of W f + b, f the unit embedding."""

    separable = True

    def __init__(self, weight: torch.Tensor, y: torch.Tensor) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(weight.clone())
        self.bias = torch.nn.Parameter(torch.zeros(len(weight)))
        self.y = y

    def batch(self, rows: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, None]:  # noqa: ARG002
        """The classes."""
        return self.y[rows], None

    def forward(self, image: torch.Tensor, target: torch.Tensor, text: torch.Tensor | None) -> torch.Tensor:  # noqa: ARG002
        """The loss."""
        unit = torch.nn.functional.normalize(image, dim=-1)
        return torch.nn.functional.cross_entropy(unit @ self.weight.T + self.bias, target)

    def head(
        self,
        encode: Callable[[torch.Tensor], torch.Tensor] | None,  # noqa: ARG002
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """W and b."""
        return self.weight, self.bias


def zero_shot_weight(task: Task) -> torch.Tensor:
    """(K, d) s w_c."""
    return task.text.logit_scale * task.text.classes()


def snapshots(config: Config) -> tuple[int, ...]:
    """Epochs after which a configuration's towers are candidates; the last is its number of epochs."""
    return tuple(epoch for epoch in EPOCHS if epoch <= int(config["epochs"]))


def tuned_towers(
    task: Task, config: Config, after: tuple[int, ...], trained: Trained | None = None
) -> list[TunedTower]:
    """The image tower and head, fine-tuned with cross-entropy, after some epochs."""
    recipe = Recipe(
        lr=float(config["lr"]),
        weight_decay=float(config["weight_decay"]),
        epochs=int(config["epochs"]),
        batch=BATCH,
        snapshots=after,
        clip=1.0,
    )
    return finetune(task, config, CrossEntropy(zero_shot_weight(task), task.train.y), recipe, trained)
