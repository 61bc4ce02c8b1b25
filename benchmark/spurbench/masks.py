"""Where the object is in photos, as a tower sees them: masks that a data set brings, or else its boxes.

A data set that knows which pixels show what makes the class has a method `masks(root, rows) -> Masks | None`, for rows
of its examples (int64): a list with, for each row, (h, w) uint8, how much of each pixel shows it, 255 for all of it, of
any resolution but in the photo's proportions; None for a photo that has none. None in place of the list: nothing of the
kind is known on this machine, so that the boxes `places(root, rows).objects` are taken (see `data.Places`); where there
are none of those either, `places` raises UnknownObjectsError. What is broken is another DataError. Whoever asks does so
for some hundred rows at a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .data import Ints
from .errors import DataError, SpurbenchError, UnknownObjectsError, WeightsError
from .files import sha256_of

if TYPE_CHECKING:
    from .keys import LoadedData

Objects = Literal["masks", "boxes"]
Mask = NDArray[np.uint8]
Masks = list[Mask | None]
Draw = Callable[[tuple[int, int]], Image.Image]
"""Makes a mask (grey, 255 for the object) of a photo's width and height in pixels."""
AT_ONCE = 512
"""Photos whose masks are asked for together."""
HALF = 128
"""What shows the object at least half, of 255."""
ASPECT = 0.02
"""By how much, as a share, a mask's aspect may differ from its photo's: sizes are rounded when photos are reduced."""
SIZES = 64
"""Sizes of photos that are remembered."""
UNSEEN = "object outside of the tower's view"
ABSENT: dict[Objects, str] = {"masks": "no mask", "boxes": "no box of the object"}


@dataclass(frozen=True, eq=False)
class ObjectMasks:
    """Objects in the view of a tower.

    Attributes:
        rows: (m,) int64 ascending, the examples that have one.
        shown: (m, H, W) bool, pixels of the view that show it; every photo has some.
        objects: what they come from.
        left_out: how many of the photos asked for have none, by reason in words.
        sha256: over rows and shown.
    """

    rows: Ints
    shown: NDArray[np.bool_]
    objects: Objects
    left_out: dict[str, int]
    sha256: str


def object_masks(data: LoadedData, rows: Ints, preprocess: Callable[[Image.Image], Any]) -> ObjectMasks:
    """The pixels of a tower's view that show what makes the class: those of which at least half does.

    A mask takes the way that its photo takes, through the tower's own preprocessing, so that it lies where the object
    does in what the tower sees. Padding shows nothing.

    Args:
        data: with photos.
        rows: (n,) int64, one or more of its examples, in any order.
        preprocess: RGB image -> (3, H, W), a tower's own; the same for photos of one size.

    Raises:
        ValueError: no rows.
        UnknownObjectsError: nobody knows where the objects are; says how to supply it.
        DataError: masks that show nothing or do not fit their photos, or a data set that does not meet the contract.
        WeightsError: preprocessing that gives something else, or views of different sizes.
    """
    # Opens photos in threads beside torch, which is not loaded to look at records.
    from .regions.placing import photo_sizes

    rows = np.unique(np.asarray(rows, dtype=np.int64))
    if not len(rows):
        raise ValueError("there are no rows to find objects in")
    photos = data.examples.photos
    if photos is None:
        raise DataError(f"data set '{data.card.name}' has features of its own and no photos in which objects could be")
    objects, known = _known(data, rows)
    sizes = [(int(width), int(height)) for width, height in photo_sizes(photos, rows.tolist())]
    look = _Look(preprocess)
    reasons = Counter[str]()
    kept: list[int] = []
    shown = np.zeros((len(rows), *look.size(sizes[0])), dtype=np.bool_)
    for row, size, draw in zip(rows.tolist(), sizes, known, strict=True):
        if draw is None:
            reasons[ABSENT[objects]] += 1
            continue
        pixels = look.at(draw(size))
        if pixels.shape != shown.shape[1:]:
            name = data.examples.ids[row]
            raise WeightsError(
                f"the backbone's preprocessing makes {pixels.shape} of {name!r}, {shown.shape[1:]} of others"
            )
        if pixels.any():
            shown[len(kept)] = pixels
            kept.append(row)
        else:
            reasons[UNSEEN] += 1
    return _made(np.array(kept, dtype=np.int64), shown[: len(kept)], objects, reasons)


