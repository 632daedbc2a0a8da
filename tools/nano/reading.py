"""A language model reads many sentences about one picture, and the picture only once.

All sentences of a frame begin with the same tokens: the start token, the image's patches, and what all prompts of this kind
have in common. What the model computes there does not depend on what follows, so it is computed once a frame and shared. The
result is that of the ordinary forward pass (a test compares them), at about a third of the price.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch.nn.functional import scaled_dot_product_attention
from transformers.models.llama.modeling_llama import LlamaDecoderLayer, LlamaForCausalLM, apply_rotary_pos_emb

POINTER_LAYER = -2
"""The layer whose first two heads are taught to look from the empty token at the target, and at the destination. Those before
it can put colour and kind together, those after it can act on what was found."""


@dataclass(frozen=True)
class Read:
    """What came out of reading."""

    hidden: Float[torch.Tensor, "R S D"]
    """The final hidden states of every sentence's own tokens."""
    looks: Float[torch.Tensor, "R 2 P"]
    """Log of the attention that both pointing heads give to each patch, from the token at which the sentence asks."""


def read(
    model: LlamaForCausalLM,
    shared: Float[torch.Tensor, "F L D"],
    own: Float[torch.Tensor, "R S D"],
    frame: Int[torch.Tensor, " R"],
    ask: Int[torch.Tensor, " R"],
    num_patches: int,
) -> Read:
    """Read R sentences about F frames. `shared` begins with the start token and the patches; `frame` says which sentence
    belongs to which frame, `ask` at which of its own tokens it asks for an answer.

    Sentences are padded at their ends: a causal model never looks there, so no mask is needed.
    """
    core = model.model
    length, rows = shared.shape[1], torch.arange(len(own))
    places = torch.arange(length + own.shape[1])[None]
    cos, sin = core.rotary_emb(shared, places)
    ahead = torch.full((own.shape[1], own.shape[1]), float("-inf")).triu(1)
    looks = None
    for number, layer in enumerate(core.layers):
        q, k, v = _queries_keys_values(layer, shared, cos[:, :length], sin[:, :length])
        q_own, k_own, v_own = _queries_keys_values(layer, own, cos[:, length:], sin[:, length:])
        k_frame, v_frame = k.index_select(0, frame), v.index_select(0, frame)
        scores = torch.cat([q_own @ k_frame.mT, q_own @ k_own.mT], -1).float() * layer.self_attn.scaling
        scores[..., length:] += ahead
        weights = torch.softmax(scores, -1)
        if layer is core.layers[POINTER_LAYER]:
            asked = torch.log_softmax(scores[rows, :2, ask], -1)
            looks = asked[..., 1 : 1 + num_patches]
        weights = weights.to(v_own.dtype)
        seen = weights[..., :length] @ v_frame + weights[..., length:] @ v_own
        own = _rest_of(layer, own, seen)
        if number + 1 < len(core.layers):  # nobody asks what the last layer makes of the picture
            shared = _rest_of(layer, shared, scaled_dot_product_attention(q, k, v, is_causal=True))
    assert looks is not None
    return Read(core.norm(own), looks)


def _queries_keys_values(
    layer: LlamaDecoderLayer, hidden: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    attention = layer.self_attn
    normed = layer.input_layernorm(hidden)
    q, k, v = (
        project(normed).unflatten(-1, (-1, attention.head_dim)).transpose(1, 2)
        for project in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    q, k = apply_rotary_pos_emb(q, k, cos.to(q.dtype), sin.to(q.dtype))
    return q, k, v


def _rest_of(layer: LlamaDecoderLayer, hidden: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    hidden = hidden + layer.self_attn.o_proj(seen.transpose(1, 2).flatten(2))
    return hidden + layer.mlp(layer.post_attention_layernorm(hidden))
