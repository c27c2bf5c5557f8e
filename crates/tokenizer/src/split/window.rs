//! Looking for markers in text that is still arriving.

/// The first marker in `text`, the longest where several start there: its offset and index.
pub(super) fn find(text: &str, markers: &[&str]) -> Option<(usize, usize)> {
    let found = markers
        .iter()
        .enumerate()
        .filter(|(_, marker)| !marker.is_empty());
    let found = found.filter_map(|(i, marker)| text.find(marker).map(|at| (at, i)));
    found.min_by_key(|&(at, i)| (at, std::cmp::Reverse(markers[i].len())))
}

/// How much of the end of `text` may still become a marker: the length of its longest suffix
/// that a marker starts with.
pub(super) fn held_back(text: &str, markers: &[&str]) -> usize {
    let longest = markers.iter().map(|marker| marker.len()).max().unwrap_or(0);
    let from = text.len().saturating_sub(longest.saturating_sub(1));
    (from..text.len())
        .filter(|&at| text.is_char_boundary(at))
        .find(|&at| {
            let suffix = &text[at..];
            markers
                .iter()
                .any(|marker| marker.len() > suffix.len() && marker.starts_with(suffix))
        })
        .map_or(0, |at| text.len() - at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_are_found_and_awaited() {
        let markers = ["<a>", "<a>b", "</é>", ""];
        assert_eq!(find("x<a>b", &markers), Some((1, 1)));
        assert_eq!(find("x</é><a>", &markers), Some((1, 2)));
        assert_eq!(find("x<", &markers), None);
        assert_eq!(held_back("x<", &markers), 1);
        assert_eq!(held_back("é</é", &markers), 4);
        assert_eq!(held_back("x<b", &markers), 0);
        assert_eq!(held_back("", &markers), 0);
    }
}
