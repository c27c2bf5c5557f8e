//! Products by a library, and the choice between it and the kernels here.

use std::cell::RefCell;
use std::ptr;
use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::gated::{Case, check_gated};
use super::products::check_product;
use super::*;
use crate::device::{Library, Multiplier};
use crate::linear::contest::{Contest, Work};
use crate::{CudaError, Memory};

/// A library that multiplies on the processor, which is the device here.
#[derive(Clone, Debug, Default)]
struct OnProcessor {
    n_products: Arc<AtomicUsize>,
    fails: Arc<AtomicBool>,
}

impl OnProcessor {
    fn n_products(&self) -> usize {
        self.n_products.swap(0, Ordering::Relaxed)
    }
}

impl Multiplier for OnProcessor {
    fn multiply(
        &self,
        [n, n_rows, width]: [usize; 3],
        [weights, x, bias, out]: [u64; 4],
        adds: bool,
        workspace: (u64, usize),
    ) -> Result<(), CudaError> {
        assert!(workspace.0 != 0 && workspace.1 >= 1 << 20);
        self.n_products.fetch_add(1, Ordering::Relaxed);
        if self.fails.load(Ordering::Relaxed) {
            return Err(CudaError::Driver {
                operation: "multiplying",
                message: "code 14".to_owned(),
            });
        }
        let floats = |address: u64, n: usize| {
            let at = ptr::with_exposed_provenance::<u8>(address as usize);
            let mut values = vec![0.0; n];
            // SAFETY: operands are memory of the emulated device, as large as their sizes say.
            bf16_to_f32(unsafe { slice::from_raw_parts(at, n * 2) }, &mut values);
            values
        };
        let (weights, x) = (floats(weights, n_rows * width), floats(x, n * width));
        for column in 0..n {
            for row in 0..n_rows {
                let [weights, x] = [(&weights, row), (&x, column)]
                    .map(|(values, i)| &values[i * width..][..width]);
                let at = |address: u64, i: usize| {
                    ptr::with_exposed_provenance_mut::<f32>(address as usize + i * 4)
                };
                let out = at(out, column * n_rows + row);
                // SAFETY: as above.
                unsafe {
                    let bias = if bias == 0 { 0.0 } else { *at(bias, row) };
                    let before = if adds { *out } else { 0.0 };
                    *out = (product(weights, x).0 + f64::from(bias) + f64::from(before)) as f32;
                }
            }
        }
        Ok(())
    }
}

thread_local! {
    /// What clocks will say.
    static TIMES: RefCell<Vec<f64>> = const { RefCell::new(Vec::new()) };
}

fn clock(_: &Device, work: Work<'_>) -> Result<f64, CudaError> {
    work()?;
    Ok(TIMES.with_borrow_mut(|times| times.remove(0)))
}

/// The best times of the kernels here and of the library.
const LIBRARY_WINS: [f64; 4] = [3.0, 2.0, 1.0, 9.0];
const LIBRARY_LOSES: [f64; 4] = [3.0, 2.0, 2.5, 2.0];

fn linear(device: &Device, library: &OnProcessor) -> Linear {
    let library = Library::of(device, Box::new(library.clone())).expect("memory");
    let contest = Contest::between(device, library, clock).expect("memory");
    let linear = Linear::on_chip(device, Precision::Fast, chip(4)).expect("memory");
    linear.with(contest)
}

/// Plain, gated, and of another length in the same class.
fn check_all(device: &Device, linear: &Linear) {
    let bf16 = Encoding::BF16;
    check_product(device, linear, Precision::Fast, bf16, [13, 72, 130]);
    check_product(device, linear, Precision::Fast, bf16, [13, 72, 256]);
    let case = Case {
        precision: Precision::Fast,
        encodings: [bf16; 2],
        activation: Activation::GeluTanh,
        shape: [7, 64, 129],
    };
    check_gated(device, linear, &case);
}

#[test]
fn a_library_that_wins_is_used() {
    let device = Device::emulated();
    let library = OnProcessor::default();
    let linear = linear(&device, &library);
    TIMES.set([LIBRARY_WINS; 2].concat());
    check_all(&device, &linear);
    // Each class is timed with two times after one that does not count, then it is used.
    assert_eq!(library.n_products(), (3 + 1) + 1 + 2 * (3 + 1));
    assert!(TIMES.with_borrow(Vec::is_empty));
}

