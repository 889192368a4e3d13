"""Train every arm with every seed under one budget, and write a report with verdicts: `compare`.

`compare_verb` is the entry point. `settings` declares the keys of `compare`, and `matrix` lists the
runs. Before the start, `fairness` checks that the arms differ only as intended. `runner` trains the
runs as processes (`process`). It reads their state from their folders (`standing`) and shows it
(`progress_board`). `time_trial` measures how long the comparison will take. `folder` is the
comparison's directory.
"""
