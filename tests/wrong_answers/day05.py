"""Day 05: LoRA's two methods, what they cost, and how fast to learn."""

import math

import numpy as np
import torch
from run import right, wrong
from torch.nn import functional as F

from vla_course.adapters.lora import dense_weight

UNTOUCHED = "in place|as (it|they) (was|were)|copy|changed"

# --- 05.1: methods, put in the place of LoRALinear's own


@wrong("LoRALinear.forward", "gradient|no_grad|below")
def nothing_flows_through_the_base(self, x):
    """no_grad around the frozen layer, “it is frozen”: adapters below it get no gradient through it."""
    with torch.no_grad():
        answer = self.base_layer(x)
    return (
        answer
        + F.linear(F.linear(self.dropout(x), self.lora_A.to(x.dtype)), self.lora_B.to(x.dtype)) * self.scale
    )


@wrong("LoRALinear.forward", "gradient|detach|\\.data|learn")
def never_learns(self, x):
    """lora_A.data and lora_B.data: nothing of the adapter gets a gradient."""
    read = F.linear(self.dropout(x), self.lora_A.data.to(x.dtype))
    return self.base_layer(x) + F.linear(read, self.lora_B.data.to(x.dtype)) * self.scale


@wrong("LoRALinear.forward", "eval|only in training|in use")
def drops_in_use_as_well(self, x):
    """F.dropout(x, p): its `training` is True unless told, so answers vary in eval mode."""
    read = F.linear(F.dropout(x, self.dropout.p), self.lora_A.to(x.dtype))
    return self.base_layer(x) + F.linear(read, self.lora_B.to(x.dtype)) * self.scale


@wrong("LoRALinear.forward", r"reads self\.dropout|inputs are left out|A's inputs")
def drops_behind_a(self, x):
    """Dropout between A and B."""
    read = self.dropout(F.linear(x, self.lora_A.to(x.dtype)))
    return self.base_layer(x) + F.linear(read, self.lora_B.to(x.dtype)) * self.scale


@wrong("LoRALinear.forward", r"reads self\.dropout|inputs are left out|A's inputs")
def drops_the_correction(self, x):
    """Dropout over the correction's outputs."""
    read = F.linear(x, self.lora_A.to(x.dtype))
    return self.base_layer(x) + self.dropout(F.linear(read, self.lora_B.to(x.dtype)) * self.scale)


@wrong("LoRALinear.forward", "scale|α / r")
def times_the_rank(self, x):
    """The rank for α / r: both are 2 in every case of the check."""
    read = F.linear(self.dropout(x), self.lora_A.to(x.dtype))
    return self.base_layer(x) + F.linear(read, self.lora_B.to(x.dtype)) * len(self.lora_A)


@wrong("LoRALinear.forward", "float32|\\.to\\(x.dtype\\)|stay")
def the_adapter_becomes_bfloat16(self, x):
    """self.to(x.dtype) inside forward: A and B are bfloat16 from then on, and so are their steps."""
    self.to(x.dtype)
    return self.base_layer(x) + F.linear(F.linear(self.dropout(x), self.lora_A), self.lora_B) * self.scale


@wrong("LoRALinear.forward", "transpos|F.linear|Bᵀ|B the other way")
def b_not_transposed(self, x):
    """x Aᵀ B for x Aᵀ Bᵀ: fits, since the check's B is 2 × 2."""
    read = self.dropout(x) @ self.lora_A.to(x.dtype).T
    return self.base_layer(x) + read @ self.lora_B.to(x.dtype) * self.scale


@wrong("LoRALinear.forward", "A reads x|not the frozen layer|A and then B make of x")
def one_after_the_other(self, x):
    """A reads the frozen layer's answer, not x."""
    answer = self.base_layer(x)
    return (
        answer
        + F.linear(F.linear(self.dropout(answer), self.lora_A.to(x.dtype)), self.lora_B.to(x.dtype))
        * self.scale
    )


@right("LoRALinear.forward")
def computed_in_float32(self, x):
    """The correction in float32, rounded at the end; @ for F.linear."""
    change = self.scale * (self.dropout(x).float() @ self.lora_A.T @ self.lora_B.T)
    return self.base_layer(x) + change.to(x.dtype)


@right("LoRALinear.forward")
def by_einsum(self, x):
    """einsum, the scale first."""
    a, b = self.lora_A.to(x.dtype), self.lora_B.to(x.dtype)
    return torch.einsum("...i,ri,or->...o", self.dropout(x) * self.scale, a, b) + self.base_layer(x)


