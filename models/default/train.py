"""Makes the default model: lessons, vocabulary, training, and a folder that `ponder quantize` reads.

    models/default/train.sh

runs this with everything it needs. Every choice is seeded; training goes on where it was stopped.
"""

import argparse
import itertools
import json
import math
import os
import random
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import nn

from talk import talk

HERE = Path(__file__).parent
ROOT = HERE.parent.parent

# The shape of the model; Qwen3's architecture.
DIM, N_LAYERS, N_HEADS, N_KV_HEADS, HEAD_DIM, FFN_DIM = 192, 6, 4, 2, 64, 512
VOCAB, ROPE_THETA, EPS, CONTEXT = 640, 10_000.0, 1e-6, 1024

# The length of a row of lessons that are packed one after the other, and rows of a step.
ROW, BATCH = 384, 16

# Rounds of training: the step that ends each, its share of the learning rate, and the share that is
# taken of the questions of a kind; those that are learnt last come more often in the later rounds.
# Each falls to a rate of nothing in its last third.
ROUNDS = [
    (2400, 1.0, {}),
    (3300, 0.5, {"chain": 0.3, "story": 0.3}),
    (4600, 0.5, {"chain": 0.4, "story": 0.15, "compare": 0.7, "order": 0.7, "sort": 0.7}),
]

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>"]
# What ponder writes where it cuts a thought (models/chat/think.toml).
HAND_OVER = "\n\nI have to answer now.\n"
# How Qwen2 splits text: each digit is a token of its own.
SPLIT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LENGTHS = {"low": "short", "medium": "medium", "high": "long"}