def joined(parts: Sequence[ObjectMasks]) -> ObjectMasks:
    """What was asked for in parts, as if it had been asked for at once; of one data set and tower, without overlap."""
    rows = np.concatenate([part.rows for part in parts])
    order = np.argsort(rows)
    reasons = sum((Counter(part.left_out) for part in parts), Counter[str]())
    return _made(rows[order], np.concatenate([part.shown for part in parts])[order], parts[0].objects, reasons)


def _made(rows: Ints, shown: NDArray[np.bool_], objects: Objects, reasons: Counter[str]) -> ObjectMasks:
    parts = [repr(shown.shape).encode(), rows.astype("<i8").tobytes(), np.packbits(shown).tobytes()]
    return ObjectMasks(rows, shown, objects, dict(sorted(reasons.items())), sha256_of(parts))


def same_shape(mask: tuple[int, int], photo: tuple[int, int]) -> bool:
    """Whether a mask of some width and height in pixels has the proportions of a photo, but for rounding."""
    (width, height), (wide, high) = mask, photo
    return abs(width * high - height * wide) <= ASPECT * height * wide + max(width, wide, height, high)


class _Look:
    """What a tower makes of masks that are handed to it as photos."""

    def __init__(self, preprocess: Callable[[Image.Image], Any]) -> None:
        self._preprocess = preprocess
        self._half = lru_cache(SIZES)(self._halfway)

    def at(self, mask: Image.Image) -> NDArray[np.bool_]:
        """(H, W) the pixels that show at least half of what is white in a mask of its photo's size."""
        return np.asarray(self._view(mask) >= self._half(mask.size))

    def size(self, photo: tuple[int, int]) -> tuple[int, int]:
        """H and W of what is seen of photos of a width and height."""
        height, width = self._half(photo).shape
        return height, width

    def _halfway(self, photo: tuple[int, int]) -> NDArray[np.float32]:
        """(H, W) between black and white; infinite where there is padding, which is the same for both."""
        black, white = (self._view(Image.new("L", photo, level)) for level in (0, 255))
        contrast = white - black
        return np.where(contrast > contrast.max() / 2, black + contrast / 2, np.float32(np.inf))

    def _view(self, grey: Image.Image) -> NDArray[np.float32]:
        """(H, W) the red of what is seen."""
        view = np.asarray(self._preprocess(grey.convert("RGB")), dtype=np.float32)
        if view.ndim != 3 or len(view) != 3:
            raise WeightsError(f"the backbone's preprocessing gives shape {view.shape}, not (3, H, W)")
        return np.asarray(view[0])


def _known(data: LoadedData, rows: Ints) -> tuple[Objects, Iterator[Draw | None]]:
    """What the data set knows, row by row; None where it knows nothing. Raises DataError."""
    parts = [rows[start : start + AT_ONCE] for start in range(0, len(rows), AT_ONCE)]
    first = _asked_masks(data, parts[0])
    if first is None:
        return "boxes", _from_boxes(data, rows)
    return "masks", _from_masks(data, first, parts)


def _from_masks(data: LoadedData, first: Masks, parts: Sequence[Ints]) -> Iterator[Draw | None]:
    for number, part in enumerate(parts):
        found = first if number == 0 else _asked_masks(data, part)
        if found is None:
            raise DataError(f"data set '{data.card.name}' knows masks of some rows, and of others not even whether")
        for row, mask in zip(part.tolist(), found, strict=True):
            yield None if mask is None else partial(_fitted, mask, data.examples.ids[row])


