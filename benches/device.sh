#!/bin/sh
# What ponder does on a GPU of NVIDIA's: checks and measurements, the most important first.
#
#   sh device.sh [REPORT]
#
# It runs in the folder that `cargo xtask device` fills (target/device), copied to any machine with a
# driver, and takes no Rust and no network. What every part says goes into a file of the folder REPORT
# (report); `summary.md` and `summary.json` there say what came of each. A part that fails, or that takes
# too long, ends itself and no other. All of it ends after MINUTES (10); SPACE is a folder with room for
# models (models, beside this file), 60 GB of it for all, and what is there already is not made again.
set -u
report=${1:-report}
mkdir -p "$report" || exit 2
report=$(cd "$report" && pwd)
cd "$(dirname "$0")" || exit 2
space=${SPACE:-$PWD/models}
end=$(($(date +%s) + 60 * ${MINUTES:-10} - 10))
# The models' tests look for their data in the folder of their crate, and the kernels run on a device.
export CARGO_MANIFEST_DIR="$PWD/tests" PONDER_DEVICE="${PONDER_DEVICE:-cuda}"

printf '# ponder on a GPU\n\n| part | outcome | s | last words |\n|---|---|---:|---|\n' >"$report/summary.md"
printf '[' >"$report/summary.json"
rm -f "$report/tables.md"
comma=
is_clean=0
has_driver=yes

note() { # part, outcome, seconds
    # What a part says in the end, or why it failed, without what Markdown and JSON have a meaning for.
    said="$report/$1.txt"
    words=$(grep -a -m 1 -e 'no NVIDIA driver' -e '^error' "$said" || grep -a -m 1 -A 1 'panicked at' "$said" | tail -n 1)
    [ "$2" = passed ] && words=
    [ -n "$words" ] || words=$(tail -n 1 "$said")
    words=$(printf %s "$words" | tr -cd ' -~' | tr -d '"\\|' | cut -c 1-300)
    printf '| %s | %s | %s | %s |\n' "$1" "$2" "$3" "$words" >>"$report/summary.md"
    printf '%s\n {"part": "%s", "outcome": "%s", "seconds": %s, "words": "%s"}' "$comma" "$1" "$2" "$3" "$words" >>"$report/summary.json"
    comma=,
    printf '%-24s %-10s %4s s  %s\n' "$1" "$2" "$3" "$words"
}

part() { # name, seconds at most, command...
    name=$1 most=$2
    shift 2
    began=$(date +%s)
    left=$((end - began))
    if [ -z "$has_driver" ]; then
        absent "$name" "no NVIDIA driver"
        return 1
    fi
    [ "$left" -lt "$most" ] && most=$left
    if [ "$most" -lt 2 ]; then
        absent "$name" "there was no time left"
        return 1
    fi
    timeout -k 5 "$most" "$@" >"$report/$name.txt" 2>&1
    code=$?
    case $code in
    0) outcome=passed ;;
    124 | 137) outcome="too long" ;;
    *) outcome="failed ($code)" ;;
    esac
    [ "$code" -eq 0 ] || is_clean=1
    note "$name" "$outcome" $(($(date +%s) - began))
    return "$code"
}

absent() { # part, what is not there
    echo "$2" >"$report/$1.txt"
    note "$1" skipped 0
}

measure() { # part, seconds at most, arguments of `ponder bench`...
    name=$1 most=$2
    shift 2
    part "$name" "$most" ./ponder bench --device "$PONDER_DEVICE" --gen-tokens 128 "$@" --markdown --save "$report/$name.json" || return
    printf '\n## %s\n\n' "$name" >>"$report/tables.md"
    # The headline, the tables and the notes; what figures mean is in the part's own file.
    sed -n '1,/^TTFT:/{/^TTFT:/!p}' "$report/$name.txt" >>"$report/tables.md"
}

# Others' programs print JSON, and what they say to people on standard error.
peer() { # part, seconds at most, command...
    name=$1 most=$2
    shift 2
    part "$name" "$most" sh -c 'exec "$@" >"$0"' "$report/$name.json" "$@"
}

