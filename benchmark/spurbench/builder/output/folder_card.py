"""card.yaml: what `folder:DIR` wants to know of the data set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from .built import PHOTO, Built, said

if TYPE_CHECKING:
    import pandas as pd

CARD = "card.yaml"
LICENCE = "each photo's own, see the column licence of metadata.csv"


def card_yaml(built: Built, rows: pd.DataFrame) -> str:
    """The card for `folder:DIR`: the instrument's templates, where it has any, are the headline prompts; all
    prompts say classes as it does.
    """
    names = said(built.instrument)
    places = sorted(set(rows["class_idx"].tolist()))
    templates = list(built.instrument.templates)
    asked = {"instrument": templates} if templates else {}
    card: dict[str, Any] = {
        "title": " ".join(built.title.split()),
        "licence": LICENCE,
        "prompts": {**asked, "photo": [PHOTO]},
        "class_names": {names[place]: built.instrument.names[place] for place in places},
        "truncated": "shown",
    }
    return yaml.safe_dump({key: value for key, value in card.items() if value}, sort_keys=False, allow_unicode=True)
