"""The one list of what exists: name -> "module:Class". A name with a colon in a config is an import path itself."""

from __future__ import annotations

import importlib
from typing import Any

from slotkeeper.errors import ConfigError, nearest_name
from slotkeeper.interfaces import Corrector, Decoder, Dynamics, Encoder, Initializer, Loss, Predictor

ENCODERS = {
    "cnn": "slotkeeper.encoders.cnn:CnnEncoder",
    "s3d": "slotkeeper.encoders.s3d:S3dEncoder",
    "conv_lstm": "slotkeeper.encoders.conv_lstm:ConvLstmEncoder",
    "pixels": "slotkeeper.encoders.pixels:PixelEncoder",
    "savi": "slotkeeper.encoders.savi:SaviEncoder",
    "resnet_transformer": "slotkeeper.encoders.resnet_transformer:ResnetTransformerEncoder",
    "vit": "slotkeeper.encoders.vit:VitEncoder",
    "cnn_pretrained": "slotkeeper.encoders.cnn_pretrained:PretrainedCnnEncoder",
    "steve": "slotkeeper.encoders.steve:SteveEncoder",
}
INITIALIZERS = {
    "gaussian": "slotkeeper.initializers.gaussian:GaussianInitializer",
    "learned": "slotkeeper.initializers.learned:LearnedInitializer",
    "first_frame": "slotkeeper.initializers.first_frame:FirstFrameInitializer",
    "preheated": "slotkeeper.initializers.preheated:PreheatedInitializer",
    "clusters": "slotkeeper.initializers.clusters:ClusterInitializer",
    "conditional": "slotkeeper.initializers.conditional:ConditionalInitializer",
}
CORRECTORS = {
    "slot_attention": "slotkeeper.correctors.slot_attention:SlotAttention",
    "nem": "slotkeeper.correctors.nem:NemCorrector",
}
PREDICTORS = {
    "identity": "slotkeeper.predictors.identity:IdentityPredictor",
    "transformer": "slotkeeper.predictors.transformer:TransformerPredictor",
    "slot_feature": "slotkeeper.predictors.slot_feature:SlotFeaturePredictor",
}
DECODERS = {
    "broadcast": "slotkeeper.decoders.broadcast:BroadcastDecoder",
    "broadcast_light": "slotkeeper.decoders.broadcast:LightBroadcastDecoder",
    "layered": "slotkeeper.decoders.layered:LayeredDecoder",
    "nem": "slotkeeper.decoders.nem:NemDecoder",
    "autoregressive": "slotkeeper.decoders.autoregressive:AutoregressiveDecoder",
    "patch_mlp": "slotkeeper.decoders.patch_mlp:PatchMlpDecoder",
    "slot_mixer": "slotkeeper.decoders.slot_mixer:SlotMixerDecoder",
}
DYNAMICS = {
    "slotformer": "slotkeeper.dynamics.slotformer:SlotFormer",
}
LOSSES = {
    "reconstruction": "slotkeeper.losses.reconstruction:PixelReconstruction",
    "flow_mixture": "slotkeeper.losses.motion_and_depth:FlowMixture",
    "flow_reconstruction": "slotkeeper.losses.motion_and_depth:FlowReconstruction",
    "depth_reconstruction": "slotkeeper.losses.motion_and_depth:DepthReconstruction",
    "expected_error": "slotkeeper.losses.reconstruction:ExpectedError",
    "mixture": "slotkeeper.losses.reconstruction:MixtureLikelihood",
    "mask_sparsity": "slotkeeper.losses.masks:MaskSparsity",
    "mask_entropy": "slotkeeper.losses.masks:MaskEntropy",
    "preheat": "slotkeeper.losses.preheat:Preheat",
    "nem": "slotkeeper.losses.nem:NemLoss",
    "future_prediction": "slotkeeper.losses.future:FuturePrediction",
    "perceptual": "slotkeeper.losses.perceptual:PerceptualDifference",
    "feature_reconstruction": "slotkeeper.losses.features:FeatureReconstruction",
    "feature_similarity": "slotkeeper.losses.features:FeatureSimilarity",
    "slot_contrast": "slotkeeper.losses.slot_contrast:SlotContrast",
    "code_likelihood": "slotkeeper.losses.codes:CodeLikelihood",
    "dvae": "slotkeeper.losses.codes:DiscreteAutoencoder",
    "foreseen_slots": "slotkeeper.losses.foreseen:ForeseenSlots",
    "foreseen_pictures": "slotkeeper.losses.foreseen:ForeseenPictures",
}
FAMILIES = {
    "encoder": ENCODERS,
    "initializer": INITIALIZERS,
    "corrector": CORRECTORS,
    "predictor": PREDICTORS,
    "decoder": DECODERS,
    "dynamics": DYNAMICS,
    "loss": LOSSES,
}
_BASES: dict[str, type[Any]] = {
    "encoder": Encoder,
    "initializer": Initializer,
    "corrector": Corrector,
    "predictor": Predictor,
    "decoder": Decoder,
    "dynamics": Dynamics,
    "loss": Loss,
}


def find_component(family: str, name: str) -> type[Any]:
    """Import a component's class by its family and its name, or by "module:Class".

    A config may come from anywhere, so only subclasses of the family's base are given back: whatever else a path
    leads to (`subprocess:Popen`) is never called.

    Raises:
        ConfigError: the name is unknown, or the import path leads nowhere or to something else.
    """
    known = FAMILIES[family]
    if ":" not in name and name not in known:
        raise ConfigError(f"there is no {family} named '{name}'; {nearest_name(name, known)}")
    module_name, _, class_name = known.get(name, name).partition(":")
    if not all(part.isidentifier() for part in (*module_name.split("."), class_name)):
        raise ConfigError(f"{family} '{name}' is no import path, such as my_package.my_module:MyClass")
    try:
        component = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{family} '{name}' can't be imported: {error}") from error
    if not isinstance(component, type) or not issubclass(component, _BASES[family]):
        raise ConfigError(f"{family} '{name}' is no subclass of slotkeeper.interfaces.{_BASES[family].__name__}")
    return component
