"""Public data sets into the layout of `docs/data.md`: resumable, with checksums, never half taken for whole."""
