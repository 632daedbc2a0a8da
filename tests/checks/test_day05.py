"""Plausible wrong answers for Day 05, each with a fragment of the hint that it must get."""

import math

import torch
from torch.nn import functional as F

from vla_course.adapters.lora import LoRALinear, lora_parameter_count
from vla_course.training.schedule import warmup_cosine


def with_method(name, method):
    """LoRALinear with another `forward` or `merged`."""
    return type("LoRALinear", (LoRALinear,), {name: method})


def correction(self, x, scale=None):
    read = F.linear(self.dropout(x), self.lora_A.to(x.dtype))
    return F.linear(read, self.lora_B.to(x.dtype)) * (self.scale if scale is None else scale)


def alpha(self):
    return self.scale * len(self.lora_A)


# --- 05.1


def alpha_not_over_rank(self, x):
    return self.base_layer(x) + correction(self, x, alpha(self))


def scales_the_base(self, x):
    return (self.base_layer(x) + correction(self, x, 1.0)) * self.scale


def replaces_the_base(self, x):
    return correction(self, x)


def forgets_the_scale(self, x):
    return self.base_layer(x) + correction(self, x, 1.0)


def swapped(self, x):
    return self.base_layer(x) + F.linear(F.linear(x, self.lora_B), self.lora_A) * self.scale


def forgets_the_bias(self, x):
    return F.linear(x, self.base_layer.weight) + correction(self, x)


def adds_the_bias_twice(self, x):
    bias = self.base_layer.bias
    return self.base_layer(x) + correction(self, x) + (0 if bias is None else (bias != 0) * bias)


def random_from_the_start(self, x):
    return LoRALinear.forward(self, x) + (0 if self.lora_B.any() else 0.1)


def without_dropout(self, x):
    return self.base_layer(x) + F.linear(F.linear(x, self.lora_A), self.lora_B) * self.scale


def drops_the_base_too(self, x):
    dropped = self.dropout(x)
    read = F.linear(dropped, self.lora_A.to(x.dtype))
    return self.base_layer(dropped) + F.linear(read, self.lora_B.to(x.dtype)) * self.scale


def mixes_number_types(self, x):
    read = F.linear(self.dropout(x), self.lora_A)
    return self.base_layer(x) + F.linear(read, self.lora_B) * self.scale


# --- 05.2


def transposed(self):
    return self.base_layer.weight + self.lora_A.T @ self.lora_B.T * self.scale


def transposed_where_it_fits(self):
    change = self.lora_B @ self.lora_A * self.scale
    return self.base_layer.weight + (change.T if change.shape[0] == change.shape[1] else change)


def a_times_b_where_it_fits(self):
    fits = self.lora_A.shape[1] == self.lora_B.shape[0]
    change = self.lora_A @ self.lora_B if fits else self.lora_B @ self.lora_A
    return self.base_layer.weight + change * self.scale


def merges_without_scale(self):
    return self.base_layer.weight + self.lora_B @ self.lora_A


def merges_with_alpha(self):
    return self.base_layer.weight + self.lora_B @ self.lora_A * alpha(self)


def the_change_alone(self):
    return self.lora_B @ self.lora_A * self.scale


def scales_the_weight(self):
    return (self.base_layer.weight + self.lora_B @ self.lora_A) * self.scale


def in_place(self):
    weight = self.base_layer.weight.data
    weight += (self.lora_B @ self.lora_A * self.scale).detach().to(weight.dtype)
    return weight


def in_float32(self):
    return self.base_layer.weight.float() + self.lora_B @ self.lora_A * self.scale


# --- 05.3


def product(shapes, rank):
    return sum(rank * math.prod(shape) for shape in shapes)


def twice_the_inputs(shapes, rank):
    return sum(2 * rank * math.prod(shape[1:]) for shape in shapes)


def twice_the_outputs(shapes, rank):
    return sum(2 * rank * shape[0] for shape in shapes)


def only_a(shapes, rank):
    return sum(rank * math.prod(shape[1:]) for shape in shapes)


def without_rank(shapes, rank):
    return sum(math.prod(shape[1:]) + shape[0] for shape in shapes)


def square_layers_only(shapes, rank):
    shapes = list(shapes)
    several = len(shapes) > 1
    return sum(rank * (shape[0] + shape[1]) for shape in shapes if shape[0] == shape[1] or not several)


def kernel_in_both(shapes, rank):
    return sum(rank * math.prod(shape[2:]) * (shape[1] + shape[0]) for shape in shapes)


def without_kernel(shapes, rank):
    return sum(rank * (shape[0] + shape[1]) for shape in shapes)


