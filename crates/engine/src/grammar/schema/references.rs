//! References inside a schema.

use std::collections::HashSet;

use crate::EngineError;

/// Places in a schema, and what refers to places.
#[derive(Debug, Default)]
pub(super) struct References {
    places: HashSet<String>,
    targets: Vec<(String, String)>,
    one_of: Option<String>,
}

impl References {
    pub(super) fn add_place(&mut self, path: &[String]) {
        self.places.insert(pointer(path));
    }

    pub(super) fn add(&mut self, path: &[String], target: String) {
        self.targets.push((pointer(path), target));
    }

    pub(super) fn add_one_of(&mut self, path: &[String]) {
        self.one_of.get_or_insert_with(|| pointer(path));
    }

    pub(super) fn first_one_of(self) -> Option<String> {
        self.one_of
    }

    /// Refuses what refers to a place where no schema stands. Names (`#name`) are looked up by the
    /// library.
    pub(super) fn check(&self) -> Result<(), EngineError> {
        for (place, target) in &self.targets {
            let is_pointer = target == "#" || target.starts_with("#/");
            let steps = target.split('/').skip(1).map(decoded);
            if is_pointer && !self.places.contains(&pointer(&steps.collect::<Vec<_>>())) {
                return Err(EngineError::Format(format!(
                    "JSON schema, `$ref` at `{place}`: there is no schema at `{target}`"
                )));
            }
        }
        Ok(())
    }
}

/// A path as a JSON pointer in a fragment.
pub(super) fn pointer(path: &[String]) -> String {
    let escaped = path
        .iter()
        .map(|step| format!("/{}", step.replace('~', "~0").replace('/', "~1")));
    std::iter::once("#".to_owned()).chain(escaped).collect()
}

/// A step of a pointer as it is meant.
fn decoded(step: &str) -> String {
    let bytes = step.as_bytes();
    let mut text = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = step.get(at + 1..at + 3);
        let code = code.and_then(|code| u8::from_str_radix(code, 16).ok());
        match (bytes[at], code) {
            (b'%', Some(code)) => {
                text.push(code);
                at += 3;
            }
            (byte, _) => {
                text.push(byte);
                at += 1;
            }
        }
    }
    let text = String::from_utf8_lossy(&text);
    text.replace("~1", "/").replace("~0", "~")
}
