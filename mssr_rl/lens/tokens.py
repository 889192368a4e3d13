"""Turn token numbers into text."""

from collections.abc import Sequence

from mssr_rl.errors import UserError
from mssr_rl.models.vetting import DATA_ONLY, local_folder
from mssr_rl.report.text import excerpt

PIECE = 40  # characters shown of one token


def pieces(model: str, responses: Sequence[Sequence[int]]) -> list[list[str]]:
    """Return the text of every token, one list per response; invisible characters are escaped.

    If the model has no tokenizer here, a token is shown as #number.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(local_folder(model), **DATA_ONLY)
    except (OSError, ValueError, UserError):
        return [[f"#{token} " for token in response] for response in responses]
    known = {token for response in responses for token in response}
    last = len(tokenizer)
    text = {
        token: excerpt(tokenizer.decode([token]), PIECE).text if 0 <= token < last else f"#{token} "
        for token in known
    }
    return [[text[token] for token in response] for response in responses]
