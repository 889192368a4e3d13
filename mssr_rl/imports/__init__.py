"""Import runs of other trainers into a comparison's report, where they are marked as imported.

    readers      reads logs as rows (step, numbers): json lines, trainer_state.json, events, csv
    naming       maps their metric names to ours
    import_verb  `import FILE comparison=FOLDER ...`

The imported run is kept in the comparison's folder (`mssr_rl.comparison.imported`). It never gets a
verdict, because it has no results of single problems.
"""