def lessons(n, seed):
    """Lessons without end, from the generator that `ponder eval` asks its questions with (by default of seed 0)."""
    for seed in itertools.count(seed):
        command = ["cargo", "run", "--quiet", "--release", "-p", "ponder-tasks", "--example", "lessons", "--", str(seed), str(n)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            try:
                yield from map(json.loads, process.stdout)
            finally:
                process.kill()


def answer(lesson):
    return f"The answer is {lesson['answer']}."


def make_tokenizer(path):
    """Byte-level BPE with few merges: words of questions become tokens, made-up words stay in pieces."""
    tokenizer = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(SPLIT), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    draw = random.Random(0)

    def texts():
        for lesson in itertools.islice(lessons(20_000, 1), 20_000):
            # What a letter is must be seen, so words that are spelled teach no merges.
            if lesson["task"] != "letters":
                yield lesson["question"]
            yield "\n".join(line for line, _ in lesson["long"])
            yield answer(lesson)
        for _ in range(3_000):
            yield from talk(draw)
        yield from ["system user assistant Effort: none low medium high", HAND_OVER] * 2_000
        yield from ["How many times does the letter occur in the word Count the letter in are in"] * 2_000

    trainer = trainers.BpeTrainer(vocab_size=VOCAB - len(SPECIAL), initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator(texts(), trainer)
    tokenizer.add_special_tokens([AddedToken(text, special=True) for text in SPECIAL[:3]])
    tokenizer.add_tokens([AddedToken(text, special=False) for text in SPECIAL[3:]])
    assert tokenizer.get_vocab_size() <= VOCAB
    tokenizer.save(str(path))


class Writer:
    """Texts of a conversation as ids, and whether each id is to be learnt."""

    def __init__(self, tokenizer, draw):
        self.tokenizer, self.draw = tokenizer, draw
        self.cache = {}

    def ids(self, text):
        if text not in self.cache:
            if len(self.cache) > 200_000:
                self.cache.clear()
            self.cache[text] = self.tokenizer.encode(text).ids
        return self.cache[text]

    def conversation(self, lesson, earlier):
        draw = self.draw
        effort = draw.choices(["none", "low", "medium", "high"], [20, 25, 25, 30])[0]
        ids, learn = [], []

        def write(text, learnt=False):
            more = self.ids(text)
            ids.extend(more)
            learn.extend([learnt] * len(more))

        system = "You are a helpful assistant.\n" if draw.random() < 0.03 else ""
        write(f"<|im_start|>system\n{system}Effort: {effort}<|im_end|>\n")
        for question, reply in earlier:
            write(f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n{reply}<|im_end|>\n")
        question, lines, reply = lesson
        thinks = effort != "none"
        opened = "<think>\n" if thinks else "<think>\n\n</think>\n\n"
        write(f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n{opened}")
        if thinks:
            thought, learnt = [], []
            for line, is_right in lines(effort):
                more = self.ids(line + "\n")
                thought.extend(more)
                learnt.extend([is_right] * len(more))
            if draw.random() < 0.15:
                # Cut anywhere, as a budget cuts it.
                cut = draw.randrange(len(thought))
                ids.extend(thought[:cut])
                learn.extend(learnt[:cut])
                write(HAND_OVER)
                write("</think>\n\n")
            else:
                ids.extend(thought)
                learn.extend(learnt)
                write("</think>", True)
                write("\n\n", True)
        write(reply, True)
        write("<|im_end|>", True)
        return ids, learn


def conversations(tokenizer, seed, shares):
    """One conversation after the other, and what of it is to be learnt."""
    draw = random.Random(seed)
    writer = Writer(tokenizer, draw)
    source = (made for made in lessons(500_000, 1 + seed) if draw.random() < shares.get(made["task"], 1))
    earlier = []
    while True:
        if draw.random() < 0.06:
            prompt, reply, thought = talk(draw)
            lesson = prompt, lambda _, thought=thought: [(thought, True)], reply
        else:
            made = next(source)
            lesson = made["question"], lambda effort, made=made: made[LENGTHS[effort]], answer(made)
        yield writer.conversation(lesson, earlier)
        # Some go on with what was said before.
        earlier = [*earlier, (lesson[0], lesson[2])][-2:] if draw.random() < 0.08 else []


def batches(tokenizer, seed, shares):
    """Rows of whole conversations: ids, the number of the conversation and the place in it of each id, and targets."""
    waiting = conversations(tokenizer, seed, shares)
    while True:
        ids = np.zeros((BATCH, ROW), dtype=np.int64)
        place, document = np.zeros_like(ids), np.zeros_like(ids)
        target = np.full_like(ids, -100)
        used, number = [0] * BATCH, 0
        n_full = 0
        while n_full < 6:
            text, learn = next(waiting)
            length = len(text) - 1
            row = next((row for row in range(BATCH) if used[row] + length <= ROW), None)
            if row is None:
                n_full += 1
                continue
            number += 1
            at = slice(used[row], used[row] + length)
            ids[row, at] = text[:-1]
            place[row, at] = np.arange(length)
            document[row, at] = number
            target[row, at] = np.where(learn[1:], text[1:], -100)
            used[row] += length
        yield tuple(map(torch.from_numpy, (ids, place, document, target)))


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        linear = lambda a, b: nn.Linear(a, b, bias=False)
        self.input_layernorm, self.post_attention_layernorm = nn.RMSNorm(DIM, EPS), nn.RMSNorm(DIM, EPS)
        self.q_norm, self.k_norm = nn.RMSNorm(HEAD_DIM, EPS), nn.RMSNorm(HEAD_DIM, EPS)
        self.q_proj, self.o_proj = linear(DIM, N_HEADS * HEAD_DIM), linear(N_HEADS * HEAD_DIM, DIM)
        self.k_proj, self.v_proj = linear(DIM, N_KV_HEADS * HEAD_DIM), linear(DIM, N_KV_HEADS * HEAD_DIM)
        self.gate_proj, self.up_proj, self.down_proj = linear(DIM, FFN_DIM), linear(DIM, FFN_DIM), linear(FFN_DIM, DIM)

    def forward(self, x, rotation, mask):
        h = self.input_layernorm(x)  # [batch, row, dim]
        heads = lambda y, n: y.unflatten(-1, (n, HEAD_DIM))
        q = rotate(self.q_norm(heads(self.q_proj(h), N_HEADS)), rotation).transpose(1, 2)
        k = rotate(self.k_norm(heads(self.k_proj(h), N_KV_HEADS)), rotation).transpose(1, 2)
        v = heads(self.v_proj(h), N_KV_HEADS).transpose(1, 2)
        k, v = (y.repeat_interleave(N_HEADS // N_KV_HEADS, dim=1) for y in (k, v))
        h = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        x = x + self.o_proj(h.transpose(1, 2).flatten(2))
        h = self.post_attention_layernorm(x)
        return x + self.down_proj(F.silu(self.gate_proj(h)) * self.up_proj(h))


def rotate(x, rotation):
    cos, sin = rotation  # [batch, row, 1, head_dim / 2]
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1).to(x.dtype)


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed_tokens = nn.Embedding(VOCAB, DIM)
        self.layers = nn.ModuleList(Layer() for _ in range(N_LAYERS))
        self.norm = nn.RMSNorm(DIM, EPS)
        self.register_buffer("frequencies", ROPE_THETA ** (-torch.arange(0, HEAD_DIM, 2) / HEAD_DIM), persistent=False)
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                scale = 1 / math.sqrt(2 * N_LAYERS) if name.endswith(("o_proj.weight", "down_proj.weight")) else 1
                nn.init.normal_(weight, std=0.02 if "embed" in name else scale / math.sqrt(weight.shape[1]))

    def forward(self, ids, place, document, target):
        angles = (place[..., None] * self.frequencies)[:, :, None]
        rotation = angles.cos(), angles.sin()
        causal = torch.ones(ROW, ROW, dtype=torch.bool).tril()
        mask = ((document[:, :, None] == document[:, None, :]) & causal)[:, None]
        x = self.embed_tokens(ids)
        for layer in self.layers:
            x = layer(x, rotation, mask)
        # Only what is learnt needs logits.
        learnt = target != -100
        return F.cross_entropy(F.linear(self.norm(x)[learnt], self.embed_tokens.weight).float(), target[learnt])


def train(args, tokenizer):
    torch.manual_seed(0)
    model = Model()
    matrices = [weight for name, weight in model.named_parameters() if weight.dim() == 2 and "embed" not in name]
    others = [weight for name, weight in model.named_parameters() if weight.dim() != 2 or "embed" in name]
    optimizers = [
        torch.optim.Muon(matrices, lr=0.02, weight_decay=0.05, momentum=0.95, adjust_lr_fn="original"),
        torch.optim.AdamW(others, lr=0.004, betas=(0.9, 0.95), weight_decay=0.0, fused=True),
    ]
    rates = [optimizer.param_groups[0]["lr"] for optimizer in optimizers]
    step, checkpoint = 0, args.out / "checkpoint.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint)
        model.load_state_dict(state["model"])
        for optimizer, saved in zip(optimizers, state["optimizers"]):
            optimizer.load_state_dict(saved)
        step = state["step"]
        print(f"goes on at step {step}", flush=True)
    compiled = torch.compile(model)
    start, seen, mean, round_ = time.time(), 0, None, None
    while step < ROUNDS[-1][0]:
        first, (last, rate_share, shares) = next((a, b) for (a, *_), b in zip([(0,), *ROUNDS], ROUNDS) if step < b[0])
        if round_ != last:
            # A stream of lessons of its own for each start: what was seen does not come again.
            round_, source = last, batches(tokenizer, step, shares)
        batch = next(source)
        factor = rate_share * min(1, (step - first + 1) / 100, 3 * (last - step) / (last - first))
        for optimizer, rate in zip(optimizers, rates):
            optimizer.param_groups[0]["lr"] = rate * factor
        with torch.autocast("cpu", torch.bfloat16):
            loss = compiled(*batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        step += 1
        seen += int((batch[2] > 0).sum())
        mean = loss.item() if mean is None else 0.98 * mean + 0.02 * loss.item()
        if step % 20 == 0:
            print(f"step {step} loss {mean:.4f} {seen / (time.time() - start):.0f} tokens/s", flush=True)
        if step % 100 == 0:
            state = {"model": model.state_dict(), "optimizers": [optimizer.state_dict() for optimizer in optimizers], "step": step}
            torch.save(state, checkpoint.with_suffix(".new"))
            os.replace(checkpoint.with_suffix(".new"), checkpoint)
    return model


def export(args, model, tokenizer):
    """A folder in the layout of the hub."""
    folder = args.out / "model"
    folder.mkdir(exist_ok=True)
    tensors = {}
    for name, weight in model.state_dict().items():
        for part in ("q_proj", "k_proj", "v_proj", "o_proj", "q_norm", "k_norm"):
            name = name.replace(f".{part}.", f".self_attn.{part}.")
        for part in ("gate_proj", "up_proj", "down_proj"):
            name = name.replace(f".{part}.", f".mlp.{part}.")
        tensors["model." + name] = weight.float().contiguous()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    end, pad = (tokenizer.token_to_id(text) for text in ("<|im_end|>", "<|endoftext|>"))
    config = {
        "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "vocab_size": VOCAB, "hidden_size": DIM,
        "intermediate_size": FFN_DIM, "num_hidden_layers": N_LAYERS, "num_attention_heads": N_HEADS,
        "num_key_value_heads": N_KV_HEADS, "head_dim": HEAD_DIM, "hidden_act": "silu", "max_position_embeddings": CONTEXT,
        "rms_norm_eps": EPS, "rope_theta": ROPE_THETA, "tie_word_embeddings": True, "attention_bias": False,
        "eos_token_id": end, "pad_token_id": pad, "torch_dtype": "float32",
    }
    tokenizer_config = {
        "tokenizer_class": "Qwen2Tokenizer", "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>",
        "model_max_length": CONTEXT, "chat_template": (HERE / "template.jinja").read_text().rstrip("\n"),
    }
    tokenizer.save(str(folder / "tokenizer.json"))
    shutil.copy(HERE / "README.md", folder)
    for name, content in {"config.json": config, "tokenizer_config.json": tokenizer_config}.items():
        (folder / name).write_text(json.dumps(content, indent=2) + "\n")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    vocabulary = args.out / "tokenizer.json"
    if not vocabulary.exists():
        make_tokenizer(vocabulary)
    tokenizer = Tokenizer.from_file(str(vocabulary))
    export(args, train(args, tokenizer), tokenizer)


if __name__ == "__main__":
    main()
