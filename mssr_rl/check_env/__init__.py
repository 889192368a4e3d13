"""`check env=NAME`: can the reward be fooled, hung or broken, and are its rows sound?

check_env_verb    the words of the command line and what is printed
probes            responses that must pay (the gold, spelt otherwise) or must not (known hacks)
environment_laws  what every environment owes: payment, determinism, time, processes, spaces, ids
passport          what is in the data: fingerprint, kinds of answers, duplicates, guessing floor
audit             where exact match, math-verify and MathRuler disagree with our verdict
"""
