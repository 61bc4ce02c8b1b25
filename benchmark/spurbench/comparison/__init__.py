"""How two methods differ over the tables of a board, and how two sets of results differ. Differences are B minus A."""

from .across import Across
from .measure import Measure, Side
from .methods import MethodComparison, MethodOf, Pair, compare_methods
from .ranks import BestChange, RankChange
from .reading import Results, by_fault, read_results
from .results import Changed, ResultsComparison, compare_results

__all__ = [
    "Across",
    "BestChange",
    "Changed",
    "Measure",
    "MethodComparison",
    "MethodOf",
    "Pair",
    "RankChange",
    "Results",
    "ResultsComparison",
    "Side",
    "by_fault",
    "compare_methods",
    "compare_results",
    "read_results",
]
