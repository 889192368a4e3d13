"""Problems from outside: `reader` makes them, from rows that `sources` and `hub` find.

`pictures` turns whatever a row holds into bytes that are safe to decode. Nothing else in the
package reads a data file.
"""
