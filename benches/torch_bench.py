#!/usr/bin/env python3
"""A model in PyTorch, measured as `llama-bench -o json` measures one: what `ponder bench --vs` can ask.

    python3 benches/torch_bench.py FOLDER -p 128 -n 64 -d 0 -r 5
    ponder bench -m FOLDER --vs "python3 benches/torch_bench.py {model} -p {prompt} -n {gen} -d {depth} -r 1"

It is transformers' model with a static cache; the prompt and the step of one token are compiled, the
latter with CUDA graphs. Tokens are chosen greedily and each is waited for, as somebody waits who reads
them. Standard output has the tests in JSON, standard error TTFT and TPOT. It takes PyTorch,
transformers 5 or newer, and nothing of ponder's.
"""

import argparse
import json
import statistics
import sys
import time

import torch
import transformers
from transformers import AutoModelForCausalLM, StaticCache


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="folder with config.json and weights of safetensors")
    parser.add_argument("-p", "--n-prompt", type=int, default=128, help="tokens of the prompt")
    parser.add_argument("-n", "--n-gen", type=int, default=64, help="tokens after the first")
    parser.add_argument("-d", "--n-depth", type=int, default=0, help="tokens that are in the cache before")
    parser.add_argument("-r", "--repetitions", type=int, default=5, help="runs that count")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--no-compile", action="store_true", help="run the model's operations one by one")
    args = parser.parse_args()
    if min(args.n_prompt, args.n_gen, args.repetitions) < 1 or args.n_depth < 0:
        parser.error("there is nothing to measure")
    if args.device.startswith("cuda") and not torch.cuda.is_available():
        parser.error("PyTorch finds no device of NVIDIA's; --device cpu runs on the processor")
    return args


class Bench:
    """A loaded model with its cache."""

    def __init__(self, args):
        self.args = args
        dtype = torch.bfloat16
        model = AutoModelForCausalLM.from_pretrained(args.model, dtype=dtype, attn_implementation="sdpa")
        self.model = model.to(args.device).eval()
        n_tokens = args.n_depth + args.n_prompt + args.n_gen + 1
        self.cache = StaticCache(config=self.model.config, max_cache_len=n_tokens)
        self.prefill = self.decode = self.next_token
        if not args.no_compile:
            self.prefill = torch.compile(self.next_token, fullgraph=True, dynamic=False)
            mode = "reduce-overhead" if args.device.startswith("cuda") else "default"
            self.decode = torch.compile(self.next_token, fullgraph=True, dynamic=False, mode=mode)
        # The cache takes its memory in the first call, which cannot be compiled with it.
        self.next_token(self.noise(1))

    def next_token(self, tokens):
        output = self.model(input_ids=tokens, past_key_values=self.cache, logits_to_keep=1)
        return output.logits[:, -1:].argmax(-1)

    def noise(self, n):
        return torch.randint(self.model.config.vocab_size, (1, n), device=self.args.device)

    @torch.inference_mode()
    def run(self):
        """Seconds to the first token, and for each one after it."""
        args = self.args
        self.cache.reset()
        if args.n_depth > 0:
            self.next_token(self.noise(args.n_depth)).item()
        prompt = self.noise(args.n_prompt)
        # What was asked for before must not be waited for in what is timed.
        prompt.sum().item()
        began = time.perf_counter()
        token = self.prefill(prompt)
        token.item()
        first = time.perf_counter()
        for _ in range(args.n_gen):
            torch.compiler.cudagraph_mark_step_begin()
            # The graph writes its output to the same place each time.
            token = self.decode(token).clone()
            token.item()
        return first - began, (time.perf_counter() - first) / args.n_gen


def main():
    args = arguments()
    with torch.inference_mode():
        bench = Bench(args)
    began = time.perf_counter()
    # Compiling, recording graphs, and once as it will be.
    for _ in range(3):
        bench.run()
    print(f"ready after {time.perf_counter() - began:.1f} s of warming up", file=sys.stderr)
    runs = [bench.run() for _ in range(args.repetitions)]
    ttft, tpot = (statistics.median(times) for times in zip(*runs))
    print(f"TTFT {1000 * ttft:.3f} ms, TPOT {1000 * tpot:.4f} ms (medians of {len(runs)})", file=sys.stderr)
    about = {
        "build": f"torch {torch.__version__}, transformers {transformers.__version__}",
        "gpu_info": torch.cuda.get_device_name() if args.device.startswith("cuda") else "",
        "model_filename": args.model,
        "n_depth": args.n_depth,
    }
    prompt = {"n_prompt": args.n_prompt, "n_gen": 0, "avg_ts": args.n_prompt / ttft, "ttft_ms": 1000 * ttft}
    answer = {"n_prompt": 0, "n_gen": args.n_gen, "avg_ts": 1 / tpot, "tpot_ms": 1000 * tpot}
    json.dump([{**about, **prompt}, {**about, **answer}], sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
