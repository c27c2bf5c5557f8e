#!/usr/bin/env python3
"""Writes `goldens/`: a tiny random model per family, with the logits that transformers computes for it.

    pip install torch transformers safetensors gguf
    python make_goldens.py [FAMILY ...]

A golden value is float32 arithmetic on the stored (bf16, or dequantized GGUF) weights, with eager
attention. `golden.safetensors` holds, for prompts i = 0, 1, ...: `prompt_i` and `greedy_i` (int64 ids)
and `logits_i` (float32, of every position of the prompt). Written with transformers 5.23 and torch 2.15;
other versions give the same values up to rounding. A model is drawn again, with the next seed, until
rounding cannot change its greedy ids.
"""
import sys
from pathlib import Path

import gguf
import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM

OUT = Path(__file__).parent / "goldens"
VOCAB, GREEDY = 96, 8
# One token, and more than a cache block of 32 holds; windowed models stay in the window, leave it, and outgrow
# several blocks.
LENGTHS, WINDOWED_LENGTHS = [1, 41], [12, 41, 100]
MIN_MARGIN, MIN_EFFECT = 2e-3, 3e-3

SLIDING, FULL = "sliding_attention", "full_attention"
COMMON = dict(vocab_size=VOCAB, hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4,
              num_key_value_heads=2, max_position_embeddings=128, bos_token_id=1, eos_token_id=2, pad_token_id=0)


def rope(theta, kind="default", **parameters):
    return dict(rope_theta=theta, rope_type=kind, **parameters)


