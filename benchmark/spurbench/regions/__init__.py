"""Regions of photos: which there are, where they lie in what a tower sees, and how they are embedded.

Boxes are float32 (..., 4): left, top, right, bottom in shares (0..1) of a width and a height, rows of NaN for none.
They are in one of two frames: that of the *picture*, the photo itself, or of the *view*, what a tower is given after
its preprocessing. Importing this needs no torch.
"""

from .frame import Frame, Frames
from .geometry import cells, overlap_share, truth
from .spec import RegionSpec, parse

__all__ = ["Frame", "Frames", "RegionSpec", "cells", "overlap_share", "parse", "truth"]
