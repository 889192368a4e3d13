"""From a response and an answer to a verdict, and from a verdict to a reward.

    verify     format, then judge: letters and options (choices) or values (answers)
    answers    what can be read off: quantities with units, latex, linear
    algebra    the rest: expressions, relations, sets, intervals, matrices
    workers    where algebra runs: processes that can be killed (helper, frames)
    reward     what a verdict pays

`verify` is the way in. Everything but `workers` is pure; docs/grading.md has the rules.
"""
