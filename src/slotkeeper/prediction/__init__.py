"""Prediction: what a model foresees of a video after the frames it has seen, as files and as scores."""

from __future__ import annotations

from slotkeeper.prediction.files import PREDICTION_FILES, PredictedVideo, predict_videos
from slotkeeper.prediction.foresight import Foresight, check_predicts, describe_foresight, foresee_video
from slotkeeper.prediction.scores import PredictionEvaluation, evaluate_prediction
from slotkeeper.prediction.table import format_prediction

__all__ = [
    "PREDICTION_FILES",
    "Foresight",
    "PredictedVideo",
    "PredictionEvaluation",
    "check_predicts",
    "describe_foresight",
    "evaluate_prediction",
    "foresee_video",
    "format_prediction",
    "predict_videos",
]