def _asked_masks(data: LoadedData, rows: Ints) -> Masks | None:
    """The data set's answer, checked."""
    ask = getattr(data.dataset, "masks", None)
    if ask is None:
        return None
    with _answering(data, "masks"):
        found = ask(data.root, rows)
    if found is None:
        return None
    name = f"the masks of data set '{data.card.name}'"
    if not isinstance(found, list) or len(found) != len(rows):
        what = f"{len(found)}" if isinstance(found, list) else f"a {type(found).__name__}"
        raise DataError(f"{name} must be a list of one for each of {len(rows)} rows, not {what}")
    for row, mask in zip(rows.tolist(), found, strict=True):
        if mask is None:
            continue
        good = isinstance(mask, np.ndarray) and mask.ndim == 2 and mask.dtype == np.uint8 and mask.size > 0
        photo = data.examples.ids[row]
        if not good:
            is_array = isinstance(mask, np.ndarray)
            what = f"{mask.dtype} {mask.shape}" if is_array else f"a {type(mask).__name__}"
            raise DataError(f"{name} must be uint8 (h, w), or None where there is none; {photo!r} has {what}")
        if mask.max() < HALF:
            raise DataError(f"the mask of {photo!r} shows nothing: draw the object in it, or remove it")
    return found


def _from_boxes(data: LoadedData, rows: Ints) -> Iterator[Draw | None]:
    """The objects of the data set's places."""
    name = data.card.name
    ask = getattr(data.dataset, "places", None)
    if ask is None:
        raise UnknownObjectsError(
            f"where the objects are in the photos of '{name}' is not known: a data set tells by a method `masks` or "
            "`places` (see `spurbench.masks`); for a folder of photos (folder:DIR), put masks of them into DIR/masks"
        )
    with _answering(data, "places"):
        boxes = np.asarray(ask(data.root, rows).objects, dtype=np.float64)
    if boxes.shape != (len(rows), 4):
        raise DataError(f"the boxes of the objects of '{name}' must be ({len(rows)}, 4), not {boxes.shape}")
    there = np.asarray(~np.isnan(boxes).all(axis=1))
    inside = ((boxes >= 0) & (boxes <= 1)).all(axis=1)
    good = inside & (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    wrong = np.flatnonzero(there & ~good)
    if len(wrong):
        listed = ", ".join(f"{edge:g}" for edge in boxes[wrong[0]])
        raise DataError(
            f"the boxes of the objects of '{name}' must lie within the photo, in shares of its width and height; "
            f"{data.examples.ids[int(rows[wrong[0]])]!r} has {listed}"
        )
    return iter([partial(_boxed, boxes[number]) if there[number] else None for number in range(len(rows))])


def _fitted(mask: Mask, name: str, size: tuple[int, int]) -> Image.Image:
    """A mask at its photo's size. Raises DataError for one that is not in its proportions."""
    height, width = mask.shape
    if not same_shape((width, height), size):
        raise DataError(
            f"the mask of {name!r} is {width} x {height} pixels, the photo {size[0]} x {size[1]}: draw it in the "
            "photo's proportions"
        )
    image = Image.fromarray(mask)
    return image if image.size == size else image.resize(size, Image.Resampling.BOX)


def _boxed(box: NDArray[np.float64], size: tuple[int, int]) -> Image.Image:
    """A box in shares of a photo as a mask of its size: the share of each pixel that lies in it."""
    inside = []
    for axis, pixels in enumerate(size):
        edges = np.clip(np.arange(pixels + 1), box[axis] * pixels, box[axis + 2] * pixels)
        inside.append(np.diff(edges))
    across, down = inside
    return Image.fromarray(np.round(255 * down[:, None] * across).astype(np.uint8))


@contextmanager
def _answering(data: LoadedData, method: str) -> Iterator[None]:
    """Whatever goes wrong inside is the data set's: a DataError that names it, unless it says enough itself."""
    try:
        yield
    except SpurbenchError:
        raise
    except Exception as error:
        raise DataError(f"data set '{data.card.name}': {method}: {type(error).__name__}: {error}") from error
