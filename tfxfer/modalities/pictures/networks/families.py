"""Every classification network of Keras Applications: one row for each family, without Keras.

`block_end` matches (``re.match``) the name of the operation at which a block ends. Its group
``name``, if there is one, names the block. Other blocks are numbered, because Keras numbers their
operations differently in every network that a process builds.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Family:
    """One architecture family of `keras.applications`.

    Attributes:
        name: The name of the family.
        sizes_px: The default picture side of each network of the family, in pixels.
        block_end: A regular expression on the name of the operation that ends a block.
        preprocessing: The preprocessing that the network expects, a key of `PREPROCESSINGS`.
        weights_licence: The licence under which the ImageNet weights were published.
        min_size_px: The smallest picture side that the network takes.
        alphas: The width multipliers with ImageNet weights; empty if the family has no widths.
    """

    name: str
    sizes_px: dict[str, int] = field(hash=False)
    block_end: str
    preprocessing: str
    weights_licence: str
    min_size_px: int = 32
    alphas: tuple[float, ...] = ()


_MBCONV = r"(?P<name>block\d[a-z])_(add|project_bn|project_activation)$|(?P<top>top)_activation$"

FAMILIES = (
    Family("VGG", {"VGG16": 224, "VGG19": 224}, r"(?P<name>block\d)_pool$", "caffe", "CC-BY-4.0"),
    Family(
        "ResNet",
        {"ResNet50": 224, "ResNet101": 224, "ResNet152": 224},
        r"(?P<name>conv\d_block\d+)_out$",
        "caffe",
        "MIT",
    ),
    Family(
        "ResNetV2",
        {"ResNet50V2": 224, "ResNet101V2": 224, "ResNet152V2": 224},
        r"(?P<name>conv\d_block\d+)_out$|(?P<top>post)_relu$",
        "tf",
        "MIT",
    ),
    Family("InceptionV3", {"InceptionV3": 299}, r"(?P<name>mixed\d+)$", "tf", "MIT", 75),
    Family(
        "InceptionResNetV2",
        {"InceptionResNetV2": 299},
        r"(?P<name>mixed_\w+|block\d+_\d+)(_ac)?$|(?P<top>conv_7b)_ac$",
        "tf",
        "MIT",
        75,
    ),
    Family(
        "Xception",
        {"Xception": 299},
        r"add(_\d+)?$|(?P<top>block14)_sepconv2_act$",
        "tf",
        "MIT",
        71,
    ),
    Family(
        "MobileNet",
        {"MobileNet": 224},
        r"(?P<name>conv_pw_\d+)_relu$",
        "tf",
        "Apache-2.0",
        alphas=(0.25, 0.5, 0.75, 1.0),
    ),
    Family(
        "MobileNetV2",
        {"MobileNetV2": 224},
        r"(?P<name>block_\d+|expanded_conv)_(add|project_BN)$|(?P<top>out)_relu$",
        "tf",
        "Apache-2.0",
        alphas=(0.35, 0.5, 0.75, 1.0, 1.3, 1.4),
    ),
    Family(
        "MobileNetV3",
        {"MobileNetV3Small": 224, "MobileNetV3Large": 224},
        r"(?P<name>expanded_conv(_\d+)?)_(add|project_bn)$|(?P<top>conv_1)_bn$",
        "inside",
        "Apache-2.0",
        alphas=(0.75, 1.0),
    ),
    Family(
        "DenseNet",
        {"DenseNet121": 224, "DenseNet169": 224, "DenseNet201": 224},
        r"(?P<name>conv\d_block\d+)_concat$|(?P<pool>pool\d)_pool$|(?P<top>relu)$",
        "torch",
        "BSD-3-Clause",
    ),
    Family(
        "NASNet",
        {"NASNetMobile": 224, "NASNetLarge": 331},
        r"(?P<name>normal_concat_\d+|reduction_concat_\w+)$",
        "tf",
        "Apache-2.0",
    ),
    Family(
        "EfficientNet",
        {
            "EfficientNetB0": 224,
            "EfficientNetB1": 240,
            "EfficientNetB2": 260,
            "EfficientNetB3": 300,
            "EfficientNetB4": 380,
            "EfficientNetB5": 456,
            "EfficientNetB6": 528,
            "EfficientNetB7": 600,
        },
        _MBCONV,
        "inside",
        "Apache-2.0",
    ),
    Family(
        "EfficientNetV2",
        {
            "EfficientNetV2B0": 224,
            "EfficientNetV2B1": 240,
            "EfficientNetV2B2": 260,
            "EfficientNetV2B3": 300,
            "EfficientNetV2S": 384,
            "EfficientNetV2M": 480,
            "EfficientNetV2L": 480,
        },
        _MBCONV,
        "inside",
        "Apache-2.0",
    ),
    Family(
        "ConvNeXt",
        {
            "ConvNeXtTiny": 224,
            "ConvNeXtSmall": 224,
            "ConvNeXtBase": 224,
            "ConvNeXtLarge": 224,
            "ConvNeXtXLarge": 224,
        },
        r"add(_\d+)?$|(?P<top>layer_normalization)",
        "inside",
        "MIT",
    ),
)

NETWORKS: dict[str, Family] = {name: family for family in FAMILIES for name in family.sizes_px}

# The numbers of parameters, at width 1, and of blocks of each network; `test_blocks.py` counts
# them.
COUNTS: dict[str, tuple[int, int]] = {
    "VGG16": (14_714_688, 5),
    "VGG19": (20_024_384, 5),
    "ResNet50": (23_587_712, 16),
    "ResNet101": (42_658_176, 33),
    "ResNet152": (58_370_944, 50),
    "ResNet50V2": (23_564_800, 17),
    "ResNet101V2": (42_626_560, 34),
    "ResNet152V2": (58_331_648, 51),
    "InceptionV3": (21_802_784, 11),
    "InceptionResNetV2": (54_336_736, 43),
    "Xception": (20_861_480, 13),
    "MobileNet": (3_228_864, 13),
    "MobileNetV2": (2_257_984, 18),
    "MobileNetV3Small": (939_120, 12),
    "MobileNetV3Large": (2_996_352, 16),
    "DenseNet121": (7_037_504, 62),
    "DenseNet169": (12_642_880, 86),
    "DenseNet201": (18_321_984, 102),
    "NASNetMobile": (4_269_716, 16),
    "NASNetLarge": (84_916_818, 22),
    "EfficientNetB0": (4_049_571, 17),
    "EfficientNetB1": (6_575_239, 24),
    "EfficientNetB2": (7_768_569, 24),
    "EfficientNetB3": (10_783_535, 27),
    "EfficientNetB4": (17_673_823, 33),
    "EfficientNetB5": (28_513_527, 40),
    "EfficientNetB6": (40_960_143, 46),
    "EfficientNetB7": (64_097_687, 56),
    "EfficientNetV2B0": (5_919_312, 22),
    "EfficientNetV2B1": (6_931_124, 28),
    "EfficientNetV2B2": (8_769_374, 29),
    "EfficientNetV2B3": (12_930_622, 33),
    "EfficientNetV2S": (20_331_360, 41),
    "EfficientNetV2M": (53_150_388, 58),
    "EfficientNetV2L": (117_746_848, 80),
    "ConvNeXtTiny": (27_820_128, 19),
    "ConvNeXtSmall": (49_454_688, 37),
    "ConvNeXtBase": (87_566_464, 37),
    "ConvNeXtLarge": (196_230_336, 37),
    "ConvNeXtXLarge": (348_147_968, 37),
}

# One network's weights are part of the package: its name, its width, the picture side at which it
# was trained, and the file.
EMBEDDED_NETWORK = "MobileNetV2"
EMBEDDED_ALPHA = 0.35
EMBEDDED_SIZE_PX = 96
EMBEDDED_FILE = "mobilenetv2_035_96_fieldguide.weights.h5"
