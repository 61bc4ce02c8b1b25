"""Photos of COCO in which one thing goes with another in training: RaVL's setting on real photos."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np

from spurbench.cards import DatasetCard, PromptSet
from spurbench.data import Examples, Ints, Places
from spurbench.errors import DataError, UsageError

from ._coco import Instances, read_instances
from ._coco_choice import Chosen, Wanted, for_evaluation, for_training
from ._coco_names import CATEGORIES
from ._columns import did_you_mean, located, photos
from ._planted import parameters, share
from ._presence import noun, presence, presence_concepts

NAME = "coco-planted"
FOLDER = "coco"
TRAINED, EVALUATED = "train2017", "val2017"
"""COCO's own splits: what is trained on, and what validation and test share."""
MOST_BOXES = 20
LONGEST = 80
"""Characters of a data set's name."""


class CocoPlanted:
    """RaVL's real-world setting (Varma et al. 2024, section 4.1): a thing that goes with one class in photos of COCO.

    Written `coco-planted:dog+cat:feature=couch`: the classes, two to five of COCO's 80 categories, and the category
    that is planted, blanks in them as `-`. Photos are those that show exactly one of the classes, whatever else they
    show. The attribute is whether they show the feature.

    - Training: from train2017, without replacement, as many of each class, and as many as there are, so that the
      feature and the class `label` (the first) have Cramer's V `strength` (0.9).
    - Validation and test: from val2017, each photo in one of them; in each class as many with the feature as without.

    Read from `ROOT/coco/`: `annotations/instances_train2017.json` and `instances_val2017.json`, the photos in
    `train2017/` and `val2017/`, as COCO's archives unpack. An index is kept beside the annotations.

    Args:
        argument: what stands behind `coco-planted:`.

    Attributes:
        planted_label: the class that the feature goes with in training.

    Raises:
        UsageError: categories that COCO does not have, or that do not make a data set.
    """

    usage = "coco-planted:A+B:feature=F"
    card: DatasetCard

    def __init__(self, argument: str) -> None:
        written, _, rest = argument.partition(":")
        classes = tuple(_category("class", name) for name in written.split("+"))
        if not 2 <= len(classes) <= 5 or len(set(classes)) < len(classes):
            raise UsageError(f"{NAME}: needs two to five different classes, as in dog+cat, not '{written}'")
        found = parameters(NAME, rest, {"feature": "", "label": classes[0], "strength": 0.9})
        if not found["feature"]:
            raise UsageError(f"{NAME}: say which category is planted, as in {NAME}:{written}:feature=couch")
        feature, label = _category("feature", str(found["feature"])), _category("label", str(found["label"]))
        if feature in classes or label not in classes:
            raise UsageError(f"{NAME}: the label must be one of {', '.join(classes)}, and the feature none of them")
        self.planted_label = classes.index(label)
        self._wanted = Wanted(classes, feature, self.planted_label, share(NAME, "strength", found["strength"]))
        name = f"{NAME}:{argument}"
        if len(name) > LONGEST:
            raise UsageError(f"{NAME}: '{argument}' makes a name of {len(name)} characters; {LONGEST} are possible")
        self.card = DatasetCard(
            name=name,
            title=f"COCO, {label} with {noun(feature)}",
            classes=classes,
            attributes=(f"no {feature}", feature),
            licence="annotations CC BY 4.0; photos under the licences that their owners gave them on Flickr",
            url="https://cocodataset.org",
            citation="after Varma, Delbrouck, Chaudhari, Langlotz: RaVL, NeurIPS 2024; photos and annotations: Lin et "
            "al.: Microsoft COCO: Common objects in context, ECCV 2014",
            prompts=(
                PromptSet("photo", ("a photo of a {}.",), source="Radford et al. 2021, arXiv 2103.00020, 3.1.4"),
                PromptSet("imagenet80", open_clip_list="OPENAI_IMAGENET_TEMPLATES", source="Radford et al. 2021"),
                PromptSet("plain", ("a {}",)),
            ),
            attribute_text=presence(feature, "thing"),
            concepts=presence_concepts(
                feature,
                tuple((f"a photo of {noun(one)}.", f"a photo of {noun(other)}.") for one, other in pairwise(classes)),
            ),
            regions="boxes",
        )

    def prepare(self, root: Path, *, download: bool) -> None:  # noqa: ARG002
        """Look for COCO's files; they are too many to be fetched unasked. Raises DataError saying how to get them."""
        folder = root / FOLDER
        wanted = [folder / name for name in (TRAINED, EVALUATED)]
        wanted += [_annotations(root, name) for name in (TRAINED, EVALUATED)]
        missing = [str(path) for path in wanted if not path.exists()]
        if missing:
            raise DataError(
                f"COCO is not at hand: there is no {', no '.join(missing)}. By hand: unpack "
                "http://images.cocodataset.org/annotations/annotations_trainval2017.zip (0.2 GB), "
                "http://images.cocodataset.org/zips/train2017.zip (18 GB) and "
                f"http://images.cocodataset.org/zips/val2017.zip (0.8 GB) into {folder}"
            )

    def load(self, root: Path) -> Examples:
        """Choose the photos: train, val, test in this order, shuffled within each split.

        Raises:
            DataError: the annotations cannot be read or have too few such photos, or photos are missing.
        """
        parts = self._parts(root)
        ids = [f"{name}/{source.files[row]}" for name, source, chosen in parts for row in chosen.photo.tolist()]
        with located(root / FOLDER):
            return Examples(
                ids=ids,
                y=np.concatenate([chosen.y for *_, chosen in parts]),
                a=np.concatenate([chosen.a for *_, chosen in parts]),
                split=np.concatenate([chosen.split for *_, chosen in parts]),
                n_classes=len(self.card.classes),
                n_attributes=len(self.card.attributes),
                photos=photos(root / FOLDER, ids),
            )

    def places(self, root: Path, rows: Ints) -> Places:
        """Boxes of all that is annotated, the 20 largest of a photo; the largest of its class and of the feature.

        Raises:
            DataError: as `load`.
        """
        shown = [
            (source, row, self.card.classes[y])
            for _, source, chosen in self._parts(root)
            for row, y in zip(chosen.photo.tolist(), chosen.y.tolist(), strict=True)
        ]
        boxes = np.full((len(rows), MOST_BOXES, 4), np.nan, dtype=np.float32)
        objects, spurious = boxes[:, 0].copy(), boxes[:, 0].copy()
        for number, (source, row, label) in enumerate(shown[row] for row in rows.tolist()):
            here = source.of(row)
            found, names = source.boxes[here], source.categories[source.category[here]]
            boxes[number, : len(found)] = found[:MOST_BOXES]
            objects[number] = found[names == label][0]
            spurious[number] = next(iter(found[names == self._wanted.feature]), np.nan)
        return Places(boxes, objects, spurious)

    def _parts(self, root: Path) -> list[tuple[str, Instances, Chosen]]:
        """The folders of photos, what is annotated in them, and which are chosen. Raises DataError."""
        self.prepare(root, download=False)
        found = []
        for name, choose in ((TRAINED, for_training), (EVALUATED, for_evaluation)):
            path = _annotations(root, name)
            source = read_instances(path)
            with located(path):
                found.append((name, source, choose(source, self._wanted)))
        return found


def _category(what: str, written: str) -> str:
    """A category of COCO by its name, with dashes or underscores for blanks. Raises UsageError."""
    name = written.replace("-", " ").replace("_", " ")
    if name not in CATEGORIES:
        raise UsageError(
            f"{NAME}: COCO has no category '{written}' for a {what}{did_you_mean(name, CATEGORIES)} "
            "(https://cocodataset.org/#explore shows all 80)"
        )
    return name


def _annotations(root: Path, name: str) -> Path:
    return root / FOLDER / "annotations" / f"instances_{name}.json"
