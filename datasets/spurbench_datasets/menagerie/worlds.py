"""The menagerie's data sets: photos that are rendered when they are asked for, from scenes that are known exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from PIL import Image

from spurbench.cards import DatasetCard, PromptSet
from spurbench.data import Examples, Places
from spurbench.files import HashCache, digest, sha256_of
from spurbench.masks import HALF

from .._boxes import shares, together
from .._planted import group_counts, parameters, share, which
from .._rows import laid_out
from .animals import NAMES as SPECIES_NAMES
from .animals import SPECIES
from .corpus import HABITAT, elsewhere
from .exact import Draws, Ints
from .places import NAMES as PLACE_NAMES
from .places import OUTDOORS
from .renderer import BATCH, Bytes, Rendering, boxes, render
from .scenes import Scenes
from .view import EDGE
from .wording import ANIMAL_CONCEPTS, BIRD_CONCEPTS, GROUND, PLACE, STICKER, STICKER_CONCEPTS

APPEARANCE = 1
"""Raised when a scene looks different than before; features and records of the old photos are then stale."""
STICKER_SPECIES = ("wolf", "dog", "goat", "sheep")
PER_CLASS = {"train": 600, "val": 150, "test": 600}
"""Photos of each of them where something is planted."""
LICENCE = "MIT (rendered)"
PHOTO = PromptSet("photo", ("a photo of a {}.",))
PLAIN = PromptSet("plain", ("a {}",))
CAPTIONS = PromptSet("captions", ("a photo of a {}.", "a {}", "close-up of a {}.", "a picture of a {}", "what a {}!"))


@dataclass(frozen=True)
class RenderedPhotos:
    """Photos of scenes, rendered when they are opened."""

    scenes: Scenes
    at_once: int = BATCH

    def __len__(self) -> int:
        return len(self.scenes)

    def open(self, rows: Sequence[int]) -> list[Image.Image]:
        """The rows' photos."""
        return [Image.fromarray(pixels) for pixels in render(self.scenes.rows(np.asarray(rows, dtype=np.int64))).images]

    def fingerprint(self, ids: Sequence[str], hashes: HashCache) -> str:  # noqa: ARG002
        """Over all that decides the pixels; rendering them to hash them would take seconds on every start."""
        scenes = self.scenes
        columns = (scenes.index, scenes.species, scenes.place, scenes.companion, scenes.sticker)
        content = sha256_of(np.ascontiguousarray(column).tobytes() for column in columns)
        apart = ["apart"] if scenes.apart else []
        return digest([APPEARANCE, scenes.seed, repr(scenes.difficulty), content, *apart])


class World:
    """A data set of rendered photos: counts per group from its card, the scenes of each group from a subclass.

    Attributes:
        seed: of the world its photos are taken in; no other data set has it.
    """

    card: DatasetCard
    seed: ClassVar[int]

    def prepare(self, root: Path, *, download: bool) -> None:
        """Nothing: there are no files."""

    def scenes(self) -> Scenes:
        """What each photo shows, row by row as in `load`; `render` gives photos, masks and boxes."""
        return self._examples_and_scenes()[1]

    def load(self, root: Path) -> Examples:  # noqa: ARG002
        """Columns and photos: train, val, test in this order, shuffled within each split."""
        return self._examples_and_scenes()[0]

    def _examples_and_scenes(self) -> tuple[Examples, Scenes]:
        rows = laid_out(self.card, self.seed)
        scenes = self._stage(rows.draws, rows.index, rows.y, rows.a)
        examples = Examples(
            ids=rows.ids,
            y=rows.y,
            a=rows.a,
            split=rows.split,
            n_classes=len(self.card.classes),
            n_attributes=len(self.card.attributes),
            photos=RenderedPhotos(scenes),
        )
        return examples, scenes

    def places(self, root: Path, rows: Ints) -> Places:  # noqa: ARG002
        """Where the animals are that make the class; everything else is the place, which is spurious."""
        animal = shares(self._shown(rows).boxes, (EDGE, EDGE))
        return Places(together(animal), animal)

    def masks(self, root: Path, rows: Ints) -> list[Bytes | None]:  # noqa: ARG002
        """(EDGE, EDGE) how much of each pixel shows the animal that makes the class (see `spurbench.masks`).

        None where nothing shows it by half, as where it is hidden, and there is no box of it either.
        """
        animals = self._shown(rows).animal
        return [mask if mask.max() >= HALF else None for mask in animals]

    def _shown(self, rows: Ints) -> Rendering:
        """The rows' masks; their backgrounds, which would take most of the time, are left out of the photos."""
        return render(self.scenes().rows(rows), scene=False)

    def _stage(self, draws: Draws, index: Ints, y: Ints, a: Ints) -> Scenes:
        """Scenes of examples with classes y and attributes a."""
        raise NotImplementedError


def _one_of(draws: Draws, name: str, kinds: Ints, choices: Sequence[Sequence[int]]) -> Ints:
    """(n,) a member of `choices[kind]` for each example, all as likely."""
    sizes = np.array([len(options) for options in choices], dtype=np.int64)
    table = np.zeros((len(choices), int(sizes.max())), dtype=np.int64)
    for row, options in enumerate(choices):
        table[row, : len(options)] = options
    return table[kinds, draws.below(name, sizes[kinds])]


