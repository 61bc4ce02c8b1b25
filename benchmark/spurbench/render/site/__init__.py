"""The leaderboard as one HTML file that needs nothing else: no network, no server, no build step."""

from .page import Contents, to_page

__all__ = ["Contents", "to_page"]
