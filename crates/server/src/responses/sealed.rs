//! Thoughts as clients carry them that keep nothing but `encrypted_content`.
//!
//! There is nothing to hide: the thought lies openly beside it. It is only packed, so that such clients
//! can send it back with the next request.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

/// What every packed thought begins with.
const MARK: &str = "ponder1.";

/// Packs a thought.
pub(super) fn seal(text: &str) -> String {
    format!("{MARK}{}", STANDARD_NO_PAD.encode(text))
}

/// The thought in what [`seal`] gave; `None` for anything else.
pub(super) fn open(sealed: &str) -> Option<String> {
    let bytes = STANDARD_NO_PAD.decode(sealed.strip_prefix(MARK)?).ok()?;
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packed_thought_comes_back() {
        for text in ["", "a", "2 × 3 = 6\n"] {
            assert_eq!(open(&seal(text)).as_deref(), Some(text));
        }
        for other in ["", "gAAAA", "ponder1.%", "ponder1./w"] {
            assert_eq!(open(other), None);
        }
    }
}
