"""From a prompt to action tokens: one after the other, or all at once."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from transformers import DynamicCache
from transformers.masking_utils import create_causal_mask
from transformers.models.llama.modeling_llama import LlamaDecoderLayer

_CACHE_KEYWORDS = ("cache", "past_key_values")
CACHE_KEYWORD = next(
    name for name in _CACHE_KEYWORDS if name in inspect.signature(LlamaDecoderLayer.forward).parameters
)
"""The argument that takes the key-value cache: transformers 5.24 renamed `past_key_values` to `cache`, and warns of the old name."""
Attention = Literal["cacheable", "full"]


@dataclass(frozen=True)
class Prompt:
    """The input of the language model before it acts: the embeddings of the start token, the image patches and the words.

    Every row ends in its last word. Rows with fewer words carry padding between image and words; `attention_mask` is 0
    there, and `positions` count past it, so that a row means the same alone and in a batch.
    """

    embeddings: Float[torch.Tensor, "B L D"]
    attention_mask: Int[torch.Tensor, "B L"]

    @property
    def positions(self) -> Int[torch.Tensor, "B L"]:
        """Each token's place in its own row, padding not counted."""
        return token_positions(self.attention_mask)


def token_positions(attention_mask: Int[torch.Tensor, "B L"]) -> Int[torch.Tensor, "B L"]:
    """Each token's place in its own row, counted past the padding (mask 0) between image and words.

    Padding after the last word goes on counting, as in the published code; no position attends to it.
    """
    real = attention_mask.long()
    skipped = (1 - real).cumsum(-1)
    before_the_last_word = (skipped * real).amax(-1, keepdim=True)
    places = torch.arange(real.shape[1], device=real.device)
    return (places - torch.minimum(skipped, before_the_last_word)).clamp(min=0)


def greedy_token_ids(
    language_model: Any,
    prompt: Prompt,
    count: int,
    choose: Callable[[Float[torch.Tensor, "B vocabulary"]], Int[torch.Tensor, " B"]],
    *,
    use_cache: bool = True,
    cache: DynamicCache | None = None,
) -> Int[torch.Tensor, "B A"]:
    """The `count` tokens that follow the prompt, each one chosen from the logits that those before it lead to.

    With a cache, keys and values of earlier positions are kept, and each step computes one token. Without, all positions are
    computed again for each token: the same tokens, slowly. A `cache` that is given holds the prompt's beginning, which is not
    computed again; at the end it holds all but the last of the tokens too.
    """
    embed, config = language_model.get_input_embeddings(), language_model.config
    if cache is None and use_cache:
        cache = DynamicCache()
    start, length = (0 if cache is None else cache.get_seq_length()), prompt.embeddings.shape[1]
    embeddings = prompt.embeddings[:, start:]
    mask = _longer(prompt.attention_mask, count)
    padded = not bool(mask.all())
    position_embeddings = language_model.model.rotary_emb(embeddings, position_ids=token_positions(mask))
    chosen: list[torch.Tensor] = []
    for end in range(length, length + count):
        causal_mask = None
        if padded or embeddings.shape[1] > 1:  # one token after an unpadded prompt attends to everything
            causal_mask = create_causal_mask(config, embeddings, mask[:, :end] if padded else None, cache)
        rotary = tuple(part[:, start:end] for part in position_embeddings)
        hidden = run_layers(language_model, embeddings, rotary, causal_mask, cache, answers=slice(-1, None))
        chosen.append(choose(language_model.lm_head(hidden[:, 0])).to(mask.device))
        token = embed(chosen[-1][:, None])
        if cache is not None:
            embeddings, start = token, end
        else:
            embeddings = torch.cat([embeddings, token], dim=1)
    return torch.stack(chosen, dim=1)


