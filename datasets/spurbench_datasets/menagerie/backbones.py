"""The menagerie's two backbones: open_clip models whose weights are in the package and can be made from nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from spurbench.backbones import Setting
from spurbench.backbones.open_clip import CONFIG, SAFE_WEIGHTS, OpenClipBackbone, from_folder
from spurbench.cards import BackboneCard

if TYPE_CHECKING:
    from .pretraining import Recipe

SHIPPED = Path(__file__).parent / "weights"


class _Menagerie:
    """A backbone of the menagerie; `resolve` gives the open_clip model with the weights of the package."""

    card: ClassVar[BackboneCard]
    tolerance: ClassVar[float] = 0.1
    """Processors and versions of torch round differently, and training amplifies that as it does another seed."""

    @property
    def folder(self) -> Path:
        """Where open_clip finds the model: `local-dir:` and this path."""
        return SHIPPED / self.card.name

    @property
    def recipe(self) -> Recipe:
        """How the weights were made; `spurbench pretrain` makes them again."""
        from .recipes import RECIPES

        return RECIPES[self.card.name]

    def resolve(self, setting: Setting) -> OpenClipBackbone:
        """The backbone. Raises WeightsError."""
        config, weights = self.folder / CONFIG, self.folder / SAFE_WEIGHTS
        found = from_folder(config, weights, self.card.name, str(weights), setting)
        card = replace(self.card, activation=found.card.activation, precision=found.card.precision)
        return replace(found, card=card)

    def pretrain(self, folder: Path, control: bool, progress: Callable[[int, int, float], None]) -> None:
        """Make the weights in `folder`; the control's photos show every animal in every place alike."""
        from .pretraining import pretrain

        pretrain(self.recipe.without_shortcut() if control else self.recipe, folder, progress)

    def judge(self, folder: Path | None) -> dict[str, float]:
        """Zero-shot accuracy over the species on fresh photos: easy, hard, drop."""
        from .judging import judge

        return judge(folder or self.folder)

    def describe(self, folder: Path, accuracies: dict[str, dict[str, float]]) -> None:
        """Write `README.md`, the model card, beside the weights."""
        from .model_card import write_card

        write_card(self.recipe, folder, accuracies)


class MenagerieRN(_Menagerie):
    """A small ModifiedResNet with attention pooling."""

    card = BackboneCard(
        name="menagerie-rn",
        title="Tiny CLIP of the menagerie, ModifiedResNet",
        weights="in the package",
        licence="MIT",
    )


class MenagerieViT(_Menagerie):
    """A small vision transformer."""

    card = BackboneCard(
        name="menagerie-vit",
        title="Tiny CLIP of the menagerie, vision transformer",
        weights="in the package",
        licence="MIT",
    )
