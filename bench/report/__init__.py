"""The report of a run: a page, its plots, and the numbers for other programs."""
