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

/// The tiles that routing made: expert, and the pairs of each.
fn tiles(device: &Device, routing: &Routing) -> Vec<(usize, Vec<usize>)> {
    let tiles = download_words(device, &routing.tiles, 4 * routing.n_tiles());
    let order = download_words(device, &routing.order, routing.n_pairs());
    let pair = |place: usize| match routing.tile() {
        1 => place,
        _ => order[place] as usize,
    };
    let tiles = tiles.chunks(4).filter(|tile| tile[2] > 0);
    let pairs = |tile: &[u32]| (tile[1]..tile[1] + tile[2]).map(|place| pair(place as usize));
    tiles
        .map(|tile| (tile[0] as usize, pairs(tile).collect()))
        .collect()
}

/// The same, by a plain way.
fn expected_tiles(experts: &[usize], n_experts: usize, size: usize) -> Vec<(usize, Vec<usize>)> {
    if size == 1 {
        let pairs = experts.iter().enumerate();
        return pairs.map(|(pair, &expert)| (expert, vec![pair])).collect();
    }
    let mut all = Vec::new();
    for expert in 0..n_experts {
        let own: Vec<usize> = (0..experts.len())
            .filter(|&pair| experts[pair] == expert)
            .collect();
        all.extend(own.chunks(size).map(|pairs| (expert, pairs.to_vec())));
    }
    all
}

/// Routes rows, and lets each pair say `(expert + 1) * x`.
fn check(random: &mut Random, sizes: [usize; 3], tile: usize, normalize: bool) {
    let [n_rows, n_experts, top_k] = sizes;
    let what = format!("{sizes:?}, tiles of {tile}");
    let device = Device::for_tests();
    // Few values, so that many are equal.
    let logits: Vec<f32> = (0..n_rows * n_experts)
        .map(|_| random.below(9) as f32 / 2.0)
        .collect();
    let rows: Vec<_> = logits
        .chunks(n_experts)
        .map(|row| chosen(row, top_k, normalize))
        .collect();

    let mut routing = Routing::new(&device, 2, n_experts, top_k).expect("there is memory");
    routing
        .route(&upload(&device, &logits), n_rows, normalize, tile)
        .expect("it runs");
    let n_pairs = n_rows * top_k;
    assert_eq!(routing.n_pairs(), n_pairs);
    let got = download_words(&device, &routing.experts, n_pairs);
    let experts: Vec<usize> = rows.iter().flatten().map(|&(expert, _)| expert).collect();
    assert!(
        got.iter()
            .map(|&expert| expert as usize)
            .eq(experts.iter().copied()),
        "{what}: {got:?}, not {experts:?}"
    );
    let shares: Vec<f32> = rows.iter().flatten().map(|&(_, share)| share).collect();
    let got = download(&device, &routing.shares, n_pairs);
    assert_close(&got, &shares, 1e-6, &what);
    let expected = expected_tiles(&experts, n_experts, tile);
    assert_eq!(tiles(&device, &routing), expected, "{what}");

    let width = random.of(&[3, 8, 300]);
    let x = random.floats(n_rows * width);
    let of_pair = |pair: usize| &x[pair / top_k * width..][..width];
    let said: Vec<f32> = (0..n_pairs)
        .flat_map(|pair| of_pair(pair).iter().map(move |x| (pair, x)))
        .map(|(pair, x)| x * (experts[pair] + 1) as f32)
        .collect();
    let mut want = Vec::new();
    for (row, x) in rows.iter().zip(x.chunks(width)) {
        let factors = row
            .iter()
            .map(|&(expert, share)| share * (expert + 1) as f32);
        let factor: f32 = factors.sum();
        want.extend(x.iter().map(|x| x * factor));
    }
    let said = upload(&device, &said);
    for adds in [false, true] {
        let before = match adds {
            true => random.floats(n_rows * width),
            false => vec![f32::NAN; n_rows * width],
        };
        let out = upload(&device, &before);
        routing.sum(&said, width, &out, adds).expect("it runs");
        let got = download(&device, &out, want.len());
        let want = want.iter().zip(&before);
        let want: Vec<f32> = want
            .map(|(sum, before)| if adds { before + sum } else { *sum })
            .collect();
        assert_close(&got, &want, 1e-5, &what);
    }
}

#[test]
fn rows_find_their_experts_and_back() {
    let mut random = Random(1);
    let sizes = [
        [1, 1, 1],
        [1, 8, 2],
        [7, 5, 5],
        [33, 4, 2],
        [3, 128, 8],
        [70, 33, 6],
        [9, 40, 32],
    ];
    for (i, sizes) in sizes.into_iter().enumerate() {
        for tile in [1, 2, 8, 32] {
            check(&mut random, sizes, tile, i % 2 == 0);
        }
    }
}

#[test]
fn one_expert_may_have_all_rows() {
    let device = Device::for_tests();
    let mut routing = Routing::new(&device, 1, 6, 1).expect("there is memory");
    let one: Vec<f32> = (0..9 * 6).map(|i| f32::from(i % 6 == 4)).collect();
    routing
        .route(&upload(&device, &one), 9, true, 4)
        .expect("it runs");
    let expected = [(4, vec![0, 1, 2, 3]), (4, vec![4, 5, 6, 7]), (4, vec![8])];
    assert_eq!(tiles(&device, &routing), expected);
}

#[test]
fn no_rows_have_no_experts() {
    let device = Device::for_tests();
    let mut routing = Routing::new(&device, 0, 4, 2).expect("there is memory");
    for tile in [1, 8] {
        routing
            .route(&upload(&device, &[]), 0, true, tile)
            .expect("it runs");
        assert_eq!(routing.n_tiles(), 0);
    }
}

#[test]
fn a_row_that_is_no_number_still_has_experts() {
    let device = Device::for_tests();
    let mut routing = Routing::new(&device, 1, 4, 2).expect("there is memory");
    let logits = upload(&device, &[f32::NAN; 4]);
    routing.route(&logits, 1, true, 1).expect("it runs");
    assert_eq!(download_words(&device, &routing.experts, 2), [0, 1]);
    assert!(
        download(&device, &routing.shares, 2)
            .iter()
            .all(|share| share.is_nan())
    );
}