@right("LoRALinear.forward")
def one_weight_for_the_change(self, x):
    """x times (B A)ᵀ, with F.dropout told whether it trains."""
    kept = F.dropout(x, self.dropout.p, training=self.dropout.training)
    return torch.add(
        self.base_layer(x), F.linear(kept, (self.lora_B @ self.lora_A).to(x.dtype)), alpha=self.scale
    )


# --- 05.2


@wrong("LoRALinear.merged", UNTOUCHED + "|twice|second")
def scales_b_for_good(self):
    """lora_B.data *= scale: the second call scales once more, and forward has changed."""
    change = self.lora_B.data
    change *= self.scale
    weight = dense_weight(self.base_layer)
    return (weight + change @ self.lora_A).to(weight.dtype)


@wrong("LoRALinear.merged", UNTOUCHED + "|twice|zero")
def empties_the_adapter(self):
    """Sets B to zero once it is merged “so that nothing counts twice”: the adapter is lost."""
    weight = dense_weight(self.base_layer)
    whole = (weight + self.lora_B @ self.lora_A * self.scale).to(weight.dtype).detach()
    self.lora_B.data.zero_()
    return whole


@wrong("LoRALinear.merged", "bias")
def what_forward_makes_of_the_unit_matrix(self):
    """self(eye)ᵀ: with a bias, each column has it added."""
    weight = dense_weight(self.base_layer)
    return self(torch.eye(weight.shape[1], dtype=weight.dtype)).T


@wrong("LoRALinear.merged", "torch tensor")
def with_the_bias_beside_it(self):
    """A pair of weight and bias."""
    weight = dense_weight(self.base_layer)
    return (weight + self.lora_B @ self.lora_A * self.scale).to(weight.dtype), self.base_layer.bias


@wrong("LoRALinear.merged", "transpos|outputs × inputs|shape")
def transposed_as_a_whole(self):
    """Inputs × outputs."""
    weight = dense_weight(self.base_layer)
    return (weight + self.lora_B @ self.lora_A * self.scale).to(weight.dtype).T


@wrong("LoRALinear.merged", "frozen weight|scale")
def half_of_each(self):
    """The mean of the weight and the change, as if models were averaged."""
    weight = dense_weight(self.base_layer)
    return ((weight + self.lora_B @ self.lora_A * self.scale) / 2).to(weight.dtype)


@right("LoRALinear.merged")
def transposed_twice(self):
    """(Wᵀ + s Aᵀ Bᵀ)ᵀ."""
    weight = dense_weight(self.base_layer)
    return (weight.T + self.scale * (self.lora_A.T @ self.lora_B.T)).T.to(weight.dtype)


@right("LoRALinear.merged")
def a_sum_of_outer_products(self):
    """One outer product for each of the ranks; in float64; no gradient."""
    weight = dense_weight(self.base_layer)
    change = sum(
        torch.outer(b, a)
        for b, a in zip(self.lora_B.detach().double().T, self.lora_A.detach().double(), strict=True)
    )
    return (weight.detach().double() + self.scale * change).to(weight.dtype)


@right("LoRALinear.merged")
def with_addmm(self):
    """torch.addmm; a copy of the weight in float32 first."""
    weight = dense_weight(self.base_layer)
    return torch.addmm(weight.float(), self.lora_B, self.lora_A, alpha=self.scale).to(weight)


# --- 05.3

COUNTED = r"rank × \(inputs"


@wrong("lora_parameter_count", COUNTED)
def never_more_than_the_layer(shapes, rank):
    """The smaller of adapter and layer."""
    return sum(min(rank * (math.prod(s[1:]) + s[0]), math.prod(s)) for s in shapes)


@wrong("lora_parameter_count", COUNTED)
def the_frozen_ones_as_well(shapes, rank):
    """The layer's own numbers on top."""
    return sum(rank * (math.prod(s[1:]) + s[0]) + math.prod(s) for s in shapes)


@wrong("lora_parameter_count", "every layer")
def the_last_layer(shapes, rank):
    """total = … for total += …."""
    for shape in shapes:
        total = rank * (math.prod(shape[1:]) + shape[0])
    return total


@wrong("lora_parameter_count", "every layer")
def each_shape_once(shapes, rank):
    """set(shapes): layers of one shape count once."""
    return sum(rank * (math.prod(s[1:]) + s[0]) for s in set(shapes))


