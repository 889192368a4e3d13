"""Equality of value for what `answers` cannot settle by reading: runs in a killable worker.

    text --lexer--> tokens --parser--> tree --compare--> same or not
                                               |
                                  identity: two expressions at many points
                                  exact, numeric: one expression at one point

Nothing here evaluates text: a tree holds only the kinds that `tree` lists, and every step has its
limit. A text that is no such tree is `Unreadable` and equals nothing but itself.
"""
