"""What a run is told: `key=value` words and YAML in, one frozen `Config` out.

`schema` declares every key, `compose` builds a config from configs/ (`hydra_groups`), the words
(`overrides`) or a run that is taken up again (`recorded`); `registered_names` looks up algorithm
and environment, `plugins` brings in those from outside, `keys` knows what was probably meant, and
`crosscheck` holds the numbers against each other.
"""

from mssr_rl.config.schema import Config, EngineConfig, FaultConfig, Selection, to_dict

__all__ = ["Config", "EngineConfig", "FaultConfig", "Selection", "to_dict"]
