"""`compare`: arms times seeds, trained under one budget, into one folder with a verdict.

`settings` are its own keys, `matrix` spells the runs out, `fairness` holds the arms against each
other before anything starts. `runner` trains the runs as processes (`process`), reads how they
stand from their folders (`standing`) and shows it (`board`); `time_trial` measures how long it will
take. `folder` is the comparison's directory and `compare_verb` the way in.
"""
