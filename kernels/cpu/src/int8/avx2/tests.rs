//! What the ways to multiply have in common, beyond what every instruction set is tested for.

use super::dot::{Dpbusd, DpbusdOfAvx512, Maddubs};
use super::panel;
use crate::int8::tests::{case, formats};
use crate::{Isa, Threads};

#[test]
fn ways_to_multiply_differ_in_no_bit() {
    type Multiply = fn(&crate::Int8Matrix, usize, &crate::Int8Rows, &mut [f32], &mut Vec<u8>);
    let ways: [(Isa, Multiply); 2] = [
        (Isa::AvxVnni, panel::<Dpbusd>),
        (Isa::Avx512, panel::<DpbusdOfAvx512>),
    ];
    if !Isa::Avx2.is_available() {
        return;
    }
    let threads = Threads::new(1).expect("a thread");
    for format in formats() {
        for n in [1, 2, 3, 4, 7, 8, 15, 18] {
            let shape = [16, 3 * format.block_len(), n];
            let case = case(Isa::Avx2, &threads, format, shape);
            let product = |multiply: Multiply| {
                let mut tile = vec![0.0; n * 8];
                multiply(&case.matrix, 1, &case.rows, &mut tile, &mut Vec::new());
                tile
            };
            let expected = product(panel::<Maddubs>);
            for (isa, way) in ways.iter().filter(|(isa, _)| isa.is_available()) {
                assert_eq!(
                    product(*way),
                    expected,
                    "{format}, {n} rows, {}",
                    isa.name()
                );
            }
        }
    }
}
