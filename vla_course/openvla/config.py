"""The configuration of an OpenVLA of any size: seven billion parameters, or four million."""

from typing import Any, ClassVar

from transformers import Dinov2WithRegistersConfig, LlamaConfig, PretrainedConfig, SiglipVisionConfig

TOWERS: dict[str, dict[str, Any]] = {
    "vit_large_patch14_reg4_dinov2.lvd142m": dict(embed_dim=1024, depth=24, num_heads=16, mlp_ratio=4.0),
    "vit_so400m_patch14_siglip_224": dict(embed_dim=1152, depth=27, num_heads=16, mlp_ratio=3.7362),
}
"""The two towers of openvla-7b: a published config.json gives their timm names and not their sizes."""

PATCH_SIZE = 14
"""Pixels a side of the square that becomes one token."""


class OpenVLAConfig(PretrainedConfig):
    """What the original config.json says, and what smaller models need besides.

    Called with nothing, it describes openvla-7b. The additions are `vision_towers` (the sizes of the DINOv2 and the SigLIP
    tower, in this order, in timm's words: embed_dim, depth, num_heads, mlp_ratio), `empty_token_id` (the token between the
    prompt and the first action: 29871 in Llama's vocabulary), `state_dim` (numbers of the robot's state, action tokens at the end of
    the prompt; 0 as published: none), `waypoint_dims` (which of them are predicted before the action, as they will be when a hand
    next grasps or releases; none as published, and then not written into a config.json), `num_images` (pictures of each prompt,
    one of each camera; 1 as published, and then not written into a config.json), and for small vocabularies `pad_to_multiple_of=0`: no columns of the
    head are padding.

    Raises:
        ValueError: the towers are not DINOv2 and SigLIP, image size and patches do not fit, images are not resized as
            published, there is no image, or the vocabulary is too small for the action tokens.
    """

    __no_type_check__ = True  # jaxtyping would not let transformers pass on what else a config.json holds
    model_type = "openvla"
    sub_configs_defaults: ClassVar[dict[str, Any]] = {"text_config": LlamaConfig}

    text_config: Any = None
    timm_model_ids: Any = None
    vision_towers: Any = None
    image_sizes: Any = None
    image_resize_strategy: str = "resize-naive"
    norm_stats: Any = None
    n_action_bins: int = 256
    pad_token_id: int = 32000
    pad_to_multiple_of: int = 64
    empty_token_id: int = 29871
    state_dim: int = 0
    waypoint_dims: Any = ()
    num_images: int = 1
    vision_backbone_id: str = "dinosiglip-vit-so-224px"
    llm_backbone_id: str = "llama2-7b-pure"
    arch_specifier: str = "no-align+fused-gelu-mlp"
    use_fused_vision_backbone: bool = True
    llm_max_length: int = 2048
    tie_word_embeddings: bool = False

    def __post_init__(self, **kwargs: Any) -> None:
        """Fill in openvla-7b where nothing is said, and check what is."""
        if self.text_config is None:
            self.text_config = {"vocab_size": 32064, "pad_token_id": 32000}
        self.timm_model_ids = list(self.timm_model_ids or TOWERS)
        self.image_sizes = list(self.image_sizes or [224, 224])
        self.norm_stats = self.norm_stats or {}
        super().__post_init__(**kwargs)
        if self.vision_towers is None:
            unknown = [name for name in self.timm_model_ids if name not in TOWERS]
            if unknown:
                raise ValueError(
                    f"unknown vision towers {unknown}: we know {list(TOWERS)}, or give vision_towers="
                )
            self.vision_towers = [TOWERS[name] for name in self.timm_model_ids]
        if len(self.vision_towers) != 2 or not self.use_fused_vision_backbone:
            raise ValueError("an OpenVLA here has two vision towers, DINOv2 and SigLIP")
        if len(set(self.image_sizes)) != 1 or self.image_size % PATCH_SIZE:
            raise ValueError(f"want one image size, a multiple of {PATCH_SIZE}, got {self.image_sizes}")
        if isinstance(self.num_images, bool) or not isinstance(self.num_images, int) or self.num_images < 1:
            raise ValueError(f"num_images: want a whole number of at least 1, got {self.num_images!r}")
        if self.image_resize_strategy != "resize-naive":
            raise ValueError(
                f"images are resized straight to a square, not by {self.image_resize_strategy!r}"
            )
        if self.n_action_bins != 256 or self.vocabulary_size < 256 + 4:
            raise ValueError(
                "256 action tokens are the last words of the vocabulary, after at least four others"
            )

    @property
    def image_size(self) -> int:
        """Pixels a side of the image that both towers see."""
        return int(self.image_sizes[0])

    @property
    def patches_per_image(self) -> int:
        """Tokens that one image becomes."""
        return (self.image_size // PATCH_SIZE) ** 2

    @property
    def num_patches(self) -> int:
        """Tokens that all images together become."""
        return self.num_images * self.patches_per_image

    @property
    def vocabulary_size(self) -> int:
        """Words of the vocabulary, without the padding columns of the head; the last 256 are the action tokens."""
        return int(self.text_config.vocab_size - self.pad_to_multiple_of)

    def to_dict(self) -> dict[str, Any]:
        """The content of config.json. One image is what every published checkpoint means, so it is not said."""
        content: dict[str, Any] = super().to_dict()
        if content.get("num_images") == 1:
            del content["num_images"]
        if not content.get("waypoint_dims"):
            content.pop("waypoint_dims", None)
        return content

    @property
    def dinov2_config(self) -> Dinov2WithRegistersConfig:
        """The first tower, as transformers describes it."""
        tower = self.vision_towers[0]
        return Dinov2WithRegistersConfig(
            hidden_size=tower["embed_dim"],
            num_hidden_layers=tower["depth"],
            num_attention_heads=tower["num_heads"],
            mlp_ratio=int(tower["mlp_ratio"]),
            image_size=self.image_size,
            patch_size=PATCH_SIZE,
            num_register_tokens=4,
            attn_implementation=self._attn_implementation,
        )

    @property
    def siglip_config(self) -> SiglipVisionConfig:
        """The second tower, as transformers describes it."""
        tower = self.vision_towers[1]
        return SiglipVisionConfig(
            hidden_size=tower["embed_dim"],
            num_hidden_layers=tower["depth"],
            num_attention_heads=tower["num_heads"],
            intermediate_size=int(tower["embed_dim"] * tower["mlp_ratio"]),
            image_size=self.image_size,
            patch_size=PATCH_SIZE,
            hidden_act="gelu",  # exact; transformers' default is the tanh approximation
            attn_implementation=self._attn_implementation,
        )
