"""The command line's grammar; nothing heavy is imported before a command runs."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from slotkeeper.errors import ConfigError, nearest_name

_DEVICES = ("auto", "cpu", "cuda")
_MOST = 2**31 - 1
_DEFAULT = "(default: %(default)s)"
LPIPS_TRUNKS = ("alex", "vgg", "squeeze")
DATASETS = (
    *(
        "clevr_video",
        "clevrer",
        "movi_a",
        "movi_b",
        "movi_c",
        "movi_d",
        "movi_e",
        "movi_f",
        "obj3d",
        "cater",
        "physion",
    ),
    *("davis16", "davis17", "ytvis19", "ytvis21", "ovis", "mose", "ctc", "atari"),
)


class _Parser(argparse.ArgumentParser):
    """Raises one sentence instead of printing usage and exiting."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}; see '{self.prog} --help'")

    def _check_value(self, action: argparse.Action, value: object) -> None:
        if action.choices is not None and value not in action.choices:
            what = action.metavar or action.dest
            hint = nearest_name(str(value), [str(choice) for choice in action.choices])
            raise ConfigError(f"there is no {what} '{value}'; {hint}")


def _path(text: str) -> Path:
    """A path; an empty text is an unset variable rather than the present folder."""
    if not text:
        raise argparse.ArgumentTypeError("must be a path, got an empty text")
    if "://" in text:
        raise argparse.ArgumentTypeError(f"must be a path on this machine, got the address {text}")
    return Path(text)


def _place(text: str) -> Path | str:
    """A path, or the address of shards, such as s3://bucket/videos."""
    return text if "://" in text else _path(text)


def _video(text: str) -> str:
    """As it was written: `-` is a stream, `./-` a file, and the address of shards is no path."""
    _place(text)
    return text


def _number(least: int) -> Callable[[str], int]:
    """A whole number from `least` to `_MOST`."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"must be a whole number, got '{text}'") from None
        if value < least:
            raise argparse.ArgumentTypeError(f"must be at least {least}, got {value}")
        if value > _MOST:
            raise argparse.ArgumentTypeError(f"must be at most {_MOST}, got {value}")
        return value

    return read


def make_parser(version: str) -> argparse.ArgumentParser:
    """The parser of all commands; parsing gives `command` and that command's arguments."""
    parser = _Parser(
        prog="slotkeeper",
        description="Find objects in unlabelled videos and follow each through time: one slot keeps one object.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"slotkeeper {version}")
    commands = parser.add_subparsers(dest="command", metavar="command", required=True, parser_class=_Parser)
    _add_training(commands)
    _add_scoring(commands)
    _add_comparing(commands)
    _add_tracking(commands)
    _add_predicting(commands)
    _add_data(commands)
    commands.add_parser("models", help="list the models shipped with the package")
    commands.add_parser("components", help="list the encoders, decoders, losses and so on that a config can name")
    commands.add_parser("protocols", help="list the published ways to score that 'evaluate --protocol' can follow")
    return parser


_Commands = argparse._SubParsersAction


def _add_training(commands: _Commands) -> None:  # type: ignore[type-arg]
    train = commands.add_parser("train", help="train a model on videos without labels")
    train.add_argument("config", type=_path, help="a YAML file, for instance configs/smoke.yaml")
    train.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="key=value", help="change settings: training.steps=100"
    )
    train.add_argument(
        "--out", type=_path, metavar="RUN", help="the run's folder (default: runs/ and the config's name)"
    )
    train.add_argument("--quiet", action="store_true", help="no progress bar")
    resume = commands.add_parser("resume", help="go on with a training that was stopped")
    resume.add_argument("run", type=_path, help="the run's folder")
    resume.add_argument("--quiet", action="store_true", help="no progress bar")
    demo = commands.add_parser("demo", help="the whole product on built-in videos: train, evaluate, track, report")
    demo.add_argument(
        "--out", type=_path, default=Path("runs/demo"), metavar="RUN", help=f"the run's folder {_DEFAULT}"
    )
    demo.add_argument("--steps", type=_number(1), help="training steps (default: the config's)")
    demo.add_argument("--seed", type=_number(0), help="of weights and sampling (default: the config's)")


