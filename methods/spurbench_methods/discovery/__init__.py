"""Discoverers: ways to find the regions of pictures that a model relies on where it should not."""
