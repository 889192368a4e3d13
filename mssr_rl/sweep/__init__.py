"""`compare`: trains every arm with every seed under one budget, and writes a report with verdicts.

`compare_verb` is the entry point. `settings` declares its own keys, `matrix` lists the runs, and
`fairness` checks before the start that the arms differ only in what is compared. `runner` trains
the runs as processes (`process`), reads their state from their folders (`standing`), and shows it
(`board`). `time_trial` measures how long the comparison will take. `folder` is its directory.
"""
