"""The write path as a model that Spin checks in every interleaving: `python -m verification`."""