YARN = dict(factor=4.0, original_max_position_embeddings=24, beta_fast=8.0, beta_slow=1.0)
FAMILIES = {
    # As Gemma 3 4B: the global layers stretch their positions.
    "gemma3_text": dict(num_hidden_layers=6, intermediate_size=32, num_attention_heads=2, num_key_value_heads=1,
                        head_dim=16, query_pre_attn_scalar=24, sliding_window=12, layer_types=[SLIDING] * 5 + [FULL],
                        rope_parameters={FULL: rope(1e6, "linear", factor=8.0), SLIDING: rope(1e4)}),
    "lfm2": dict(num_hidden_layers=4, intermediate_size=72, block_multiple_of=16, conv_bias=True,
                 layer_types=["conv", FULL, "conv", FULL], rope_parameters=rope(1e6)),
    # Four frequencies: one is kept, one lies between the two limits, two are divided.
    "llama": dict(max_position_embeddings=2048, tie_word_embeddings=False, rope_parameters=rope(
        5e5, "llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=256)),
    "ministral3": dict(head_dim=16, rope_parameters=rope(1e6, "yarn", mscale=1.0, mscale_all_dim=1.0,
                                                         llama_4_scaling_beta=0.3, **YARN)),
    "mistral": dict(head_dim=16, sliding_window=12, rope_parameters=rope(1e4)),
    "olmo3": dict(num_hidden_layers=4, intermediate_size=32, sliding_window=12, layer_types=[SLIDING] * 3 + [FULL],
                  rope_parameters={FULL: rope(5e5, "yarn", **YARN), SLIDING: rope(5e5)}),
    # No prompt crosses 24 tokens while it is continued, where transformers would change the factors midway.
    "phi3": dict(num_attention_heads=2, num_key_value_heads=1, sliding_window=36, original_max_position_embeddings=24,
                 rope_parameters=rope(1e4, "longrope", partial_rotary_factor=0.75,
                                      short_factor=[1.0, 1.1, 1.2, 1.4, 1.7, 2.1],
                                      long_factor=[1.0, 1.5, 2.5, 4.0, 6.0, 9.0])),
    "qwen2": dict(use_sliding_window=True, sliding_window=12, max_window_layers=1, layer_types=[FULL, SLIDING, SLIDING],
                  rope_parameters=rope(1e6)),
    "qwen3": dict(num_hidden_layers=2, head_dim=16, attention_bias=True, tie_word_embeddings=True,
                  rope_parameters=rope(1e6)),
    # Every other layer is dense.
    "qwen3_moe": dict(num_hidden_layers=4, num_experts=6, num_experts_per_tok=2, moe_intermediate_size=16,
                      decoder_sparse_step=2, norm_topk_prob=True, head_dim=16, rope_parameters=rope(1e6)),
    "seed_oss": dict(num_hidden_layers=2, head_dim=16, attention_bias=True, attention_out_bias=True, mlp_bias=True,
                     rope_parameters=rope(1e7)),
    "smollm3": dict(num_hidden_layers=4, no_rope_layers=[1, 0, 1, 0], no_rope_layer_interval=2,
                    rope_parameters=rope(2e6)),
}


def fill(model, generator):
    """Weights of a size that lets every part matter: norms around what they start from (0 in Gemma, else 1), and
    small embeddings where they are the head too, or the last token would always win."""
    tied = model.config.tie_word_embeddings
    for name, weight in model.named_parameters():
        noise = torch.randn(weight.shape, generator=generator)
        if "norm" in name:
            weight.data = weight.data.round().float() + 0.3 * noise
        elif weight.dim() == 1:
            weight.data = 0.5 * noise
        elif "embed" in name:
            weight.data = (0.1 if tied else 1.0) * noise
        else:
            gain = 2.0 if "q_proj" in name or "k_proj" in name else 1.3
            weight.data = gain * noise / weight.shape[-1] ** 0.5
        weight.data = weight.data.to(torch.bfloat16)


@torch.no_grad()
def golden(model, lengths, generator):
    """The tensors of a golden file, and the smallest distance between the two best logits of a greedy step
    (0 where a continuation says too little because it repeats itself)."""
    tensors, margin = {}, float("inf")
    for i, length in enumerate(lengths):
        prompt = ids = torch.randint(3, VOCAB, (length,), generator=generator)
        for _ in range(GREEDY):
            # The whole text anew each time: no cache has a say in what is right.
            best = model(ids[None], use_cache=False).logits[0, -1].topk(2)
            margin = min(margin, (best.values[0] - best.values[1]).item())
            ids = torch.cat([ids, best.indices[:1]])
        logits = model(prompt[None], use_cache=False).logits[0].contiguous()
        if len(ids[length:].unique()) < 3:
            return tensors, 0.0
        tensors |= {f"prompt_{i}": prompt, f"logits_{i}": logits, f"greedy_{i}": ids[length:].clone()}
    return tensors, margin


@torch.no_grad()
def smallest_effect(model, tensors):
    """The least that the logits move, relatively, when one tensor is moved: what forgetting it would cost."""
    prompt, expected, least = tensors["prompt_1"][None], tensors["logits_1"], (float("inf"), "")
    for name, weight in model.named_parameters():
        kept = weight.data
        weight.data = kept.mean().expand_as(kept) if kept.dim() == 1 else kept.roll(1, -1)
        moved = model(prompt, use_cache=False).logits[0] - expected
        least = min(least, ((moved.norm() / expected.norm()).item(), name))
        weight.data = kept
    return least


def load(folder):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager",
                                                 experts_implementation="eager")
    return model.eval()


def attempts():
    for seed in range(100):
        yield torch.Generator().manual_seed(seed)
    raise SystemExit("no seed gives clear greedy ids")


def lengths_of(config):
    return WINDOWED_LENGTHS if getattr(config, "sliding_window", None) else LENGTHS


def make_folder(family):
    folder = OUT / family
    config = AutoConfig.for_model(family, **COMMON | FAMILIES[family])
    for generator in attempts():
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
        fill(model, generator)
        model.save_pretrained(folder)
        model = load(folder)
        tensors, margin = golden(model, lengths_of(config), generator)
        if margin >= MIN_MARGIN:
            effect, name = smallest_effect(model, tensors)
            if effect >= MIN_EFFECT:
                break
    (folder / "generation_config.json").unlink(missing_ok=True)
    save_file(tensors, folder / "golden.safetensors")
    print(f"{family}: margin {margin:.4f}, effect {effect:.4f} of {name}")


# GGUF: the same models under the names, in the order and with the offsets that GGUF files have.

GGUF_NAMES = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
GGUF_LAYER_NAMES = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm",
}
LLAMA_NORMS = {"post_attention_layernorm": "ffn_norm"}
GEMMA_NORMS = {"post_attention_layernorm": "post_attention_norm", "pre_feedforward_layernorm": "ffn_norm",
               "post_feedforward_layernorm": "post_ffw_norm"}
