//! Checks a SentencePiece `precompiled_charsmap` before the library walks it.
//!
//! The format is a little-endian u32 with the length in bytes of a Darts double array of
//! u32 units, that array, and replacement texts that end in NUL. The library trusts every
//! offset in it and panics, or allocates what the length says, on one that leads outside.

use base64::Engine as _;
use serde_json::Value;

use crate::TokenizerError;

/// Checks every `Precompiled` normalizer within the `normalizer` of `tokenizer.json`.
pub(super) fn check_normalizer(normalizer: &Value) -> Result<(), TokenizerError> {
    if let Some(normalizers) = normalizer.get("normalizers").and_then(Value::as_array) {
        return normalizers.iter().try_for_each(check_normalizer);
    }
    match normalizer
        .get("precompiled_charsmap")
        .and_then(Value::as_str)
    {
        None => Ok(()),
        Some(text) => {
            let bytes = base64::engine::general_purpose::STANDARD.decode(text);
            check(&bytes.map_err(|error| broken(&error.to_string()))?)
        }
    }
}

/// Follows every path of the double array, as any text could.
///
/// # Errors
/// When a path leads out of the array, or a replacement out of the texts.
pub(in crate::vocab) fn check(charsmap: &[u8]) -> Result<(), TokenizerError> {
    let (length, rest) = charsmap
        .split_first_chunk()
        .ok_or_else(|| broken("it is too short"))?;
    let length = u32::from_le_bytes(*length) as usize;
    let (array, texts) = rest
        .split_at_checked(length)
        .ok_or_else(|| broken("it is cut off"))?;
    let units: Vec<u32> = array
        .chunks_exact(4)
        .map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect();
    let texts = std::str::from_utf8(texts).map_err(|_| broken("its replacements are no UTF-8"))?;

    let root = *units.first().ok_or_else(|| broken("it is empty"))?;
    let mut seen = vec![false; units.len()];
    let mut bases = vec![offset(root)];
    while let Some(base) = bases.pop() {
        if base | 0xFF >= units.len() {
            return Err(broken("a state leads out of the array"));
        }
        for byte in 1..=0xFF {
            let child = base ^ byte;
            let unit = units[child];
            if unit & (1 << 31 | 0xFF) != byte as u32 || std::mem::replace(&mut seen[child], true) {
                continue;
            }
            let base = child ^ offset(unit);
            let is_leaf = unit >> 8 & 1 == 1;
            let text = units
                .get(base)
                .map_or(usize::MAX, |leaf| (leaf & !(1 << 31)) as usize);
            if is_leaf && !texts.is_char_boundary(text) {
                return Err(broken("a replacement lies outside of its texts"));
            }
            bases.push(base);
        }
    }
    Ok(())
}

/// How far a unit's children are from it, by exclusive or.
fn offset(unit: u32) -> usize {
    ((unit >> 10) << ((unit & (1 << 9)) >> 6)) as usize
}

fn broken(what: &str) -> TokenizerError {
    TokenizerError::vocabulary(format!("precompiled_charsmap: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One array of 256 units whose root has the single path `a`, replaced by the text at 0.
    fn charsmap(leaf: u32, texts: &[u8]) -> Vec<u8> {
        let mut units = [0u32; 256];
        units[usize::from(b'a')] = u32::from(b'a') | 1 << 8 | 1 << 10;
        units[usize::from(b'a' ^ 1)] = 1 << 31 | leaf;
        let mut bytes = (units.len() as u32 * 4).to_le_bytes().to_vec();
        bytes.extend(units.iter().flat_map(|unit| unit.to_le_bytes()));
        bytes.extend_from_slice(texts);
        bytes
    }

    #[test]
    fn a_sound_map_passes_and_works() {
        let bytes = charsmap(0, b"A\0");
        check(&bytes).unwrap();
        let library = tokenizers::normalizers::Precompiled::from(&bytes).unwrap();
        assert_eq!(library.normalize_string("banana"), "bAnAnA");
        let json = serde_json::json!({"type": "Sequence", "normalizers": [
            {"type": "Precompiled", "precompiled_charsmap": base64::engine::general_purpose::STANDARD.encode(&bytes)}]});
        check_normalizer(&json).unwrap();
    }

    #[test]
    fn broken_maps_are_errors() {
        assert!(
            check(&charsmap(9, b"A\0"))
                .unwrap_err()
                .to_string()
                .contains("outside of its texts")
        );
        assert!(check(&charsmap(1, "é\0".as_bytes())).is_err());
        assert!(check(&charsmap(0, b"\xff\0")).is_err());
        assert!(check(&[]).is_err());
        assert!(check(&[0, 0, 0, 0]).is_err());
        assert!(
            check(&[0xFF, 0xFF, 0xFF, 0xFF, 0])
                .unwrap_err()
                .to_string()
                .contains("cut off")
        );
        let mut far = charsmap(0, b"A\0");
        far[4..8].copy_from_slice(&(1u32 << 20).to_le_bytes());
        assert!(
            check(&far)
                .unwrap_err()
                .to_string()
                .contains("out of the array")
        );
    }
}
