//! What the figures of a report are.

/// What each figure is, a line each.
pub const DEFINITIONS: [(&str, &str); 16] = [
    (
        "TTFT",
        "from the request to its first text at the reader, thinking included; of a cold start too, from when the model is loaded",
    ),
    (
        "TTFT's parts",
        "tokenize (template and encoding), queue, prefill, sample, detokenize, and emit: the way of the text to the reader, with the steps of first tokens that have no text",
    ),
    (
        "TTFO",
        "from the request to the first text that is not thinking",
    ),
    ("ITL", "every gap between two texts that arrive"),
    (
        "TPOT",
        "time per token after the first; the first token is excluded",
    ),
    (
        "prefill t/s",
        "prompt tokens that were computed, by the time from their first step to their logits; of a server by TTFT without the round trip",
    ),
    (
        "decode t/s",
        "1 / TPOT, of one answer; total t/s is of all that are made side by side, prefill included",
    ),
    ("answer", "from the request to the end of the answer"),
    (
        "load",
        "reading and packing the model; start is from the start of the process to the first text",
    ),
    (
        "RSS",
        "the most memory that the process had resident while the row was measured",
    ),
    (
        "device TPOT, prefill",
        "time by the device's clock from the beginning of a step on it to the step's last operation, with its share of TPOT and prefill; what is left of those is the program's",
    ),
    (
        "device MB",
        "memory of the device that is free no more since the model was about to be loaded",
    ),
    (
        "figures",
        "are medians; ± is half of the median's 95 % interval (bootstrap); percentiles are values that occurred",
    ),
    (
        "ratio",
        "of runs in turn with a peer's: speed here by the peer's, the median of all pairs",
    ),
    (
        "of memory, of compute",
        "the bytes that decoding must read, and the operations of prefill, by what the machine can do at most; weights that stay in a cache are read faster than memory",
    ),
    (
        "prompts",
        "are unique and the prefix cache is off, except for what depth puts there; answers have a fixed length, their end is ignored",
    ),
];
