"""The controlled evaluation: models that rely on a feature which was planted, so that what they rely on is known.

Varma et al. 2024 (RaVL, arXiv 2411.04097), section 4.1. A feature and a class are made to go together in a data set's
training photos; a backbone is fine-tuned on them; a model that really uses the shortcut (`validity`) is a question with
a known answer, put to every discoverer and, where asked for, to every mitigation.
"""
