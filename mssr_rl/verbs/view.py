"""`view`: a local web page over runs and comparisons."""

from mssr_rl.verbs import Form, Verb

VERB = Verb(
    "open a local web page over runs and comparisons, live while they train",
    (
        Form(
            "serve the page on this machine until Ctrl-C; it only reads",
            "mssr_rl.view.view_verb:ViewWords:serve",
            ("view", "view runs_dir=runs port=8400"),
        ),
    ),
)
