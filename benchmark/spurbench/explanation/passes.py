"""A pass through a tower, and the maps of all models that share it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import torch
from torch import nn

from ..backbones import Tower
from ..errors import MethodError, UsageError, WeightsError
from ..finetuning import TunedTower
from ..finetuning.memory import HEAP
from .asking import asking
from .how import How, Kind, Maps, Subject
from .lens import Lens, lens_of, natural
from .models import BY_TORCH, FROM_PHOTOS, Features, checked, head_logits, own_module, tuned_logits
from .scores import rivals, scores

Run = Callable[[torch.Tensor], list[torch.Tensor]]
OWN = "what its module() returns fails on photos"
TUNED = "its fine-tuned tower fails on photos"
AS_IT_WAS = "its parameters must have the names and shapes of the backbone's, and its head those of its embeddings"
NOT_IN_PLACE = "and change no tensor in place: e = e / e.norm(), not e /= e.norm()"


@dataclass
class Pass:
    """One way from photos to logits, of all models that share it.

    Attributes:
        lens: for the maps of its tower.
        run: photos -> logits of each of the subjects.
    """

    subjects: list[Subject]
    lens: Lens
    run: Run
    _parts: list[list[tuple[torch.Tensor, ...]]] = field(init=False)
    """Of each subject, what was drawn so far: true, confused, rival, logits."""

    def __post_init__(self) -> None:
        self._parts = [[] for _ in self.subjects]

    def bytes_per_photo(self, photo: torch.Tensor) -> int:
        """How much a graph takes for each photo: the difference that a second one (1, 3, H, W) makes."""
        one, two = (self._saved(photo.expand(count, -1, -1, -1)) for count in (1, 2))
        return max(1, int((HEAP if photo.device.type == "cpu" else 1.0) * (two - one)))

    def _saved(self, photos: torch.Tensor) -> int:
        kept: list[torch.Tensor] = []
        # Whoever gave back what is saved would tie it to its own graph; it is never asked for here.
        saving = torch.autograd.graph.saved_tensors_hooks(lambda one: kept.append(one.detach()), _never)
        with self.lens.watching() as seen, saving:
            self.run(photos)
        storages = {one.untyped_storage().data_ptr(): one.untyped_storage().nbytes() for one in kept}
        # Gradients by what is watched come twice, of two classes in turn.
        return sum(storages.values()) + 2 * sum(tensor.nbytes for tensor in seen)

    def look(self, photos: torch.Tensor, y: torch.Tensor, how: How, among: torch.Tensor | None) -> None:
        """Draw the maps of some photos."""
        with self.lens.watching() as seen:
            found = self.run(photos)
        for subject, logits, parts in zip(self.subjects, found, self._parts, strict=True):
            with asking(subject.name, "there are no gradients of its logits", f"{BY_TORCH}, {NOT_IN_PLACE}"):
                logits = checked(subject, logits, len(y), _classes(y, among))
                weighed = logits.to(y.device)
                if among is not None:
                    weighed = weighed.masked_fill(~among[y], -torch.inf)
                rival = rivals(weighed.detach(), y)
                gradients = _gradients(subject, scores(weighed, y, how.score), seen)
                if how.score == "odds" and logits.shape[1] == 2:
                    # Either class's odds are those of the other turned over.
                    against = [-gradient for gradient in gradients]
                else:
                    against = _gradients(subject, scores(weighed, rival, how.score), seen)
            with torch.no_grad():
                true, confused = self.lens.maps(seen, gradients), self.lens.maps(seen, against)
            parts.append((true.cpu(), confused.cpu(), rival.cpu(), logits.detach().float().cpu()))

    def drawn(self) -> list[tuple[Subject, Maps]]:
        """All maps of each subject."""
        columns = ([torch.cat(column).numpy() for column in zip(*parts, strict=True)] for parts in self._parts)
        return [(subject, Maps(*some)) for subject, some in zip(self.subjects, columns, strict=True)]


def _classes(y: torch.Tensor, among: torch.Tensor | None) -> range:
    """How many there may be."""
    return range(max(2, int(y.max()) + 1), sys.maxsize) if among is None else range(len(among), len(among) + 1)


def _never(_: None) -> torch.Tensor:
    raise AssertionError("nothing was differentiated")


def _gradients(subject: Subject, score: torch.Tensor, seen: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    gradients = torch.autograd.grad(score.sum(), list(seen), retain_graph=True)
    if not all(bool(gradient.isfinite().all()) for gradient in gradients):
        raise MethodError(
            f"method '{subject.name}': gradients of its logits are NaN or infinite for some of the photos"
        )
    return list(gradients)


class Whole(nn.Module):
    """(b, 3, H, W) -> (b, d) float32 embeddings by a tower's modules in its precision, named as in `ImageTower`."""

    def __init__(self, trunk: nn.Module, projection: nn.Module, precision: str, device: str) -> None:
        super().__init__()
        self.trunk, self.projection = trunk, projection
        self._half, self._device = precision == "bf16", torch.device(device).type

    def forward(self, photos: torch.Tensor) -> torch.Tensor:
        """Both modules, one after the other."""
        return self.embed(self.see(photos))

    def see(self, photos: torch.Tensor) -> torch.Tensor:
        """(b, ...) float32 penultimate activations."""
        with self._precision():
            penultimate: torch.Tensor = self.trunk(photos)
        return penultimate.float()

    def embed(self, penultimate: torch.Tensor) -> torch.Tensor:
        """(b, d) float32."""
        with self._precision():
            embeddings: torch.Tensor = self.projection(penultimate)
        return embeddings.float()

    def _precision(self) -> AbstractContextManager[object]:
        return torch.autocast(self._device, torch.bfloat16, enabled=self._half)


