"""What the builder writes: a folder that is a data set in the official layout, for `spurbench run`, for Croissant, for
Hugging Face and for CLIP_benchmark at once, with a record, a card and a report of how it was made.

`built` has what is known before anything is written, `folder` puts the photos where they belong, `manifest` lists them,
`record` is build.json, `card` says in words what the data set is, `croissant`, `huggingface` and `webdataset_form` are
its other forms, and `whole` writes all of it or nothing.
"""

from .built import FORMS, Built, Form
from .whole import write

__all__ = ["FORMS", "Built", "Form", "write"]