def run_layers(
    language_model: Any,
    embeddings: Float[torch.Tensor, "B L D"],
    position_embeddings: tuple[torch.Tensor, ...],
    attention_mask: torch.Tensor | None,
    cache: DynamicCache | None = None,
    *,
    answers: slice,
) -> Float[torch.Tensor, "B answers D"]:
    """The final hidden states of the positions `answers`: Llama's layers, one after the other, and its last norm.

    What `language_model.model(...)` does, without the bookkeeping around it, which takes a sixth of a small model's time.
    `position_embeddings` are the rotary ones, cosine and sine. The mask is in the form that the attention implementation takes;
    None is causal for SDPA, and everything for a single token.
    """
    *layers, last = language_model.model.layers
    shared = {
        "attention_mask": attention_mask,
        "position_embeddings": position_embeddings,
        CACHE_KEYWORD: cache,
    }
    hidden = embeddings
    for layer in layers:
        hidden = layer(hidden, **shared)
    # Of the last layer's output only the answers' positions are used: its MLP runs on them alone.
    attended, _ = last.self_attn(last.input_layernorm(hidden), **shared)
    hidden = (hidden.to(attended.device) + attended)[:, answers]
    hidden = hidden + last.mlp(last.post_attention_layernorm(hidden))
    final: torch.Tensor = language_model.model.norm(hidden)
    return final


def parallel_attention_mask(prompt: int, actions: int) -> Bool[torch.Tensor, "L L"]:
    """The attention mask for decoding all action tokens at once: True where the row's position attends to the column's.

    The prompt is causal and attends to no action, so its keys and values can be computed once and kept. Every action position
    attends to the whole prompt and to all action positions.
    """
    mask = torch.ones(prompt + actions, prompt + actions, dtype=torch.bool)
    mask[:prompt] = mask[:prompt].tril()
    return mask


def parallel_hidden_states(
    language_model: Any,
    prompt: Prompt,
    slots: Float[torch.Tensor, "slots D"],
    attention: Attention = "cacheable",
    layers: Callable[..., torch.Tensor] | None = None,
) -> Float[torch.Tensor, "B answers D"]:
    """The final hidden state of every action position, from one forward pass over the prompt and all of them.

    `slots` are the input embeddings of the action positions. With `attention="cacheable"`, the mask is
    `parallel_attention_mask`, and the answer for slot i is taken at slot i. With `"full"`, all positions attend to all, a stop
    token follows (the last row of `slots`), and the answer for slot i is taken one position before it, as in training by next
    tokens: what OpenVLA-OFT's checkpoints were trained with. `layers` is `run_layers`, or `run_layers` compiled.

    Source: moojink/openvla-oft, prismatic/extern/hf/modeling_prismatic.py (predict_action).
    """
    batch, length, _ = prompt.embeddings.shape
    embeddings = torch.cat([prompt.embeddings, slots.expand(batch, -1, -1).to(prompt.embeddings)], dim=1)
    mask = _longer(prompt.attention_mask, len(slots))
    if attention == "full":
        allowed = torch.ones(mask.shape[1], mask.shape[1], dtype=torch.bool)
        answers = slice(length - 1, -2)
    else:
        allowed = parallel_attention_mask(length, len(slots))
        answers = slice(length, None)
    additive = _additive(allowed.to(mask.device) & mask[:, None, None].bool(), embeddings.dtype)
    position_embeddings = language_model.model.rotary_emb(embeddings, position_ids=token_positions(mask))
    return (layers or run_layers)(language_model, embeddings, position_embeddings, additive, answers=answers)


def _longer(attention_mask: torch.Tensor, count: int) -> torch.Tensor:
    """The mask with room for `count` answers."""
    return torch.cat([attention_mask, attention_mask.new_ones(len(attention_mask), count)], dim=1)


def _additive(allowed: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """The mask that every attention implementation adds: 0 where attention is allowed, the lowest number elsewhere.

    A row of padding that may attend to nothing attends to all: its output is never used, and a softmax over nothing is NaN.
    """
    allowed = allowed | ~allowed.any(-1, keepdim=True)
    zeros = torch.zeros(allowed.shape, dtype=dtype, device=allowed.device)
    return zeros.masked_fill(~allowed, torch.finfo(dtype).min)
