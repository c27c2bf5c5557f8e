//! Stop strings on random cuts equal a search through the whole text.

use ponder_effort::StopStrings;
use proptest::prelude::*;

/// The match that ends first, the longest of those: `(start, index)`.
fn whole_search(text: &str, stops: &[String]) -> Option<(usize, usize)> {
    (1..=text.len()).find_map(|end| {
        (0..stops.len())
            .filter(|&i| text.as_bytes()[..end].ends_with(stops[i].as_bytes()))
            .max_by_key(|&i| (stops[i].len(), std::cmp::Reverse(i)))
            .map(|i| (end - stops[i].len(), i))
    })
}

/// The longest end of `text` that some stop string begins with.
fn must_hold(text: &str, stops: &[String]) -> usize {
    let begins = |at: usize| {
        stops
            .iter()
            .any(|s| s.as_bytes().starts_with(&text.as_bytes()[at..]))
    };
    (0..text.len())
        .find(|&at| begins(at))
        .map_or(0, |at| text.len() - at)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_cut_equals_the_whole_search(
        pieces in prop::collection::vec("[abéè]{0,4}", 0..12),
        stops in prop::collection::vec("[abéè]{1,5}", 0..4),
    ) {
        let text = pieces.concat();
        let mut stream = StopStrings::new(&stops).unwrap();
        let (mut shown, mut read, mut stop) = (String::new(), String::new(), None);
        for piece in &pieces {
            let emitted = stream.push(piece);
            shown += emitted.text;
            stop = emitted.stop;
            read += piece;
            if stop.is_none() {
                prop_assert_eq!(read.len() - shown.len(), must_hold(&read, &stops));
            }
        }
        shown += stream.finish();
        match whole_search(&text, &stops) {
            Some((start, index)) => {
                prop_assert_eq!(&shown, &text[..start]);
                prop_assert_eq!(stop, Some(index));
            }
            None => {
                prop_assert_eq!(&shown, &text);
                prop_assert_eq!(stop, None);
            }
        }
    }
}
