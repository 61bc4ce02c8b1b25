"""The builder: from anyone's photos in classes and backgrounds to a data set of easy and hard groups.

`table` has what the parts hand each other; `sources` reads photos and exports, `cleaning` sorts out what should not
be in a benchmark, `backgrounds` names where each photo was taken, `instrument` asks a named zero-shot model, `halves`
and `pairs` find the pair of backgrounds that differ, and say how sure that is, `splits` makes it a data set to train
on, and `output` writes it.
"""