# A model of this shape, in BF16: whole where its last file is there.
model() { # shape
    [ -d tokenizer ] || { absent "model-$1" "there is no tokenizer in this folder"; return 1; }
    [ -e "$space/$1/whole" ] && return 0
    rm -rf "${space:?}/$1"
    mkdir -p "$space"
    part "model-$1" 90 ./xtask model "$1" "$space/$1" tokenizer && touch "$space/$1/whole"
}

file() { # shape, type
    [ -e "$space/$1-$2.gguf" ] || part "quantize-$1-$2" 90 ./ponder quantize "$space/$1" "$space/$1-$2.gguf" --type "$2"
}

# What is there.
part machine 20 sh -c 'uname -a; nproc; nvidia-smi || echo "nvidia-smi is not there"; nvidia-smi -q -d CLOCK,POWER 2>/dev/null; ./ponder --version'

# 1. Does it compute what it should?
part device 60 ./device --test-threads=4
! grep -q 'no NVIDIA driver' "$report/device.txt" || has_driver=
part models 150 ./backend_cuda --test-threads=4
part kernels 150 ./ponder_kernels_cuda --test-threads=8

# 2. How fast is it, by what the device can do?
for shape in qwen3-0.6b qwen3-1.7b; do
    model "$shape"
    measure "bench-$shape-bf16" 60 -m "$space/$shape" --prompt-tokens 32,512,2048 --context 8192
done
export PONDER_PERSISTENT=0
measure bench-qwen3-0.6b-launches 45 -m "$space/qwen3-0.6b" --prompt-tokens 32 --context 8192
unset PONDER_PERSISTENT
model qwen3-8b
measure bench-qwen3-8b-bf16 90 -m "$space/qwen3-8b" --prompt-tokens 32,512,2048,8192 --runs 3 --context 24576
measure bench-qwen3-8b-depth 60 -m "$space/qwen3-8b" --prompt-tokens 32 --depth 16384 --runs 3 --context 24576
file qwen3-8b q4_k_m
measure bench-qwen3-8b-q4_k_m 60 -m "$space/qwen3-8b-q4_k_m.gguf" --prompt-tokens 32,512,2048 --context 8192

# 3. How fast are others on the same machine?
if python3 -c 'import torch, transformers' 2>/dev/null; then
    for shape in qwen3-1.7b qwen3-8b; do
        peer "torch-$shape" 120 python3 torch_bench.py "$space/$shape" -p 512 -n 128 -r 3
    done
else
    absent torch "python3 with torch and transformers is not there"
fi
llama_bench=${LLAMA_BENCH:-$(command -v llama-bench)}
if [ -n "$llama_bench" ]; then
    file qwen3-8b bf16
    for type in bf16 q4_k_m; do
        peer "llama-qwen3-8b-$type" 60 "$llama_bench" -m "$space/qwen3-8b-$type.gguf" -p 32,512,2048 -n 128 -ngl 99 -fa 1 -r 3 -o json -oe md
    done
else
    absent llama.cpp "llama-bench is not there (LLAMA_BENCH names one)"
fi

# 4. Does it touch only its own memory, and in an order that is one? Under the checker everything takes
# many times longer, so that some tests stand for all.
sanitizer=$(PATH=$PATH:/usr/local/cuda/bin command -v compute-sanitizer)
if [ -n "$sanitizer" ]; then
    part memcheck 120 "$sanitizer" --tool memcheck --error-exitcode 9 ./ponder_kernels_cuda --test-threads=1
    part racecheck 120 "$sanitizer" --tool racecheck --error-exitcode 9 ./ponder_kernels_cuda --test-threads=1 attention linear
    part memcheck-models 60 "$sanitizer" --tool memcheck --error-exitcode 9 ./backend_cuda --test-threads=1 fast_paths
else
    absent memcheck "compute-sanitizer is not there"
fi

printf '\n]\n' >>"$report/summary.json"
[ ! -e "$report/tables.md" ] || cat "$report/tables.md" >>"$report/summary.md"
echo "the report is in $report"
exit "$is_clean"
