"""`publish`: a policy or a comparison, in the forms that others read."""

from mssr_rl.verbs import Form, Verb

VERB = Verb(
    "write a policy with its model card, or a comparison, into a folder or onto the hub",
    (
        Form(
            "copy model, card and evaluation records; hub:owner/name uploads them",
            "mssr_rl.publishing.publish_verb:PublishWords:publish",
            ("publish run=runs/first to=my-model", "publish run=runs/first to=hub:owner/name"),
        ),
    ),
)
