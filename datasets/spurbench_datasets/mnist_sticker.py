"""MNIST and Fashion-MNIST with a planted red square, from their own files."""

from __future__ import annotations

from collections.abc import Mapping

from spurbench.attribute_text import Concepts
from spurbench.cards import DatasetCard, PromptSet

from ._idx_sticker import IdxSticker
from ._quadrants import ATTRIBUTES, CITATION, REJECT, beside_a_square
from .digits_sticker import CONCEPTS, NAMES, PROMPTS, SQUARE


class MnistSticker(IdxSticker):
    """RaVL's MNIST construction (Varma et al. 2024, section 4.1): a digit in a quadrant, a red square in another.

    Black images of four quadrants of 28 x 28 pixels. In training, 1,000 of MNIST's training digits of each class, the
    square and the class `label` (3) have Cramer's V `strength` (0.9). Validation and test have 100 of its test digits
    of each class, every second one with the square. No digit is in two images. It is known where both are (`places`).

    Read from `ROOT/MNIST/raw/` (as torchvision lays the files out) or `ROOT/mnist/`.
    """

    usage = "mnist-sticker[:strength=0.9:label=3]"
    name = "mnist-sticker"
    world = 106
    classes = NAMES
    source = "MNIST"
    folder = "mnist"
    size = "about 12 MB"

    def _card(self, name: str, counts: Mapping[str, tuple[int, ...]]) -> DatasetCard:
        return DatasetCard(
            name=name,
            title="MNIST, one class with a red square",
            classes=NAMES,
            attributes=ATTRIBUTES,
            licence="CC BY-SA 3.0 (MNIST)",
            url="http://yann.lecun.com/exdb/mnist/",
            citation=f"{CITATION}; digits by LeCun, Cortes and Burges",
            prompts=PROMPTS,
            attribute_text=SQUARE,
            concepts=CONCEPTS,
            counts=counts,
            download=f"{self.size}, fetched when first used",
            regions="quadrants",
        )


class FashionSticker(IdxSticker):
    """RaVL's FashionMNIST construction (Varma et al. 2024, section 4.1): a garment, and a red square beside it.

    As `mnist-sticker`, with the images of Fashion-MNIST; `label` is a class's number (3: dress) or its name, as in
    `ankle-boot`.

    Read from `ROOT/FashionMNIST/raw/` (as torchvision lays the files out) or `ROOT/fashion-mnist/`.
    """

    usage = "fashion-sticker[:strength=0.9:label=3]"
    name = "fashion-sticker"
    world = 107
    classes = (
        "t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
    )  # fmt: skip
    source = "FashionMNIST"
    folder = "fashion-mnist"
    size = "about 31 MB"

    def _card(self, name: str, counts: Mapping[str, tuple[int, ...]]) -> DatasetCard:
        return DatasetCard(
            name=name,
            title="Fashion-MNIST, one class with a red square",
            classes=self.classes,
            attributes=ATTRIBUTES,
            licence="MIT (Fashion-MNIST)",
            url="https://github.com/zalandoresearch/fashion-mnist",
            citation=f"{CITATION}; images by Xiao, Rasul and Vollgraf, arXiv 1708.07747",
            prompts=(PromptSet("photo", ("a photo of a {}.",)), PromptSet("plain", ("{}",))),
            attribute_text=beside_a_square("clothing item", "clothing item"),
            concepts=Concepts(
                reject=REJECT,
                accept=(
                    ("something to wear on the feet", "something to wear on the body"),
                    ("a garment with long sleeves", "a garment without sleeves"),
                ),
            ),
            counts=counts,
            download=f"{self.size}, fetched when first used",
            regions="quadrants",
        )
