use super::*;
use crate::step::{StepShape, StepSpan};
use crate::testing::{Random, assert_close, download, upload};

/// One token after the other. `past` is `[kernel - 1, width]`, oldest first.
fn plain(
    (width, kernel): (usize, usize),
    filter: &[f32],
    bias: Option<&[f32]>,
    rows: &[f32],
    past: &mut Vec<f32>,
) -> Vec<f32> {
    let mut out = Vec::new();
    for row in rows.chunks(3 * width) {
        let [b, c, x] = [0, 1, 2].map(|part| &row[part * width..][..width]);
        past.extend(b.iter().zip(x).map(|(b, x)| b * x));
        for channel in 0..width {
            let taps = &filter[channel * kernel..][..kernel];
            let inputs = taps.iter().enumerate();
            let sum: f32 = inputs.map(|(i, tap)| tap * past[i * width + channel]).sum();
            out.push(c[channel] * (sum + bias.map_or(0.0, |bias| bias[channel])));
        }
        past.drain(..width);
    }
    out
}

fn check(random: &mut Random, width: usize, kernel: usize, has_bias: bool) {
    let device = Device::for_tests();
    let n_slots = 4;
    let filter = random.floats(width * kernel);
    let bias = has_bias.then(|| random.floats(width));
    let [device_filter, device_bias] =
        [&filter, bias.as_ref().unwrap_or(&filter)].map(|numbers| upload(&device, numbers));
    let conv = ShortConv {
        width,
        kernel,
        filter: &device_filter,
        bias: has_bias.then_some(&device_bias),
    };
    let states = SlotStates::new(&device, n_slots, conv.state_len()).expect("there is memory");
    let mut pasts = vec![vec![0.0; conv.state_len()]; n_slots];
    let shape = StepShape {
        max_rows: 100,
        max_spans: 4,
        max_blocks: 0,
        groups: Vec::new(),
        n_slots,
    };
    let mut tables = StepTables::new(&device, shape).expect("there is memory");
    for lens in [[1, 40, 1], [17, 2, 3], [1, 1, 1], [3, 16, 33]] {
        tables.clear();
        let slots = random.permutation(n_slots);
        let mut spans = Vec::new();
        let mut row = 0;
        for (len, slot) in lens.into_iter().zip(slots) {
            row += random.below(2);
            spans.push((row, len, slot));
            tables.push(
                StepSpan {
                    first_row: row,
                    n_rows: len,
                    position: 5,
                    planned_len: 100,
                    slot: Some(slot),
                },
                [],
            );
            row += len;
        }
        tables.upload().expect("it fits");
        let x = random.floats(3 * row * width);
        let out = upload(&device, &vec![7.5; row * width]);
        let step = (&tables, &tables.bounds());
        conv.run(&device, step, &upload(&device, &x), &states, &out)
            .expect("it runs");
        let mut want = vec![7.5; row * width];
        for (first_row, len, slot) in spans {
            let rows = &x[3 * first_row * width..][..3 * len * width];
            let past = &mut pasts[slot as usize];
            let own = plain((width, kernel), &filter, bias.as_deref(), rows, past);
            want[first_row * width..][..own.len()].copy_from_slice(&own);
        }
        assert_close(
            &download(&device, &out, row * width),
            &want,
            1e-6,
            "outputs",
        );
        let all = download(&device, states.memory(), n_slots * conv.state_len());
        assert_eq!(all, pasts.concat(), "states");
    }
}

#[test]
fn a_short_convolution_is_the_same_in_pieces() {
    let mut random = Random(1);
    for (width, kernel, has_bias) in [(5, 3, true), (130, 4, false), (8, 1, true), (3, 7, false)] {
        check(&mut random, width, kernel, has_bias);
    }
}

#[test]
fn slots_are_copied_and_cleared() {
    let device = Device::for_tests();
    let states = SlotStates::new(&device, 3, 2).expect("there is memory");
    let bytes: Vec<u8> = [1.0f32, 2.0].iter().flat_map(|x| x.to_ne_bytes()).collect();
    device.upload(&bytes, states.memory(), 8).expect("it fits");
    states.copy_slot(1, 2).expect("it is there");
    states.clear_slot(1).expect("it is there");
    let all = download(&device, states.memory(), 6);
    assert_eq!(all, [0.0, 0.0, 0.0, 0.0, 1.0, 2.0]);
}
