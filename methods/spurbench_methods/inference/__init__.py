"""Group inference: pseudo-groups from training data without group labels, for methods that need groups."""
