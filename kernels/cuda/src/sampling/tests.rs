use super::*;
use crate::testing::{Random, download, download_words, upload};

/// Tokens from the best to the worst.
fn sorted(logits: &[f32]) -> Vec<u32> {
    let mut order: Vec<u32> = (0..logits.len() as u32).collect();
    let key = |token: u32| {
        let logit = logits[token as usize];
        if logit.is_nan() {
            (1, 0.0)
        } else {
            (0, -logit)
        }
    };
    order.sort_by(|&a, &b| {
        key(a)
            .partial_cmp(&key(b))
            .expect("numbers")
            .then(a.cmp(&b))
    });
    order
}

fn check(search: &mut TokenSearch, rows: &[f32], n_tokens: usize, k: usize) {
    let device = search.device.clone();
    let n_rows = rows.len() / n_tokens;
    let memory = upload(&device, rows);
    let logits = Logits {
        memory: &memory,
        n_rows,
        n_tokens,
    };
    let want: Vec<Vec<u32>> = rows.chunks(n_tokens).map(sorted).collect();

    let best = upload(&device, &vec![0.0; n_rows]);
    search.argmax(&logits, &best).expect("it runs");
    let firsts: Vec<u32> = want.iter().map(|row| row[0]).collect();
    assert_eq!(download_words(&device, &best, n_rows), firsts);

    let [tokens, values] = [0, 1].map(|_| upload(&device, &vec![0.0; n_rows * k]));
    search.top_k(&logits, k, &tokens, &values).expect("it runs");
    let got = download_words(&device, &tokens, n_rows * k);
    let values = download(&device, &values, n_rows * k);
    for (row, want) in want.iter().enumerate() {
        let own = row * k..(row + 1) * k;
        assert_eq!(got[own.clone()], want[..k]);
        for (token, value) in want.iter().zip(&values[own]) {
            let logit = rows[row * n_tokens + *token as usize];
            assert_eq!(value.to_bits(), logit.to_bits());
        }
    }
}

#[test]
fn the_best_tokens_are_found() {
    let mut search = TokenSearch::new(&Device::emulated()).expect("there is memory");
    let mut random = Random(1);
    for (n_rows, n_tokens, k) in [
        (1, 1, 1),
        (3, 40, 40),
        (2, 2048, 7),
        (2, 2049, 64),
        (1, 30_000, 256),
        (2, 9000, 1),
    ] {
        let rows = random.floats(n_rows * n_tokens);
        check(&mut search, &rows, n_tokens, k);
    }
}

#[test]
fn of_equals_the_lower_token_comes_first() {
    let mut search = TokenSearch::new(&Device::emulated()).expect("there is memory");
    let mut random = Random(2);
    let few = [
        0.0,
        -0.0,
        1.5,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::NAN,
        -f32::NAN,
        -2.0,
        f32::MIN_POSITIVE / 2.0,
    ];
    for n_tokens in [10, 5000] {
        let rows: Vec<f32> = (0..2 * n_tokens).map(|_| random.of(&few)).collect();
        check(&mut search, &rows, n_tokens, 10);
    }
    check(&mut search, &[f32::NAN; 10], 10, 3);
    check(&mut search, &[f32::NEG_INFINITY; 5000], 5000, 3);
}
