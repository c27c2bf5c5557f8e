#!/bin/sh
# How much decoding slows down beside a process that keeps one core busy.
#
#   benches/fairness.sh MODEL.gguf THREADS [LLAMA_BENCH]
#
# With as many threads as cores, the other process has as much right to a core as one of ours: on
# two cores three want to run, so that each has two thirds of one, and a decoder that loses no more
# than its share keeps 0.67 of its speed. One whose threads wait for each other keeps less.
set -eu
model=$1 threads=$2 llama_bench=${3:-} tokens=${TOKENS:-64} runs=${RUNS:-3}
ponder=${PONDER:-target/release/ponder}

median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

ponder_tps() {
    for _ in $(seq "$runs"); do
        "$ponder" run -m "$model" --threads "$threads" --max-tokens "$tokens" --temperature 0 \
            --context 1024 --no-prompt-lookup --json "Count." |
            sed 's/.*"decode_tps":\([0-9.]*\).*/\1/'
    done | median
}

llama_tps() {
    "$llama_bench" -m "$model" -t "$threads" -p 0 -n "$tokens" -r "$runs" -o csv 2>/dev/null |
        tail -1 | tr -d '"' | awk -F, '{ print $(NF - 1) }'
}

row() { # name, command
    alone=$($2)
    sha256sum /dev/zero &
    other=$!
    beside=$($2)
    kill "$other"
    echo "$1 $alone $beside" | awk '{ printf "%-10s %8.1f alone %8.1f beside %6.2f kept\n", $1, $2, $3, $3 / $2 }'
}

row ponder ponder_tps
[ -z "$llama_bench" ] || row llama.cpp llama_tps
