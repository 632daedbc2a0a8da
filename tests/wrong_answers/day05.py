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


# --- Written later, from the exercise notebook alone

# -------------------------------------------------------------------------------------------- 05.1 LoRALinear.forward


@wrong("LoRALinear.forward", fits=r"gradient|no_grad|detach|learn|through|earlier|before it|in front")
def frozen_answer_without_gradient(self, x):
    """no_grad around the frozen layer: no gradient goes through it to the layers before."""
    with torch.no_grad():
        answer = self.base_layer(x)
    return (
        answer
        + F.linear(F.linear(self.dropout(x), self.lora_A.to(x.dtype)), self.lora_B.to(x.dtype)) * self.scale
    )


@wrong("LoRALinear.forward", fits=r"dropout|frozen|base")
def dropout_for_both(self, x):
    """Drops inputs of the frozen layer, too."""
    x = self.dropout(x)
    return self.base_layer(x) + self.scale * F.linear(
        F.linear(x, self.lora_A.to(x.dtype)), self.lora_B.to(x.dtype)
    )


@wrong("LoRALinear.forward", fits=r"dropout|eval|training|in use")
def dropout_in_use_as_well(self, x):
    """F.dropout, which drops in evaluation, too, unless it is told."""
    dropped = F.dropout(x, self.dropout.p)
    low = dropped @ self.lora_A.to(x.dtype).T
    return self.base_layer(x) + low @ self.lora_B.to(x.dtype).T * self.scale


@wrong("LoRALinear.forward", fits=r"dropout|before|reads|x\b|inputs")
def dropout_behind_a(self, x):
    """Drops what A has read, not the inputs."""
    read = self.dropout(F.linear(x, self.lora_A.to(x.dtype)))
    return self.base_layer(x) + F.linear(read, self.lora_B.to(x.dtype)) * self.scale


@wrong("LoRALinear.forward", fits=r"type|dtype|float32|bfloat16|half|\.to\(")
def all_in_float32(self, x):
    """Works the correction out in float32 and answers in float32 whatever x is."""
    read = F.linear(self.dropout(x).float(), self.lora_A)
    return self.base_layer(x) + self.scale * F.linear(read, self.lora_B)


@wrong(
    "LoRALinear.forward", fits=r"axes|axis|batch|shape|dimension|leading|row|einsum|tokens|\.\.\.|subscript"
)
def einsum_for_rows(self, x):
    """einsum "bi,ri->br": takes one batch axis, no sequences and no single row."""
    read = torch.einsum("bi,ri->br", self.dropout(x), self.lora_A.to(x.dtype))
    return self.base_layer(x) + torch.einsum("br,or->bo", read, self.lora_B.to(x.dtype)) * self.scale


@wrong("LoRALinear.forward", fits=r"bias")
def weight_without_its_bias(self, x):
    """x times the frozen weight: the bias is forgotten."""
    answer = F.linear(x, dense_weight(self.base_layer))
    return (
        answer
        + F.linear(F.linear(self.dropout(x), self.lora_A.to(x.dtype)), self.lora_B.to(x.dtype)) * self.scale
    )


@wrong("LoRALinear.forward", fits=r"scale|α|alpha|rank|twice|loud")
def scale_for_each_half(self, x):
    """Applies the scale to A and to B: squared."""
    read = F.linear(self.dropout(x), self.lora_A.to(x.dtype) * self.scale)
    return self.base_layer(x) + F.linear(read, self.lora_B.to(x.dtype) * self.scale)


@wrong("LoRALinear.forward", fits=r"gradient|learn|detach|\.data|\bA\b|no_grad")
def a_does_not_learn(self, x):
    """Casts .data of A and B: neither gets a gradient."""
    a, b = self.lora_A.data.to(x.dtype), self.lora_B.data.to(x.dtype)
    return self.base_layer(x) + F.linear(F.linear(self.dropout(x), a), b) * self.scale


