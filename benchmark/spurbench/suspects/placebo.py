"""What directions that mean nothing tell of a model's errors: the reference that a word has to beat.

Presence is a cosine with the embedding that the model predicts from. Whatever moves a photo towards another class moves
it along some direction, and most directions have a part along that one: within a class they are not independent of
being right, as little as words are. The permutation test is right to reject them, and so a small p-value alone says
nothing of a word. Here random directions are treated exactly as words are, and a word is compared with them.

Of 999 random directions, so many in a hundred have p <= 0.05 on validation, zero-shot: of menagerie-birds 67
(menagerie-rn) and 54 (menagerie-vit), of menagerie-animals 95 and 89, of Waterbirds 63 (a MobileNet with a text tower).
Fewer tell as much as the words that lead: 0.4 in a hundred as much as `water` on the birds (5.9 with menagerie-vit),
0.1 on Waterbirds; as much as the first of the animals' habitats 9.8 and 18.0. With ERM's heads, trained on the balanced
world of birds, ten words and three keep small p-values on test, and all have placebos of 0.096 and more; on validation,
a quarter of the photos, `forest`, which hides the birds, has 0.013 with menagerie-rn.

What this cannot tell from a cause is a word whose text lies along those of the classes, as that of a word does which is
spelled with a piece of a class's name (`learnt` leaves out those that a tower does not know).

Taking the part along the differences of the class texts out of all words is no remedy. Tried in those five places with
p adjusted for 1,000 directions, 55, 31, 80, 46 and 58 in a hundred become 38, 21, 72, 40 and 47, and the true words
lose with the false: on Waterbirds, where `water`, `forest`, `ocean`, `land` and `sea` lead, `window` leads then and
`land` is among the last.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..data import Ints
from ..seeds import Seed
from .presence import Bools, Floats, presence
from .separation import Separation, information, share_reaching

DIRECTIONS = 999
"""The least share is one in DIRECTIONS + 1."""
BLOCK = 100
"""Directions at once: a large data set's cosines with all of them would not fit into memory."""


@dataclass(frozen=True, eq=False)
class Placebo:
    """What B random directions tell, and words beside them.

    Attributes:
        information: (B,) in nats, conditional on the class.
        p_value: (B,) what the direction's would be, were it a word of the list.
        of_words: (W,) for every word the share of directions that tell at least as much, the word counting as one.
    """

    information: Floats
    p_value: Floats
    of_words: Floats


def placebo(
    embeddings: Floats,
    right: Bools,
    y: Ints,
    n_classes: int,
    found: Separation,
    seed: Seed,
    *,
    min_photos: int,
    directions: int = DIRECTIONS,
) -> Placebo:
    """Ask random directions what words were asked.

    Args:
        embeddings: (n, d) unit vectors of the photos, whose cosines with words made `found`.
        right: (n,); y: (n,), 0..n_classes - 1; min_photos: as for `found`.
        directions: how many, drawn uniformly from the unit sphere.
    """
    drawn = seed.derive("directions").numpy().standard_normal((directions, embeddings.shape[1]))
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    told = [
        information(
            presence(embeddings @ drawn[start : start + BLOCK].T, y, n_classes).present, right, y, n_classes, min_photos
        )
        for start in range(0, directions, BLOCK)
    ]
    of_directions = np.concatenate(told)
    return Placebo(
        of_directions, share_reaching(of_directions, found.largest), share_reaching(found.information, of_directions)
    )
