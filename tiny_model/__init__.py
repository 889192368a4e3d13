"""Make the tiny model that the package ships: `python -m tiny_model --out FOLDER`.

This is outside of the package, because no run needs it. It uses the package's models and problems.

architecture.py    the model's shape, its tokenizer and its processor
supervised.py      worked examples, and the loss of one step on them
warm_start.py      the run: a resumable supervised warm start
model_card.py      measures what the result can do, and writes the README of its folder
"""
