"""Records -> `Board`: rows with numbers and what is known of them, ranked among methods that were told as much.

A table is a (rules, data set, backbone); in it, methods compete in tracks, by what they are told of the spurious
attribute; across tables, a track's methods have mean ranks.
"""

from .attention import AttentionCell, attention_cell
from .make import ArraysOf, make_board, make_rows
from .outcomes import Arrays, outcomes_of
from .row import leading, make_row, only_seeds
from .rows import Board, BoardRow, EasyHardCell, Group, Standing, TrackRanking, by_track
from .tracks import TRACKS, Track, track_of

__all__ = [
    "TRACKS",
    "Arrays",
    "ArraysOf",
    "AttentionCell",
    "Board",
    "BoardRow",
    "EasyHardCell",
    "Group",
    "Standing",
    "Track",
    "TrackRanking",
    "attention_cell",
    "by_track",
    "leading",
    "make_board",
    "make_row",
    "make_rows",
    "only_seeds",
    "outcomes_of",
    "track_of",
]
