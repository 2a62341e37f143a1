"""Ray as `slotkeeper.cluster` uses it, in this process and one task after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class RayError(Exception):
    """A worker is gone."""


class RayTaskError(RayError):
    """A task raised `cause`."""

    def __init__(self, cause: BaseException):
        super().__init__(f"traceback of {cause}")
        self.cause = cause


class FakeRay:
    """A module that is always there.

    on_wait: called whenever the driver waits. on_task: called before each task with its arguments; what it raises is
    the task's end.
    """

    def __init__(self, *, on_wait: Callable[[], None] = lambda: None, on_task: Callable[..., None] = lambda *_: None):
        self.exceptions = type("exceptions", (), {"RayError": RayError, "RayTaskError": RayTaskError})
        self.on_wait = on_wait
        self.on_task = on_task
        self.num_tasks = 0
        self.most_waiting = 0
        self.num_cancelled = 0

    def is_initialized(self) -> bool:
        return True

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 2.0}

    def remote(self, **_: object) -> Callable[[Any], Any]:
        return lambda function: type("Task", (), {"remote": staticmethod(lambda *values: _Task(function, values))})

    def wait(self, references: list[_Task], **_: object) -> tuple[list[_Task], list[_Task]]:
        self.on_wait()
        self.most_waiting = max(self.most_waiting, len(references))
        return references[:1], references[1:]

    def get(self, reference: _Task) -> object:
        self.num_tasks += 1
        try:
            self.on_task(*reference.values)
            return reference.function(*reference.values)
        except RayError:
            raise
        except Exception as error:
            raise RayTaskError(error) from error

    def cancel(self, reference: _Task, *, force: bool) -> None:
        self.num_cancelled += force


class _Task:
    def __init__(self, function: Callable[..., object], values: tuple[Any, ...]):
        self.function = function
        self.values = values
