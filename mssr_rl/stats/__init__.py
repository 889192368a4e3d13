"""Statistics that fit reinforcement learning: the training run is the unit of replication.

All functions are pure functions of numbers; none reads a file. An arm is one algorithm with its
options; it is trained once per seed. The package exports only `intervals`, which does not need
scipy, so that the report of a single run starts quickly. Import the other modules by name:

    intervals   Interval; wilson(share, n); paired_change(before, after); no scipy
    paired      the tests that decide between two arms: t-test, TOST, sign flips
    verdict     compare_arms(scores, rule), compare_values(values, resolution, rule): one verdict
                per pair, as if exactly these seeds had been planned (the fixed reading)
    sequential  looks(planned, alpha): the numbers of seeds at which a comparison is tested
    familywise  decided(...): the verdicts of a report, corrected over all pairs and looks
    sentences   sentence(pair, rule, at): the verdict on a pair in one sentence
    questions   second opinions from single questions: McNemar, bootstraps, measured coverage
    power       smallest detectable difference, number of seeds needed, exaggeration
    aggregate   several environments: macro means, IQM, probability of improvement
    learning_curves  area under the learning curve, budget to a target
    rates       the collapse rate: exact interval, Fisher's test; pass@k
    survival    survival curves of runs, the log-rank test, Cox's hazard ratio
    racing      an anytime-valid rule that drops an arm that clearly loses
    simulation  error rates of all methods, simulated with a known truth; with `stress`

The data are y[arm, seed, question]: `Scores = {arm: {seed: {question: share right}}}`. They come
from the last evaluation in each run's eval.jsonl, all at the same budget. The final model is
compared, never the best checkpoint, because the best checkpoint was chosen on the questions that
score it. All arms and seeds answer the same questions (crossed, not nested). A collapsed run counts
with the score of its last finite checkpoint. Without it, the arm would gain from the collapse.

In code:

    from mssr_rl.stats.sentences import sentence
    from mssr_rl.stats.verdict import Rule, compare_arms
    comparison = compare_arms(scores, Rule(margin=0.01, alpha=0.05, baseline=None))
    for pair in comparison.pairs:      # pair.verdict says how pair.a compares with pair.b
        print(sentence(pair, comparison.rule, at="30,720 rollouts"))
"""

from mssr_rl.stats.intervals import Interval, paired_change, wilson

__all__ = ["Interval", "paired_change", "wilson"]
