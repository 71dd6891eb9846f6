"""The review room: what happens to the top of a ranking once a person looks at it.

A losses table comes in; decisions and a corrected dataset go out. Imports the engine alone.
"""