class MenagerieBirds(World):
    """Waterbirds' shape (Sagawa et al. 2020): land- and waterbirds on land and on water, which agree in training.

    Landbirds are pheasants, pigeons and ostriches, waterbirds ducks, gulls and herons; land is forest and meadow,
    water lake and sea. Training has Waterbirds' proportions of classes; validation and test are balanced within each
    class. `correlation` (0.95) is the share of training photos of each class before the background it belongs to.
    """

    usage = "menagerie-birds[:correlation=0.95]"
    seed = 101

    def __init__(self, argument: str = "") -> None:
        name = "menagerie-birds"
        found = parameters(name, argument, {"correlation": 0.95})
        correlation = share(name, "correlation", found["correlation"])
        land, water = 1843, 557
        at_home = (round(land * correlation), round(water * correlation))
        self.card = DatasetCard(
            name=f"{name}:{argument}" if argument else name,
            title="Rendered land- and waterbirds",
            classes=("landbird", "waterbird"),
            attributes=("land", "water"),
            licence=LICENCE,
            citation="after Sagawa, Koh, Hashimoto, Liang: Distributionally robust neural networks for group shifts, "
            "ICLR 2020",
            prompts=(PHOTO, PLAIN, CAPTIONS),
            attribute_prompts=("a photo taken on land.", "a photo taken on the water."),
            attribute_text=GROUND,
            concepts=BIRD_CONCEPTS,
            counts={
                "train": (at_home[0], land - at_home[0], water - at_home[1], at_home[1]),
                "val": (234, 234, 66, 66),
                "test": (934, 934, 266, 266),
            },
        )

    def _stage(self, draws: Draws, index: Ints, y: Ints, a: Ints) -> Scenes:
        birds = [[i for i, s in enumerate(SPECIES) if s.kind == label] for label in self.card.classes]
        grounds = [[PLACE_NAMES.index(n) for n in names] for names in (("forest", "meadow"), ("lake", "sea"))]
        return Scenes(self.seed, index, _one_of(draws, "species", y, birds), _one_of(draws, "place", a, grounds))


class MenagerieAnimals(World):
    """CounterAnimal's shape (Wang et al. 2024): every species in its habitat (easy) and anywhere else (hard).

    `correlation` (0.9) is the share of training photos in the habitat; validation and test are half and half.
    """

    usage = "menagerie-animals[:correlation=0.9]"
    seed = 102

    def __init__(self, argument: str = "") -> None:
        name = "menagerie-animals"
        found = parameters(name, argument, {"correlation": 0.9})
        correlation = share(name, "correlation", found["correlation"])
        home = round(200 * correlation)
        self.card = DatasetCard(
            name=f"{name}:{argument}" if argument else name,
            title="Rendered animals in and out of their habitat",
            classes=SPECIES_NAMES,
            attributes=("habitat", "elsewhere"),
            licence=LICENCE,
            citation="after Wang et al.: A sober look at the robustness of CLIPs to spurious features, NeurIPS 2024",
            prompts=(PHOTO, PLAIN, CAPTIONS),
            attribute_text=PLACE,
            concepts=ANIMAL_CONCEPTS,
            counts={
                "train": (home, 200 - home) * len(SPECIES),
                "val": (25, 25) * len(SPECIES),
                "test": (100, 100) * len(SPECIES),
            },
        )

    def _stage(self, draws: Draws, index: Ints, y: Ints, a: Ints) -> Scenes:
        return Scenes(self.seed, index, y, np.where(a == 0, HABITAT[y], elsewhere(draws, y)))


class MenagerieSticker(World):
    """RaVL's planted object (Varma et al. 2024): a red sticker that goes with one class in training.

    Wolf, dog, goat and sheep, as often in every place. In training the sticker and the class `label` (dog) have
    Cramer's V `strength` (0.9); in validation and test every second photo of every class has the sticker.

    Attributes:
        planted_label: the class that the sticker goes with in training.
    """

    usage = "menagerie-sticker[:strength=0.9:label=dog]"
    seed = 103

    def __init__(self, argument: str = "") -> None:
        name = "menagerie-sticker"
        found = parameters(name, argument, {"strength": 0.9, "label": "dog"})
        strength = share(name, "strength", found["strength"])
        self.planted_label = which(name, "label", str(found["label"]), STICKER_SPECIES)
        self.card = DatasetCard(
            name=f"{name}:{argument}" if argument else name,
            title="Rendered animals, one species with a sticker",
            classes=STICKER_SPECIES,
            attributes=("clean", "sticker"),
            licence=LICENCE,
            citation="after Varma, Delbrouck, Chaudhari, Langlotz: RaVL, NeurIPS 2024",
            prompts=(PHOTO, PLAIN, CAPTIONS),
            attribute_text=STICKER,
            concepts=STICKER_CONCEPTS,
            counts=group_counts(PER_CLASS, len(STICKER_SPECIES), self.planted_label, strength),
            regions="quadrants",
        )

    def places(self, root: Path, rows: Ints) -> Places:  # noqa: ARG002
        """Where the animals are, which make the class, and the stickers."""
        shown = self._shown(rows)
        animal, sticker = (shares(boxes(masks), (EDGE, EDGE)) for masks in (shown.animal, shown.sticker))
        return Places(together(animal, sticker), animal, sticker)

    def _stage(self, draws: Draws, index: Ints, y: Ints, a: Ints) -> Scenes:
        species = np.array([SPECIES_NAMES.index(name) for name in STICKER_SPECIES])[y]
        return Scenes(self.seed, index, species, draws.below("place", OUTDOORS), sticker=a == 1)
