"""Did training stay healthy? Detectors over a run's own record, each with a stated definition.

    finite      check_finite: NaN and infinity, found inside a step             stops every run
    limits      the thresholds, all of them options under `stability.`
    trace       what the detectors read: steps, evaluations, recorded responses
    policy_detectors    entropy, KL, gradients                                          detectors
    response_detectors  length, truncation, repetition                                  detectors
    learning    advantages, format, plateau, tracker, grading                   detectors
    collapse    accuracy lost, answers lost                                     may stop a run
    stability_card      all of it together: verdict and events of one run

A detector is a pure function (trace, limits) -> event or None, and fires at most once: at the first
step at which its definition is met. docs/stability.md has the definitions and what was measured on
healthy runs.
"""
