"""The interface of transformers' PreTrainedModel, where an image or the published names need code of our own.

Saving with other options, going on from a Trainer's checkpoint, more words, a cache of fixed size.
"""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Int
from torch import nn

from vla_course.action_tokens import BINS
from vla_course.openvla import checkpoint
from vla_course.openvla.config import OpenVLAConfig

SAVING = {
    "push_to_hub": False,
    "variant": None,
    "safe_serialization": True,
    "save_peft_format": True,
    "save_original_format": True,
    "distributed_checkpoint": False,
}
"""transformers' options of `save_pretrained` with the only value that is possible here; its `token` is not needed."""
HUB = ("cache_dir", "force_download", "token")
"""Options of `from_pretrained` that are about downloading."""
NOT_LOADING = ("config", "state_dict", "subfolder", "variant", "gguf_file", "adapter_kwargs", "key_mapping")
"""Options of `from_pretrained` that would load something else than a folder in the published format."""


def check_saving(options: Mapping[str, Any]) -> None:
    """Refuse what `save_pretrained` cannot do.

    Raises:
        TypeError: there is no such option.
        ValueError: an option has another value than the one that is possible.
    """
    for name, value in options.items():
        if name not in (*SAVING, "token"):
            raise TypeError(f"save_pretrained takes no option {name!r}")
        if name in SAVING and value != SAVING[name]:
            raise ValueError(
                f"save_pretrained({name}={value!r}): an OpenVLA is written as safetensors under the published names, into a "
                "folder of this machine; leave the option out. To share the folder: hf upload <repository> <folder>"
            )


def split_loading(options: dict[str, Any]) -> dict[str, Any]:
    """Take the options about downloading, and those that change nothing, out of those of `from_pretrained`; return the former.

    Raises:
        ValueError: an option would load something else than a folder in the published format.
    """
    for name in NOT_LOADING:
        if options.pop(name, None):
            raise ValueError(
                f"from_pretrained({name}=...): an OpenVLA is loaded as its folder says; leave the option out, and change the "
                "folder, or the model once it is loaded"
            )
    for name in ("use_safetensors", "weights_only"):
        if options.pop(name, None) is False:
            raise ValueError(
                f"from_pretrained({name}=False): only safetensors are read, since a pickle can run any code"
            )
    options.pop("trust_remote_code", None)  # no code comes with a folder
    if "torch_dtype" in options:  # its earlier name
        options.setdefault("dtype", options.pop("torch_dtype"))
    return {name: options.pop(name) for name in HUB if name in options}


def padding_behind_start(attention_mask: Int[torch.Tensor, "B L"]) -> Int[torch.Tensor, "B L"]:
    """The order of each row's tokens, for `gather`, in which padding stands between its first token and the others.

    Wherever a row was padded, its image then stands behind its start token, and it ends in its last word.

    Raises:
        ValueError: a row is nothing but padding.
    """
    real = attention_mask.bool()
    if not bool(real.any(dim=1).all()):
        raise ValueError(
            "a row of the attention mask is nothing but padding (0): each needs a start token and words"
        )
    first = real & (real.cumsum(dim=1) == 1)
    return torch.where(first, 0, torch.where(real, 2, 1)).argsort(dim=1, stable=True)


class Interface:
    """The part of an OpenVLA that keeps the promises of transformers' PreTrainedModel. It stands before that class."""

    config: OpenVLAConfig
    language_model: Any

    def set_output_embeddings(self, head: nn.Module) -> None:
        """Put another layer in the place of the one that scores each word of the vocabulary."""
        self.language_model.lm_head = head

    def resize_token_embeddings(
        self,
        new_num_tokens: int | None = None,
        pad_to_multiple_of: int | None = None,
        mean_resizing: bool = True,
    ) -> nn.Module:
        """Give the vocabulary more rows, as transformers does. They stand behind the action tokens, whose ids stay as they are.

        Raises:
            ValueError: fewer rows than there are words would cut off action tokens.
        """
        words = self.config.vocabulary_size
        if new_num_tokens is not None and new_num_tokens < words:
            raise ValueError(
                f"resize_token_embeddings({new_num_tokens}): the last {BINS} of the {words} words are the action tokens; want at "
                f"least {words} rows"
            )
        table: Any = super().resize_token_embeddings(new_num_tokens, pad_to_multiple_of, mean_resizing)  # type: ignore[misc]
        self.config.pad_to_multiple_of = len(table.weight) - words
        return table  # type: ignore[no-any-return]

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """Take over weights under the names in memory, or the published ones, as a Trainer does to go on from its checkpoint.

        Raises:
            RuntimeError: as torch's, where names or shapes differ.
            ValueError: published weights are not complete.
        """
        if any(name.startswith(checkpoint.DINOV2) for name in state_dict):
            try:
                state_dict = checkpoint.from_original(state_dict, self.config)
            except KeyError as error:
                raise ValueError(
                    f"these weights have published names, and {error} is missing: a part of a checkpoint (one shard) cannot be "
                    "loaded alone; from_pretrained loads the whole folder"
                ) from error
        return super().load_state_dict(state_dict, strict=strict, assign=assign)  # type: ignore[misc]

    def _prepare_cache_for_generation(
        self,
        generation_config: Any,
        model_kwargs: dict[str, Any],
        mode: Any,
        batch_size: int,
        max_cache_length: int,
    ) -> None:
        """A cache of fixed size has room for the image's patches too, which no token id stands for."""
        if model_kwargs.get("pixel_values") is not None:
            max_cache_length += self.config.num_patches
        super()._prepare_cache_for_generation(  # type: ignore[misc]
            generation_config, model_kwargs, mode, batch_size, max_cache_length
        )
