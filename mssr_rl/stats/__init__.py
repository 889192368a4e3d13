"""Statistics that fit reinforcement learning: the training run is the unit of replication.

Pure functions of numbers; nothing here reads a file. This package itself hands out only what needs
no scipy (`intervals`), so that the report of a single run starts quickly; who compares imports the
modules that are needed:

    intervals   Interval; wilson(share, n); paired_change(before, after)           light, no scipy
    paired      spread(differences), t-test, sign flips, TOST: what decides between two arms
    verdict     compare_arms(scores, rule), compare_values(values, resolution, rule): a word a pair,
                of the seeds at hand as if they had been planned (the fixed-K reading)
    sequential  looks(planned, alpha): at how many seeds a growing comparison is judged
    familywise  decided(found, resolution, stage): the words of a report, over all pairs and looks
    sentences   sentence(pair, rule, at): the pair in one sentence
    questions   second opinions at question level: McNemar, bootstraps, with their measured coverage
    power       smallest detectable difference, seeds needed and how well known, exaggeration
    aggregate   several environments: macro means, IQM, probability of improvement
    learning_curves  area under the learning curve, budget to a target
    rates       how often training collapsed: exact interval, Fisher's test
    racing      may a clearly losing arm stop getting seeds? an anytime-valid rule
    simulation  how often all of it is wrong where the truth is known; with `stress`

The data are y[arm, seed, question]: `Scores = {arm: {seed: {question: share right}}}`, taken from
eval.jsonl of the last evaluation of every run, all under one budget. It is the final model, never
the best checkpoint: that one is picked on the questions it is scored on. Questions are shared by
all arms and seeds (crossed, not nested). A run that collapsed stays in with the score of its last
finite checkpoint; leaving it out would reward the collapse.

In one call:

    from mssr_rl.stats.verdict import Rule, compare_arms
    found = compare_arms(scores, Rule(margin=0.01, alpha=0.05, baseline=None))
    for pair in found.pairs:      # pair.verdict is the word about pair.a against pair.b
        print(sentence(pair, found.rule, at="30,720 rollouts"))
"""

from mssr_rl.stats.intervals import Interval, paired_change, wilson

__all__ = ["Interval", "paired_change", "wilson"]
