"""The access log of a server: one line for each call that has ended, also if it was refused.

`access_log` has the options, `access_line` makes the lines, and `access_writer` logs them in a
thread of its own.
"""