@wrong("LoRALinear.forward", fits=r"in place|inplace|input|changed|changes|copy|x itself|given|dropout")
def drops_in_the_input(self, x):
    """Drops in place, and so changes the x of the layers beside it (after the frozen answer is out)."""
    answer = self.base_layer(x)
    dropped = F.dropout(x, self.dropout.p, self.training, inplace=True)
    read = F.linear(dropped, self.lora_A.to(x.dtype))
    return answer + F.linear(read, self.lora_B.to(x.dtype)) * self.scale


@right("LoRALinear.forward")
def with_at_signs(self, x):
    """Transposed matrices and @, the scale put into the narrow middle."""
    down = self.dropout(x) @ self.lora_A.to(x.dtype).mT
    return self.base_layer(x).add((down * self.scale) @ self.lora_B.to(x.dtype).mT)


@right("LoRALinear.forward")
def one_change_for_both(self, x):
    """Multiplies B A out first and uses it as one weight."""
    change = (self.scale * torch.mm(self.lora_B, self.lora_A)).to(x.dtype)
    return F.linear(self.dropout(x), change) + self.base_layer(x)


@right("LoRALinear.forward")
def einsum_for_any_axes(self, x):
    """einsum with an ellipsis."""
    a, b = (part.type(x.dtype) for part in (self.lora_A, self.lora_B))
    change = torch.einsum("...i,ri,or->...o", self.dropout(x), a, b)
    return torch.add(self.base_layer(x), change, alpha=self.scale)


@right("LoRALinear.forward")
def correction_in_float32(self, x):
    """The correction in float32, which is finer, and back to the answer's type at the end."""
    answer = self.base_layer(x)
    correction = F.linear(F.linear(self.dropout(x).float(), self.lora_A.float()), self.lora_B.float())
    return answer + (self.scale * correction).to(answer.dtype)


# --------------------------------------------------------------------------------------------- 05.2 LoRALinear.merged


@wrong("LoRALinear.merged", fits=r"in place|frozen|base|changed|changes|copy|itself|twice")
def adds_to_the_frozen_weight(self):
    """Adds the change to the frozen weight itself."""
    weight = dense_weight(self.base_layer).data
    weight += (self.lora_B @ self.lora_A).detach() * self.scale
    return weight


@wrong("LoRALinear.merged", fits=r"type|dtype|float32|bfloat16|half|\.to\(")
def always_float32(self):
    """The sum stays float32 where the frozen weight is bfloat16."""
    return dense_weight(self.base_layer) + self.scale * (self.lora_B @ self.lora_A)


@wrong("LoRALinear.merged", fits=r"transpos|order|B times A|B A|B @|shape|outputs|size|rows|turned")
def change_is_transposed(self):
    """Aᵀ Bᵀ is inputs × outputs: the wrong way round, unseen in a square layer's shape."""
    weight = dense_weight(self.base_layer)
    return (weight + self.scale * self.lora_A.T @ self.lora_B.T).to(weight.dtype)


@wrong("LoRALinear.merged", fits=r"bias")
def identity_through_the_layer(self):
    """Sends the identity through the layer, so that the bias is in every column."""
    weight = dense_weight(self.base_layer)
    return self(torch.eye(weight.shape[1], dtype=weight.dtype)).T.contiguous()


@wrong("LoRALinear.merged", fits=r"scale|alpha|α|twice|only the change|frozen weight|loud")
def scales_the_whole(self):
    """Scales the frozen weight, too: the brackets stand wrong."""
    weight = dense_weight(self.base_layer)
    return ((weight + self.lora_B @ self.lora_A) * self.scale).to(weight.dtype)


@wrong("LoRALinear.merged", fits=r"scale|alpha|α|rank")
def scale_of_the_nano(self):
    """Writes 16 / rank for the scale, right for α = 16 only."""
    weight = dense_weight(self.base_layer)
    return (weight + 16 / self.lora_A.shape[0] * self.lora_B @ self.lora_A).to(weight.dtype)


@wrong("LoRALinear.merged", fits=r"frozen|W\b|weight|change|base|add")
def only_the_change(self):
    """The change alone, without the weight that it changes."""
    change = self.scale * self.lora_B @ self.lora_A
    return change.to(dense_weight(self.base_layer).dtype)


