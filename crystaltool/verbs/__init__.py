"""The verbs: what a subcommand does to one structure, as a function that Python users call too, with the same defaults.

A verb takes one structure and gives another, or raises; given an iterable of structures it gives an iterator, in order,
with as many worker processes as `jobs` says: one that fails is logged and left out, as in a pipe of commands.
"""
