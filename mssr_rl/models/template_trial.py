"""A script that tries out a chat template in a separate process. It imports nothing of mssr_rl.

`templates` starts it with limits on time and memory, and sends the template and a conversation as
JSON. The script tells only whether the template ends. Afterwards transformers writes the text
itself; it compiles a template in the same way (5.15, `_compile_jinja_template`).
"""

import json
import sys
from typing import Any

import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment


class Generation(jinja2.ext.Extension):
    """The Jinja tag `generation`, with which templates mark the model's own text.

    Its content is written unchanged.
    """

    tags = {"generation"}  # noqa: RUF012  Jinja declares it so

    def parse(self, parser: Any) -> Any:
        """Return the statements between the tag and its end tag."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def main() -> None:
    """Print the length of the conversation in characters, or why it cannot be written, as JSON."""
    job = json.load(sys.stdin)
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )
    environment.globals |= {"raise_exception": _stop, "strftime_now": str}
    environment.filters["tojson"] = json.dumps
    length = 0
    try:
        for piece in environment.from_string(job["template"]).generate(**job["told"]):
            length += len(piece)
            if length > job["longest"]:
                break
        outcome: dict[str, Any] = {"length": length}
    except MemoryError:
        outcome = {"memory": True}
    except Exception as error:  # noqa: BLE001  transformers will fail in the same way and report it
        outcome = {"error": type(error).__name__}
    sys.stdout.write(json.dumps(outcome))


def _stop(message: object) -> None:
    raise jinja2.TemplateError(str(message))


if __name__ == "__main__":
    main()
