//! What the ways to multiply have in common, beyond what every instruction set is tested for.

use crate::int8::tests::{case, formats};
use crate::{Isa, Threads};

#[test]
fn ways_to_multiply_differ_in_no_bit() {
    let threads = Threads::new(1).expect("a thread");
    let sets = || Isa::available().filter(|isa| [Isa::Neon, Isa::NeonDot].contains(isa));
    for format in formats() {
        for n in [1, 2, 3, 4, 8, 15, 18] {
            let shape = [16, 3 * format.block_len(), n];
            let products = sets().map(|isa| {
                let case = case(isa, &threads, format, shape);
                let mut tile = vec![0.0; n * 8];
                case.matrix
                    .panel(isa, 1, &case.rows, &mut tile, &mut Vec::new());
                (isa, tile)
            });
            let products: Vec<_> = products.collect();
            for (isa, tile) in &products {
                assert_eq!(tile, &products[0].1, "{format}, {n} rows, {}", isa.name());
            }
        }
    }
}
