"""Times that people feel when something goes wrong elsewhere: `python -m bench.times`."""
