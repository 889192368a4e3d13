"""The config of a run: `key=value` arguments and YAML files in, one frozen `Config` out.

* `schema` declares every config key.
* `compose` builds a `Config` from configs/ (`hydra_groups`) and the arguments (`overrides`). A run
  that is resumed starts from its own config.yaml (`recorded`).
* `registered_names` looks up algorithms and environments; `plugins` imports the user's own.
* `keys` suggests the right key for an unknown one.
* `crosscheck` and `engines` test that the settings fit together.
* `words` declares the arguments of the verbs.
"""

from mssr_rl.config.schema import Config, EngineConfig, FaultConfig, Selection, to_dict

__all__ = ["Config", "EngineConfig", "FaultConfig", "Selection", "to_dict"]
