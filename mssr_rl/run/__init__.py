"""One training run: the loop, its parts, and the files in the run directory.

`trainer` is the training loop and `step` its body. `arm` builds the parts from a config.
`problem_stream` gives the order of problems, and `scoring` evaluates the policy. `lifecycle`,
`checkpoint` and `runlock` start, save and resume a run. `runlog`, `samples`, `summary` and
`provenance` write its files, and `progress` its terminal output. `evaluate` scores a model without
training.
"""
