#!/bin/sh
# Makes models/default/model.gguf from nothing: lessons, vocabulary, training, export. What it needs
# beside Rust and Python comes from the package registry; it goes on where it was stopped.
set -eu
cd "$(dirname "$0")/../.."
out=target/default
python=$out/venv/bin/python
if [ ! -x $python ]; then
    python3 -m venv $out/venv
    $python -m pip install --requirement models/default/requirements.txt
fi
$python models/default/train.py --out $out "$@"
cargo run --release --bin ponder -- quantize $out/model models/default/model.gguf --type q8_0 --force
