"""croissant.json: the data set described for machines (Croissant 1.0, mlcommons.org/croissant)."""

from __future__ import annotations

import json
import logging
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from ..file_names import METADATA
from . import words
from .built import licences
from .folder_card import LICENCE
from .manifest import COLUMNS
from .record import BuildRecord

if TYPE_CHECKING:
    import pandas as pd

CITATION = (
    "Built with spurbench after Wang, Lin, Chen, Schmidt, Han, Zhang: A Sober Look at the Robustness of CLIPs to "
    "Spurious Features, NeurIPS 2024, arXiv 2403.11497"
)
_MEDIA = {"jpg": "jpeg", "jpeg": "jpeg", "tif": "tiff", "tiff": "tiff"}
_ABOUT = {
    "file_name": "the photo, below the data set's folder",
    "class": "the class as it is said in prompts",
    "attribute": "easy or hard",
    "split": "train, val or test",
    "background": "where the photo was taken, one name for each kind of place",
    "background_by": "who named the background: label (the photo's owner), confirmed or draft",
    "class_idx": "the class's number in label_names.txt",
    "half": "discovery: helped to choose the pair of backgrounds; evaluation: did not",
    "predicted": "what the instrument took the photo for",
    "correct": "whether that is right",
}


def croissant(record: BuildRecord, rows: pd.DataFrame) -> str:
    """The description, as JSON-LD.

    Args:
        rows: the photos of the data set, as `folder.placed` gives them.
    """
    import mlcroissant as mlc

    # What it would like beside what is required (a date, which would make every build another one) it says by logging.
    logging.getLogger("absl").setLevel(logging.ERROR)
    types = {"class_idx": mlc.DataType.INTEGER, "correct": mlc.DataType.BOOL}
    columns = [
        mlc.Field(
            id=f"photos/{name}",
            name=name,
            description=_ABOUT.get(name, ""),
            data_types=[types.get(name, mlc.DataType.TEXT)],
            source=mlc.Source(file_object=METADATA, extract=mlc.Extract(column=name)),
        )
        for name in COLUMNS
    ]
    suffixes = sorted({PurePosixPath(name).suffix[1:].lower() for name in rows["file_name"]})
    listing = mlc.FileObject(
        id=METADATA,
        name=METADATA,
        description="The photos, one a line.",
        content_url=METADATA,
        encoding_formats=["text/csv"],
        sha256=record.metadata_sha256,
    )
    photos = mlc.FileSet(
        id="files",
        name="files",
        description="The photos.",
        includes=["*/common-*/*", "*/counter-*/*"],
        encoding_formats=[f"image/{_MEDIA.get(suffix, suffix)}" for suffix in suffixes],
    )
    metadata = mlc.Metadata(
        name=" ".join(record.title.split()),
        description="Photos of classes before an easy and a hard background, for evaluating robustness.",
        license=[LICENCE, *licences(rows)],
        cite_as=CITATION,
        version="1.0.0",
        distribution=[listing, *([photos] if suffixes else [])],
        record_sets=[mlc.RecordSet(id="photos", name="photos", description="The photos.", fields=columns)],
        data_collection=" ".join(words.the_rule(record.found.rule)),
        data_biases=words.limits(record.found.rule),
    )
    return json.dumps(metadata.to_json(), indent=1, ensure_ascii=False, default=str) + "\n"
