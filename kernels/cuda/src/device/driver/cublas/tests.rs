//! What the library is asked for, and what comes of its failures.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::super::simulated::API as DRIVER;
use super::simulated::{API, world};
use super::*;

const WORKSPACE: (u64, usize) = (4096, 1 << 20);

fn cublas() -> Result<Cublas, CudaError> {
    world(|world| world.proposal = (1, 1 << 20, 0));
    let context = Context::new(&DRIVER, 0).expect("a context");
    Cublas::new(&API, &context)
}

#[test]
fn a_product_is_described_column_by_column() {
    let cublas = cublas().expect("a library");
    let multiply = |operands, adds| cublas.multiply([200, 300, 64], operands, adds, WORKSPACE);
    multiply([256, 512, 0, 1024], false).expect("a product");
    multiply([256, 512, 0, 1024], true).expect("a product");
    multiply([256, 512, 768, 1024], false).expect("a product");
    multiply([256, 512, 1280, 1024], false).expect("a product");
    let products = world(|world| std::mem::take(&mut world.products));
    let [plain, added, biased, other] = &products[..] else {
        panic!("{products:?}");
    };
    // Sums and factors in float32, and the first operand transposed.
    assert_eq!(plain.operation.made_with, [68, 0]);
    assert_eq!(plain.operation.attributes, BTreeMap::from([(3, 1)]));
    // bfloat16, rows, columns, and the distance of columns; then float32.
    let [weights, x, sum, out] = &plain.layouts;
    assert_eq!(weights[..], [14, 64, 300, 64]);
    assert_eq!(x[..], [14, 64, 200, 64]);
    assert_eq!(out[..], [0, 300, 200, 300]);
    assert_eq!(sum, out);
    assert_eq!(plain.addresses, [256, 512, 1024, 1024]);
    assert_eq!(plain.factors, [1.0, 0.0]);
    assert_eq!(plain.workspace, WORKSPACE);
    assert_eq!(added.factors, [1.0, 1.0]);
    assert_eq!(added.algorithm, plain.algorithm);
    // With a bias in float32, at whichever place it is this time.
    let attributes = |bias| BTreeMap::from([(3, 1), (7, 4), (26, 0), (8, bias)]);
    assert_eq!(biased.operation.attributes, attributes(768));
    assert_eq!(other.operation.attributes, attributes(1280));
    assert_eq!(biased.algorithm, [2; 8]);
}

#[test]
fn shapes_are_planned_once_and_as_many_kept_as_are_of_use() {
    let cublas = cublas().expect("a library");
    let multiply = |n| cublas.multiply([n, 8, 32], [256, 512, 0, 1024], false, WORKSPACE);
    for n in 1..=MAX_PLANS {
        multiply(n).expect("a product");
    }
    let n_held = world(|world| world.n_held());
    multiply(7).expect("a product");
    assert_eq!(
        world(|world| (world.n_proposed, world.n_held())),
        (MAX_PLANS, n_held)
    );
    multiply(MAX_PLANS + 1).expect("a product");
    multiply(7).expect("a product");
    assert_eq!(world(|world| world.n_proposed), MAX_PLANS + 2);
    assert!(world(|world| world.n_held()) < n_held);
    drop(cublas);
    assert_eq!(world(|world| world.n_held()), 0);
}

#[test]
fn failures_are_errors_and_leave_nothing() {
    let functions = [
        "create",
        "create_operation",
        "set_operation",
        "create_layout",
        "create_preference",
        "set_preference",
        "propose",
        "multiply",
    ];
    for failing in functions {
        world(|world| world.failing = failing);
        let outcome = cublas().and_then(|cublas| {
            cublas.multiply([9, 8, 32], [256, 512, 768, 1024], false, WORKSPACE)
        });
        let error = outcome.expect_err(failing).to_string();
        assert!(error.ends_with("cuBLASLt failed: code 7"), "{error}");
        assert_eq!(world(|world| world.n_held()), 0, "{failing}");
    }
}

#[test]
fn what_the_library_cannot_compute_is_an_error() {
    // No way, one that needs too much memory, and one that cannot be used.
    for proposal in [(0, 0, 0), (1, (1 << 20) + 1, 0), (1, 0, 15)] {
        let cublas = cublas().expect("a library");
        world(|world| world.proposal = proposal);
        let product = cublas.multiply([9, 8, 32], [256, 512, 0, 1024], false, WORKSPACE);
        let error = product.expect_err("no product").to_string();
        assert!(error.contains("planning a product"), "{error}");
        assert!(world(|world| world.products.is_empty()));
    }
}

#[test]
fn libraries_are_looked_for_by_name_and_in_toolkits() {
    let roots = ["/a", "/b"].map(PathBuf::from);
    let places = |version| super::api::candidates(version, &roots);
    let all = places(14000);
    assert_eq!(all.len(), 10);
    let newest = places(12090);
    assert_eq!(
        newest[..],
        all[5..],
        "the library is no newer than the driver"
    );
    assert!(places(11080).is_empty());
    for (path, root) in [(&newest[1], "/a"), (&newest[2], "/a"), (&newest[3], "/b")] {
        assert!(path.starts_with(root), "{path:?}");
        assert_eq!(path.file_name().map(Path::new), Some(newest[0].as_path()));
    }
}
