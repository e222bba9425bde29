"""Schedules: traced values and classes, which stop their threads at a StepScheduler's points.

A traced value calls `scheduler.point(label)` before each access to it, so a test can run its
threads in every order, or in random ones. The tests that explore them are in tests/unit.
"""
