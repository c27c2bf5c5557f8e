//! Rows of a table: every bit of every format.

use super::*;

fn tokens(device: &Device, tokens: &[u32]) -> crate::Memory {
    let bytes: Vec<u8> = tokens
        .iter()
        .flat_map(|token| token.to_le_bytes())
        .collect();
    let memory = device.alloc(bytes.len()).expect("memory");
    device.upload(&bytes, &memory, 0).expect("a copy");
    memory
}

#[test]
fn rows_come_back_as_they_were_written() {
    let device = Device::for_tests();
    let linear = Linear::new(&device, Precision::Fast).expect("memory");
    for encoding in encodings().chain([Encoding::Block(BlockFormat::IQ3S)]) {
        let lens: &[usize] = match encoding {
            Encoding::Block(_) => &[512, 2304],
            _ => &[512, 144, 33, 5],
        };
        for &len in lens {
            let mut random = Random(len as u64);
            let own = weights(&device, encoding, [7, len], &mut random);
            let wanted = [3, 0, 6, 6, 5];
            let ids = tokens(&device, &[&[9], &wanted[..]].concat());
            let mut out = Rows::new(&device, 1, 1).expect("memory");
            linear
                .embed(&own.matrix, (&ids, 4), 5, 1.0, &mut out)
                .expect("rows");
            let got = read(&device, &out);
            for (got, token) in got.chunks(len).zip(wanted) {
                let expected = &own.values[token as usize * len..][..len];
                for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
                    // A minimum may be added before or after rounding.
                    let limit = expected.abs().max(1.0) * 1e-6;
                    assert!(
                        (got - expected).abs() <= limit,
                        "{encoding:?} value {i}: {got}, {expected}"
                    );
                }
            }
        }
    }
}

#[test]
fn rows_are_scaled() {
    let device = Device::for_tests();
    let linear = Linear::new(&device, Precision::Exact).expect("memory");
    let own = weights(&device, Encoding::F32, [4, 40], &mut Random(4));
    let mut out = Rows::new(&device, 1, 1).expect("memory");
    linear
        .embed(&own.matrix, (&tokens(&device, &[2]), 0), 1, 2.5, &mut out)
        .expect("rows");
    let expected: Vec<f32> = own.values[80..120]
        .iter()
        .map(|value| 2.5 * value)
        .collect();
    assert_eq!(read(&device, &out), expected);
}

#[test]
fn a_token_that_is_not_there_gives_no_number() {
    let device = Device::for_tests();
    let linear = Linear::new(&device, Precision::Fast).expect("memory");
    let own = weights(
        &device,
        Encoding::Block(BlockFormat::Q6K),
        [4, 256],
        &mut Random(4),
    );
    let mut out = Rows::new(&device, 1, 1).expect("memory");
    let ids = tokens(&device, &[4, u32::MAX, 1]);
    linear
        .embed(&own.matrix, (&ids, 0), 3, 1.0, &mut out)
        .expect("rows");
    let got = read(&device, &out);
    assert!(got[..512].iter().all(|value| value.is_nan()));
    assert!(got[512..].iter().all(|value| value.is_finite()));
}
