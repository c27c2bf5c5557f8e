//! Tokens and how likely they were, in OpenAI's shapes.

use ponder_engine::{TokenChance, TokenReport};
use serde_json::{Value, json};

/// A logarithm that stands for "never": JSON has no infinity.
const LEAST: f32 = -9999.0;

/// An entry of `logprobs.content`.
pub(crate) fn of_chat(report: TokenReport) -> Value {
    let mut entry = chance(&report.token);
    entry["top_logprobs"] = report.top.iter().map(chance).collect();
    entry
}

fn chance(chance: &TokenChance) -> Value {
    json!({
        "token": text(chance),
        "logprob": logprob(chance),
        "bytes": chance.bytes,
    })
}

/// The token's text; a part of a character is shown as U+FFFD, its bytes say which.
pub(crate) fn text(chance: &TokenChance) -> String {
    String::from_utf8_lossy(&chance.bytes).into_owned()
}

/// The logarithm of the token's probability.
pub(crate) fn logprob(chance: &TokenChance) -> f32 {
    match chance.logprob.is_finite() {
        true => chance.logprob,
        false => LEAST,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_character_has_its_bytes() {
        let of = |bytes: &[u8], logprob| TokenChance {
            id: 1,
            bytes: bytes.to_vec(),
            logprob,
        };
        let entry = of_chat(TokenReport {
            token: of(b"a", -0.5),
            top: vec![of(b"a", -0.5), of(&[0xe2, 0x82], f32::NEG_INFINITY)],
            is_reasoning: false,
        });
        let expected = json!({
            "token": "a", "logprob": -0.5, "bytes": [97],
            "top_logprobs": [
                {"token": "a", "logprob": -0.5, "bytes": [97]},
                {"token": "\u{fffd}", "logprob": -9999.0, "bytes": [226, 130]},
            ],
        });
        assert_eq!(entry, expected);
    }
}
