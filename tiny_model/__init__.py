"""Make the tiny model that the package ships: `python -m tiny_model --out FOLDER`.

It is not part of the package, because no run needs it. It uses the package's models and problems.

architecture.py    the model's architecture and its tokenizer
supervised.py      worked examples, and the loss of one step on them
warm_start.py      the training: a resumable supervised warm start
model_card.py      measures the accuracy of the trained model, and writes its folder's README
"""
