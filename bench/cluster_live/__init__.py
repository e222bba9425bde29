"""Clusters of real servers, some of which misbehave, and what their clients notice."""
