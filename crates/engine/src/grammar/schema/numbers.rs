//! Numbers in schemas: the library counts in 64-bit floats.

use serde_json::{Map, Number, Value, json};

use super::references::pointer;
use crate::EngineError;

/// Whole numbers up to here are floats exactly.
const MAX: f64 = (1u64 << 53) as f64;

/// Whether a number is the same as a float.
pub(super) fn is_exact(number: &Number) -> bool {
    if let Some(n) = number.as_u64() {
        return n <= MAX as u64;
    }
    match number.as_i64() {
        Some(n) => n.unsigned_abs() <= MAX as u64,
        None => number.as_f64().is_some_and(|n| n.abs() <= MAX),
    }
}

/// Draws limits in to where numbers are exact. The keyword of a limit that leaves nothing of that
/// is the error.
pub(super) fn clamp(map: &mut Map<String, Value>) -> Result<(), &'static str> {
    for (keyword, sign) in [
        ("minimum", 1.0),
        ("exclusiveMinimum", 1.0),
        ("maximum", -1.0),
        ("exclusiveMaximum", -1.0),
    ] {
        let Some(limit) = map.get(keyword).and_then(Value::as_f64) else {
            continue;
        };
        if limit * sign > MAX {
            return Err(keyword);
        }
        if limit * sign < -MAX {
            map.insert(keyword.to_owned(), json!(-MAX * sign));
        }
    }
    Ok(())
}

/// The `multipleOf` of a schema, which are multiplied where several hold at once.
#[derive(Debug, Default)]
pub(super) struct Multiples {
    /// Each as a coefficient and its digits behind the point, with its place.
    found: Vec<(u64, u32, String)>,
}

impl Multiples {
    pub(super) fn add(&mut self, map: &Map<String, Value>, path: &[String]) {
        let Some(mut value) = map.get("multipleOf").and_then(Value::as_f64) else {
            return;
        };
        let mut n_digits = 0;
        while value.fract() != 0.0 && n_digits < 20 {
            value *= 10.0;
            n_digits += 1;
        }
        self.found
            .push((value.abs() as u64, n_digits, pointer(path)));
    }

    /// Refuses those that are too large to be combined.
    pub(super) fn check(&self) -> Result<(), EngineError> {
        let most_digits = self.found.iter().map(|&(_, n, _)| n).max().unwrap_or(0);
        let mut scaled: Vec<(u64, &str)> = self
            .found
            .iter()
            .map(|(value, n, place)| {
                let scale = 10u64.saturating_pow(most_digits - n);
                (value.saturating_mul(scale), place.as_str())
            })
            .collect();
        scaled.sort_unstable();
        scaled.dedup_by_key(|&mut (value, _)| value);
        if let [.., (second, _), (first, place)] = scaled[..]
            && first.saturating_mul(second) > u64::from(u32::MAX)
        {
            return Err(EngineError::Format(format!(
                "JSON schema, `multipleOf` at `{place}`: too large or too fine beside another one in the same schema"
            )));
        }
        Ok(())
    }
}
