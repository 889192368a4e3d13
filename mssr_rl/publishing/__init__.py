"""Results in the forms of others: model cards, evaluation records, and a board of comparisons."""
