"""Suspects: words whose presence in a photo goes with a model's being wrong, counted and tested."""
