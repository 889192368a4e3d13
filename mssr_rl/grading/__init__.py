"""Grade a response against a gold answer, and turn the verdict into a reward.

    verify     checks the format, then judges: letters and options (choices) or values (answers)
    answers    compares simple answers: quantities with units, lists, words
    algebra    compares the rest: expressions, relations, sets, intervals, matrices
    workers    runs algebra in processes that can be killed (helper, frames)
    reward     turns a verdict into a reward

The entry point is `verify`. All modules but `workers` are pure. docs/grading.md has the rules.
"""
