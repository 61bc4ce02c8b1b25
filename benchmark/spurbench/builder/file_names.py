"""What the files of a built data set are called, for whoever writes or reads one."""

from __future__ import annotations

METADATA, MANIFEST, LABELS, RECORD = "metadata.csv", "manifest.parquet", "label_names.txt", "build.json"
"""The photos of the data set; all that were looked at; what photos are told apart into; what was found, and how."""