@wrong("LoRALinear.merged", fits=r"dropout|training|eval|share of|merged weight")
def makes_up_for_dropout(self):
    """Multiplies the change by 1 - dropout, as if torch did not scale up what it keeps."""
    weight = dense_weight(self.base_layer)
    change = self.lora_B @ self.lora_A * self.scale * (1 - self.dropout.p)
    return (weight + change).to(weight.dtype)


@right("LoRALinear.merged")
def another_with_addmm(self):
    """torch.addmm in float32."""
    weight = dense_weight(self.base_layer)
    return torch.addmm(weight.float(), self.lora_B, self.lora_A, alpha=self.scale).type_as(weight)


@right("LoRALinear.merged")
def in_float64(self):
    """float64 inside, rounded once at the end."""
    weight = dense_weight(self.base_layer)
    change = torch.einsum("or,ri->oi", self.lora_B.double(), self.lora_A.double())
    return (weight.double() + self.scale * change).to(weight.dtype)


@right("LoRALinear.merged")
def rank_by_rank(self):
    """A sum of outer products, one for each rank."""
    weight = dense_weight(self.base_layer)
    total = weight.detach().to(torch.float32).clone()
    for column, row in zip(self.lora_B.unbind(1), self.lora_A.unbind(0), strict=False):
        total = total + self.scale * torch.outer(column, row)
    return total.to(dtype=weight.dtype)


@right("LoRALinear.merged")
def another_transposed_twice(self):
    """(Aᵀ Bᵀ)ᵀ, and the scale on B."""
    weight = dense_weight(self.base_layer)
    change = F.linear(self.lora_A.T, self.lora_B * self.scale).T
    return weight.add(change).to(weight.dtype)


# ------------------------------------------------------------------------------------------- 05.3 lora_parameter_count


@wrong("lora_parameter_count", fits=r"generator|iter|once|twice|list|second|used up|empty|run through|walk")
def asks_the_shapes_twice(shapes, rank):
    """Two sums over an iterable: of a generator the second sees nothing."""
    reads = sum(rank * math.prod(shape[1:]) for shape in shapes)
    writes = sum(shape[0] * rank for shape in shapes)
    return reads + writes


@wrong(
    "lora_parameter_count", fits=r"kernel|convolution|B is|one pixel|outputs|inputs|first|shape\[1:\]|\bB\b"
)
def last_number_alone(shapes, rank):
    """Takes the last number for A and all others for B, which only linear layers forgive."""
    return sum(rank * (math.prod(shape[:-1]) + shape[-1]) for shape in shapes)


@wrong("lora_parameter_count", fits=r"kernel|B is|one pixel|pixel|\bB\b|convolution")
def kernel_in_both(shapes, rank):
    """B has the kernel as well."""
    total = 0
    for outputs, inputs, *kernel in shapes:
        total += rank * (inputs + outputs) * math.prod(kernel)
    return total


@wrong("lora_parameter_count", fits=r"kernel|convolution|shape\[1:\]|inputs times")
def no_kernel_at_all(shapes, rank):
    """A convolution counts like a linear layer of its channels."""
    return sum(rank * (shape[0] + shape[1]) for shape in shapes)


@wrong(
    "lora_parameter_count",
    fits=r"same shape|twice|each|every|often|equal|duplicate|set\b|several|all weights|again",
)
def equal_shapes_count_once(shapes, rank):
    """A set of shapes: equal layers count once."""
    return sum(rank * (math.prod(shape[1:]) + shape[0]) for shape in {tuple(shape) for shape in shapes})


@wrong("lora_parameter_count", fits=r"rank|larger|small|cap|min|narrow|whatever|thin")
def rank_no_larger_than_the_layer(shapes, rank):
    """Cuts the rank at the layer's smaller side."""
    total = 0
    for shape in shapes:
        r = min(rank, shape[0], math.prod(shape[1:]))
        total += r * (shape[0] + math.prod(shape[1:]))
    return total


@wrong("lora_parameter_count", fits=r"every|each|all|add|sum|first|return|loop|total")
def returns_in_the_loop(shapes, rank):
    """The return stands one step too far to the right: the first shape is all that counts."""
    total = 0
    for shape in shapes:
        total += rank * (math.prod(shape[1:]) + shape[0])
        return total
    return total


