"""The acting side of the model: from pictures and an instruction to an action, waypoints or features."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from PIL import Image as PillowImage
from transformers import DynamicCache

from vla_course.action_tokens import (
    BINS,
    action_statistics,
    detokenize_actions,
    next_action_token,
    normalize_actions,
    tokenize_actions,
    unnormalize_actions,
)
from vla_course.openvla.config import OpenVLAConfig
from vla_course.openvla.decoding import (
    Attention,
    Prompt,
    greedy_token_ids,
    parallel_hidden_states,
    run_layers,
)
from vla_course.openvla.processor import Images, OpenVLAProcessor, build_prompt

DISTANCE_M = 0.12
"""Distance along one axis that is encoded as 1.0; larger distances are clipped. The longest hand steps are about as long."""
Recall = Callable[[Float[np.ndarray, "B W"]], Float[np.ndarray, "B W"]]
"""Replaces predicted waypoints before the model acts on them, by their running median for example."""


class Acting:
    """What a robot calls, mixed into `OpenVLAForActionPrediction`: the network is one idea, acting with it another.

    Acting takes three steps: `processor` turns words and pictures into ids and pixels, `prompt` turns both into one sequence of
    embeddings, and greedy decoding continues it with action tokens. The attributes below are those of the network that it uses.
    """

    config: OpenVLAConfig
    processor: OpenVLAProcessor | None
    language_model: Any
    vision_backbone: Any
    projector: Any
    prompt: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], Prompt]
    _layers: Callable[..., torch.Tensor] | None = None

    def predict_action(
        self,
        image: Images | Sequence[Images],
        instruction: str | Sequence[str],
        unnorm_key: str | None = None,
        *,
        state: Float[np.ndarray, "*batch S"] | None = None,
        constrained: bool = True,
        parallel: Attention | None = None,
        build_prompt: Callable[[str], str] = build_prompt,
        recall: Recall | None = None,
    ) -> Float[np.ndarray, "*batch A"]:
        """The action for these pictures and this instruction, in the units of the data set `unnorm_key`.

        One image and one instruction give (A,); a sequence of images with a sequence of as many instructions gives (B, A).
        For a model that looks through several cameras (`config.num_images`), an image is a sequence of as many pictures.
        `state` is the robot's, in the units of the data set, for models that are told it (`config.state_dim` numbers).
        Every token is the most likely action token; with `constrained=False`, as in the published code, the most likely of
        all tokens. `parallel` decodes all dimensions in one pass, for models that were trained so: "cacheable" or "full".
        `build_prompt` puts an instruction into the text that the model was trained on. Of a model that says waypoints before it
        acts (`config.waypoint_dims`), `recall` may change them, (B, W) in the state's units: it acts on what is returned.

        Raises:
            ValueError: the images are no RGB pictures, an instruction is no text, the numbers of images, instructions and states differ, the model
                looks at another number of pictures, wants a state and gets none or the other way round, `unnorm_key` is
                unknown, the model has no processor, its answer is not finite, or unconstrained decoding left the action tokens.

        Source: openvla/openvla @ c8f03f48, prismatic/extern/hf/modeling_prismatic.py (predict_action).
        """
        statistics = action_statistics(self.config.norm_stats, unnorm_key)
        single = isinstance(instruction, str)
        state_tokens = None if state is None else self.state_tokens(state, unnorm_key)
        inputs = self._process(image, instruction, state_tokens, build_prompt)
        if recall is not None:
            self._check_says_waypoints()
        if self.config.waypoint_dims:
            if parallel is not None:
                raise ValueError(
                    "this model says waypoints first, and then its action: it cannot say all at once (parallel=None)"
                )
            ids = self._by_waypoints(
                inputs, state, unnorm_key, len(statistics.q01), recall, constrained=constrained
            )
        else:
            ids = self.predict_token_ids(
                inputs["input_ids"],
                inputs["attention_mask"],
                inputs["pixel_values"],
                len(statistics.q01),
                constrained=constrained,
                parallel=parallel,
            )
        normalized = detokenize_actions(ids.cpu().numpy(), self.config.vocabulary_size)
        actions = unnormalize_actions(normalized, statistics.q01, statistics.q99, statistics.mask)
        return actions[0] if single else actions

    def predict_waypoints(
        self,
        image: Images | Sequence[Images],
        instruction: str | Sequence[str],
        unnorm_key: str | None = None,
        *,
        state: Float[np.ndarray, "*batch S"],
    ) -> Float[np.ndarray, "*batch W"]:
        """The predicted waypoints: the state's numbers `config.waypoint_dims` at the moment when each hand next grasps or releases,
        in the state's units.

        Raises:
            ValueError: the model predicts no waypoints; and as `predict_action`.
        """
        self._check_says_waypoints()
        inputs = self._process(image, instruction, self.state_tokens(state, unnorm_key))
        ids = self.predict_token_ids(
            inputs["input_ids"],
            inputs["attention_mask"],
            inputs["pixel_values"],
            len(self.config.waypoint_dims),
        )
        places = self._places(ids, unnorm_key)
        return places[0] if isinstance(instruction, str) else places

    @torch.inference_mode()
    def _by_waypoints(
        self,
        inputs: dict[str, torch.Tensor],
        state: Float[np.ndarray, "*batch S"] | None,
        unnorm_key: str | None,
        action_dim: int,
        recall: Recall | None,
        *,
        constrained: bool,
    ) -> Int[torch.Tensor, "B A"]:
        """The action's tokens: predicted after the waypoints, as `recall` returns them, and the remaining distances to them."""
        choose = self._next_token if constrained else _most_likely
        prompt = self.prompt(inputs["input_ids"], inputs["attention_mask"], inputs["pixel_values"])
        ahead = list(self.config.waypoint_dims)
        cache = DynamicCache()
        ids = greedy_token_ids(self.language_model, prompt, len(ahead), choose, cache=cache)
        if not constrained:
            self._check_action_tokens(ids)
        places, states = self._places(ids, unnorm_key), np.asarray(state).reshape(len(ids), -1)
        places = places if recall is None else recall(places)
        tokens = torch.from_numpy(self.waypoint_tokens(places, states, unnorm_key)).to(ids.device)
        embeddings = self.language_model.get_input_embeddings()(tokens)
        longer = Prompt(
            torch.cat([prompt.embeddings, embeddings], dim=1),
            torch.cat([prompt.attention_mask, torch.ones_like(tokens).to(prompt.attention_mask)], dim=1),
        )
        cache.crop(
            1 - len(ahead)
        )  # `recall` may have changed the waypoints; the prompt before them is the same
        ids = greedy_token_ids(self.language_model, longer, action_dim, choose, cache=cache)
        if not constrained:
            self._check_action_tokens(ids)
        return ids.clone()

    def waypoint_tokens(
        self,
        places: Float[np.ndarray, "B W"],
        state: Float[np.ndarray, "B S"],
        unnorm_key: str | None = None,
    ) -> Int[np.ndarray, "B twice"]:
        """The tokens of waypoints, each as a number of the state, then of the remaining distances from the present state to them.

        The distances are computed, not predicted, and added to the prompt: a language model is bad at subtracting, and a step is
        little more than a difference.
        """
        ahead = list(self.config.waypoint_dims)
        filled = np.zeros((len(places), self.config.state_dim))
        filled[:, ahead] = places
        waypoints = self.state_tokens(filled, unnorm_key)[:, ahead]
        distances = tokenize_actions((places - state[:, ahead]) / DISTANCE_M, self.config.vocabulary_size)
        return np.concatenate([waypoints, distances], axis=1)

    def _places(self, ids: Int[torch.Tensor, "B W"], unnorm_key: str | None) -> Float[np.ndarray, "B W"]:
        """Waypoints in the state's units."""
        ahead = list(self.config.waypoint_dims)
        statistics = action_statistics(self.config.norm_stats, unnorm_key, of="proprio")
        normalized = detokenize_actions(ids.cpu().numpy(), self.config.vocabulary_size)
        return unnormalize_actions(
            normalized, statistics.q01[ahead], statistics.q99[ahead], statistics.mask[ahead]
        )

    def _check_says_waypoints(self) -> None:
        if not self.config.waypoint_dims:
            raise ValueError("this model says no waypoints: train one with waypoints=true")

    def predict_token_ids(
        self,
        input_ids: Int[torch.Tensor, "B L"],
        attention_mask: Int[torch.Tensor, "B L"],
        pixel_values: Float[torch.Tensor, "B channels H W"],
        action_dim: int,
        *,
        constrained: bool = True,
        parallel: Attention | None = None,
        use_cache: bool = True,
    ) -> Int[torch.Tensor, "B A"]:
        """The action's tokens, for a prompt that ends with the empty token, as the processor makes it. Rows may be padded on any side.

        Raises:
            ValueError: unconstrained decoding left the action tokens, the answer is not finite, or a row is only padding.
        """
        choose = self._next_token if constrained else _most_likely
        with torch.inference_mode():
            prompt = self.prompt(input_ids, attention_mask, pixel_values)
            if parallel is not None:
                ids = choose(self.parallel_logits(prompt, action_dim, parallel))
            else:
                ids = greedy_token_ids(self.language_model, prompt, action_dim, choose, use_cache=use_cache)
        if not constrained:
            self._check_action_tokens(ids)
        return ids.clone()  # an ordinary tensor again, that may be trained on

    def parallel_logits(
        self, prompt: Prompt, action_dim: int, attention: Attention = "cacheable"
    ) -> Float[torch.Tensor, "B A vocabulary"]:
        """The logits of all action dimensions, from one forward pass; differentiable, so also for training.

        Position i starts as the embedding of the i-th action token, so that dimensions differ from the first layer on. With
        "full" it starts as zeros, and a stop token follows, as OpenVLA-OFT does.
        """
        slots = self._action_slots(action_dim, attention)
        hidden = parallel_hidden_states(self.language_model, prompt, slots, attention, self._layers)
        logits: torch.Tensor = self.language_model.lm_head(hidden)
        return logits

    def compile_parallel(self, **options: Any) -> None:
        """Compile the parts that parallel decoding runs: towers, projector, and the language model's layers.

        The next action, and the first with a prompt of another length, waits for the compiler: some twenty seconds for nano. It
        needs a C++ compiler. `options` are those of `torch.compile`.
        """
        self.vision_backbone.compile(**options)
        self.projector.compile(**options)
        self._layers = torch.compile(run_layers, **options)

    def state_tokens(
        self, state: Float[np.ndarray, "*batch S"], unnorm_key: str | None = None
    ) -> Int[np.ndarray, "*batch S"]:
        """The robot's state as tokens: one for each number, as in an action, normalised by the data set's quantiles ("proprio").

        Raises:
            ValueError: the model is told no state, this state has another number of numbers or one that is not finite, or
                `unnorm_key` is unknown.
        """
        wanted = self.config.state_dim
        if not wanted or np.shape(state)[-1:] != (wanted,):
            what = f"a state of {wanted} numbers" if wanted else "no state: leave it out"
            raise ValueError(f"this model is told {what}; it was given one of shape {np.shape(state)}")
        if not np.isfinite(np.asarray(state, dtype=float)).all():
            raise ValueError(f"the robot's state is not finite (NaN or infinity): {np.asarray(state)}")
        statistics = action_statistics(self.config.norm_stats, unnorm_key, of="proprio")
        normalized = normalize_actions(
            np.asarray(state, dtype=float), statistics.q01, statistics.q99, statistics.mask
        )
        return tokenize_actions(normalized, self.config.vocabulary_size)

    @torch.no_grad()
    def encode(
        self,
        image: Images | Sequence[Images],
        instruction: str | Sequence[str],
        unnorm_key: str | None = None,
        *,
        state: Float[np.ndarray, "*batch S"] | None = None,
    ) -> Float[torch.Tensor, "*batch D"]:
        """The features of image and instruction: the final hidden state from which the first action token is predicted.

        Raises:
            ValueError: as `predict_action`.
        """
        state_tokens = None if state is None else self.state_tokens(state, unnorm_key)
        inputs = self._process(image, instruction, state_tokens)
        prompt = self.prompt(inputs["input_ids"], inputs["attention_mask"], inputs["pixel_values"])
        output = self.language_model.model(
            inputs_embeds=prompt.embeddings,
            attention_mask=prompt.attention_mask,
            position_ids=prompt.positions,
            use_cache=False,
        )
        features: torch.Tensor = output.last_hidden_state[:, -1]
        return features[0] if isinstance(instruction, str) else features

    def get_action_dim(self, unnorm_key: str | None = None) -> int:
        """Numbers in one action of the data set `unnorm_key`."""
        return len(action_statistics(self.config.norm_stats, unnorm_key).q01)

    def _process(
        self,
        image: Images | Sequence[Images],
        instruction: str | Sequence[str],
        states: Int[np.ndarray, "*batch S"] | None = None,
        build_prompt: Callable[[str], str] = build_prompt,
    ) -> dict[str, torch.Tensor]:
        if self.processor is None:
            raise ValueError("this model has no processor: set model.processor = OpenVLAProcessor(...)")
        single = isinstance(instruction, str)
        instructions = [instruction] if isinstance(instruction, str) else list(instruction)
        if not all(isinstance(text, str) for text in instructions):
            raise ValueError(f"an instruction is text, not {instructions!r}")
        if not single and (isinstance(image, PillowImage.Image) or getattr(image, "ndim", 0) == 3):
            raise ValueError(
                "one picture goes with one instruction (text); a sequence of instructions wants as many pictures"
            )
        images: Any = [image] if single else image
        if single and states is not None:
            states = states[None]
        return self.processor([build_prompt(text) for text in instructions], images, states)

    def _next_token(self, logits: torch.Tensor) -> torch.Tensor:
        return next_action_token(_finite(logits), self.config.vocabulary_size)

    def _check_action_tokens(self, ids: torch.Tensor) -> None:
        last = self.config.vocabulary_size
        wrong = (ids < last - BINS) | (ids >= last)
        if wrong.any():
            row, step = (int(number) for number in wrong.nonzero()[0])
            raise ValueError(
                f"the most likely token for dimension {step} of action {row} is {int(ids[row, step])}, no action token "
                f"({last - BINS} to {last - 1}): decode with constrained=True, or look at the prompt and the training"
            )

    def _action_slots(self, count: int, attention: Attention) -> torch.Tensor:
        table: torch.Tensor = self.language_model.get_input_embeddings().weight
        if attention == "full":
            stop = table[self.config.text_config.eos_token_id]
            return torch.cat([torch.zeros_like(stop).expand(count, -1), stop[None]])
        return table[self.config.vocabulary_size - BINS + torch.arange(count, device=table.device) % BINS]


def _most_likely(logits: torch.Tensor) -> torch.Tensor:
    return _finite(logits).argmax(-1)


def _finite(logits: torch.Tensor) -> torch.Tensor:
    if not bool(logits.isfinite().all()):
        raise ValueError(
            "the model answers NaN or infinity, and no action: its weights or its pixel values are damaged"
        )
    return logits
