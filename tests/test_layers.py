"""Import order: a file imports only what stands above it, and families of components never import each other."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "slotkeeper"

LAYERS = [
    ["errors", "types", "noise"],
    ["interfaces", "files", "freed_memory", "ray_library", "stopping"],
    ["staging"],
    ["catalog"],
    ["nn"],
    ["data"],
    ["scenes", "result_names"],
    ["encoders", "initializers", "correctors", "predictors", "decoders", "dynamics", "losses"],
    ["metrics", "masks", "pairing", "recurrence"],
    ["scoring", "published"],
    ["config", "hardware", "launched", "model"],
    ["checkpoint"],
    ["build"],
    ["tracking"],
    ["export"],
    ["report", "track_inputs"],
    ["loading", "evaluation", "track_files"],
    ["prediction"],
    ["training", "cluster"],
    ["comparison"],
    ["cli"],
    ["__main__"],
]
"""From the foundation up. Names on one line stand side by side and don't import each other."""
RANKS = {name: rank for rank, names in enumerate(LAYERS) for name in names}


def imports_of(path: Path) -> Iterator[str]:
    """Parts of the package that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            module = node.module or ""
            names = [alias.name for alias in node.names] if module == "slotkeeper" else []
            yield from (f"slotkeeper.{name}" for name in names)
            yield module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def part_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


FILES = [path for path in sorted(SOURCE.rglob("*.py")) if path != SOURCE / "__init__.py"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_file_imports_only_what_stands_above_it(path: Path):
    own = part_of(path)
    for module in imports_of(path):
        if not module.startswith("slotkeeper."):
            continue
        part = module.split(".")[1]
        if part == own:
            continue
        assert RANKS[part] < RANKS[own], f"{path.relative_to(SOURCE)} imports {module}, which doesn't stand above it"


def test_every_part_has_a_place():
    assert {part_of(path) for path in FILES} == set(RANKS)


@pytest.mark.parametrize("library", ["av", "mujoco"])
def test_one_part_alone_uses_a_library(library: str):
    allowed = {"av": {"data"}, "mujoco": {"scenes"}}[library]
    users = {part_of(path) for path in FILES if any(name.split(".")[0] == library for name in imports_of(path))}
    assert users <= allowed


def test_the_command_line_reaches_its_help_without_the_heavy_libraries():
    light = {
        "slotkeeper.cli.outcomes",
        "slotkeeper.cli.parser",
        "slotkeeper.errors",
        "slotkeeper.cli.main",
        "slotkeeper.cli",
        "slotkeeper.files",
        "slotkeeper.stopping",
    }
    for name in ("parser", "outcomes", "main", "__init__"):
        tree = ast.parse((SOURCE / "cli" / f"{name}.py").read_text(encoding="utf-8"))
        for node in tree.body:  # at the top of the file, so at import
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("slotkeeper"):
                assert node.module in light