@wrong("lora_parameter_count", "once")
def goes_through_twice(shapes, rank):
    """Once for the A's, once for the B's: nothing is left of an iterator."""
    return sum(rank * math.prod(s[1:]) for s in shapes) + sum(rank * s[0] for s in shapes)


@wrong("lora_parameter_count", "A has the kernel")
def the_kernel_at_b(shapes, rank):
    """The kernel is counted with the outputs."""
    return sum(rank * (s[1] + s[0] * math.prod(s[2:])) for s in shapes)


@right("lora_parameter_count")
def in_a_loop(shapes, rank):
    """A loop, A and B apart."""
    total = 0
    for outputs, inputs, *kernel in shapes:
        a = rank * inputs
        for side in kernel:
            a *= side
        total += a + outputs * rank
    return total


@right("lora_parameter_count")
def with_numpy(shapes, rank):
    """numpy's whole numbers."""
    return np.sum([np.prod(s, dtype=np.int64) // s[0] + s[0] for s in shapes]) * rank


@right("lora_parameter_count")
def counted_on_empty_tensors(shapes, rank):
    """numel of tensors that take no memory."""
    shapes = list(shapes)
    a = sum(torch.empty(rank, *s[1:], device="meta").numel() for s in shapes)
    return a + sum(torch.empty(s[0], rank, device="meta").numel() for s in shapes)


# --- 05.4


def half_a_cosine(step, warmup, total):
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))


@wrong("warmup_cosine", "peak")
def climbs_to_one(step, warmup, total, peak):
    """The peak is forgotten in the climb, and every climb of the check has the peak 1."""
    return (step + 1) / warmup if step < warmup else peak * half_a_cosine(step, warmup, total)


@wrong("warmup_cosine", "step 10|share is|last of them")
def one_step_more_of_climb(step, warmup, total, peak):
    """step <= warmup: 11/10 of the peak."""
    return (
        peak * (step + 1) / warmup if step <= warmup and warmup else peak * half_a_cosine(step, warmup, total)
    )


@wrong("warmup_cosine", r"\(step \+ 1\) / warmup")
def a_longer_climb(step, warmup, total, peak):
    """(step + 1) / (warmup + 1)."""
    return peak * (step + 1) / (warmup + 1) if step < warmup else peak * half_a_cosine(step, warmup, total)


@wrong("warmup_cosine", "share is")
def one_step_ahead(step, warmup, total, peak):
    """The fall begins one step early."""
    return peak * (step + 1) / warmup if step < warmup else peak * half_a_cosine(step + 1, warmup, total)


@wrong("warmup_cosine", "π")
def in_degrees(step, warmup, total, peak):
    """cos(180 · share)."""
    share = (step - warmup) / (total - warmup)
    return peak * (step + 1) / warmup if step < warmup else peak * 0.5 * (1 + math.cos(180 * share))


@wrong("warmup_cosine", "½")
def down_to_a_tenth(step, warmup, total, peak):
    """Ends at a tenth of the peak."""
    return (
        peak * (step + 1) / warmup
        if step < warmup
        else peak * (0.1 + 0.9 * half_a_cosine(step, warmup, total))
    )


@wrong("warmup_cosine", r"\(step \+ 1\) / warmup")
def whole_division(step, warmup, total, peak):
    """//: 0 until the last step of the climb."""
    return peak * ((step + 1) // warmup) if step < warmup else peak * half_a_cosine(step, warmup, total)


@right("warmup_cosine")
def squared_half_angle(step, warmup, total, peak):
    """cos² of half the angle."""
    if warmup > step:
        return (step + 1) * (peak / warmup)
    return peak * math.cos(math.pi / 2 * min(1, (step - warmup) / (total - warmup))) ** 2


@right("warmup_cosine")
def numpys_number(step, warmup, total, peak):
    """numpy; sin² from the other end."""
    if step < warmup:
        return np.float64(peak) * np.divide(step + 1, warmup)
    left = max(0, total - step) / (total - warmup)
    return peak * np.sin(np.pi / 2 * left) ** 2


@right("warmup_cosine")
def a_tensor(step, warmup, total, peak):
    """The whole schedule as a tensor, of which one is taken."""
    climb = torch.arange(1, warmup + 1, dtype=torch.float64) / max(warmup, 1)
    fall = (1 + torch.cos(torch.linspace(0, torch.pi, total - warmup + 1, dtype=torch.float64))) / 2
    return float(peak * torch.cat([climb, fall])[min(step, total)])
