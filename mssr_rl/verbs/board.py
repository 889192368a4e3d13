"""`board`: one page over many comparisons."""

from mssr_rl.verbs import Form, Verb

VERB = Verb(
    "write one offline page over many comparisons, each verified again",
    (
        Form(
            "recompute every report, and write a row for each",
            "mssr_rl.publishing.verdict_board:BoardWords:board",
            ("board", "board of=comparisons to=board.html verify=false"),
        ),
    ),
)
