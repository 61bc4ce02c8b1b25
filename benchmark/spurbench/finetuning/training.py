"""Training: epochs of AdamW steps, each epoch kept, so that a killed run loses one at most."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import torch

from ..encode import keep_freed_memory
from ..errors import ConfigurationError, MethodError
from ..files import digest
from ..method import Task
from ..seeds import Seed
from ..space import Config
from .memory import SMALL, plan_of
from .objective import Objective
from .photos import Photos
from .predictor import TunedTower
from .schedule import cosine
from .steps import backward
from .towers import Towers, Trained

TEXT_BATCH = 256
PHOTO_SHARE = 4
"""Photos are kept in memory if they take no more than a fourth of the memory limit, and leave room to work."""
HEAD, IMAGE, COUNT = "head.", "image.", "trained_parameters"
Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Recipe:
    """How to descend: AdamW (betas 0.9 and 0.999, eps 1e-8), and a learning rate that warms up and falls as `cosine`.

    Weights decay apart from the gradient; biases, norms' parameters, class tokens and temperatures, that is all with
    fewer than two dimensions, do not: open_clip's practice. (The released code of WiSE-FT and FLYP lets all decay,
    which at lr times decay near 1e-6 per step is no matter.)

    Attributes:
        lr, weight_decay: of AdamW.
        epochs: passes over the training split, each in an order of its own; the last batch may be smaller.
        batch: examples per step.
        snapshots: epochs after which to keep a candidate, ascending; the last is `epochs`.
        warm_up: steps; a tenth of all where that is less.
        clip: largest norm of the gradient over everything that is trained; longer ones are scaled to it.
    """

    lr: float
    weight_decay: float
    epochs: int
    batch: int
    snapshots: tuple[int, ...]
    warm_up: int = 500
    clip: float | None = None

    def __post_init__(self) -> None:
        if not self.snapshots or list(self.snapshots) != sorted({*self.snapshots}) or self.snapshots[0] < 1:
            raise ValueError(f"snapshots are ascending numbers of epochs, not {self.snapshots}")
        if self.snapshots[-1] != self.epochs:
            raise ValueError(f"the last snapshot is after the last epoch, {self.epochs}, not {self.snapshots[-1]}")


def finetune(
    task: Task,
    config: Config,
    objective: Objective,
    recipe: Recipe,
    trained: Trained | None = None,
    stage: str = "",
) -> list[TunedTower]:
    """Train copies of the backbone's towers, and return what they were after the recipe's epochs.

    What was reached is kept in `task.scratch`, under a name made of all the arguments: a call that finds it there goes
    on from it, and ends with the same numbers.

    Args:
        config: what distinguishes this fit from the others of the task, besides the recipe.
        objective: as it is before the first step; it is trained in place.
        trained: which parameters move; without, the whole image tower and no text tower.
        stage: tells the trainings of a method that has several apart: each has its own order of examples and its own
            place in the scratch.

    Raises:
        ConfigurationError: the loss became NaN or infinite.
        MethodError: one example does not fit into the memory limit, the card does not declare `images`, or the
            backbone has no such modules; or what was kept was removed during training.
    """
    trained = trained or Trained()
    kind = type(objective)
    about = [dict(config), asdict(recipe), asdict(trained), f"{kind.__module__}.{kind.__qualname__}", stage]
    name = digest(about)[:32]
    found = _snapshots(task, name, recipe)
    if found is None:
        seed = task.seed.derive(stage) if stage else task.seed
        _Training(task, name, seed, objective, recipe, trained).run()
        found = _snapshots(task, name, recipe)
        if found is None:
            raise MethodError(
                f"what method '{task.method}' had kept of its training was removed meanwhile, by hand or by another "
                "process that computed the same; run it again"
            )
    return [_predictor(task, tensors) for tensors in found]


def _snapshots(task: Task, name: str, recipe: Recipe) -> list[Tensors] | None:
    found = [task.scratch.load(f"{name}-{epoch}") for epoch in recipe.snapshots]
    whole = [tensors for tensors in found if tensors is not None]
    return whole if len(whole) == len(found) else None


def _predictor(task: Task, tensors: Mapping[str, torch.Tensor]) -> TunedTower:
    state = {name.removeprefix(IMAGE): value for name, value in tensors.items() if name.startswith(IMAGE)}
    weight, bias = tensors[f"{HEAD}weight"], tensors[f"{HEAD}bias"]
    return TunedTower(task.model, state, weight, bias, task.memory_limit, int(tensors[COUNT]))


class _Training:
    """One fit on its way."""

    def __init__(
        self, task: Task, name: str, seed: Seed, objective: Objective, recipe: Recipe, trained: Trained
    ) -> None:
        self.task, self.name, self.seed, self.recipe = task, name, seed, recipe
        if task.device.type == "cpu":
            keep_freed_memory()
        self.photos = Photos(task.train.images(), task.device, recipe.batch)
        self.towers = Towers(task.model, trained, objective)
        self.texts = None if objective.texts is None else objective.texts.to(task.device)
        self.boxes = objective.boxes
        regions = 0 if objective.boxes is None else objective.boxes.shape[1]
        one = torch.zeros(1, *self.photos.shape, device=task.device)
        n, limit = len(task.train), task.memory_limit
        batch = min(n, recipe.batch)
        self.plan = plan_of(task.method, self.towers, one, self.texts, self.photos.bytes, batch, limit, regions)
        left = self.plan.less(self.photos.all_bytes)
        wanted = max(left.least, min(batch, SMALL) * left.image)
        if self.photos.all_bytes <= limit // PHOTO_SHARE and left.room >= wanted:
            self.photos.keep()
            self.plan = left
        self.steps = recipe.epochs * -(-n // recipe.batch)
        self.trained = dict(self.towers.trained())
        self.optimiser = torch.optim.AdamW(
            [
                {
                    "params": [p for p in self.trained.values() if p.ndim >= 2],
                    "weight_decay": recipe.weight_decay,
                },
                {"params": [p for p in self.trained.values() if p.ndim < 2], "weight_decay": 0.0},
            ],
            lr=recipe.lr,
        )
        self.towers.start()

    def run(self) -> None:
        """The epochs that are left, each kept when it is done."""
        for epoch in range(self._resume(), self.recipe.epochs):
            self._epoch(epoch)
            if epoch + 1 in self.recipe.snapshots:
                self.task.scratch.save(f"{self.name}-{epoch + 1}", self._snapshot())
            # A snapshot goes first: what has an epoch's state has its snapshots.
            if epoch + 1 < self.recipe.epochs:
                self.task.scratch.save(self.name, self._state(epoch + 1))
        self.task.scratch.drop(self.name)

    def _epoch(self, epoch: int) -> None:
        recipe, seed = self.recipe, self.seed.derive("epoch", epoch)
        batches = torch.split(self._order(seed), recipe.batch)
        draws = seed.derive("draws").torch()
        total = torch.zeros((), device=self.task.device)
        for index, (rows, images) in enumerate(zip(batches, self.photos.batches(batches), strict=True)):
            factor = cosine(epoch * len(batches) + index, self.steps, recipe.warm_up)
            for group in self.optimiser.param_groups:
                group["lr"] = recipe.lr * factor
            target, which = self.towers.objective.batch(rows, draws)
            tokens = None if which is None or self.texts is None else self.texts[which.to(self.texts.device)]
            self.optimiser.zero_grad()
            device = self.task.device
            boxes = None if self.boxes is None else self.boxes[rows].to(device)
            total += backward(self.towers, self.plan, images.to(device), tokens, target.to(device), boxes)
            if recipe.clip is not None:
                torch.nn.utils.clip_grad_norm_(self.trained.values(), recipe.clip)
            self.optimiser.step()
        if not bool(torch.isfinite(total)):
            raise ConfigurationError(f"the loss became NaN or infinite in epoch {epoch + 1}")

    def _order(self, seed: Seed) -> torch.Tensor:
        """(n,) the rows of an epoch, one after the other."""
        n, weights = len(self.task.train), self.towers.objective.weights
        if weights is None:
            return torch.randperm(n, generator=seed.torch())
        return torch.multinomial(weights.double(), n, replacement=True, generator=seed.torch())

    def _snapshot(self) -> Tensors:
        weight, bias = self.towers.objective.head(self._encode if self.towers.text is not None else None)
        moving = {name: value for name, value in self.towers.moving().items() if name.startswith(IMAGE)}
        count = torch.tensor(sum(parameter.numel() for parameter in self.trained.values()))
        return {**moving, f"{HEAD}weight": weight.detach(), f"{HEAD}bias": bias.detach(), COUNT: count}

    @torch.no_grad()
    def _encode(self, tokens: torch.Tensor) -> torch.Tensor:
        assert self.towers.text is not None
        return torch.cat([self.towers.text(part.to(self.task.device)) for part in torch.split(tokens, TEXT_BATCH)])

    def _state(self, epoch: int) -> Tensors:
        state = {f"value.{name}": value for name, value in self.towers.moving().items()}
        for name, parameter in self.trained.items():
            for key, value in self.optimiser.state[parameter].items():
                state[f"{key}.{name}"] = value
        return {**state, "epoch": torch.tensor(epoch)}

    def _resume(self) -> int:
        """Go back to the last epoch that was finished; its number."""
        state = self.task.scratch.load(self.name)
        if state is None:
            return 0
        epoch = int(state.pop("epoch"))
        # A broken snapshot was removed when it was looked for.
        if any(self.task.scratch.load(f"{self.name}-{at}") is None for at in self.recipe.snapshots if at <= epoch):
            return 0
        moving = self.towers.moving()
        for place, value in state.items():
            key, _, name = place.partition(".")
            if key == "value":
                moving[name].copy_(value)
            elif key == "step":
                self.optimiser.state[self.trained[name]][key] = value.clone()
            else:
                # Laid out as the parameter, as the optimiser itself would: another order may round otherwise.
                self.optimiser.state[self.trained[name]][key] = torch.empty_like(self.trained[name].data).copy_(value)
        return epoch
