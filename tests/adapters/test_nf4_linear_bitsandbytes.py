"""Training beside bitsandbytes' four bits, on the CPU and where there is one on the GPU: one way to compute, for all."""

import inspect
import logging

import bitsandbytes
import peft
import pytest
import torch
from openvla_reference import nano, nano_inputs
from torch import nn
from transformers import BitsAndBytesConfig

from vla_course.adapters.lora import (
    LoRAConfig,
    adapters,
    dense_weight,
    inject,
    is_packed,
    merge,
    remove,
    unpack,
    weight_shape,
)
from vla_course.adapters.nf4_linear import NF4Linear
from vla_course.adapters.peft_format import load_adapter, save_adapter
from vla_course.files import read_object
from vla_course.openvla.checkpoint import never_repack, read_config
from vla_course.openvla.load import find_nano
from vla_course.openvla.model import OpenVLAForActionPrediction

DEVICES = ["cpu", *["cuda"] * torch.cuda.is_available()]
CONFIG = LoRAConfig(rank=4, alpha=8)


def nano_widths() -> list[tuple[int, int]]:
    """Outputs and inputs of every linear layer of the nano that ships."""
    with torch.device("meta"):
        model = OpenVLAForActionPrediction(read_config(find_nano()))
    layers = [module for module in model.modules() if isinstance(module, nn.Linear)]
    return sorted({weight_shape(layer) for layer in layers})


def four_bits(layer: nn.Linear, device: str = "cpu", *, double: bool = False) -> nn.Module:
    small = bitsandbytes.nn.Linear4bit(
        layer.in_features,
        layer.out_features,
        compute_dtype=torch.float32,
        quant_type="nf4",
        compress_statistics=double,
    )
    small.load_state_dict(layer.state_dict())
    small = small.to(device)
    never_repack(small)
    return small


@pytest.fixture(scope="module", params=DEVICES)
def device(request):
    return request.param


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    nano().save_pretrained(folder)
    return folder


@pytest.fixture
def model(folder, device):
    settings = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=torch.float32,
        bnb_4bit_use_double_quant=True,
    )
    return OpenVLAForActionPrediction.from_pretrained(
        folder, quantization_config=settings, device_map={"": device}
    )


def inputs_on(device: str) -> dict[str, torch.Tensor]:
    return {name: tensor.to(device) for name, tensor in nano_inputs(batch=2).items()}


@pytest.mark.parametrize("shape", nano_widths(), ids=lambda shape: f"{shape[1]} to {shape[0]}")
def test_evaluation_and_training_agree_at_every_width_of_the_nano(shape, device):
    torch.manual_seed(0)
    layer = nn.Linear(shape[1], shape[0])
    small, ours = four_bits(layer, device), NF4Linear(layer, double=False).to(device)
    x = torch.randn(7, shape[1], device=device, requires_grad=True)
    trained = small.train()(x)
    with torch.no_grad():
        evaluated = small.eval()(x.detach())
    torch.testing.assert_close(evaluated, trained)
    torch.testing.assert_close(dense_weight(small), ours.weight)
    torch.testing.assert_close(trained, ours(x), atol=1e-5, rtol=1e-4)
    gradients = [torch.autograd.grad(answer.square().sum(), x)[0] for answer in (trained, ours(x))]
    torch.testing.assert_close(*gradients, atol=1e-3, rtol=1e-4)


def test_only_the_news_that_is_none_is_dropped(caplog):
    """bitsandbytes misses faster kernels for what we never use; everything else that it says is heard."""
    logger, beginning = bitsandbytes.backends.cpu.ops.logger, "Failed to load CPU gemm_4bit_forward"
    assert f'"{beginning} from' in inspect.getsource(bitsandbytes.backends.cpu.ops)
    with caplog.at_level(logging.WARNING):
        logger.warning(f"{beginning} from somewhere: %s", "No module named 'kernels'")
        logger.warning("Failed to load %s", "something else")
        logging.getLogger("bitsandbytes").warning("%s, said by another", beginning)
    assert caplog.messages == ["Failed to load something else", f"{beginning}, said by another"]


def test_training_goes_on_after_an_evaluation(model, device):
    inject(model, CONFIG)
    inputs = inputs_on(device)

    def step() -> dict[str, torch.Tensor]:
        model.zero_grad()
        model.train()(**inputs, labels=inputs["input_ids"]).loss.backward()
        named = model.named_parameters()
        return {name: parameter.grad.clone() for name, parameter in named if parameter.grad is not None}

    before = step()
    with torch.no_grad():
        model.eval()(**inputs)
    after = step()
    assert before.keys() == after.keys() and all(".lora_" in name for name in before)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_what_bitsandbytes_does_without_us_after_an_evaluation():
    """If this fails, a newer version may have mended it, and `never_repack` may go."""
    torch.manual_seed(0)
    small = four_bits(nn.Linear(128, 64))
    if not bitsandbytes.functional.has_avx512bf16():
        assert not small.support_avx512bf16_for_cpu
        return
    small.support_avx512bf16_for_cpu = True
    exact, x = dense_weight(small), torch.randn(2, 128, requires_grad=True)
    with torch.no_grad():
        small.eval()(x.detach())
    assert not torch.allclose(dense_weight(small).float(), exact, atol=1e-3)