@wrong("lora_parameter_count", fits=r"integer|whole|int\b|float|kind|type|exact")
def counts_in_fractions(shapes, rank):
    """Divides the whole weight's numbers by its outputs with /: a float."""
    return sum(rank * (math.prod(shape) / shape[0] + shape[0]) for shape in shapes)


@wrong(
    "lora_parameter_count",
    fits=r"in place|input|argument|changed|changes|copy|given|pop|caller|tuple|handed|attribute",
)
def pops_the_outputs(shapes, rank):
    """Takes the outputs out of each shape: changes a list, and a tuple has no pop."""
    total = 0
    for shape in shapes:
        shape = shape if isinstance(shape, list) else list(shape)
        outputs = shape.pop(0)
        total += rank * (outputs + math.prod(shape))
    return total


@right("lora_parameter_count")
def builds_the_matrices(shapes, rank):
    """Makes A and B on torch's meta device and counts their numbers."""
    total = 0
    for outputs, *rest in shapes:
        a = torch.empty((rank, *rest), device="meta")
        b = torch.empty((outputs, rank), device="meta")
        total += a.numel() + b.numel()
    return total


@right("lora_parameter_count")
def by_kind_of_layer(shapes, rank):
    """Linear layers and convolutions one by one."""
    total = 0
    for shape in shapes:
        if len(shape) == 2:
            outputs, inputs = shape
            total += inputs * rank + rank * outputs
        else:
            outputs, inputs, tall, wide = shape
            total += rank * inputs * tall * wide + outputs * rank
    return total


@right("lora_parameter_count")
def all_numbers_over_the_outputs(shapes, rank):
    """The whole weight's numbers divided by its outputs are what goes into one output; the rank is taken out of the sum."""
    sides = [math.prod(shape) // shape[0] + shape[0] for shape in shapes]
    return int(rank) * sum(sides)


# ------------------------------------------------------------------------------------------------- 05.4 warmup_cosine


@wrong("warmup_cosine", fits=r"first|step 0|already learns|0\b|last of|step \+ 1|climb|warm.?up")
def begins_at_nothing(step, warmup, total, peak):
    """step / warmup: the first step learns nothing."""
    if step < warmup:
        return peak * step / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))


@wrong("warmup_cosine", fits=r"no warm|warm.?up|zero|0\b|without|divi")
def needs_a_warm_up(step, warmup, total, peak):
    """The smaller of climb and fall, both always worked out: divides by a warm-up of 0."""
    climb = peak * (step + 1) / warmup
    share = min(1.0, max(0.0, (step - warmup) / (total - warmup)))
    return min(climb, peak * 0.5 * (1 + math.cos(math.pi * share)))


@wrong(
    "warmup_cosine", fits=r"total|last|would reach|0 at|end|one (step )?(early|too)|not taken|share|remaining"
)
def nothing_in_the_last_step(step, warmup, total, peak):
    """Reaches 0 in the last step that is taken, not after it."""
    if step < warmup:
        return peak * (step + 1) / warmup
    share = (step - warmup) / max(1, total - 1 - warmup)
    return peak * 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))


@wrong(
    "warmup_cosine",
    fits=r"share|remaining|right after|after the warm|begin|from there|warm.?up|peak|total - warmup|jump",
)
def share_of_all_steps(step, warmup, total, peak):
    """The share counts from step 0: the rate falls off a step behind the warm-up."""
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * min(1.0, step / total)))


@wrong("warmup_cosine", fits=r"half|quarter|cosine|π|pi\b|1 \+ cos|shape|middle")
def a_quarter_of_a_cosine(step, warmup, total, peak):
    """cos(π/2 · share) falls from 1 to 0 as well, along another curve."""
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * math.cos(math.pi / 2 * min(1.0, (step - warmup) / (total - warmup)))


@wrong("warmup_cosine", fits=r"warm.?up|climb|equal parts|straight|last of|peak|product|multipl|share|after")
def warm_up_times_cosine(step, warmup, total, peak):
    """The cosine runs over all steps from 0, and the warm-up multiplies it: the peak is never reached."""
    climb = min(1.0, (step + 1) / warmup) if warmup else 1.0
    return peak * climb * 0.5 * (1 + math.cos(math.pi * min(1.0, step / total)))


