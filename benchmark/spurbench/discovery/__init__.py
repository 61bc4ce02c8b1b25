"""Discovery: which regions of pictures a model relies on where it should not; the contract of a `Discoverer`."""

from .contract import Discoverer, Discovery, Evidence, Finding, LabelScore

__all__ = ["Discoverer", "Discovery", "Evidence", "Finding", "LabelScore"]
