"""How the tiny model that the package ships was made: `python -m tiny_model --out FOLDER`.

It stands beside the package, because no run needs it; it uses the package's models and problems.

architecture.py    the model's shape, its tokenizer and its processor
supervised.py      worked examples, and the loss of one step on them
warm_start.py      the run: a resumable supervised warm start
model_card.py      what the result can do, measured, and the README of its folder
"""
