"""The same once more, in the simplest way: what targets compare with."""
