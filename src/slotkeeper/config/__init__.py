"""A run's settings: typed, checked, and read from strict YAML."""

from __future__ import annotations

from slotkeeper.config.loading import (
    apply_override,
    config_yaml,
    convert_value,
    load_config,
    parse_config,
    place_value,
    plain_config,
    read_config_file,
)
from slotkeeper.config.scaling import with_steps
from slotkeeper.config.schedule import Length, Lengths, Steps, pairs_of, value_at
from slotkeeper.config.schema import (
    ComponentConfig,
    Config,
    DataConfig,
    EvaluationConfig,
    LossConfig,
    ModelConfig,
    ScenesConfig,
    TrainingConfig,
)
from slotkeeper.config.yaml_text import read_yaml, write_yaml

__all__ = [
    "ComponentConfig",
    "Config",
    "DataConfig",
    "EvaluationConfig",
    "Length",
    "Lengths",
    "LossConfig",
    "ModelConfig",
    "ScenesConfig",
    "Steps",
    "TrainingConfig",
    "apply_override",
    "config_yaml",
    "convert_value",
    "load_config",
    "pairs_of",
    "parse_config",
    "place_value",
    "plain_config",
    "read_config_file",
    "read_yaml",
    "value_at",
    "with_steps",
    "write_yaml",
]
