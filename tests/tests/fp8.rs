//! Checkpoints with matrices in FP8 and a factor for each block: the same logits as with the values
//! that they stand for.

use ponder_runtime::backend::Backend;
use ponder_runtime::backend::cpu::{Cpu, CpuOptions, Precision};
use ponder_runtime::backend::reference::Reference;
use ponder_runtime::decoder::{Decoder, Model};
use ponder_runtime::spec::ArchSpec;
use ponder_runtime::weights::{Checkpoint, TensorType};
use ponder_tests::goldens::Draft;
use ponder_tests::oracle::{load_on, logits_in_chunks};
use safetensors::Dtype;
use serde_json::json;
use tempfile::TempDir;

/// What a code stands for: the largest is 448.
fn value(code: u8) -> f32 {
    let (exponent, fraction) = (i32::from(code >> 3 & 15), f32::from(code & 7));
    let size = match exponent {
        0 => fraction / 8.0 * 2.0f32.powi(-6),
        _ => (1.0 + fraction / 8.0) * 2.0f32.powi(exponent - 7),
    };
    if code < 128 { size } else { -size }
}

/// The code of the nearest number.
fn code(x: f32) -> u8 {
    let distance = |code: &u8| (value(*code) - x).abs();
    (0..=255)
        .filter(|code| code & 127 != 127)
        .min_by(|a, b| distance(a).total_cmp(&distance(b)))
        .expect("there are codes")
}

/// What bfloat16 stands for, in which goldens are.
fn floats(dtype: Dtype, bytes: &[u8]) -> Vec<f32> {
    assert_eq!(dtype, Dtype::BF16);
    let (numbers, _) = bytes.as_chunks();
    let widen = |&bits| f32::from_bits(u32::from(u16::from_le_bytes(bits)) << 16);
    numbers.iter().map(widen).collect()
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|x| x.to_le_bytes()).collect()
}

/// A family's golden model with its layers' matrices in FP8, and with what these stand for.
fn drafts(family: &str, block: [usize; 2]) -> [Draft; 2] {
    let [mut packed, mut plain] = [(); 2].map(|()| Draft::of(family));
    for (name, (dtype, shape, data)) in Draft::of(family).tensors {
        if !name.ends_with("_proj.weight") {
            continue;
        }
        let (&[n_rows, row_len], mut values) = (&shape[..], floats(dtype, &data)) else {
            panic!("{name} is a matrix");
        };
        let n_blocks = [n_rows.div_ceil(block[0]), row_len.div_ceil(block[1])];
        let mut scales = vec![0.0f32; n_blocks[0] * n_blocks[1]];
        let place = |i: usize| i / row_len / block[0] * n_blocks[1] + i % row_len / block[1];
        for (i, x) in values.iter().enumerate() {
            let scale = &mut scales[place(i)];
            *scale = scale.max(x.abs() / 448.0);
        }
        let codes: Vec<u8> = (0..values.len())
            .map(|i| code(values[i] / scales[place(i)]))
            .collect();
        for (i, &code) in codes.iter().enumerate() {
            values[i] = value(code) * scales[place(i)];
        }
        let matrix = (Dtype::F8_E4M3, shape.clone(), codes);
        packed.tensors.insert(name.clone(), matrix);
        let scales = (Dtype::F32, n_blocks.to_vec(), bytes(&scales));
        packed.tensors.insert(format!("{name}_scale_inv"), scales);
        plain
            .tensors
            .insert(name, (Dtype::F32, shape, bytes(&values)));
    }
    packed.config["quantization_config"] = json!({
        "quant_method": "fp8",
        "fmt": "e4m3",
        "activation_scheme": "dynamic",
        "weight_block_size": block,
    });
    [packed, plain]
}

fn logits<B: Backend>(backend: B, folder: &TempDir) -> Vec<f32>
where
    Decoder<B>: Model,
{
    logits_of(backend, folder, &[3, 1, 4, 1, 5, 9, 2, 6])
}

/// Those of tokens that come in one step.
fn logits_of<B: Backend>(backend: B, folder: &TempDir, tokens: &[u32]) -> Vec<f32>
where
    Decoder<B>: Model,
{
    let checkpoint = Checkpoint::open(folder.path()).expect("a checkpoint");
    let spec = ArchSpec::of(&checkpoint).expect("a supported architecture");
    let mut model = load_on(backend, &checkpoint, spec);
    logits_in_chunks(&mut model, tokens, tokens.len(), tokens.len())
}

fn cpu() -> Cpu {
    let options = CpuOptions {
        threads: Some(2),
        precision: Precision::Exact,
        ..CpuOptions::default()
    };
    Cpu::new(&options).expect("threads")
}

