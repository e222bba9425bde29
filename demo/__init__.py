"""The main job, to look at: many threads and asyncio tasks, one connection. `make demo`."""
