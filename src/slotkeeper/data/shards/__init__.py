"""Many videos in few large files: tar shards in the layout of WebDataset, with an index for random access."""

from __future__ import annotations

from slotkeeper.data.shards.archive import ShardSet, open_shards, shard_problem, why_not_whole

__all__ = ["ShardSet", "open_shards", "shard_problem", "why_not_whole"]
