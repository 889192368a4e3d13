"""`check env=NAME`: checks whether a reward can be fooled or can hang, and whether rows are sound.

check_env_verb    the arguments of the command, and its output
probes            responses that must earn 1 (spellings of the gold answer) or 0 (known hacks)
environment_laws  rules for every environment: rewards, determinism, time, processes, spaces, keys
law_trial         tries a law in its own process, so that a reward that hangs is a finding
passport          a summary of the data: fingerprint, kinds of answers, duplicates, guessing floor
audit             pairs on which exact match, math-verify and MathRuler disagree with our verdict
"""