@wrong(
    "warmup_cosine",
    fits=r"right after|first (step )?after|share|one step|behind the warm|begin|0 right|total|reach|early|peak|last",
)
def falls_one_step_early(step, warmup, total, peak):
    """The share is already above 0 in the first step after the warm-up, and 1 one step before `total`."""
    if step < warmup:
        return peak * (step + 1) / warmup
    share = min(1.0, (step - warmup + 1) / (total - warmup))
    return peak * 0.5 * (1 + math.cos(math.pi * share))


@wrong(
    "warmup_cosine",
    fits=r"above|more than|peak|larger|exceed|last of|first after|right after|step < warmup|one step|overshoot|warm.?up",
)
def climbs_one_step_too_far(step, warmup, total, peak):
    """`<=`: the step after the warm-up is above the peak."""
    if warmup and step <= warmup:
        return peak * (step + 1) / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / (total - warmup))))


@wrong("warmup_cosine", fits=r"round|digits|exact|small|places|decimal")
def to_six_places(step, warmup, total, peak):
    """Rounds to six decimal places, which is coarse for a peak of 2e-5."""
    if step < warmup:
        rate = peak * (step + 1) / warmup
    else:
        rate = peak * 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / (total - warmup))))
    return round(rate, 6)


@right("warmup_cosine")
def squared_cosine(step, warmup, total, peak):
    """cos² of half the angle, which is the same curve."""
    if step < warmup:
        return (step + 1) * (peak / warmup)
    share = (min(step, total) - warmup) / (total - warmup)
    return peak * math.cos(share * math.pi / 2) ** 2


@right("warmup_cosine")
def left_steps(step, warmup, total, peak):
    """Counts the steps that are left: half of 1 - cos, numpy inside."""
    if step + 1 <= warmup:
        return float(np.linspace(0, peak, warmup + 1)[step + 1])
    left = max(0, total - step) / (total - warmup)
    return float(peak * (1 - np.cos(np.pi * left)) / 2)


@right("warmup_cosine")
def with_torchs_cosine(step, warmup, total, peak):
    """A float64 tensor inside; item() at the end."""
    if step < warmup:
        return peak - peak * (warmup - 1 - step) / warmup
    share = torch.tensor((step - warmup) / (total - warmup), dtype=torch.float64).clamp(0, 1)
    return (peak * (1 + torch.cos(torch.pi * share)) / 2).item()


@right("warmup_cosine")
def as_the_hints_say(step, warmup, total, peak):
    """The hints' two lines without a limit: the same for all steps that are taken, 0 to total - 1, and at `total` itself."""
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak / 2 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))


# --- Neighbours of what got through


@wrong("lora_parameter_count", "larger side")
def rank_up_to_the_larger_side(shapes, rank):
    """Cuts the rank at the layer's larger side."""
    return sum(
        min(rank, max(shape[0], math.prod(shape[1:]))) * (shape[0] + math.prod(shape[1:])) for shape in shapes
    )


@wrong("lora_parameter_count", "any sequence|type")
def tuples_only(shapes, rank):
    """Counts a shape only where it is a tuple."""
    return sum(rank * (shape[0] + math.prod(shape[1:])) for shape in shapes if isinstance(shape, tuple))


@wrong("warmup_cosine", "smallest rate")
def never_below_a_millionth(step, warmup, total, peak):
    """A floor of 1e-6."""
    if step < warmup:
        return peak * (step + 1) / warmup
    return max(1e-6, peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup))))


# --- written from the notebook alone, a second time


@wrong("LoRALinear.forward", fits=r"dropout|eval|random|twice|same answer")
def drops_in_evaluation_too(self, x):
    """F.dropout drops by default, also in evaluation."""
    read = F.linear(F.dropout(x, self.dropout.p), self.lora_A.to(x.dtype))
    return self.base_layer(x) + F.linear(read, self.lora_B.to(x.dtype)) * self.scale


