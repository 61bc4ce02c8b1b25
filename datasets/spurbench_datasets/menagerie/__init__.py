"""The menagerie: a small rendered world of animals before places, whose shortcut, masks and right answers are known.

`render` makes photos from `Scenes`; `captions` words them as the web would; two tiny CLIPs were pre-trained on such
pairs and have learned the habitat along with the animal.
"""
