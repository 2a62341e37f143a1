"""What a frozen backbone makes of videos, computed once and kept in shards."""

from __future__ import annotations

from slotkeeper.data.features.making import DEFAULT_SHARD_MB, MadeFeatures, make_features
from slotkeeper.data.features.reading import FeatureSet, check_feature_settings, open_features
from slotkeeper.data.shards.feature_facts import FeatureFacts, FeaturePrecision

__all__ = [
    "DEFAULT_SHARD_MB",
    "FeatureFacts",
    "FeaturePrecision",
    "FeatureSet",
    "MadeFeatures",
    "check_feature_settings",
    "make_features",
    "open_features",
]
