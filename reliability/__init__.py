"""Scripts that try to break slotkeeper; docs/reliability.md has their figures."""
