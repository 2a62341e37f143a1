"""How fast slotkeeper is, beside others and beside the machine's limit. `python -m benchmarks` prints the table."""