def _add_scoring(commands: _Commands) -> None:  # type: ignore[type-arg]
    evaluate = commands.add_parser("evaluate", help="score a model on videos with true masks")
    evaluate.add_argument("model", metavar="RUN_OR_MODEL", help="a run, a model folder, or one of 'slotkeeper models'")
    evaluate.add_argument("data", type=_place, metavar="DATA", help="a folder or shards of videos with masks")
    evaluate.add_argument("--json", type=_path, metavar="FILE", help="write the scores here too")
    evaluate.add_argument(
        "--num-frames",
        type=_number(1),
        help="score the first frames only (default: the config's, as a rule whole videos)",
    )
    evaluate.add_argument(
        "--predict", type=_number(1), metavar="N", help="score N predicted frames after the first ones that are seen"
    )
    evaluate.add_argument(
        "--burn-in", type=_number(1), metavar="K", help="with --predict: frames that are seen (default: the model's)"
    )
    evaluate.add_argument(
        "--lpips", choices=LPIPS_TRUNKS, help="with --predict: LPIPS too, on this trunk; needs --trunk-weights"
    )
    evaluate.add_argument(
        "--trunk-weights",
        metavar="FILE",
        help="with --lpips: the trunk's weights, safetensors with torchvision's names",
    )
    evaluate.add_argument(
        "--protocol", metavar="NAME", help="as a published system is scored; 'slotkeeper protocols' lists them"
    )
    _add_num_slots(evaluate)
    evaluate.add_argument("--device", choices=_DEVICES, default="auto", help=f"where to compute {_DEFAULT}")
    evaluate.add_argument("--quiet", action="store_true", help="no progress bar")
    score = commands.add_parser("score", help="score masks made by any program against the truth")
    score.add_argument("predicted", type=_path, metavar="PREDICTED", help="a folder of masks or a masks.npz")
    score.add_argument("true", type=_path, metavar="TRUE", help="the true masks, laid out alike")
    score.add_argument("--json", type=_path, metavar="FILE", help="write the scores here too")


def _add_num_slots(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--num-slots", type=_number(2), metavar="N", help="another number of slots than the model was trained with"
    )


def _add_comparing(commands: _Commands) -> None:  # type: ignore[type-arg]
    compare = commands.add_parser("compare", help="train and score every variant of a plan with every seed")
    compare.add_argument("plan", type=_path, metavar="PLAN", help="a YAML file, for instance configs/plans/smoke.yaml")
    compare.add_argument(
        "--out",
        type=_path,
        metavar="DIR",
        help="where cells and results go (default: runs/compare/ and the plan's name)",
    )
    compare.add_argument("--jobs", type=_number(1), metavar="N", help="cells side by side (default: one per core)")
    compare.add_argument("--ray", action="store_true", help="run the cells as Ray tasks")
    compare.add_argument("--quiet", action="store_true", help="no progress bars")


def _add_tracking(commands: _Commands) -> None:  # type: ignore[type-arg]
    track = commands.add_parser("track", help="follow the objects of video files")
    track.add_argument(
        "videos",
        nargs="*",
        type=_video,
        metavar="VIDEO",
        help="video files, folders of frames, folders of videos, shards, or - for a stream on standard input",
    )
    track.add_argument("--list", type=_path, metavar="FILE", help="a text file with more of these, one per line")
    track.add_argument(
        "--model",
        default="default",
        metavar="RUN_OR_MODEL",
        help=f"a run, a model folder, or one of 'slotkeeper models' {_DEFAULT}",
    )
    track.add_argument("--out", type=_path, required=True, metavar="DIR", help="results, one folder per video")
    track.add_argument(
        "--start", type=_path, metavar="FILE", help="JSON with boxes, points or masks of the first frame's objects"
    )
    _add_num_slots(track)
    track.add_argument("--no-cuts", action="store_true", help="take each video for one shot, without cuts")
    track.add_argument("--device", choices=_DEVICES, default="auto", help=f"where to compute {_DEFAULT}")
    track.add_argument("--quiet", action="store_true", help="no progress bar")
    track.add_argument("--cluster", action="store_true", help="many videos side by side on Ray, resumable")
    track.add_argument("--address", metavar="ADDR", help="with --cluster: of a Ray cluster (default: this machine)")
    track.add_argument(
        "--jobs", type=_number(1), metavar="N", help="with --cluster: videos at a time (default: one per core)"
    )
    track.add_argument("--retry", action="store_true", help="with --cluster: try again what was skipped or crashed")


