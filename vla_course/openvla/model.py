"""OpenVLA: an image and an instruction in, a motor command out.

The image's patches stand as words between the start token and the prompt, and a language model writes the action as one token
per dimension. Built from transformers' own DINOv2, SigLIP and Llama; loads and saves the published checkpoints' format.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from transformers import GenerationMixin, LlamaForCausalLM, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast

from vla_course.openvla import checkpoint, four_bit_files, four_bits
from vla_course.openvla.acting import Acting
from vla_course.openvla.config import OpenVLAConfig
from vla_course.openvla.decoding import CACHE_KEYWORD, Prompt, token_positions
from vla_course.openvla.interface import Interface, check_saving, padding_behind_start, split_loading
from vla_course.openvla.processor import OpenVLAProcessor
from vla_course.openvla.projector import Projector
from vla_course.openvla.vision import VisionTowers


def insert_patches(
    token_embeddings: Float[torch.Tensor, "B L D"],
    patch_embeddings: Float[torch.Tensor, "B P D"],
    attention_mask: Int[torch.Tensor, "B L"],
) -> tuple[Float[torch.Tensor, "B L+P D"], Int[torch.Tensor, "B L+P"]]:
    """The multimodal sequence and its mask: the start token, then the image's patches, then the rest of the text.

    The mask is 1 where a position is real and 0 where it is padding; every patch is real. The sequence has the dtype of
    `token_embeddings`, the mask that of `attention_mask`.

    Source: openvla/openvla @ c8f03f48, prismatic/extern/hf/modeling_prismatic.py (forward).
    """
    patches = patch_embeddings.to(token_embeddings)
    embeddings = torch.cat([token_embeddings[:, :1], patches, token_embeddings[:, 1:]], dim=1)
    seen = attention_mask.new_ones(patches.shape[:2])
    return embeddings, torch.cat([attention_mask[:, :1], seen, attention_mask[:, 1:]], dim=1)


@dataclass
class OpenVLAOutput(CausalLMOutputWithPast):
    """What the language model returned, and the image as it was shown to it (`projector_features`, (B, P, D))."""

    projector_features: torch.Tensor | None = None


class OpenVLAForActionPrediction(Acting, Interface, PreTrainedModel, GenerationMixin):
    """A vision-language-action model, from openvla-7b down to a nano that runs on a laptop.

    `predict_action` is what a robot calls; `forward` is for training; `generate` is transformers' own.
    """

    config_class = OpenVLAConfig
    main_input_name = "input_ids"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _no_split_modules = (
        "Dinov2WithRegistersEmbeddings",
        "Dinov2WithRegistersLayer",
        "SiglipVisionEmbeddings",
        "SiglipEncoderLayer",
        "SiglipMultiheadAttentionPoolingHead",
        "LlamaDecoderLayer",
    )
    _skip_keys_device_placement = ("past_key_values", "cache")

    def __init__(self, config: OpenVLAConfig, processor: OpenVLAProcessor | None = None) -> None:
        super().__init__(config)
        self.processor = processor
        self.vision_backbone = VisionTowers(config)
        self.projector = Projector(self.vision_backbone.width, config.text_config.hidden_size)
        self.language_model = LlamaForCausalLM(config.text_config)
        self.post_init()

    def set_num_images(self, count: int) -> None:
        """Look at so many pictures at once from now on. No weight knows how many: the towers look at one after the other.

        Raises:
            ValueError: there is no picture to look at.

        Source: moojink/openvla-oft, prismatic/extern/hf/modeling_prismatic.py (set_num_images_in_input).
        """
        if count < 1:
            raise ValueError(f"a model looks at one picture or more at once, not {count}")
        self.config.num_images = self.vision_backbone.num_images = count
        if self.processor is not None:
            self.processor.num_images = count

    def embed_image(
        self, pixel_values: Float[torch.Tensor, "B channels H W"]
    ) -> Float[torch.Tensor, "B P D"]:
        """The image as the language model reads it: one vector per patch; those of several images one after the other."""
        return self.project(self.vision_backbone(pixel_values))

    def project(self, image_features: Float[torch.Tensor, "B P width"]) -> Float[torch.Tensor, "B P D"]:
        """What the towers saw, as the language model reads it."""
        patches: torch.Tensor = self.projector(image_features.to(self.projector.fc1.weight.device))
        return patches

    def forward(
        self,
        input_ids: Int[torch.Tensor, "B L"] | None = None,
        attention_mask: torch.Tensor | None = None,
        pixel_values: Float[torch.Tensor, "B channels H W"] | None = None,
        position_ids: torch.Tensor | None = None,
        past_key_values: Any = None,
        inputs_embeds: Float[torch.Tensor, "B L D"] | None = None,
        labels: Int[torch.Tensor, "B L"] | None = None,
        image_features: Float[torch.Tensor, "B P width"] | None = None,
        cache: Any = None,
        **kwargs: Any,
    ) -> OpenVLAOutput:
        """Logits, and with labels the loss, of prompts in which the image stands after the first token.

        Without `pixel_values` the text alone is read, or the next tokens of a sequence whose image is in the cache already.
        `attention_mask` and `labels` are as long as `input_ids`; the image's part is added here. Labels are not shifted: the
        loss compares each position's prediction with the next label, and leaves out -100. `image_features` are what
        `vision_backbone` makes of the pixels, for who has them already. `cache` and `past_key_values` are the same argument: the
        key-value cache, under its name from transformers 5.24 on and under the one before. Rows are padded behind their start
        token or at their end: logits and labels stand where the ids stand.

        Raises:
            ValueError: neither ids nor embeddings are given, an image is given after the beginning of a sequence, or a row with
                an image begins with padding.
        """
        if inputs_embeds is None:
            if input_ids is None:
                raise ValueError("give input_ids (or inputs_embeds)")
            inputs_embeds = self.get_input_embeddings()(input_ids)
        cache = past_key_values if cache is None else cache
        patches = None
        if pixel_values is not None and image_features is None:
            image_features = self.vision_backbone(pixel_values)
        if image_features is not None:
            if cache is not None and cache.get_seq_length() > 0:
                raise ValueError(
                    "the cache is not empty: the image was read with the first token, leave it out here"
                )
            patches = self.project(image_features)
            if attention_mask is None:
                attention_mask = torch.ones(
                    inputs_embeds.shape[:2], dtype=torch.long, device=inputs_embeds.device
                )
            _starts_with_a_token(attention_mask)
            inputs_embeds, attention_mask = insert_patches(inputs_embeds, patches, attention_mask)
            position_ids = token_positions(attention_mask) if position_ids is None else position_ids
            if labels is not None:
                unlearned = labels.new_full(patches.shape[:2], -100)
                labels = torch.cat([labels[:, :1], unlearned, labels[:, 1:]], dim=1)
        output = self.language_model(
            inputs_embeds=inputs_embeds,
            attention_mask=attention_mask,
            position_ids=position_ids,
            labels=labels,
            **{CACHE_KEYWORD: cache},
            **kwargs,
        )
        return OpenVLAOutput(**output, projector_features=patches)

    def prepare_inputs_for_generation(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        pixel_values: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Count the image's patches in mask and positions, and show the image with the first token only.

        Rows may be padded on any side: the padding moves behind the start token, where the image stands.

        The published class takes the empty cache that today's generate() begins with for the middle of a sequence and never
        shows the image at all; here what counts is whether this is the first step.
        """
        if pixel_values is not None:
            position_ids = None  # they are counted below
        inputs: dict[str, Any] = super().prepare_inputs_for_generation(
            input_ids,
            attention_mask=attention_mask,
            pixel_values=pixel_values,
            position_ids=position_ids,
            **kwargs,
        )
        if pixel_values is not None:
            mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
            shown = inputs.get("pixel_values") is not None
            order = padding_behind_start(mask)
            mask = mask.gather(1, order)
            if shown:
                inputs["input_ids"] = inputs["input_ids"].gather(1, order)
            patches = mask.new_ones(len(mask), self.config.num_patches)
            whole = torch.cat([mask[:, :1], patches, mask[:, 1:]], dim=1)
            new = inputs["input_ids"].shape[1] + (self.config.num_patches if shown else 0)
            inputs["position_ids"] = token_positions(whole)[:, -new:]
            inputs["attention_mask"] = mask if shown else whole
        return inputs

    def prompt(
        self,
        input_ids: Int[torch.Tensor, "B L"],
        attention_mask: Int[torch.Tensor, "B L"],
        pixel_values: Float[torch.Tensor, "B channels H W"],
    ) -> Prompt:
        """Words and image as one sequence of embeddings. Rows may be padded on any side, and mean the same.

        Raises:
            ValueError: a row is nothing but padding.
        """
        if not bool(attention_mask.all()):
            order = padding_behind_start(attention_mask)
            input_ids, attention_mask = input_ids.gather(1, order), attention_mask.gather(1, order)
        embed = self.get_input_embeddings()
        device = embed.weight.device
        tokens = embed(input_ids.to(device))
        return Prompt(
            *insert_patches(tokens, self.embed_image(pixel_values.to(device)), attention_mask.to(device))
        )

    def get_input_embeddings(self) -> torch.nn.Embedding:
        """The table of word vectors."""
        table: torch.nn.Embedding = self.language_model.get_input_embeddings()
        return table

    def get_output_embeddings(self) -> torch.nn.Module:
        """The layer that scores each word of the vocabulary."""
        head: torch.nn.Module = self.language_model.lm_head
        return head

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: Any,
        *,
        revision: str | None = None,
        local_files_only: bool = False,
        output_loading_info: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Load a folder or a repository of the Hugging Face hub, in the published format, with its processor.

        `dtype`, `device_map`, `attn_implementation` and `quantization_config` are transformers' own; on a CPU, layers that
        bitsandbytes would compute wrongly are not quantised, and a line names them. A folder that `save_pretrained` wrote
        in four bits is loaded as it is. Only safetensors are read, and no code comes with them. Everything is checked before
        anything is loaded. With `output_loading_info=True`, the model comes with transformers' lists of what was left out:
        they are empty, or loading fails.

        Raises:
            FileNotFoundError: a file is missing.
            ValueError: tensors are missing, unknown or of another shape (all are named), weights are pickled, stored weights
                are to be quantised again, or a GPU quantised layers that a CPU would compute wrongly.
        """
        downloading = split_loading(kwargs)
        folder = checkpoint.find(
            str(name_or_path), revision=revision, local_files_only=local_files_only, **downloading
        )
        config = checkpoint.read_config(folder)
        with torch.device("meta"):
            blank = cls(config)
        processor = OpenVLAProcessor.from_folder(folder, config)
        state = _weights(folder, config, blank, kwargs)
        loaded = super().from_pretrained(
            None, config=config, state_dict=state, output_loading_info=True, **kwargs
        )
        model: OpenVLAForActionPrediction = loaded[0]
        left = {what: names for what, names in loaded[1].items() if names}
        if left:
            raise ValueError(f"transformers did not load all of {folder}: {left}")
        model.processor = processor
        checkpoint.never_repack(model)
        return (model, loaded[1]) if output_loading_info else model

    def save_pretrained(
        self,
        save_directory: Any,
        is_main_process: bool = True,
        state_dict: dict[str, torch.Tensor] | None = None,
        *,
        max_shard_size: int | str = "5GB",
        **options: Any,
    ) -> None:
        """Write the model in the published format, so that it loads elsewhere; each file appears whole or not at all.

        `state_dict` holds the weights to write in place of the model's own, under the names in memory. Where this is not the
        main process of several, nothing is written. `options` are transformers' others, with the one value that is possible.
        A model that bitsandbytes holds in NF4 is written as it is, under transformers' names: it loads here in seconds,
        and nowhere but in this class.

        Raises:
            OSError: the folder cannot be written to, or the disk is full; the old checkpoint is as it was.
            ValueError: the weights carry adapters, are not complete or are quantised otherwise, or an option is not possible.
        """
        check_saving(options)
        if not is_main_process:
            return
        if state_dict is None and four_bits.in_nf4(self):
            four_bit_files.save(save_directory, self.config, self, max_shard_size=max_shard_size)
        else:
            tensors = self.state_dict() if state_dict is None else state_dict
            checkpoint.write(save_directory, self.config, tensors, max_shard_size=max_shard_size)
        if self.processor is not None:
            self.processor.save_pretrained(save_directory)


def _weights(
    folder: Path, config: OpenVLAConfig, blank: OpenVLAForActionPrediction, options: dict[str, Any]
) -> dict[str, Any]:
    """The tensors that transformers is to load, and in `options` what it needs to know of them."""
    quantization = options.get("quantization_config")
    on_cpu = four_bits.on_cpu(options.get("device_map"))
    there = getattr(config, "quantization_config", None)
    if there is not None:
        if quantization is not None:
            raise ValueError(f"the weights in {folder} are quantised already: leave quantization_config out")
        dtype = options.get("dtype", "auto")
        return four_bit_files.read(folder, blank, there, None if dtype == "auto" else dtype, on_cpu=on_cpu)
    state = checkpoint.read_weights(folder, config, blank.state_dict())
    if options.get("dtype", "auto") in (None, "auto"):
        options["dtype"] = config.dtype or state["language_model.lm_head.weight"].dtype
    if quantization is None or not on_cpu:
        return state
    quantization = options["quantization_config"] = four_bits.keep_odd_widths(blank, quantization)
    if four_bits.is_ours(quantization):
        del options["quantization_config"]  # transformers finds it in the config, and the weights quantised
        config.quantization_config = quantization.to_dict()
        state = four_bits.quantise(state, blank, quantization, options["dtype"])
    return state


def _starts_with_a_token(attention_mask: torch.Tensor) -> None:
    if not bool(attention_mask[:, 0].all()):
        raise ValueError(
            "a row begins with padding, and the image would stand before its start token: "
            "pad between the start token and the words, as OpenVLAProcessor does"
        )