#[test]
fn a_library_that_loses_is_not_used_again() {
    let device = Device::emulated();
    let library = OnProcessor::default();
    let linear = linear(&device, &library);
    TIMES.set([LIBRARY_LOSES; 2].concat());
    check_all(&device, &linear);
    assert_eq!(library.n_products(), 3 + 2 * 3);
    assert!(TIMES.with_borrow(Vec::is_empty));
}

#[test]
fn where_a_library_fails_the_kernels_here_do_the_work() {
    let device = Device::emulated();
    let library = OnProcessor::default();
    let linear = linear(&device, &library);
    // It fails at once.
    library.fails.store(true, Ordering::Relaxed);
    TIMES.set(vec![1.0; 4]);
    check_all(&device, &linear);
    check_all(&device, &linear);
    assert_eq!(library.n_products(), 2);
    // It fails after it has won.
    library.fails.store(false, Ordering::Relaxed);
    TIMES.set(LIBRARY_WINS.to_vec());
    let check = || {
        let shape = [9, 64, 128];
        check_product(&device, &linear, Precision::Fast, Encoding::BF16, shape);
    };
    check();
    assert_eq!(library.n_products(), 4);
    library.fails.store(true, Ordering::Relaxed);
    check();
    check();
    assert_eq!(library.n_products(), 1);
}

/// Adds a product with a bias to what is there, twice.
fn add_twice(device: &Device, linear: &Linear) -> (Vec<f32>, Vec<f32>) {
    let mut random = Random(3);
    let own = weights(device, Encoding::BF16, [6, 64], &mut random);
    let mut x = rows(device, &activations(128 * 64, &mut random), 64);
    let bias = floats(device, &activations(6, &mut random));
    let mut out = rows(device, &activations(128 * 6, &mut random), 6);
    let mut add = || {
        let projection = Projection {
            matrix: &own.matrix,
            bias: Some(&bias),
        };
        let output = Output::Add(&mut out);
        let mut product = [Product { projection, output }];
        linear.multiply(&mut x, &mut product).expect("a product");
        read(device, &out)
    };
    (add(), add())
}

#[test]
fn what_is_timed_adds_nothing() {
    let device = Device::emulated();
    let library = OnProcessor::default();
    TIMES.set(LIBRARY_WINS.to_vec());
    let (first, second) = add_twice(&device, &linear(&device, &library));
    assert_eq!(library.n_products(), 3 + 2);
    let without = Linear::on_chip(&device, Precision::Fast, chip(4)).expect("memory");
    let wanted = add_twice(&device, &without);
    for (got, wanted) in first
        .iter()
        .chain(&second)
        .zip(wanted.0.iter().chain(&wanted.1))
    {
        check("a sum", *got, f64::from(*wanted), 100.0);
    }
}

#[test]
fn few_rows_other_weights_and_what_is_recorded_are_not_the_librarys() {
    let device = Device::emulated();
    let library = OnProcessor::default();
    let linear = linear(&device, &library);
    for (encoding, n) in [
        (Encoding::BF16, 127),
        (Encoding::F16, 130),
        (Encoding::Block(BlockFormat::Q8_0), 130),
    ] {
        check_product(&device, &linear, Precision::Fast, encoding, [3, 32, n]);
    }
    let own = weights(&device, Encoding::BF16, [5, 32], &mut Random(1));
    let mut out = Rows::new(&device, 128, 5).expect("memory");
    let mut multiply = |x: &mut Rows| {
        let projection = Projection {
            matrix: &own.matrix,
            bias: None::<&Memory>,
        };
        let output = Output::Replace(&mut out);
        linear.multiply(x, &mut [Product { projection, output }])
    };
    // The weights are there when the graph is captured.
    multiply(&mut rows(&device, &[1.0; 32], 32)).expect("a product");
    let mut x = rows(&device, &[1.0; 128 * 32], 32);
    device.capture(|| multiply(&mut x)).expect("a graph");
    assert_eq!(library.n_products(), 0);
}
