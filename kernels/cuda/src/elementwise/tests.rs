use ponder_kernels_cpu::{Isa, elementwise as plain};

use super::*;
use crate::step::{BlockList, GroupShape, StepShape, StepSpan};
use crate::testing::{Random, assert_close, download, upload};

const WIDTHS: [usize; 9] = [1, 3, 31, 32, 65, 128, 255, 1000, 2052];

#[test]
fn rms_norm_is_that_of_the_scalar_twin() {
    let device = Device::for_tests();
    let mut random = Random(1);
    for width in WIDTHS {
        let n_rows = 1 + random.below(4);
        let x = random.floats(n_rows * width);
        let weight = random.floats(width);
        let mut want = vec![0.0; x.len()];
        for (x, want) in x.chunks(width).zip(want.chunks_mut(width)) {
            plain::rms_norm(Isa::Scalar, x, &weight, 1e-5, 1.0, want);
        }
        let [x, weight] = [&x, &weight].map(|numbers| upload(&device, numbers));
        let out = upload(&device, &vec![f32::NAN; want.len()]);
        let norm = |out, store| {
            let sizes = (n_rows, width);
            rms_norm(&device, &x, &weight, (1e-5, 1.0), sizes, (out, store)).expect("it runs");
        };
        norm(&out, Store::Replace);
        let got = download(&device, &out, want.len());
        assert_close(&got, &want, 1e-5, "apart");
        norm(&out, Store::Add);
        let twice: Vec<f32> = got.iter().map(|value| value + value).collect();
        assert_eq!(download(&device, &out, want.len()), twice);
        norm(&x, Store::Replace);
        assert_eq!(download(&device, &x, want.len()), got);
    }
}

#[test]
fn sums_and_caps_touch_what_they_are_given() {
    let device = Device::for_tests();
    let mut random = Random(2);
    for n in [0, 1, 3, 4, 5, 1023, 1024, 1030] {
        let (sum, x) = (random.floats(n + 3), random.floats(n));
        let [device_sum, device_x] = [&sum, &x].map(|numbers| upload(&device, numbers));
        let mut want = sum.clone();
        plain::add(Isa::Scalar, &mut want[..n], &x);
        add(&device, &device_sum, &device_x, n).expect("it runs");
        assert_eq!(download(&device, &device_sum, n + 3), want);
        plain::softcap(Isa::Scalar, &mut want[..n], 0.7);
        softcap(&device, &device_sum, n, 0.7).expect("it runs");
        let got = download(&device, &device_sum, n + 3);
        assert_close(&got, &want, 1e-6, "capped");
        assert_eq!(got[n..], want[n..]);
    }
}

#[test]
fn chosen_rows_are_copied() {
    let device = Device::for_tests();
    let mut random = Random(3);
    let shape = StepShape {
        max_rows: 8,
        max_spans: 1,
        max_blocks: 1,
        groups: vec![GroupShape {
            window: None,
            n_blocks: 1,
        }],
        n_slots: 0,
    };
    let mut tables = StepTables::new(&device, shape).expect("there is memory");
    let span = StepSpan {
        first_row: 0,
        n_rows: 8,
        position: 0,
        planned_len: 8,
        slot: None,
    };
    let list = BlockList {
        blocks: &[0],
        n_dropped: 0,
    };
    tables.push(span, [list]);
    let rows = [5, 0, 7, 5];
    tables.choose(&rows);
    tables.upload().expect("it fits");
    for width in WIDTHS {
        let x = random.floats(8 * width);
        let memory = upload(&device, &x);
        let out = upload(&device, &vec![f32::NAN; 5 * width]);
        let step = (&tables, &tables.bounds());
        select(&device, &memory, step, (rows.len(), width), &out).expect("it runs");
        let want: Vec<f32> = rows
            .iter()
            .flat_map(|row| &x[row * width..][..width])
            .copied()
            .collect();
        let got = download(&device, &out, 5 * width);
        assert_eq!(got[..4 * width], want);
        assert!(got[4 * width..].iter().all(|x| x.is_nan()));
    }
}

#[test]
#[should_panic(expected = "row 8 of 8")]
fn a_row_that_is_not_there_cannot_be_chosen() {
    let shape = StepShape {
        max_rows: 8,
        max_spans: 1,
        max_blocks: 1,
        groups: Vec::new(),
        n_slots: 0,
    };
    let mut tables = StepTables::new(&Device::for_tests(), shape).expect("there is memory");
    let span = StepSpan {
        first_row: 0,
        n_rows: 8,
        position: 0,
        planned_len: 8,
        slot: None,
    };
    tables.push(span, []);
    tables.choose(&[8]);
}
