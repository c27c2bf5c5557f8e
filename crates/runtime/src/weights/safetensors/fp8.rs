//! Matrices in FP8: numbers of eight bits (E4M3), and a factor for each block of them in a tensor beside
//! the matrix.

use serde_json::Value;

use crate::weights::error::{DAMAGED, Fault, Result, WeightsError, quoted};
use crate::weights::scales::BlockScales;
use crate::weights::table::TensorTable;
use crate::weights::tensor::{MappedTensor, TensorType};

/// What the name of a matrix's factors has behind that of the matrix.
const SUFFIX: &str = "_scale_inv";

/// Rows and columns that share a factor, as the `quantization_config` of a model says; `None` if it
/// says that weights are quantized in another way.
pub(crate) fn fp8_block(quantization: &Value) -> Option<[usize; 2]> {
    let is = |key, value| quantization.get(key).map(|found| found == value);
    if is("quant_method", "fp8") != Some(true) || is("fmt", "e4m3") == Some(false) {
        return None;
    }
    let sides = quantization.get("weight_block_size")?.as_array()?;
    let side = |side: &Value| usize::try_from(side.as_u64()?).ok().filter(|&n| n > 0);
    match &sides[..] {
        [rows, columns] => Some([side(rows)?, side(columns)?]),
        _ => None,
    }
}

/// Gives matrices in FP8 their factors, which are no tensors of the model any more.
///
/// # Errors
/// If a matrix has none, or not one for each block.
pub(in crate::weights) fn join(table: TensorTable, config: &Value) -> Result<TensorTable> {
    let text = config.get("text_config").unwrap_or(config);
    let mut candidates = [text, config].into_iter();
    let quantization = candidates.find_map(|config| config.get("quantization_config"));
    let Some(block) = quantization.and_then(fp8_block) else {
        return Ok(table);
    };
    let mut joined = TensorTable::default();
    for tensor in table.iter() {
        let of_matrix = tensor.name().strip_suffix(SUFFIX);
        let of_matrix = of_matrix.and_then(|name| table.get(name));
        if of_matrix.is_some_and(|matrix| matrix.ty() == TensorType::F8E4M3) {
            continue;
        }
        joined.insert(match tensor.ty() {
            TensorType::F8E4M3 => scaled(&table, tensor, block)?,
            _ => tensor.clone(),
        })?;
    }
    Ok(joined)
}

fn scaled(table: &TensorTable, matrix: &MappedTensor, block: [usize; 2]) -> Result<MappedTensor> {
    let name = format!("{}{SUFFIX}", matrix.name());
    let factors = table.get(&name);
    let scales =
        factors.and_then(|factors| BlockScales::new(factors.clone(), matrix.shape(), block));
    let Some(scales) = scales else {
        let found = factors.map(|factors| format!("{:?}", factors.shape()));
        return Err(WeightsError::Malformed(Fault::new(
            matrix.path(),
            format!("tensor {}", quoted(matrix.name().as_bytes())),
            format!(
                "a matrix, and in {} a factor for each {} x {} of its {:?} values",
                quoted(name.as_bytes()),
                block[0],
                block[1],
                matrix.shape()
            ),
            found.unwrap_or_else(|| "no factors".to_owned()),
            DAMAGED,
        )));
    };
    Ok(matrix.clone().with_scales(scales))
}
