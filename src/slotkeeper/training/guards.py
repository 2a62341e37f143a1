"""What may stop a training: numbers that aren't finite."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from slotkeeper.errors import DivergenceError


class FiniteGuard:
    """Checks each step's loss and gradient one step later, so that a GPU never waits for the check."""

    def __init__(self) -> None:
        self._waiting: tuple[int, dict[str, Tensor]] | None = None

    def watch(self, step: int, values: dict[str, Tensor], last_good: Path | None) -> None:
        """Check the previous step, then remember this one.

        Raises:
            DivergenceError: as `check`.
        """
        self.check(last_good)
        self._waiting = (step, values)

    def check(self, last_good: Path | None) -> None:
        """Check the remembered step now, for instance before its weights are saved.

        Raises:
            DivergenceError: a value is NaN or infinite; the sentence names the step and the last good checkpoint.
        """
        if self._waiting is None:
            return
        step, values = self._waiting
        self._waiting = None
        for name, value in values.items():
            if not bool(value.isfinite()):
                kept = f"the last good checkpoint is {last_good}" if last_good else "there is no checkpoint yet"
                raise DivergenceError(
                    f"{name} became {float(value)} at step {step}; {kept}; "
                    "a lower training.lr or training.precision=fp32 may help",
                    step=step,
                )
