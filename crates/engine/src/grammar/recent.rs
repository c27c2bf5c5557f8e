//! What was compiled lately.

/// Compiled things by what they were compiled from; the one that was used longest ago goes first.
#[derive(Debug)]
pub(super) struct Recent<T> {
    /// The last one was used last.
    entries: Vec<(String, T)>,
    capacity: usize,
}

impl<T: Clone> Recent<T> {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            entries: Vec::new(),
            capacity,
        }
    }

    pub(super) fn get(&mut self, key: &str) -> Option<T> {
        let at = self.entries.iter().position(|(known, _)| known == key)?;
        let entry = self.entries.remove(at);
        let value = entry.1.clone();
        self.entries.push(entry);
        Some(value)
    }

    pub(super) fn insert(&mut self, key: String, value: T) {
        self.entries.retain(|(known, _)| *known != key);
        if self.entries.len() == self.capacity {
            self.entries.remove(0);
        }
        self.entries.push((key, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_longest_ago_goes() {
        let mut recent = Recent::new(2);
        recent.insert("a".to_owned(), 1);
        recent.insert("b".to_owned(), 2);
        assert_eq!(recent.get("a"), Some(1));
        recent.insert("c".to_owned(), 3);
        assert_eq!(
            (recent.get("a"), recent.get("b"), recent.get("c")),
            (Some(1), None, Some(3))
        );
        recent.insert("a".to_owned(), 4);
        assert_eq!((recent.get("a"), recent.get("c")), (Some(4), Some(3)));
    }
}
