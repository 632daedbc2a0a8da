"""Checks of Day 05: a layer that learns beside frozen weights, the same in one weight, what it costs, and how fast to learn."""

import math
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import product
from types import ModuleType
from typing import Any
from unittest.mock import patch

import torch
from torch import nn

from vla_course.adapters.lora import LoRAConfig
from vla_course.checks.calls import Rules
from vla_course.checks.claims import Claim, value_or_raised
from vla_course.checks.report import Lesson, WorkedCase
from vla_course.openvla.published import published_lora_shapes

lesson = Lesson("day05")
show_case, borrow = lesson.show_case, lesson.borrow

Layer = Callable[[nn.Module, LoRAConfig], Any]
LLAMA_BLOCK = [(4096, 4096)] * 4 + [(11008, 4096)] * 2 + [(4096, 11008)]
"""The layers of one of Llama-2-7B's 32 blocks: attention, gate and up, down."""
PATCHES = (1024, 3, 14, 14)
"""The convolution with which DINOv2 reads squares of 14 × 14 pixels."""
WEIGHT = torch.tensor([[1.0, 2, 0], [0, 1, 1]])
LORA_A = torch.tensor([[1.0, 0, 1], [0, 1, 0]])
LORA_B = torch.tensor([[2.0, 0], [1, 1]])
X = torch.tensor([[1.0, 1, 2]])
SQUARE, SQUARE_A, SQUARE_B = (
    torch.tensor(rows) for rows in ([[1.0, 0], [0, 1]], [[1.0, 2], [0, 1]], [[3.0, 0], [4, 1]])
)


def small_layer(
    layer: Layer, bias: torch.Tensor | None = None, dropout: float = 0.0, weight: torch.Tensor = WEIGHT
) -> Any:
    """A frozen layer of three inputs and two outputs with an adapter of rank 2 and alpha 4; every number can be worked by hand."""
    base = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    base.weight.data = weight.clone()
    if bias is not None:
        base.bias.data = bias.clone()
    adapted = layer(base, LoRAConfig(rank=2, alpha=4, dropout=dropout))
    with torch.no_grad():
        adapted.lora_A.copy_(LORA_A if weight.shape == WEIGHT.shape else SQUARE_A)
        adapted.lora_B.copy_(LORA_B if weight.shape == WEIGHT.shape else SQUARE_B)
    return adapted


def wide_layer(layer: Layer) -> tuple[Any, torch.Tensor, torch.Tensor]:
    """A layer of four inputs and three outputs, rank 2 and alpha 6, with random numbers; the frozen weight, and the scaled change."""
    numbers = torch.Generator().manual_seed(5)
    weight, a, b = (torch.randn(shape, generator=numbers) for shape in ((3, 4), (2, 4), (3, 2)))
    base = nn.Linear(4, 3, bias=False)
    base.weight.data = weight.clone()
    adapted = layer(base, LoRAConfig(rank=2, alpha=6, dropout=0.0))
    with torch.no_grad():
        adapted.lora_A.copy_(a)
        adapted.lora_B.copy_(b)
    return adapted, weight, 3 * torch.einsum("or,ri->oi", b, a)


