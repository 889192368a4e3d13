"""Stability of training: detectors read a run's metrics and report events such as a collapse.

    finite              check_finite: NaN and infinity inside a step; always stops the run
    limits              the thresholds: the options under `stability.`
    trace               the input of the detectors: steps, evaluations, recorded responses
    policy_detectors    detectors of entropy, KL and gradients
    response_detectors  detectors of length, truncation and repetition
    learning            detectors of advantages, format, plateau, tracker and grading
    collapse            detectors of lost accuracy and lost answers; they may stop a run
    stability_card      the verdict and all events of one run
    onsets              the outcomes of docs/collapse.md: updates until a run collapses

A detector is a pure function (trace, limits) -> event or None. It fires at most once, at the first
step that meets its definition. docs/stability.md has the definitions, and measurements on healthy
runs.
"""