def test_only_adapters_learn_and_the_loss_falls(model, device):
    torch.manual_seed(0)
    inject(model, CONFIG)
    packed = {name: p.clone() for name, p in model.named_parameters() if not p.requires_grad}
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=5e-3)
    inputs, losses = inputs_on(device), []
    for _ in range(8):
        loss = model.train()(**inputs, labels=inputs["input_ids"]).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
    frozen = {name: p for name, p in model.named_parameters() if not p.requires_grad}
    assert frozen.keys() == packed.keys()
    assert all(torch.equal(frozen[name], packed[name]) for name in packed)
    learned = {name for name, p in model.named_parameters() if p.requires_grad}
    assert learned == {f"{name}.lora_{side}" for name in adapters(model) for side in "AB"}


def test_adapters_of_a_quantised_model_are_saved_loaded_and_merged(model, folder, tmp_path, device):
    inject(model, CONFIG)
    for adapter in adapters(model).values():
        adapter.lora_B.data.normal_(std=0.02)
    inputs = inputs_on(device)
    with torch.no_grad():
        wanted = model.eval()(**inputs).logits
        save_adapter(model, tmp_path)
        merge(model, keep=False)
        assert "Linear4bit" not in {type(module).__name__ for module in model.modules()}
        torch.testing.assert_close(model(**inputs).logits, wanted, atol=1e-3, rtol=1e-3)
    plain = OpenVLAForActionPrediction.from_pretrained(folder)
    load_adapter(plain, tmp_path)
    assert len(adapters(plain)) > 40


def marks(model) -> set[str]:
    """What still says that a model is quantised."""
    found = {name for name in ("hf_quantizer", "quantization_method") if hasattr(model, name)}
    found |= {
        name
        for name in ("is_quantized", "is_loaded_in_4bit", "is_loaded_in_8bit")
        if getattr(model, name, False)
    }
    configs = [module.config for module in model.modules() if hasattr(module, "config")]
    return found | {
        f"config.{n}" for c in configs for n in ("quantization_config", "_is_quantized") if hasattr(c, n)
    }


def bfloat16_model(folder, device):
    """In four bits with bfloat16 arithmetic, as `load_vla(bits=4)` loads it; bitsandbytes then changes biases when it acts."""
    settings = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=torch.bfloat16,
        bnb_4bit_use_double_quant=True,
    )
    return OpenVLAForActionPrediction.from_pretrained(
        folder, quantization_config=settings, device_map={"": device}
    )


def test_a_model_that_has_acted_is_merged_without_a_trace(folder, tmp_path, device):
    model, rested, inputs = bfloat16_model(folder, device), bfloat16_model(folder, device), inputs_on(device)
    for one in (model, rested):
        torch.manual_seed(0)
        inject(one, CONFIG)
        for adapter in adapters(one).values():
            adapter.lora_B.data.normal_(std=0.02)
    model.predict_token_ids(**inputs, action_dim=3)
    assert marks(model)
    merge(model, keep=False)
    merge(rested, keep=False)
    assert not marks(model) and {p.dtype for p in model.parameters()} == {torch.float32}
    for name, weight in rested.state_dict().items():
        rounded = 2**-8 * name.endswith("bias")  # bitsandbytes has put biases into bfloat16
        torch.testing.assert_close(model.state_dict()[name], weight, rtol=rounded, atol=0)
    model.save_pretrained(tmp_path)
    assert "quantization_config" not in read_object(tmp_path / "config.json")
    again = OpenVLAForActionPrediction.from_pretrained(tmp_path).to(device)
    assert torch.equal(
        model.predict_token_ids(**inputs, action_dim=3), again.predict_token_ids(**inputs, action_dim=3)
    )
    model.requires_grad_(True)
    model.train()(**inputs, labels=inputs["input_ids"]).loss.backward()
    assert model.projector.fc1.bias.grad.any() and model.half().dtype == torch.float16


def test_what_took_no_adapter_stays_quantised_until_it_is_unpacked(model, device):
    inject(model, LoRAConfig(rank=4, alpha=8, targets=r"language_model\..*_proj"))
    before = model.predict_token_ids(**inputs_on(device), action_dim=5)
    merge(model, keep=False)
    assert marks(model), "the towers are quantised still"
    unpack(model)
    assert not marks(model) and not any(is_packed(layer) for layer in model.modules())
    assert torch.equal(model.predict_token_ids(**inputs_on(device), action_dim=5), before)


def test_eight_bits_are_not_merged_into_nonsense(folder, device):
    settings = BitsAndBytesConfig(load_in_8bit=True)
    model = OpenVLAForActionPrediction.from_pretrained(
        folder, quantization_config=settings, device_map={"": device}
    )
    inject(model, CONFIG)
    before = {name: type(module) for name, module in model.named_modules()}
    for change in (merge, unpack):
        with pytest.raises(ValueError, match="eight bits cannot be merged"):
            change(model)
    assert {name: type(module) for name, module in model.named_modules()} == before


def test_peft_trains_the_same_adapters_beside_the_same_four_bits(model, tmp_path, device):
    inject(model, CONFIG)
    for adapter in adapters(model).values():
        adapter.lora_B.data.normal_(std=0.02)
    save_adapter(model, tmp_path)
    inputs = inputs_on(device)
    model.train()(**inputs, labels=inputs["input_ids"]).loss.backward()
    gradient = adapters(model)["projector.fc1"].lora_A.grad
    remove(model)
    theirs = peft.PeftModel.from_pretrained(model, tmp_path, is_trainable=True)
    theirs.train()(**inputs, labels=inputs["input_ids"]).loss.backward()
    peer = theirs.base_model.model.projector.fc1.lora_A["default"].weight.grad
    torch.testing.assert_close(gradient, peer, atol=1e-6, rtol=1e-4)
