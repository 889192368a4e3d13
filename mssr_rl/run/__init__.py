"""One training run, from its parts to what it leaves in its folder.

`trainer` is the loop and `step` its body; `arm` are the parts, put together from a config;
`problem_stream` says what is asked next, `scoring` how good the policy is. `lifecycle`,
`checkpoint` and `runlock` begin, save and take up a run; `runlog`, `samples`, `summary` and
`provenance` write what it leaves behind, `progress` what a person sees; `evaluate` scores a model
without training it.
"""
