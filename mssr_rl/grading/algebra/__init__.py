"""Decide by algebra whether two answers are equal, where `answers` cannot decide it.

This package runs in a worker process that can be killed.

    text --lexer--> tokens --parser--> tree --compare--> same or not
                                               |
                                  identity: two expressions at many points
                                  exact, numeric: one expression at one point

Text is never executed. A tree has only the kinds of nodes that `tree` lists. Every step has a
limit. A text that cannot be parsed raises `Unreadable`; such an answer equals only the same text.
"""