T = gguf.GGMLQuantizationType
# Name: family, architecture, types of matrices (of the feed-forward part, of all others).
GGUFS = {"llama-q8_0": ("llama", "llama", T.F16, T.Q8_0),
         "gemma3-q4_0": ("gemma3_text", "gemma3", T.Q4_0, T.Q8_0)}


def gguf_name(name, norms):
    stem, kind = name.rsplit(".", 1)
    if not stem.startswith("model.layers."):
        return f"{GGUF_NAMES[stem]}.{kind}"
    _, _, layer, part = stem.split(".", 3)
    return f"blk.{layer}.{(GGUF_LAYER_NAMES | norms)[part]}.{kind}"


def pairs_together(weight, heads):
    """Rows of a head from (first half, second half) to pairs, as the llama architecture rotates them."""
    return weight.unflatten(0, (heads, 2, -1)).transpose(1, 2).reshape(weight.shape)


def pairs_apart(weight, heads):
    return weight.unflatten(0, (heads, -1, 2)).transpose(1, 2).reshape(weight.shape)


def write_gguf(writer, model, config, arch, ffn_type, other_type):
    """Adds the tensors and puts what they are after quantization back into the model."""
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads} if arch == "llama" else {}
    norm_offset = 1.0 if arch == "gemma3" else 0.0
    for name, weight in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        stored_name = gguf_name(name, GEMMA_NORMS if arch == "gemma3" else LLAMA_NORMS)
        if weight.dim() == 1:
            writer.add_tensor(stored_name, (weight + norm_offset).numpy())
            continue
        n_heads = heads.get(name.split(".")[-2])
        stored = pairs_together(weight, n_heads) if n_heads else weight
        kind = ffn_type if ".mlp." in name else other_type
        blocks = gguf.quants.quantize(stored.contiguous().numpy(), kind)
        writer.add_tensor(stored_name, blocks, raw_dtype=kind)
        values = torch.from_numpy(gguf.quants.dequantize(blocks, kind).astype("float32"))
        weight.copy_(pairs_apart(values, n_heads) if n_heads else values)


def write_metadata(writer, model, config, arch):
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    if arch == "llama":
        writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
        writer.add_rope_dimension_count(config.head_dim)
        plain = config.rope_parameters["rope_theta"] ** (-torch.arange(0, config.head_dim, 2) / config.head_dim)
        writer.add_tensor("rope_freqs.weight", (plain / model.model.rotary_emb.inv_freq).numpy())
    else:
        writer.add_rope_freq_base(config.rope_parameters[FULL]["rope_theta"])
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(config.rope_parameters[FULL]["factor"])
        writer.add_sliding_window(config.sliding_window)


@torch.no_grad()
def make_gguf(name):
    family, arch, ffn_type, other_type = GGUFS[name]
    # What only configurations can say is left at the architecture's own value.
    fixed = {"query_pre_attn_scalar": 16} if arch == "gemma3" else {}
    config = AutoConfig.for_model(family, **COMMON | FAMILIES[family] | {"intermediate_size": 32} | fixed)
    (OUT / "gguf").mkdir(parents=True, exist_ok=True)
    for generator in attempts():
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="eager").eval()
        fill(model, generator)
        model = model.float()
        writer = gguf.GGUFWriter(OUT / "gguf" / f"{name}.gguf", arch)
        write_metadata(writer, model, config, arch)
        write_gguf(writer, model, config, arch, ffn_type, other_type)
        tensors, margin = golden(model, lengths_of(config), generator)
        if margin >= MIN_MARGIN:
            break
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    save_file(tensors, OUT / "gguf" / f"{name}.golden.safetensors")
    print(f"{name}: margin {margin:.4f}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    wanted = sys.argv[1:] or [*FAMILIES, *GGUFS]
    for name in wanted:
        make_gguf(name) if name in GGUFS else make_folder(name)