@lesson.exercise(
    "05.1",
    library="vla_course.adapters.lora:LoRALinear.forward",
    minutes=10,
    difficulty=2,
    hints=(
        "Two answers, added up. The frozen layer gives one. The other goes the narrow way round: A makes a few numbers of "
        "many, B makes many of a few, and the scale says how loud it is.",
        "`self.base_layer(x)` is the frozen answer, its bias included. `F.linear(x, weight)` is x times the weight transposed: "
        "(…, inputs) → (…, rank) with A, (…, rank) → (…, outputs) with B. `self.scale` is α / r.",
        "First line: `read = F.linear(self.dropout(x), self.lora_A.to(x.dtype))`.",
    ),
    case=WorkedCase(
        call="checks.small_layer(LoRALinear)(checks.X).detach()",
        steps=(
            ("W, 2 × 3; α = 4, r = 2", "((1, 2, 0), (0, 1, 1))"),
            ("x Wᵀ for x = (1, 1, 2)", "(3, 3)"),
            ("x Aᵀ, A = ((1, 0, 1), (0, 1, 0))", "(3, 1)"),
            ("times Bᵀ, B = ((2, 0), (1, 1))", "(6, 4)"),
            ("times α / r = 2", "(12, 8)"),
            ("added up", "(15, 11)"),
        ),
        answer=torch.tensor([[15.0, 11.0]]),
    ),
    rules=Rules(returns=torch.zeros(1)),
)
def check_lora_forward(layer: Layer) -> Iterator[Claim]:
    """By hand; a fresh adapter; a bias once; many rows; half precision; dropout in training only; another size; gradients."""
    yield Claim(
        "(1, 1, 2) becomes (15, 11): the frozen layer's (3, 3), and (12, 8) beside it",
        got=_or_shapes_differ(
            lambda: small_layer(layer)(X),
            "the shapes do not fit: A reads x and comes first, B writes. Either A and B are swapped, or a transpose is missing, or A "
            "reads the frozen layer's answer",
        ),
        expected=torch.tensor([[15.0, 11.0]]),
        hint="the frozen layer's answer, plus scale times what A and then B make of x",
        mistakes={
            "that is α alone: divide it by the rank, as self.scale does": torch.tensor([[27.0, 19.0]]),
            "the frozen layer is scaled too: only the correction is": torch.tensor([[18.0, 14.0]]),
            "that is the correction alone: add the frozen layer's answer": torch.tensor([[12.0, 8.0]]),
            "that is the frozen layer's answer alone: add the correction": torch.tensor([[3.0, 3.0]]),
            "the scale α / r is missing": torch.tensor([[9.0, 7.0]]),
            "B is not transposed: F.linear(read, B) is read Bᵀ, and where B is square, no error tells": torch.tensor(
                [[17.0, 5.0]]
            ),
        },
    )
    torch.manual_seed(0)
    base = nn.Linear(3, 2, bias=False)
    x = torch.randn(4, 5, 3)
    yield Claim(
        "a fresh adapter changes nothing, for any number of rows",
        got=_or_shapes_differ(
            lambda: layer(base, LoRAConfig(rank=2, alpha=4))(x),
            "any number of axes may stand before the last: F.linear and @ work on the last axis alone",
        ),
        expected=base(x),
        hint="B begins at zero, so the correction is zero: what is left is the frozen layer's answer",
    )
    yield Claim(
        "a bias of (100, 10) is added once: (115, 21)",
        got=small_layer(layer, torch.tensor([100.0, 10.0]))(X),
        expected=torch.tensor([[115.0, 21.0]]),
        hint="self.base_layer(x) adds its bias itself",
        mistakes={
            "the bias is lost: ask self.base_layer(x), not its weight": torch.tensor([[15.0, 11.0]]),
            "the bias is added twice: self.base_layer(x) has it": torch.tensor([[215.0, 31.0]]),
        },
    )
    torch.manual_seed(0)
    dropped = small_layer(layer, dropout=0.5).train()
    many = X.repeat(400, 1)
    answers = set(map(tuple, dropped(many).tolist()))
    yield Claim(
        "with dropout the correction varies in training, and the frozen answer does not: it is (3, 3) where all is dropped",
        got=(len(answers) > 1, (3.0, 3.0) in answers),
        expected=(True, True),
        hint="A reads self.dropout(x); the frozen layer reads x itself",
        mistakes={
            "A reads self.dropout(x), not x: in training some inputs are left out": (False, False),
            "the frozen layer reads x, all of it: only A's inputs are dropped": (True, False),
        },
    )
    whole = WEIGHT @ X[0]
    kept = [2 * X[0] * torch.tensor(bits) for bits in product((0.0, 1.0), repeat=3)]
    possible = {tuple((whole + 2 * LORA_B @ LORA_A @ inputs).tolist()) for inputs in kept}
    yield Claim(
        "400 rows give the eight answers that three inputs of A can give, each left out or doubled, and no other",
        got=(len(possible & answers), len(answers - possible)),
        expected=(8, 0),
        hint="A reads self.dropout(x): its inputs are left out, nothing behind A and nothing of the sum",
        mistakes={"A's outputs are left out, not its inputs: A reads self.dropout(x)": (4, 0)},
    )
    yield Claim(
        "in evaluation nothing is left out: (15, 11) in every row",
        got=dropped.eval()(many[:8]),
        expected=torch.tensor([[15.0, 11.0]]).repeat(8, 1),
        hint="inputs are left out in training only: self.dropout knows whether it is in eval mode, F.dropout has to be told",
    )
    half = small_layer(layer)
    half.base_layer.to(torch.bfloat16)
    yield Claim(
        "a frozen layer in bfloat16 keeps A and B in float32, and answers in bfloat16",
        got=_dtype(lambda: half(X.to(torch.bfloat16))),
        expected="torch.bfloat16",
        hint="A and B are float32 and x is not: .to(x.dtype) makes them fit",
    )
    adapted, weight, change = wide_layer(layer)
    x = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(1))
    base_answer = torch.einsum("nti,oi->nto", x, weight)
    yield Claim(
        "four inputs, three outputs, rank 2, α = 6, three axes of random numbers",
        got=_or_shapes_differ(
            lambda: adapted(x),
            "shapes do not fit: F.linear(x, A), then F.linear(…, B), for any number of axes before the last",
        ),
        expected=base_answer + torch.einsum("nti,oi->nto", x, change),
        hint="sizes, rank and α are others than before: α / r is 3 here, as self.scale says",
        mistakes={
            "that is times the rank: the scale is α / r": base_answer
            + torch.einsum("nti,oi->nto", x, change * 2 / 3),
            "rank × rank for α / r: the scale is in self.scale": base_answer
            + torch.einsum("nti,oi->nto", x, change * 4 / 3),
        },
    )
    learner = small_layer(layer)
    x = X.clone().requires_grad_()
    gradients = _gradients(learner(x), [x, learner.lora_A, learner.lora_B])
    none = "is cut off from what is learned (no_grad, detach, .data)"
    yield Claim(
        "a gradient flows to x, through the frozen layer and beside it: (7, 5, 7)",
        got=gradients[0],
        expected=torch.tensor([[7.0, 5, 7]]),
        hint="no part of the sum may stop the gradient: layers below this one learn through both",
        mistakes={
            f"the frozen layer {none}: its weight gets no gradient, but adapters below it need theirs": torch.tensor(
                [[6.0, 2, 6]]
            ),
            f"what A reads {none}: adapters below need that gradient too": torch.tensor([[1.0, 3, 1]]),
            f"the whole answer {none}: nothing would ever be learned": torch.zeros(1, 3),
        },
    )
    yield Claim(
        "A and B get their gradients: ((6, 6, 12), (2, 2, 4)) and ((6, 2), (6, 2))",
        got=(gradients[1], gradients[2]),
        expected=(torch.tensor([[6.0, 6, 12], [2, 2, 4]]), torch.tensor([[6.0, 2], [6, 2]])),
        hint="use self.lora_A and self.lora_B themselves: .data, .detach() and no_grad leave them without a gradient",
        mistakes={
            "A and B get no gradient (.data, .detach() or no_grad), so the adapter would never learn": (
                torch.zeros(2, 3),
                torch.zeros(2, 2),
            ),
        },
    )
    fresh = small_layer(layer)
    with torch.no_grad():
        fresh.lora_B.zero_()
    yield Claim(
        "where B is still zero, in a fresh adapter, B gets its gradient all the same: ((6, 2), (6, 2))",
        got=_gradients(fresh(X), [fresh.lora_B])[0],
        expected=torch.tensor([[6.0, 2], [6, 2]]),
        hint="the correction is computed also while B is zero: left out there, B never gets a gradient, and never learns",
    )


