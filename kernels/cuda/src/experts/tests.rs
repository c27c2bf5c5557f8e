use super::*;
use crate::testing::{Random, assert_close, download, download_words, upload};

/// The best experts of a row and their shares, best first.
fn chosen(logits: &[f32], top_k: usize, normalize: bool) -> Vec<(usize, f32)> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let total: f32 = logits.iter().map(|x| (x - largest).exp()).sum();
    let shares: Vec<f32> = logits.iter().map(|x| (x - largest).exp() / total).collect();
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|&a, &b| shares[b].total_cmp(&shares[a]));
    order.truncate(top_k);
    let sum = if normalize {
        order.iter().map(|&expert| shares[expert]).sum()
    } else {
        1.0
    };
    order
        .iter()
        .map(|&expert| (expert, shares[expert] / sum))
        .collect()
}

/// Experts that say `(expert + 1) * x`.
fn check(random: &mut Random, (n_rows, n_experts, top_k): (usize, usize, usize), normalize: bool) {
    let device = Device::for_tests();
    // Few values, so that many are equal.
    let logits: Vec<f32> = (0..n_rows * n_experts)
        .map(|_| random.below(9) as f32 / 2.0)
        .collect();
    let width = random.of(&[3, 8, 300]);
    let x = random.floats(n_rows * width);
    let rows: Vec<_> = logits
        .chunks(n_experts)
        .map(|row| chosen(row, top_k, normalize))
        .collect();

    let mut routing = Routing::new(&device, 2, n_experts, top_k).expect("there is memory");
    routing
        .route(&upload(&device, &logits), n_rows, normalize)
        .expect("it runs");
    let n_pairs = n_rows * top_k;
    assert_eq!(routing.n_pairs(), n_pairs);
    let got = download_words(&device, &routing.experts, n_pairs);
    let want: Vec<u32> = rows
        .iter()
        .flatten()
        .map(|&(expert, _)| expert as u32)
        .collect();
    assert_eq!(got, want);
    let shares: Vec<f32> = rows.iter().flatten().map(|&(_, share)| share).collect();
    assert_close(
        &download(&device, &routing.shares, n_pairs),
        &shares,
        1e-6,
        "shares",
    );

    let gathered = upload(&device, &vec![f32::NAN; n_pairs * width]);
    routing
        .gather(&upload(&device, &x), width, &gathered)
        .expect("it runs");
    let mut said = download(&device, &gathered, n_pairs * width);
    let ranges: Vec<_> = routing.ranges().expect("it runs").collect();
    assert_eq!(ranges.len(), n_experts);
    for (expert, range) in ranges.into_iter().enumerate() {
        let own = rows.iter().enumerate();
        let own = own.filter(|(_, row)| row.iter().any(|&(chosen, _)| chosen == expert));
        let want: Vec<f32> = own
            .flat_map(|(row, _)| &x[row * width..][..width])
            .copied()
            .collect();
        let part = &mut said[range.start * width..range.end * width];
        assert_eq!(part, want, "the rows of expert {expert}, in their order");
        part.iter_mut().for_each(|x| *x *= (expert + 1) as f32);
    }

    let out = upload(&device, &vec![f32::NAN; n_rows * width]);
    routing
        .sum(&upload(&device, &said), width, &out)
        .expect("it runs");
    let mut want = Vec::new();
    for (row, x) in rows.iter().zip(x.chunks(width)) {
        let factor: f32 = row
            .iter()
            .map(|&(expert, share)| share * (expert + 1) as f32)
            .sum();
        want.extend(x.iter().map(|x| x * factor));
    }
    assert_close(&download(&device, &out, want.len()), &want, 1e-5, "sums");
}

#[test]
fn rows_find_their_experts_and_back() {
    let mut random = Random(1);
    let sizes = [
        (1, 1, 1),
        (1, 8, 2),
        (7, 5, 5),
        (33, 4, 2),
        (3, 128, 8),
        (70, 33, 6),
        (9, 40, 32),
    ];
    for (i, sizes) in sizes.into_iter().enumerate() {
        check(&mut random, sizes, i % 2 == 0);
    }
}

#[test]
fn no_rows_have_no_experts() {
    let device = Device::for_tests();
    let mut routing = Routing::new(&device, 1, 4, 2).expect("there is memory");
    routing
        .route(&upload(&device, &[]), 0, true)
        .expect("it runs");
    assert!(
        routing
            .ranges()
            .expect("it runs")
            .all(|range| range == (0..0))
    );
}

#[test]
fn a_row_that_is_no_number_still_has_experts() {
    let device = Device::for_tests();
    let mut routing = Routing::new(&device, 1, 4, 2).expect("there is memory");
    let logits = upload(&device, &[f32::NAN; 4]);
    routing.route(&logits, 1, true).expect("it runs");
    assert_eq!(download_words(&device, &routing.experts, 2), [0, 1]);
    assert!(
        download(&device, &routing.shares, 2)
            .iter()
            .all(|share| share.is_nan())
    );
}
