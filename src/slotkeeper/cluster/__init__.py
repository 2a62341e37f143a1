"""Thousands of videos, tracked side by side on Ray; the ledger in the folder of results says what became of each."""

from __future__ import annotations

from slotkeeper.cluster.ledger import FINAL_STATES, LEDGER_FILE, MAX_ATTEMPTS, VideoRecord, read_ledger
from slotkeeper.cluster.run import track_on_cluster
from slotkeeper.cluster.summary import ClusterSummary, format_summary

__all__ = [
    "FINAL_STATES",
    "LEDGER_FILE",
    "MAX_ATTEMPTS",
    "ClusterSummary",
    "VideoRecord",
    "format_summary",
    "read_ledger",
    "track_on_cluster",
]