#[test]
fn blocks_of_any_size_stand_for_their_values() {
    // Phi's matrices are fused, and cut where no block ends.
    for (family, block) in [
        ("qwen3", [128, 128]),
        ("qwen3", [6, 20]),
        ("phi3", [7, 128]),
    ] {
        let [packed, plain] = drafts(family, block).map(|draft| draft.write());
        let what = format!("{family} in blocks of {block:?}");
        assert_eq!(
            logits(Reference::default(), &packed),
            logits(Reference::default(), &plain),
            "{what}"
        );
        assert_eq!(logits(cpu(), &packed), logits(cpu(), &plain), "{what}");
        let checkpoint = Checkpoint::open(packed.path()).expect("a checkpoint");
        let mut tensors = checkpoint.tensors();
        assert!(tensors.any(|tensor| tensor.ty() == TensorType::F8E4M3));
        assert!(tensors.all(|tensor| !tensor.name().ends_with("_scale_inv")));
    }
}

#[cfg(feature = "cuda-emulated")]
#[test]
fn a_device_keeps_them_or_has_them_as_bfloat16() {
    use ponder_runtime::backend::{KvFormat, cuda};
    use ponder_tests::oracle::worst_relative_error;

    let device = |precision| {
        let options = cuda::CudaOptions {
            precision,
            kv_format: KvFormat::F32,
            ..cuda::CudaOptions::default()
        };
        cuda::Cuda::for_tests(&options).expect("a device, or the processor")
    };
    // Some rows, which are multiplied as they are, and many, which are rounded.
    let few: Vec<u32> = vec![3, 1, 4, 1, 5, 9, 2, 6];
    let many: Vec<u32> = (0..24).map(|i| i * 7 % 40).collect();
    // Blocks that have several factors for 128 values, and others.
    for (family, block, limits) in [
        ("qwen3", [16, 24], [0.02; 2]),
        ("qwen3", [16, 128], [1e-4, 0.02]),
        ("phi3", [7, 128], [1e-4, 0.03]),
    ] {
        let [packed, plain] = drafts(family, block).map(|draft| draft.write());
        for (tokens, limit) in [&few, &many].into_iter().zip(limits) {
            let exact = logits_of(device(cuda::Precision::Exact), &packed, tokens);
            let of_plain = logits_of(device(cuda::Precision::Exact), &plain, tokens);
            assert_eq!(exact, of_plain, "{family} in blocks of {block:?}");
            let fast = logits_of(device(cuda::Precision::Fast), &packed, tokens);
            let error = worst_relative_error(&fast, &exact, exact.len() / tokens.len());
            let n = tokens.len();
            let what = format!("{family}, {n} tokens, blocks of {block:?}: {error}");
            println!("{what}");
            assert!(error > 0.0 && error < limit, "{what}");
        }
    }
}

#[test]
fn every_code_is_a_number_or_none() {
    let codes: Vec<u8> = (0..=255).collect();
    let draft = Draft {
        config: json!({}),
        tensors: [("w".to_owned(), (Dtype::F8_E4M3, vec![256], codes))].into(),
    };
    let folder = draft.write();
    let checkpoint = Checkpoint::open(folder.path()).expect("a checkpoint");
    let values = checkpoint.tensor("w").expect("a tensor").to_vec();
    for (code, got) in (0..=255).zip(values) {
        match code & 127 {
            127 => assert!(got.is_nan()),
            _ => assert_eq!(got.to_bits(), value(code).to_bits(), "{code}"),
        }
    }
}

#[test]
fn factors_that_do_not_fit_are_refused() {
    const NAME: &str = "model.layers.0.mlp.up_proj.weight";
    let scales = format!("{NAME}_scale_inv");
    let error = |change: &dyn Fn(&mut Draft)| {
        let [mut packed, _] = drafts("qwen3", [16, 16]);
        change(&mut packed);
        let folder = packed.write();
        let opened = Checkpoint::open(folder.path()).map(|checkpoint| ArchSpec::of(&checkpoint));
        match opened {
            Err(error) => error.to_string(),
            Ok(spec) => spec.expect_err("an error").to_string(),
        }
    };
    let missing = error(&|draft| drop(draft.tensors.remove(&scales)));
    assert!(
        missing.contains(NAME) && missing.contains("no factors"),
        "{missing}"
    );
    let wrong = error(&|draft| {
        let one = (Dtype::F32, vec![1, 1], bytes(&[1.0]));
        draft.tensors.insert(scales.clone(), one);
    });
    assert!(wrong.contains(NAME) && wrong.contains("[1, 1]"), "{wrong}");
    for (key, value) in [
        ("quant_method", json!("gptq")),
        ("fmt", json!("e5m2")),
        ("weight_block_size", json!(null)),
        ("weight_block_size", json!([0, 128])),
    ] {
        let error = error(&|draft| draft.config["quantization_config"][key] = value.clone());
        assert!(error.contains("quantization config"), "{key}: {error}");
    }
}
