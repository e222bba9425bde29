"""Pages about the process: threads, asyncio tasks, memory, levels of loggers."""
