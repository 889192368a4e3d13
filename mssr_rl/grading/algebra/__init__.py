"""Compare the values of answers that `answers` cannot compare by reading.

Runs in a killable worker.

    text --lexer--> tokens --parser--> tree --compare--> same or not
                                               |
                                  identity: two expressions at many points
                                  exact, numeric: one expression at one point

Text is never executed. A tree has only the kinds of nodes that `tree` lists, and every step has a
limit. A text that gives no such tree is `Unreadable` and equals only itself.
"""