def _gradients(answer: torch.Tensor, inputs: list[torch.Tensor]) -> list[torch.Tensor]:
    """Of the sum of all answers, for each input; zeros where none arrives."""
    found: Iterable[torch.Tensor | None] = [None] * len(inputs)
    if answer.requires_grad:
        found = torch.autograd.grad(answer.sum(), inputs, allow_unused=True)
    return [
        torch.zeros_like(value) if grad is None else grad for value, grad in zip(inputs, found, strict=True)
    ]


def _or_shapes_differ(compute: Callable[[], Any], hint: str) -> Any:
    """What comes out, or the error where torch says that matrices do not fit: a mistake with a hint of its own."""
    words = ("shape", "size", "matrix", "dimension", "matrices", "2D", "2-D")
    return value_or_raised(compute, RuntimeError, hint, words)


def _dtype(compute: Callable[[], Any]) -> str:
    try:
        return str(compute().dtype)
    except RuntimeError as error:
        if "dtype" in str(error):
            return "two number types in one product"
        raise


@lesson.exercise(
    "05.2",
    library="vla_course.adapters.lora:LoRALinear.merged",
    minutes=8,
    difficulty=2,
    hints=(
        "x Wᵀ + s · x Aᵀ Bᵀ has x in front of everything. Take it out: what stands in the bracket is a weight, transposed.",
        "W is outputs × inputs. One of the two products of A and B has that shape too: B writes, so it has the outputs. `@` "
        "multiplies matrices, `self.scale` is α / r.",
        "First line: `weight = dense_weight(self.base_layer)`. At the end `.to(weight.dtype)` keeps its number type.",
    ),
    case=WorkedCase(
        call="checks.small_layer(LoRALinear).merged().detach()",
        steps=(
            ("B A = ((2, 0), (1, 1)) ((1, 0, 1), (0, 1, 0))", "((2, 0, 2), (1, 1, 1))"),
            ("times α / r = 2", "((4, 0, 4), (2, 2, 2))"),
            ("plus W = ((1, 2, 0), (0, 1, 1))", "((5, 2, 4), (2, 3, 3))"),
        ),
        answer=torch.tensor([[5.0, 2, 4], [2, 3, 3]]),
    ),
    rules=Rules(returns=torch.zeros(1)),
)
def check_lora_merged(layer: Layer) -> Iterator[Claim]:
    """By hand; a square one, where a transposed product fits; the number type; and the frozen weight stays."""
    whole = torch.tensor([[5.0, 2, 4], [2, 3, 3]])
    transposed = "that product is transposed: B times A has the shape of W, outputs × inputs"
    yield Claim(
        "W, 2 × 3, becomes ((5, 2, 4), (2, 3, 3))",
        got=_or_shapes_differ(lambda: small_layer(layer).merged(), transposed),
        expected=whole,
        hint="two parts: the frozen weight as it is, and the change with its scale. Here the change is ((4, 0, 4), (2, 2, 2))",
        mistakes={
            "the scale α / r is missing": torch.tensor([[3.0, 2, 2], [1, 2, 2]]),
            "that is α alone: divide it by the rank, as self.scale does": torch.tensor(
                [[9.0, 2, 8], [4, 5, 5]]
            ),
            "that is the change alone: add the frozen weight": torch.tensor([[4.0, 0, 4], [2, 2, 2]]),
            "that is the frozen weight alone: add the change": WEIGHT,
            "the change is subtracted: add it": torch.tensor([[-3.0, 2, -4], [-2, -1, -1]]),
            "the frozen weight is scaled too: only the change is": torch.tensor([[6.0, 4, 4], [2, 4, 4]]),
        },
    )
    yield Claim(
        "a square one: the unit matrix becomes ((7, 12), (8, 19))",
        got=small_layer(layer, weight=SQUARE).merged(),
        expected=torch.tensor([[7.0, 12], [8, 19]]),
        hint="the change here is ((6, 12), (8, 18)): the order of the product matters, and so does its transpose",
        mistakes={
            transposed + ". Where W is square, no error tells": torch.tensor([[7.0, 8], [12, 19]]),
            "A B is another matrix than B A, and where W is square no error tells: B comes first": torch.tensor(
                [[23.0, 4], [8, 3]]
            ),
        },
    )
    adapted = small_layer(layer)
    adapted.merged()
    yield Claim(
        "the frozen weight itself is as it was: whoever merges may want to go back",
        got=adapted.base_layer.weight,
        expected=WEIGHT,
        hint="the frozen weight is changed in place: make a new one",
    )
    half = small_layer(layer)
    half.base_layer.to(torch.bfloat16)
    yield Claim(
        "a frozen weight in bfloat16 comes back in bfloat16",
        got=str(half.merged().dtype),
        expected="torch.bfloat16",
        hint="A and B are float32, so the sum is: .to(weight.dtype) at the end",
    )
    yield Claim(
        "a bias of (100, 10) is no part of the weight",
        got=small_layer(layer, torch.tensor([100.0, 10.0])).merged(),
        expected=whole,
        hint="the weight alone is merged: the layer keeps its bias",
        mistakes={
            "the bias is added to every column: what the layer makes of the unit matrix has the bias in it": whole
            + torch.tensor([[100.0], [10.0]]),
        },
    )
    yield Claim(
        "dropout in training does not reach the weight",
        got=small_layer(layer, dropout=0.5).train().merged(),
        expected=whole,
        hint="A and B are multiplied as they are: nothing is left out, in training either",
    )
    adapted, weight, change = wide_layer(layer)
    yield Claim(
        "three outputs, four inputs, rank 2, α = 6, random numbers",
        got=_or_shapes_differ(adapted.merged, transposed),
        expected=weight + change,
        hint="sizes, rank and α are others than before: α / r is 3 here, as self.scale says",
        mistakes={
            "that is times the rank: the scale is α / r": weight + change * 2 / 3,
            "rank × rank for α / r: the scale is in self.scale": weight + change * 4 / 3,
        },
    )
    packed = small_layer(layer)
    packed.base_layer.weight = Params4bit(WEIGHT)
    unpack = "a layer may keep its weight packed, two numbers of four bits in a byte: dense_weight(self.base_layer) is the weight unpacked"
    with _unpacks_four_bits():
        found = value_or_raised(packed.merged, (RuntimeError, TypeError, ValueError), unpack)
    yield Claim(
        "a weight packed in four bits, 3 bytes for 2 × 3 numbers, is unpacked first",
        got=found,
        expected=whole,
        hint=unpack,
    )


