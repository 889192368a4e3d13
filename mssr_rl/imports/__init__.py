"""Runs that other trainers recorded, drawn beside a comparison's own and marked as imported.

    readers    their files as rows of (step, numbers): json lines, trainer_state.json, events, csv
    naming     which of their names is our metric
    command    `import FILE comparison=FOLDER ...`

What comes of it lies in the comparison's folder (`mssr_rl.comparison.imported`). It is never part
of a verdict: there is no record of single problems in it.
"""
