"""Large frames go through a model fewer at a time."""

from __future__ import annotations

from slotkeeper.tracking.frame_size import chunk_length


def test_chunks_shrink_as_slots_and_frames_grow():
    assert chunk_length(7, (64, 64)) == 16
    assert chunk_length(7, (256, 256)) == 16
    assert chunk_length(8, (512, 512)) == 4
    assert chunk_length(8, (1024, 1024)) == 1
    assert chunk_length(100, (1024, 1024)) == 1
