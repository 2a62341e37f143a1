"""Scripts that try to break slotkeeper; each prints the figures of docs/reliability.md."""
