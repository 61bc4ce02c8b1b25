"""What RaVL and those that it is compared with begin with: a first model, and which regions mislead it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from spurbench.discovery.contract import Discovery, Evidence
from spurbench.discovery.evidence import gather
from spurbench.files import digest
from spurbench.finetuning import TunedTower
from spurbench.method import Task
from spurbench.space import Config, Distribution, Switch

from .clip_finetune import FINETUNING, Captions, ImageText, tuned
from .discovery.ravl import RaVL

FIRST = "first model"
"""The name of the first stage, for seeds and scratch."""
KNOWING: Mapping[str, Distribution] = {**FINETUNING, "first_lr": Switch(5e-5, 1e-5, 1e-4, 3e-4)}
"""The hyper-parameters of all methods that begin so; `first_lr` is the learning rate of the first model."""


@dataclass(frozen=True)
class SpuriousRegions:
    """The regions of the training photos, and which of them look like those that mislead the first model.

    Attributes:
        boxes: (n, r, 4) as `View.boxes`, NaN where there is none.
        spurious: (n, r) bool, the regions that are nearest to the most suspicious cluster.
    """

    boxes: torch.Tensor
    spurious: torch.Tensor

    @property
    def rest(self) -> torch.Tensor:
        """(n, r) bool, the regions that there are besides."""
        return there(self.boxes) & ~self.spurious

    @property
    def images(self) -> torch.Tensor:
        """(n,) int64 pseudo-attribute of the photos: 1 for those with a spurious region, else 0."""
        return self.spurious.any(dim=1).long()

    def groups(self, y: torch.Tensor) -> torch.Tensor:
        """(n,) int64 pseudo-groups 2 y + pseudo-attribute."""
        return 2 * y + self.images

    def balancing(self, y: torch.Tensor) -> torch.Tensor:
        """(n,) weights under which all pseudo-groups that occur are drawn equally often, and all photos of one."""
        groups = self.groups(y)
        return 1.0 / torch.bincount(groups)[groups]


def tuned_knowing(
    task: Task, config: Config, objective: Callable[[Captions, torch.Tensor, SpuriousRegions], ImageText]
) -> list[TunedTower]:
    """The pretrained towers, fine-tuned with what is made of captions, classes (n,) and the spurious regions.

    Where nothing is suspected there is nothing to mitigate, and this is `clip_finetune`.
    """
    captions, y, found = Captions.of(task, config), task.train.y, spurious_regions(task, config)
    return tuned(task, config, ImageText(captions, y) if found is None else objective(captions, y, found))


def spurious_regions(task: Task, config: Config) -> SpuriousRegions | None:
    """Regions of the training photos that hold what misleads a model that was fine-tuned without care; or None.

    Stages 1 to 3 of RaVL's mitigation (Varma et al. 2024, arXiv 2411.04097, sec. 4). The first model is `clip_finetune`
    under its first configuration (with the epochs and the text side of this one, and `first_lr`), after its last
    epoch. RaVL's discovery looks at its mistakes on the method's part of validation: it sorts the regions of those
    photos into clusters and ranks these. Each region of a training photo, as the first model embeds it, goes to the
    nearest of all clusters' centres; those of the cluster ranked first are spurious. None where the discovery suspects
    no cluster.

    The answer is the same for all configurations of a task that train for as long: it is kept in the task's scratch.

    Raises:
        MethodError: the card does not declare `images`, `text`, `regions` and `val_labels`.
    """
    first = {name: values.first for name, values in FINETUNING.items()}
    first |= {"epochs": config["epochs"], "text": config["text"], "lr": config["first_lr"]}
    name = f"regions-{digest(first)[:32]}"
    boxes = task.train.boxes()
    kept = task.scratch.load(name)
    if kept is None:
        kept = {"spurious": _discovered(task, first, boxes)}
        task.scratch.save(name, kept)
    spurious = kept["spurious"]
    return SpuriousRegions(boxes, spurious) if len(spurious) else None


def _discovered(task: Task, first: Config, boxes: torch.Tensor) -> torch.Tensor:
    """(n, r) bool, or (0, r) where nothing is suspected."""
    model = tuned(task, first, ImageText(Captions.of(task, first), task.train.y), FIRST)[-1]
    discovery = RaVL().discover(evidence_of(task, model), task.seed.derive("discovery"))
    if not discovery.findings:
        return torch.zeros(0, boxes.shape[1], dtype=torch.bool)
    parts, at = [], 0
    for part in model.embedded(task.train, boxes):
        parts.append(_in_first(discovery, part[:, 1:]) & there(boxes[at : at + len(part)]))
        at += len(part)
    return torch.cat(parts)


def evidence_of(task: Task, model: TunedTower) -> Evidence:
    """What a model makes of the method's part of validation, as a discoverer is given it."""
    boxes = task.val.boxes()
    embeddings = model.embed(task.val, boxes)
    return gather(embeddings, there(boxes), model.weight.cpu(), model.bias.cpu(), task.val.y)


def there(boxes: torch.Tensor) -> torch.Tensor:
    """(n, r) bool: which regions there are."""
    return ~boxes.isnan().any(dim=-1)


def _in_first(discovery: Discovery, regions: torch.Tensor) -> torch.Tensor:
    """(n, r) bool: whether the nearest centre of (n, r, d) embeddings is that of the cluster ranked first."""
    top, centers = discovery.findings[0].center, discovery.centers
    assert top is not None
    assert centers is not None
    nearest = (torch.nn.functional.normalize(regions, dim=-1) @ centers.T).argmax(dim=-1)
    return nearest == (centers @ top).argmax()
