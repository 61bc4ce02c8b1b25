"""What a model looks at: activation maps of its logits, of any method's models, from one pass through a tower."""

from .how import Drawn, How, Kind, Maps, Score, Subject

__all__ = ["Drawn", "How", "Kind", "Maps", "Score", "Subject"]