class Params4bit(nn.Parameter):
    """A small weight of whole numbers from 0 to 15, packed as bitsandbytes packs one: two in a byte, in one column."""

    quant_state: torch.Size

    def __new__(cls, weight: torch.Tensor) -> "Params4bit":
        """The weight, packed; its shape in `quant_state`."""
        codes = weight.flatten().to(torch.uint8)
        found = super().__new__(cls, (16 * codes[::2] + codes[1::2])[:, None], requires_grad=False)
        found.quant_state = weight.shape
        return found


@contextmanager
def _unpacks_four_bits() -> Iterator[None]:
    """bitsandbytes, installed or not, unpacks `Params4bit` meanwhile."""

    def dequantize_4bit(packed: torch.Tensor, shape: torch.Size) -> torch.Tensor:
        return torch.stack([packed // 16, packed % 16], dim=-1).reshape(shape).float()

    functional = ModuleType("bitsandbytes.functional")
    vars(functional)["dequantize_4bit"] = dequantize_4bit
    stand_in = {"bitsandbytes": ModuleType("bitsandbytes"), "bitsandbytes.functional": functional}
    with patch.dict(sys.modules, stand_in):
        yield


@lesson.exercise(
    "05.3",
    library="vla_course.adapters.lora:lora_parameter_count",
    minutes=10,
    difficulty=2,
    hints=(
        "Each weight gets an A and a B. How many numbers does A have, how many B? Add them up over all weights.",
        "A is rank × everything that goes into one output: for a linear layer its inputs, for a convolution its inputs times "
        "kernel times kernel. B is outputs × rank. `math.prod(shape[1:])` multiplies all but the first.",
        "First line: `total = 0`, then `for shape in shapes:`.",
    ),
    case=WorkedCase(
        call="lora_parameter_count([(11008, 4096), (1024, 3, 14, 14)], 32)",
        steps=(
            ("linear, 4096 inputs, 11008 outputs: A 32 × 4096", "131,072"),
            ("B 11008 × 32", "352,256"),
            ("convolution, 3 channels of 14 × 14: A 32 × 3 × 14 × 14", "18,816"),
            ("B 1024 × 32 × 1 × 1", "32,768"),
            ("together", "534,912"),
        ),
        answer=534_912,
    ),
    rules=Rules(returns=1),
)
def check_lora_parameter_count(lora_parameter_count: Callable[..., int]) -> Iterator[Claim]:
    """One layer, one block of Llama, one convolution, all that OpenVLA's fine-tuning adapts, another rank."""
    both = "draw A and B beside the layer: A has a row for each of the ranks, as long as the inputs; B has a row for each output"
    yield Claim(
        "a layer of 3 outputs and 5 inputs at rank 7: 35 numbers in A, 21 in B",
        got=lora_parameter_count([(3, 5)], 7),
        expected=56,
        hint=both,
        mistakes={
            "A and B are not multiplied with each other: " + both: 105,
            "that is A twice: B is as long as the outputs": 70,
            "that is B twice: A is as long as the inputs": 42,
            "that is A alone: B is trained too": 35,
            "that is B alone: A is trained too": 21,
            "the rank is missing": 8,
            "a layer is left out: every layer counts, the last one too": 0,
            "the layer's own size does not cut them off: A has rank × (inputs) numbers and B rank × (outputs), even where that is "
            "more than the layer": 15,
            "the layer's own numbers are frozen and do not count: rank × (inputs) are A's, rank × (outputs) B's": 71,
            "the rank is cut to the layer's smaller side, 3: it is what is handed in, 7, however small the layer": 24,
            "the rank is cut to the layer's larger side, 5: it is what is handed in, 7, however small the layer": 40,
        },
    )
    yield Claim(
        "one block of Llama-2-7B, seven layers, at rank 32: 2,498,560",
        got=lora_parameter_count(LLAMA_BLOCK, 32),
        expected=2_498_560,
        hint="every layer counts, also where two have the same shape: A and B of each, added up",
        mistakes={
            "that is inputs times outputs: A and B stand in for such a product, they do not have its size": 6_476_005_376,
            "that is twice the inputs: B is as long as the outputs": 2 * 32 * (6 * 4096 + 11008),
            "that is twice the outputs: A is as long as the inputs": 2 * 32 * (5 * 4096 + 2 * 11008),
            "these are the four square layers of attention: the other three are adapted too": 1_048_576,
        },
    )
    yield Claim(
        "the convolution that reads patches, 3 → 1024 with a kernel of 14 × 14: 51,584",
        got=lora_parameter_count([PATCHES], 32),
        expected=51_584,
        hint="A has the kernel: 3 × 14 × 14 numbers for each of its rows; B is one pixel wide",
        mistakes={
            "the kernel is in A only: B is one pixel wide": 6_441_344,
            "A has the kernel, B has not: B is one pixel wide": 6_422_624,
            "A has the kernel, 14 × 14 for each channel: math.prod(shape[1:])": 32_864,
            "the kernel counts twice, 14 × 14, not once": 34_112,
        },
    )
    yield Claim(
        "all 439 layers of openvla-7b, as it is published: 110,828,288",
        got=lora_parameter_count(published_lora_shapes().values(), 32),
        expected=110_828_288,
        hint="every shape counts, linear and convolution alike",
    )
    yield Claim(
        "shapes may come from a generator, and the rank may be another: 8 for one block and the convolution is 637,536",
        got=lora_parameter_count(iter([*LLAMA_BLOCK, PATCHES]), 8),
        expected=637_536,
        hint="go through `shapes` once, and use `rank`, not 32",
        mistakes={
            "the convolution is missing, or `shapes` is gone through twice: a generator is used up after the first time": 624_640,
            "`shapes` is gone through twice, and the linear layers are missing: a generator is used up after the first time": 12_896,
        },
    )
    odd = [(7, 5), (4, 3, 2, 9), (6, 11), (2, 13, 5, 1)]
    yield Claim(
        "linear layers among convolutions whose kernels are not square, rank 3: 462",
        got=lora_parameter_count(odd, 3),
        expected=3 * sum(math.prod(shape) // shape[0] + shape[0] for shape in odd),
        hint="every shape by itself, as kernels need not be 14 × 14: all that follows the outputs is A's, the outputs are B's",
    )
    yield Claim(
        "a shape may be a list as well as a tuple, and is only read: [3, 5] and [4, 3, 2, 9] at rank 2 make 132",
        got=lora_parameter_count([[3, 5], [4, 3, 2, 9]], 2),
        expected=2 * (3 + 5 + 4 + 3 * 2 * 9),
        hint="a shape is any sequence of whole numbers: read it with shape[0] and shape[1:], whatever its type",
    )


@lesson.exercise(
    "05.4",
    library="vla_course.training.schedule:warmup_cosine",
    minutes=8,
    difficulty=1,
    hints=(
        "Two pieces. In the first `warmup` steps the rate climbs; after that, what matters is which *share* of the remaining "
        "steps is done.",
        "Climb: step 0 already learns, and the last step of the warm-up has the peak. Fall: the cosine from its top to its "
        "bottom, lifted and halved so that it goes from 1 to 0; its angle is π times the share, which is 0 right after the warm-up "
        "and would be 1 at step `total`.",
        "First line: `if step < warmup: return peak * (step + 1) / warmup`. Then half of (1 + cos(π · share)), times the peak.",
    ),
    case=WorkedCase(
        call="torch.tensor([warmup_cosine(step, 10, 110, 1.0) for step in (0, 9, 10, 60)])",
        steps=(
            ("step 0 of 10: one tenth of the way", ".1"),
            ("step 9: all of it", "1"),
            ("step 10: share 0 of the rest, ½ (1 + cos 0)", "1"),
            ("step 60: share 50 / 100, ½ (1 + cos ½π)", ".5"),
        ),
        answer=torch.tensor([0.1, 1.0, 1.0, 0.5]),
    ),
    rules=Rules(returns=1.0),
)
def check_warmup_cosine(warmup_cosine: Callable[..., float]) -> Iterator[Claim]:
    """By hand, another peak, the end, no warm-up."""

    def at(steps: Iterable[int], warmup: int = 10, total: int = 110, peak: float = 1.0) -> torch.Tensor:
        return torch.tensor([float(warmup_cosine(step, warmup, total, peak)) for step in steps])

    yield Claim(
        "the climb, 10 steps: .1 at step 0, .5 at step 4, 1 at step 9",
        got=at((0, 4, 9)),
        expected=torch.tensor([0.1, 0.5, 1.0]),
        hint="ten equal parts: how many of them does step 0 have, how many the last step of the climb, step 9?",
        mistakes={
            "that climbs to 10/11 of the peak: (step + 1) / warmup is 1 at the last step, so divide by warmup alone": torch.tensor(
                [1 / 11, 5 / 11, 10 / 11]
            ),
            "// rounds down, so nothing is learned until the last step: (step + 1) / warmup with one stroke": torch.tensor(
                [0.0, 0.0, 1.0]
            ),
            "that is step / (warmup − 1): step 0 has the rate 0 and is wasted": torch.tensor(
                [0.0, 4 / 9, 1.0]
            ),
            "step 0 has the rate 0 and is wasted: count step + 1 of `warmup`": torch.tensor([0.0, 0.4, 0.9]),
            "there is no climb: the first `warmup` steps are another piece": 0.5
            * (1 + torch.cos(torch.pi * torch.tensor([0.0, 4.0, 9.0]) / 110)),
        },
    )
    over_all = "the cosine begins at step 0 and is not at its top when the climb ends: count its share from `warmup` to `total`"
    yield Claim(
        "the fall: 1 at step 10, ½ (1 + cos ¼π) at step 35, .5 at step 60",
        got=at((10, 35, 60)),
        expected=torch.tensor([1.0, 0.8535534, 0.5]),
        hint="which share of the fall is done? At step 10 the share is 0, at step 35 ¼, at step 60 ½; then half a cosine of it, from "
        "1 down to 0",
        mistakes={
            "step 10 has more than the peak: it is the first step of the fall, and the climb has ten steps, 0 to 9": torch.tensor(
                [1.1, 0.8535534, 0.5]
            ),
            "that counts to the last step: 0 would be reached at step `total`, which is not taken any more": 0.5
            * (1 + torch.cos(torch.pi * torch.tensor([0.0, 25.0, 50.0]) / 99)),
            "math.cos takes radians: half a turn is π, not 180": 0.5
            * (1 + torch.cos(180 * torch.tensor([0.0, 0.25, 0.5]))),
            over_all: 0.5 * (1 + torch.cos(torch.pi * torch.tensor([10.0, 35.0, 60.0]) / 110)),
            "that is a whole period, which comes back up: cos(π · share), not cos(2π · share)": torch.tensor(
                [1.0, 0.5, 0.0]
            ),
            "that is a quarter of a period: ½ (1 + cos(π · share)), half a cosine from 1 to −1": torch.cos(
                0.5 * torch.pi * torch.tensor([0.0, 0.25, 0.5])
            ),
            "that is a straight line: half a cosine falls slowly at first and at last": torch.tensor(
                [1.0, 0.75, 0.5]
            ),
            "that divides by `total`: the fall takes total − warmup steps": 0.5
            * (1 + torch.cos(torch.pi * torch.tensor([0.0, 25.0, 50.0]) / 110)),
        },
        tolerance=1e-4,
    )
    yield Claim(
        "the last step, 109, still learns a little: .000247",
        got=at((109,)),
        expected=torch.tensor([0.00024672]),
        hint="0 would be reached at step `total`, which is not taken any more",
        mistakes={
            "0 belongs to step `total`, not to the last step": torch.tensor([0.0]),
        },
        tolerance=1e-6,
    )
    yield Claim(
        "another peak, .002, and no warm-up: .002 at step 0, .001 half-way",
        got=at((0, 20), warmup=0, total=40, peak=0.002),
        expected=torch.tensor([0.002, 0.001]),
        hint="multiply by `peak`; with warmup=0 the cosine begins at once",
        tolerance=1e-6,
    )
    yield Claim(
        "the peak .5 in a climb of 4 steps, and in the fall to step 20: .125 at step 0, .375 at step 2, .25 at step 12",
        got=at((0, 2, 12), warmup=4, total=20, peak=0.5),
        expected=torch.tensor([0.125, 0.375, 0.25]),
        hint="`warmup`, `total` and `peak` are arguments: is a number of the cases above left in your function?",
        mistakes={
            "the peak is forgotten in the climb": torch.tensor([0.25, 0.75, 0.25]),
            "the peak is forgotten in the fall": torch.tensor([0.125, 0.375, 0.5]),
        },
    )
    peak = 2e-5
    wanted = torch.tensor([1 / 7, 0.8535534, 0.0061558])
    rates = (peak * wanted).tolist()
    yield Claim(
        "a small peak, .00002, as in fine-tuning: .143, .854 and .00616 of it at steps 0, 12 and 26, the last one",
        got=at((0, 12, 26), warmup=7, total=27, peak=peak) / peak,
        expected=wanted,
        hint="rates may be tiny: nothing is rounded, and there is no smallest rate",
        mistakes={
            f"the rate is rounded to {places} decimal places, too coarse for a peak of .00002: return it as it comes out": (
                torch.tensor([round(rate, places) for rate in rates]) / peak
            )
            for places in (4, 5, 6, 7, 8)
        }
        | {
            f"the fall stops at {floor}: no smallest rate is asked for, it goes on falling towards 0": torch.tensor(
                [max(rate, floor) / peak for rate in rates]
            )
            for floor in (1e-6, 1e-5)
        },
    )
