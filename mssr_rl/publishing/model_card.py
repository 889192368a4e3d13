"""Writes README.md of a published policy: metadata for the hub, and what a reader must know."""

from huggingface_hub import EvalResult, ModelCardData

from mssr_rl.outward import markdown
from mssr_rl.publishing.published_run import PublishedRun, SplitScore

USE = """from transformers import AutoModelForImageTextToText, AutoProcessor

model = AutoModelForImageTextToText.from_pretrained("{name}")
processor = AutoProcessor.from_pretrained("{name}")"""
USE_TEXT = """from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("{name}")
tokenizer = AutoTokenizer.from_pretrained("{name}")"""


def model_card(run: PublishedRun, name: str, *, sees: bool) -> str:
    """Return the whole text; `name` is how users load the model, `sees` whether it reads pictures.

    Every accuracy has its 95 % interval over problems. It says nothing about other seeds.
    """
    return f"---\n{_metadata(run, name, sees).to_yaml()}\n---\n\n{_body(run, name, sees=sees)}"


def _metadata(run: PublishedRun, name: str, sees: bool) -> ModelCardData:
    base = str(run.config["model"].get("path"))
    return ModelCardData(
        library_name="transformers",
        pipeline_tag="image-text-to-text" if sees else "text-generation",
        tags=["mssr_rl", "reinforcement-learning", "rlvr", run.algo],
        base_model=base if base.count("/") == 1 and base[:1] not in "./~" else None,
        model_name=name,
        eval_results=[_result(run, score) for score in run.scores],
    )


def _result(run: PublishedRun, score: SplitScore) -> EvalResult:
    data = str(run.config["env"].get("data", run.env))
    return EvalResult(
        task_type="image-text-to-text",
        dataset_type=data,
        dataset_name=run.env,
        dataset_split=score.split,
        metric_type="accuracy",
        metric_name=f"greedy accuracy on {score.n} problems",
        metric_value=round(100 * score.accuracy, 2),
    )


def _body(run: PublishedRun, name: str, *, sees: bool) -> str:
    versions = run.run.get("versions", {})
    shown = ("python", "mssr_rl", "torch", "transformers")
    told = ", ".join(f"{key} {versions[key]}" for key in shown if key in versions)
    ledger = run.summary.get("ledger", {})
    rows = [
        f"| {markdown(score.split)} | {score.n:,} | {_percent(score.accuracy)} "
        f"({_percent(score.interval.low)} to {_percent(score.interval.high)}) | "
        f"{_percent(score.sampled)} |"
        for score in run.scores
    ]
    options = {key: value for key, value in run.config["env"].items() if key != "name"}
    listed = ", ".join(f"{key}={value}" for key, value in options.items())
    packages = "transformers, torch, torchvision and pillow" if sees else "transformers and torch"
    return f"""# {markdown(name)}

A policy that mssr_rl trained with the algorithm `{run.algo}`.

## Use

It needs {packages}.

```python
{(USE if sees else USE_TEXT).format(name=name)}
```

## Training

* Starting model: {markdown(str(run.config["model"].get("path")))}
* Problems: {markdown(run.env)} ({markdown(listed)})
* Budget: {ledger.get("rollouts", 0):,} rollouts, {ledger.get("updates", 0):,} updates,
  {ledger.get("seconds", 0.0):,.0f} s
* How the run ended: {markdown(str(run.summary.get("status")))}:
  {markdown(str(run.summary.get("exit_reason")))}
* Versions: {markdown(told)}

The same run again (config.yaml has every setting):

    mssr_rl train {run.command}

## Scores

Accuracy at the end, with its 95 % interval over problems. One run says nothing about other seeds.

| split | problems | greedy | sampled at temperature 1 |
| --- | --- | --- | --- |
{chr(10).join(rows)}
"""


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
