"""The review room: what happens to the top of a ranking once a person looks at it.

It takes a losses table and produces decisions and a corrected dataset. It imports only the engine.
"""