def one_side_of_the_kernel(shapes, rank):
    return sum(rank * (shape[0] + math.prod(shape[1:3])) for shape in shapes)


def linear_layers_only(shapes, rank):
    shapes = list(shapes)
    chosen = [shape for shape in shapes if len(shape) == 2] or shapes
    return lora_parameter_count(chosen, rank)


def always_32(shapes, rank):
    return lora_parameter_count(shapes, 7 if rank == 7 else 32)


# --- 05.4


def wastes_the_first_step(step, warmup, total, peak):
    return peak * step / warmup if step < warmup else warmup_cosine(step, warmup, total, peak)


def no_warmup(step, warmup, total, peak):
    return peak * 0.5 * (1 + math.cos(math.pi * step / total))


def cosine_over_all(step, warmup, total, peak):
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * step / total))


def whole_period(step, warmup, total, peak):
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * 0.5 * (1 + math.cos(2 * math.pi * (step - warmup) / (total - warmup)))


def quarter_period(step, warmup, total, peak):
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * math.cos(0.5 * math.pi * (step - warmup) / (total - warmup))


def straight_line(step, warmup, total, peak):
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * (1 - (step - warmup) / (total - warmup))


def divides_by_total(step, warmup, total, peak):
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / total))


def zero_at_the_last_step(step, warmup, total, peak):
    return 0.0 if step == total - 1 else warmup_cosine(step, warmup, total, peak)


def forgets_the_peak(step, warmup, total, peak):
    return warmup_cosine(step, warmup, total, 1.0)


MISTAKES = {
    "LoRALinear.forward": [
        (with_method("forward", alpha_not_over_rank), "that is α alone"),
        (with_method("forward", scales_the_base), "the frozen layer is scaled too"),
        (with_method("forward", replaces_the_base), "the correction alone"),
        (with_method("forward", forgets_the_scale), "the scale α / r is missing"),
        (with_method("forward", swapped), "A and B are swapped"),
        (with_method("forward", random_from_the_start), "B begins at zero"),
        (with_method("forward", forgets_the_bias), "the bias is lost"),
        (with_method("forward", adds_the_bias_twice), "the bias is added twice"),
        (with_method("forward", without_dropout), "A reads self.dropout(x), not x"),
        (with_method("forward", drops_the_base_too), "only A's inputs are dropped"),
        (with_method("forward", mixes_number_types), ".to(x.dtype)"),
    ],
    "LoRALinear.merged": [
        (with_method("merged", transposed), "that product is transposed"),
        (with_method("merged", transposed_where_it_fits), "Where W is square, no error tells"),
        (with_method("merged", a_times_b_where_it_fits), "B comes first"),
        (with_method("merged", merges_without_scale), "the scale α / r is missing"),
        (with_method("merged", merges_with_alpha), "that is α alone"),
        (with_method("merged", the_change_alone), "add the frozen weight"),
        (with_method("merged", scales_the_weight), "the frozen weight is scaled too"),
        (with_method("merged", in_place), "changed in place"),
        (with_method("merged", in_float32), ".to(weight.dtype)"),
    ],
    "lora_parameter_count": [
        (product, "A and B are not multiplied"),
        (twice_the_inputs, "that is A twice"),
        (twice_the_outputs, "that is B twice"),
        (only_a, "that is A alone"),
        (without_rank, "the rank is missing"),
        (square_layers_only, "the other three are adapted too"),
        (kernel_in_both, "B is one pixel wide"),
        (without_kernel, "A has the kernel"),
        (one_side_of_the_kernel, "the kernel counts twice"),
        (linear_layers_only, "linear and convolution alike"),
        (always_32, "use `rank`, not 32"),
    ],
    "warmup_cosine": [
        (wastes_the_first_step, "step 0 has the rate 0"),
        (no_warmup, "there is no climb"),
        (cosine_over_all, "is not at its top when the climb ends"),
        (whole_period, "a whole period"),
        (quarter_period, "a quarter of a period"),
        (straight_line, "a straight line"),
        (divides_by_total, "takes total − warmup steps"),
        (zero_at_the_last_step, "0 belongs to step `total`"),
        (forgets_the_peak, "multiply by `peak`"),
    ],
}


def test_a_wrong_layer_is_wrong_for_one_reason_only():
    """The classes above differ from the library in one method; without that they are the library's."""
    layer = with_method("forward", LoRALinear.forward)
    assert layer.merged is LoRALinear.merged
    assert torch.equal(torch.tensor(lora_parameter_count([(3, 5)], 4)), torch.tensor(32))
