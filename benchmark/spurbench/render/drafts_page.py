"""Drafts of backgrounds as one HTML file to look through while they are checked: no script, no font, no network."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd

from ..contact_sheet import fitted
from ..images import open_tolerant
from .pages import environment, uri

PER_CLASS = 60
"""Photos of a class that are shown at most; the sheet lists all."""
IN_ALL = 1_200
"""Photos that are shown at most, fewer of each class where there are many: about 6 KB each."""
FEWEST = 6
"""Photos of a class that are shown however many classes there are."""
SIZE = 144
"""Pixels of the longer side."""
QUALITY = 80
SURE, UNSURE = 0.9, 0.6
"""Confidence from which a guess is called likely, and below which it is called a toss-up."""


def to_html(drafts: pd.DataFrame, folder: Path, backbone: str, sheet: str) -> str:
    """The page: the least certain photos of each class, as they stand in the sheet.

    Args:
        drafts: as `builder.drafts.draft` gives them.
        folder: of the photos.
        backbone: who drafted.
        sheet: name of the file that is to be checked.

    Raises:
        DataError: a photo cannot be read any more.
    """
    classes = drafts.groupby("label")
    most = max(FEWEST, min(PER_CLASS, IN_ALL // max(1, classes.ngroups)))
    with ThreadPoolExecutor() as pool:
        sections = [
            {
                "label": label,
                "total": len(rows),
                "backgrounds": rows["guess"].value_counts().to_dict(),
                "shown": list(pool.map(_picture, [folder] * most, rows.head(most).to_dict("records"))),
            }
            for label, rows in classes
        ]
    template = environment().get_template("drafts.html.jinja")
    return template.render(sections=sections, total=len(drafts), backbone=backbone, sheet=sheet)


def _picture(folder: Path, row: dict[str, Any]) -> dict[str, Any]:
    image = fitted(open_tolerant(folder / row["path"])[0], SIZE)
    certainty = "likely" if row["confidence"] >= SURE else "unsure" if row["confidence"] >= UNSURE else "toss-up"
    return {**row, "certainty": certainty, "width": image.width, "height": image.height, "uri": uri(image, QUALITY)}
