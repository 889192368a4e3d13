"""Read problems from data files. `reader` makes them from the rows that `sources` and `hub` find.

`pictures` turns the pictures of a row into bytes that are safe to decode. No other part of the
product reads a data file.
"""
