"""Trials that decided something, each with its verdict at its top."""
