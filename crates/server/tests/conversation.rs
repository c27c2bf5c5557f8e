//! A conversation of many turns computes of each prompt only what is new, and says the same as it would
//! without that.

mod support;

use serde_json::{Value, json};
use support::{Running, start};

const TURNS: usize = 10;

/// Tokens of a block, the grain in which what was computed is found again.
const BLOCK: u64 = 32;

/// Answers of a conversation, with what each prompt had and found, and what the answers were long.
async fn talk(
    server: &Running,
    system: &str,
    cache_prompt: bool,
    keep: bool,
) -> Vec<(Value, [u64; 3])> {
    let mut messages = vec![json!({"role": "system", "content": system})];
    let mut turns = Vec::new();
    for turn in 0..TURNS {
        let question = format!("What is {} + {}?", 12 + turn, 30 + 2 * turn);
        messages.push(json!({"role": "user", "content": question}));
        let body = json!({
            "messages": messages,
            "temperature": 0,
            "reasoning_effort": "low",
            "max_completion_tokens": 40,
            "cache_prompt": cache_prompt,
        });
        let answer = server.ask("/v1/chat/completions", &body).await;
        let said = &answer["choices"][0]["message"];
        let mut message = json!({"role": "assistant", "content": said["content"]});
        if keep {
            message["reasoning_content"] = said["reasoning_content"].clone();
        }
        messages.push(message);
        let usage = &answer["usage"];
        let cached = &usage["prompt_tokens_details"]["cached_tokens"];
        let counts = [&usage["prompt_tokens"], cached, &usage["completion_tokens"]];
        let counts = counts.map(|count| count.as_u64().expect("a count"));
        turns.push((said.clone(), counts));
    }
    turns
}

#[tokio::test(flavor = "multi_thread")]
async fn later_turns_compute_what_is_new() {
    let server = start().await;
    for keep in [false, true] {
        let system = format!("Be brief. Thoughts are kept: {keep}.");
        let with = talk(&server, &system, true, keep).await;
        let without = talk(&server, &system, false, keep).await;
        for (turn, pair) in with.windows(2).enumerate() {
            let ([before, _, said], [prompt, cached, _]) = (pair[0].1, pair[1].1);
            // Behind the earlier prompt the answer comes again, as the template writes it in a history,
            // which may be without its thought. Of both the last block may be begun only.
            let new = prompt - before;
            assert!(
                prompt - cached <= new + BLOCK,
                "turn {turn}, kept: {keep}: {prompt}, {cached}"
            );
            assert!(said > 0 && new > 0);
        }
        for (turn, (with, without)) in with.iter().zip(&without).enumerate() {
            assert_eq!(with.0, without.0, "turn {turn} says the same");
            assert_eq!((with.1[0], without.1[1]), (without.1[0], 0));
        }
    }
}
