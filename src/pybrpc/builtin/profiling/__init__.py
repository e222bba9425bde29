"""Profiles: sampling threads, tracing memory, watching waits, and the pages that show them.

Nothing here runs, or costs anything, unless a page has asked for it, and then for a limited time.
"""
