//! What can be said without the sampler of the host; `tests/tests/draws_cuda.rs` compares the two.

use super::*;
use crate::testing::{Random, upload};

const PLAIN: Draw<'static> = Draw {
    row: 0,
    mask: None,
    repetition: 1.0,
    presence: 0.0,
    frequency: 0.0,
    seen: &[],
    added: &[],
    raised: None,
    sharpness: f32::INFINITY,
    top_k: 0,
    top_p: 1.0,
    min_p: 0.0,
    number: 0.0,
    likeliest: None,
};

fn draw(rows: &[f32], n_tokens: usize, draws: &[Draw<'_>]) -> Vec<Option<u32>> {
    let device = Device::for_tests();
    let mut drawing = Drawing::new(&device).expect("there is memory");
    let memory = upload(&device, rows);
    let logits = Logits {
        memory: &memory,
        n_rows: rows.len() / n_tokens,
        n_tokens,
    };
    let mut tokens = Vec::new();
    for draw in draws {
        assert!(drawing.push(draw, n_tokens));
    }
    let each = |drawn: Option<DrawnToken>| tokens.push(drawn.map(|drawn| drawn.token));
    drawing.run(&logits, each).expect("it runs");
    assert_eq!(tokens.len(), draws.len());
    tokens
}

#[test]
fn the_likeliest_token_is_the_lowest_of_equals() {
    let mut random = Random(1);
    let few = [0.0, -0.0, 1.5, -2.0, f32::MIN, f32::MIN_POSITIVE / 2.0];
    for n_tokens in [1, 31, 33, 5000] {
        let rows: Vec<f32> = (0..2 * n_tokens).map(|_| random.of(&few)).collect();
        let draws = [1, 0].map(|row| Draw { row, ..PLAIN });
        let want = [1, 0].map(|row| {
            let row = &rows[row * n_tokens..][..n_tokens];
            let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            row.iter().position(|&logit| logit == max)
        });
        let got = draw(&rows, n_tokens, &draws);
        assert_eq!(got, want.map(|token| token.map(|token| token as u32)));
    }
}

#[test]
fn a_row_that_is_no_row_is_for_the_host() {
    for broken in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut rows = vec![1.0; 3 * 2000];
        rows[2000 + 1999] = broken;
        let draws = [0, 1, 2].map(|row| Draw { row, ..PLAIN });
        assert_eq!(draw(&rows, 2000, &draws), [Some(0), None, Some(0)]);
    }
}

#[test]
fn what_has_no_room_is_for_the_host() {
    let sharp = Draw {
        sharpness: 1.0,
        ..PLAIN
    };
    let equals = Draw { top_k: 5, ..sharp };
    assert_eq!(
        draw(&[1.0; 3000], 3000, &[equals]),
        [None],
        "too many equals"
    );
    let mask = [0; 94];
    let nothing = Draw {
        mask: Some(&mask),
        ..sharp
    };
    assert_eq!(draw(&[1.0; 3000], 3000, &[nothing]), [None]);
    let mut drawing = Drawing::new(&Device::for_tests()).expect("there is memory");
    let many = Draw {
        top_k: 2049,
        ..sharp
    };
    assert!(!drawing.push(&many, 3000));
    assert!(!drawing.push(&sharp, (1 << 20) + 1));
}

#[test]
fn nothing_to_draw_is_soon_drawn() {
    assert_eq!(draw(&[1.0; 8], 8, &[]), []);
}