def passes_of(
    tower: Tower, subjects: Sequence[Subject], how: How, photo: torch.Tensor, device: str
) -> tuple[Kind, list[Pass]]:
    """How maps are drawn, and all ways from photos to logits that the subjects take."""
    modules = [own_module(subject, device) for subject in subjects]
    alone = [(subject, module) for subject, module in zip(subjects, modules, strict=True) if module is not None]
    rest = [subject for subject, module in zip(subjects, modules, strict=True) if module is None]
    passes: list[Pass] = []
    kind = how.kind
    if rest:
        trunk, projection = modules_of(tower)
        whole = Whole(trunk, projection, tower.precision, device)
        kind, lens = tower_lens(tower, how, photo)
        heads = [subject for subject in rest if not isinstance(subject.predictor, TunedTower)]
        if heads:
            passes.append(Pass(heads, lens, _of_heads(heads, whole)))
        for subject in rest:
            if isinstance(subject.predictor, TunedTower):
                with asking(subject.name, TUNED, AS_IT_WAS):
                    logits = tuned_logits(subject.predictor, whole, device)
                passes.append(Pass([subject], lens, _of_one(subject, logits, TUNED, AS_IT_WAS)))
    for subject, module in alone:
        kind = kind or natural(module)
        lens = _own_lens(subject, module, kind, how, photo)
        passes.append(Pass([subject], lens, _of_one(subject, module, OWN, FROM_PHOTOS)))
    assert kind is not None
    return kind, passes


def modules_of(tower: Tower) -> tuple[nn.Module, nn.Module]:
    """A tower's trunk and projection, through which gradients pass. Raises WeightsError where there are none."""
    if tower.modules is None:
        raise WeightsError(
            "this backbone gives no modules that gradients pass through, so that no activation maps can be drawn: its "
            "load() must return a Tower with modules=(trunk, projection)"
        )
    return tower.modules


def tower_lens(tower: Tower, how: How, photo: torch.Tensor) -> tuple[Kind, Lens]:
    """How and where the maps of a tower are drawn; arguments and errors as in `lens_of`, and those of `modules_of`."""
    trunk, _ = modules_of(tower)
    kind = how.kind or natural(trunk)
    return kind, lens_of(trunk, kind, how, photo)


def _own_lens(subject: Subject, module: nn.Module, kind: Kind, how: How, photo: torch.Tensor) -> Lens:
    with asking(subject.name, OWN, FROM_PHOTOS):
        try:
            return lens_of(module, kind, how, photo)
        except UsageError as error:
            raise UsageError(f"method '{subject.name}': its module(): {error}") from error
        except WeightsError as error:
            raise MethodError(f"method '{subject.name}': its module(): {error}") from error


def _of_heads(subjects: Sequence[Subject], whole: Whole) -> Run:
    def run(photos: torch.Tensor) -> list[torch.Tensor]:
        found = Features(whole.see(photos), whole.embed)
        return [head_logits(subject, found) for subject in subjects]

    return run


def _of_one(subject: Subject, logits: Callable[[torch.Tensor], torch.Tensor], fault: str, mend: str) -> Run:
    def run(photos: torch.Tensor) -> list[torch.Tensor]:
        with asking(subject.name, fault, mend):
            # A copy: what is changed in place there would be another photo for the models after it.
            return [logits(photos.clone())]

    return run