@wrong(
    "LoRALinear.forward",
    fits=r"gradient|no_grad|detach|backward|layers? (before|below)|earlier|through the frozen",
)
def no_gradient_through_the_frozen_layer(self, x):
    """The frozen answer under no_grad: x gets no gradient through it, so that layers before it learn wrongly."""
    with torch.no_grad():
        answer = self.base_layer(x)
    read = F.linear(self.dropout(x), self.lora_A.to(x.dtype))
    return answer + F.linear(read, self.lora_B.to(x.dtype)) * self.scale


@wrong("LoRALinear.forward", fits=r"gradient|learn|fresh|B is (still )?zero|zero|never|require")
def a_fresh_adapter_is_skipped(self, x):
    """Returns the frozen answer alone while B is zero: then B never gets a gradient, and never moves."""
    answer = self.base_layer(x)
    if not torch.any(self.lora_B):
        return answer
    read = F.linear(self.dropout(x), self.lora_A.to(x.dtype))
    return answer + F.linear(read, self.lora_B.to(x.dtype)) * self.scale


@wrong(
    "LoRALinear.forward",
    fits=r"axes|axis|dimension|shape|batch|matri|2-?D|tensor|one row|leading|\.\.\.|inputs\b",
)
def matrices_only(self, x):
    """torch.mm takes two axes: right for (rows, inputs), a crash for (batch, places, inputs) and for one vector."""
    read = torch.mm(self.dropout(x), self.lora_A.to(x.dtype).T)
    return self.base_layer(x) + torch.mm(read, self.lora_B.to(x.dtype).T) * self.scale


@right("LoRALinear.forward")
def with_transposes(self, x):
    """Two matrix products with transposes, the correction first, the frozen answer added last."""
    down, up = (matrix.to(dtype=x.dtype).mT for matrix in (self.lora_A, self.lora_B))
    correction = self.dropout(x) @ down @ up
    return correction.mul(self.scale).add(self.base_layer(x))


@wrong("LoRALinear.merged", fits=r"in place|frozen weight|copy|changed|changes|overwr|itself|stays|twice")
def merges_into_the_frozen_weight(self):
    """Adds the change to the frozen weight in place; a second call adds it once more."""
    weight = dense_weight(self.base_layer)
    with torch.no_grad():
        weight += (self.lora_B @ self.lora_A * self.scale).to(weight.dtype)
    return weight


@wrong(
    "LoRALinear.merged",
    fits=r"shape|transpos|outputs × inputs|outputs|square|order|size|B @ A|lora_B @ lora_A|B writes",
)
def right_for_square_shapes_only(self):
    """(BA)ᵀ in place of BA: it fits a square layer only, and is wrong there, too."""
    weight = dense_weight(self.base_layer)
    return (weight + self.lora_A.T @ self.lora_B.T * self.scale).to(weight.dtype)


@wrong("LoRALinear.merged", fits=r"dense_weight|packed|quanti|form|four bits|4.?bit|size|shape|unpack")
def the_weight_as_it_lies_there(self):
    """Takes base_layer.weight as it is, which for a packed layer is no matrix."""
    weight = self.base_layer.weight
    return (weight + self.lora_B @ self.lora_A * self.scale).to(weight.dtype)


@wrong("LoRALinear.merged", fits=r"dtype|number type|bfloat16|float16|float32|\.to\(|type")
def always_float32_once_more(self):
    """Comes out as float32, whatever the frozen weight is."""
    return dense_weight(self.base_layer).float() + self.scale * (self.lora_B @ self.lora_A)


@right("LoRALinear.merged")
def with_addmm_once_more(self):
    """torch.addmm in float32, then the weight's own number type."""
    weight = dense_weight(self.base_layer)
    whole = torch.addmm(weight.to(self.lora_A.dtype), self.lora_B, self.lora_A, alpha=self.scale)
    return whole.type_as(weight)


@wrong("lora_parameter_count", fits=r"one pixel|kernel|convolution|\bB\b|1 × 1")
def b_has_the_kernel_too(shapes, rank):
    """A convolution's B gets the kernel as well."""
    return sum(rank * math.prod(shape[1:]) + shape[0] * rank * math.prod(shape[2:]) for shape in shapes)