def _add_predicting(commands: _Commands) -> None:  # type: ignore[type-arg]
    predict = commands.add_parser("predict", help="predict how videos go on, as video with masks")
    predict.add_argument(
        "videos", nargs="+", type=_video, metavar="VIDEO", help="video files, folders of frames or of videos, or shards"
    )
    predict.add_argument(
        "--model", required=True, metavar="RUN_OR_MODEL", help="a run or a model folder, best one with dynamics"
    )
    predict.add_argument("--frames", type=_number(1), required=True, metavar="N", help="how many frames to predict")
    predict.add_argument("--out", type=_path, required=True, metavar="DIR", help="results, one folder per video")
    predict.add_argument(
        "--at", type=_number(1), metavar="FRAME", help="the first predicted one (default: the one after the last)"
    )
    predict.add_argument(
        "--burn-in", type=_number(1), metavar="K", help="frames that are seen before it (default: the model's)"
    )
    predict.add_argument("--device", choices=_DEVICES, default="auto", help=f"where to compute {_DEFAULT}")
    predict.add_argument("--quiet", action="store_true", help="no progress bar")


def _add_data(commands: _Commands) -> None:  # type: ignore[type-arg]
    data = commands.add_parser("data", help="make or look at folders of videos")
    actions = data.add_subparsers(dest="action", metavar="action", required=True, parser_class=_Parser)
    render = actions.add_parser("render", help="render built-in scenes with exact masks")
    render.add_argument("family", help="plain, clevr, clevrer or crowd")
    render.add_argument("--out", type=_path, required=True, metavar="DIR", help="where the videos go")
    render.add_argument("--num-videos", type=_number(1), default=100, help=f"how many {_DEFAULT}")
    render.add_argument("--num-frames", type=_number(1), default=16, help=f"of each video {_DEFAULT}")
    render.add_argument("--size", type=_number(16), default=64, help=f"pixels across, even {_DEFAULT}")
    render.add_argument(
        "--seed", type=_number(0), default=0, help=f"of the first video; the next has the next number {_DEFAULT}"
    )
    render.add_argument("--workers", type=_number(0), help="processes (default: one per core)")
    render.add_argument(
        "--truth",
        nargs="+",
        default=["masks"],
        metavar="kind",
        help="amodal, depth or flow, beside the masks (default: masks alone)",
    )
    shard = actions.add_parser("shard", help="pack a folder of videos into few large tar files with an index")
    shard.add_argument("source", type=_place, metavar="SOURCE", help="a folder of videos, or one video")
    shard.add_argument("--out", type=_path, required=True, metavar="DIR", help="a folder for the shards")
    shard.add_argument("--shard-mb", type=_number(1), default=256, metavar="N", help=f"megabytes of a shard {_DEFAULT}")
    _add_convert(actions)
    _add_features(actions)
    inspect = actions.add_parser("inspect", help="count and check the videos of a folder")
    inspect.add_argument("path", type=_place, metavar="PATH", help="a folder or shards of videos, or one video")
    inspect.add_argument(
        "--sheet", type=_path, metavar="PNG", help="where the contact sheet goes (default: NAME-contact-sheet.png)"
    )


def _add_convert(actions: _Commands) -> None:  # type: ignore[type-arg]
    convert = actions.add_parser("convert", help="write a public data set as a folder of videos with masks")
    convert.add_argument("name", metavar="NAME", choices=DATASETS, help=", ".join(DATASETS))
    convert.add_argument("source", type=_video, metavar="SOURCE", help="the unpacked download; for atari: GAME,GAME:20")
    convert.add_argument("out", type=_path, metavar="OUT", help="where the videos go, a new or empty folder")
    convert.add_argument(
        "--workers", type=_number(1), metavar="N", help="videos side by side (default: one per core, at most 8)"
    )
    convert.add_argument("--quiet", action="store_true", help="no progress bar")


def _add_features(actions: _Commands) -> None:  # type: ignore[type-arg]
    features = actions.add_parser("features", help="compute what a frozen backbone makes of videos, once for training")
    features.add_argument(
        "model", metavar="CONFIG_OR_MODEL", help="a YAML file, a run or a model folder; its encoder and data.size count"
    )
    features.add_argument("data", type=_place, metavar="DATA", help="a folder or shards of the videos to train on")
    features.add_argument("--out", type=_path, required=True, metavar="DIR", help="a folder for the features")
    features.add_argument(
        "--precision", choices=("bf16", "fp16"), default="bf16", help=f"in which numbers are kept {_DEFAULT}"
    )
    features.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="key=value", help="change settings of a YAML file"
    )
    features.add_argument(
        "--shard-mb", type=_number(1), default=256, metavar="N", help=f"megabytes of a file {_DEFAULT}"
    )
    features.add_argument("--device", choices=_DEVICES, default="auto", help=f"where to compute {_DEFAULT}")
    features.add_argument("--quiet", action="store_true", help="no progress bar")
