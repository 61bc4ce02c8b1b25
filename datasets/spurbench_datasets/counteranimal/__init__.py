"""CounterAnimal (Wang et al. 2024): animals before easy and hard backgrounds, as evaluated and split for training."""