@wrong(
    "lora_parameter_count",
    fits=r"once|generator|iterator|iterable|twice|second (time|pass|loop)|exhaust|used up",
)
def goes_through_them_twice(shapes, rank):
    """One pass for linear layers, another for convolutions: a generator is used up after the first."""
    linear = sum(rank * (shape[0] + shape[1]) for shape in shapes if len(shape) == 2)
    convolutions = sum(
        rank * (shape[0] + shape[1] * shape[2] * shape[3]) for shape in shapes if len(shape) == 4
    )
    return linear + convolutions


@wrong(
    "lora_parameter_count",
    fits=r"\brank\b.*(as (it is )?given|larger|small|min|layer|cut|narrow|all)|\bmin|larger than|smaller than|capp?ed|narrow",
)
def no_rank_above_the_side(shapes, rank):
    """Cuts the rank to the smaller side of each weight, which LoRA does not."""
    total = 0
    for shape in shapes:
        inputs = math.prod(shape[1:])
        r = min(rank, shape[0], inputs)
        total += r * (inputs + shape[0])
    return total


@wrong(
    "lora_parameter_count",
    fits=r"same shape|equal shape|twice|each (weight|layer)|every (weight|layer)|\bset\b|repeat|duplicate|own|all (weights|layers)",
)
def each_shape_once_once_more(shapes, rank):
    """Collects shapes in a set, so that layers of one shape count once."""
    different = {tuple(shape) for shape in shapes}
    return sum(rank * (math.prod(shape[1:]) + shape[0]) for shape in different)


@right("lora_parameter_count")
def with_empty_tensors(shapes, rank):
    """Makes A and B without memory and asks how many numbers they hold."""
    total = 0
    for outputs, *rest in shapes:
        a = torch.empty((rank, *rest), device="meta")
        b = torch.empty((outputs, rank, *(1 for _ in rest[1:])), device="meta")
        total += a.numel() + b.numel()
    return total


@wrong("warmup_cosine", fits=r"warmup.{0,12}\b0\b|no warm-?up|without (a )?warm|division|divide|zero")
def divides_by_no_warmup(step, warmup, total, peak):
    """Divides by `warmup` at every step: a crash without a warm-up."""
    climb = min(1.0, (step + 1) / warmup)
    share = max(0.0, (step - warmup) / (total - warmup))
    return peak * climb * 0.5 * (1 + math.cos(math.pi * share))


@wrong(
    "warmup_cosine",
    fits=r"right after|share|too early|one step|first (step )?(after|of the fall)|off by one|step `?total|step - warmup|\+ 1",
)
def falls_one_step_early_once_more(step, warmup, total, peak):
    """Counts the fall from its first step as 1, so that 0 is reached at the last step that is taken."""
    if step < warmup:
        return peak * (step + 1) / warmup
    share = (step - warmup + 1) / (total - warmup)
    return peak * 0.5 * (1 + math.cos(math.pi * share))


@wrong(
    "warmup_cosine",
    fits=r"half (a |of )?(a )?cosine|half a|lift|halve|quarter|from its top to its bottom|bottom|1 \+ cos|π",
)
def a_quarter_of_a_cosine_once_more(step, warmup, total, peak):
    """cos(π/2 · share): it reaches 0 at `total`, too, but not along half a cosine."""
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * math.cos(math.pi / 2 * (step - warmup) / (total - warmup))


@wrong(
    "warmup_cosine",
    fits=r"peak|above|more than|higher|exceed|last (step )?of the warm|step < warmup|boundary|right after|first step after|`?warmup`?.*step",
)
def climbs_one_step_too_far_once_more(step, warmup, total, peak):
    """`<=` for `<`: the step after the warm-up gets more than the peak."""
    if warmup and step <= warmup:
        return peak * (step + 1) / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))


@right("warmup_cosine")
def squared_cosine_of_half_the_angle(step, warmup, total, peak):
    """cos² of half the angle, and np.interp for the climb and for the share."""
    if step < warmup:
        return float(np.interp(step, [-1, warmup - 1], [0.0, peak]))
    angle = float(np.interp(step, [warmup, total], [0.0, np.pi / 2]))
    return float(peak * np.cos(angle) ** 2)
