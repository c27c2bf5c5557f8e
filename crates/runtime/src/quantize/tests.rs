//! The choice of types, and rows on their way through small batches.

use ponder_kernels_cpu::BlockFormat;

use super::TargetType;
use super::target::Model;
use super::tensors::RowOrder;
use crate::weights::TensorType;

/// Layers that have a part in Q6_K, for a model of `n_layers` layers.
fn critical(n_layers: usize, part: &str) -> Vec<usize> {
    let name = |layer_idx: usize| format!("blk.{layer_idx}.{part}.weight");
    let names: Vec<_> = (0..n_layers).map(name).collect();
    let model = Model::new(names.iter().map(String::as_str), n_layers);
    let is_q6_k = |layer_idx: &usize| {
        let chosen = model.choose(TargetType::Q4KM, &name(*layer_idx), &[256, 256]);
        chosen == Some(TensorType::Block(BlockFormat::Q6K))
    };
    (0..n_layers).filter(is_q6_k).collect()
}

#[test]
fn half_of_the_layers_get_more_bits() {
    // The layers of llama.cpp's Q4_K_M files of Qwen3 0.6B.
    let expected = [0, 1, 2, 5, 8, 11, 14, 17, 20, 23, 24, 25, 26, 27];
    assert_eq!(critical(28, "attn_v"), expected);
    assert_eq!(critical(28, "ffn_down"), expected);
    assert_eq!(critical(28, "ffn_down_exps"), expected);
    assert_eq!(critical(28, "ffn_up"), [] as [usize; 0]);
    assert_eq!(critical(1, "ffn_down"), [0]);
}

#[test]
fn layers_without_attention_do_not_count() {
    // Values in layers 2, 5 and 8: the third of three is the first that counts as late.
    let names = [
        "blk.2.attn_v.weight",
        "blk.5.attn_v.weight",
        "blk.8.attn_v.weight",
    ];
    let model = Model::new(names, 10);
    let chosen = names.map(|name| model.choose(TargetType::Q5KM, name, &[256, 256]));
    let (usual, more) = (
        Some(TensorType::Block(BlockFormat::Q5K)),
        Some(TensorType::Block(BlockFormat::Q6K)),
    );
    assert_eq!(chosen, [usual, usual, more]);
}

#[test]
fn types_by_part_and_target() {
    use BlockFormat::{MXFP4, Q4_0, Q4K, Q5_0, Q5_1, Q5K, Q6K, Q8_0};
    let block = |format| Some(TensorType::Block(format));
    let dense = Model::new(["output.weight"], 8);
    let tied = Model::new(["token_embd.weight"], 8);
    let experts = Model::new(["blk.0.ffn_up_exps.weight"], 8);
    let up = "blk.3.ffn_up.weight";
    let wide = [512, 256];
    for (model, target, name, shape, expected) in [
        (&dense, TargetType::Q4KM, up, &wide[..], block(Q4K)),
        (
            &dense,
            TargetType::Q4KM,
            "token_embd.weight",
            &wide,
            block(Q4K),
        ),
        (
            &tied,
            TargetType::Q4KM,
            "token_embd.weight",
            &wide,
            block(Q6K),
        ),
        (&dense, TargetType::Q4KM, "output.weight", &wide, block(Q6K)),
        (&dense, TargetType::Q4_0, "output.weight", &wide, block(Q6K)),
        (
            &dense,
            TargetType::Q8_0,
            "output.weight",
            &wide,
            block(Q8_0),
        ),
        (
            &dense,
            TargetType::MXFP4,
            "output.weight",
            &wide,
            block(Q8_0),
        ),
        (
            &dense,
            TargetType::Q4KM,
            "blk.3.attn_qkv.weight",
            &wide,
            block(Q5K),
        ),
        (
            &dense,
            TargetType::Q5KM,
            "blk.3.attn_qkv.weight",
            &wide,
            block(Q6K),
        ),
        (&dense, TargetType::MXFP4, up, &wide, block(MXFP4)),
        (
            &experts,
            TargetType::MXFP4,
            "blk.3.attn_q.weight",
            &wide,
            block(Q8_0),
        ),
        (
            &experts,
            TargetType::MXFP4,
            "blk.3.ffn_up_exps.weight",
            &[4, 8, 256],
            block(MXFP4),
        ),
        // Rows that blocks do not divide.
        (&dense, TargetType::Q4KM, up, &[8, 96], block(Q5_0)),
        (&dense, TargetType::Q5KM, up, &[8, 96], block(Q5_1)),
        (&dense, TargetType::Q6K, up, &[8, 96], block(Q8_0)),
        (&dense, TargetType::Q4_0, up, &[8, 96], block(Q4_0)),
        (
            &dense,
            TargetType::Q4KM,
            up,
            &[8, 90],
            Some(TensorType::F16),
        ),
        (
            &dense,
            TargetType::Q4_0,
            up,
            &[8, 90],
            Some(TensorType::F16),
        ),
        (
            &dense,
            TargetType::BF16,
            up,
            &[8, 90],
            Some(TensorType::BF16),
        ),
        // What is kept.
        (
            &dense,
            TargetType::Q4KM,
            "blk.3.attn_norm.weight",
            &[256],
            None,
        ),
        (&dense, TargetType::Q4KM, "blk.3.attn_q.bias", &[256], None),
        (
            &dense,
            TargetType::Q8_0,
            "blk.3.ffn_gate_inp.weight",
            &wide,
            None,
        ),
        (
            &dense,
            TargetType::F16,
            "blk.3.shortconv.conv.weight",
            &[256, 3],
            None,
        ),
        (&dense, TargetType::Q5KM, up, &wide, block(Q5K)),
    ] {
        assert_eq!(
            model.choose(target, name, shape),
            expected,
            "{target} {name} {shape:?}"
        );
    }
}

#[test]
fn names_of_types_come_back() {
    for target in TargetType::ALL {
        assert_eq!(target.name().parse(), Ok(target));
        assert_eq!(target.name().to_uppercase().parse(), Ok(target));
    }
    let error = "q4".parse::<TargetType>().unwrap_err();
    assert!(error.contains("q4_k_m"), "{error}");
}

#[test]
fn halves_of_heads_alternate() {
    let rows = RowOrder::Interleaved {
        head_dim: 8,
        dims: 6,
    };
    let order: Vec<_> = (0..16).map(|row| rows.source(row)).collect();
    assert_eq!(
        order,
        [0, 3, 1, 4, 2, 5, 6, 7, 8, 11, 9, 12, 10, 13, 14, 15]
    );
    assert_eq!(RowOrder::Same.source(5), 5);
}
