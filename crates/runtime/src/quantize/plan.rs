//! What a quantized file will hold, and its writing.

use std::collections::BTreeMap;
use std::path::Path;

use rayon::ThreadPoolBuilder;

use super::encode::write_tensor;
use super::target::{Model, TargetType};
use super::tensors::{Output, Values, convert};
use super::{QuantizeError, check, metadata};
use crate::spec::{ArchSpec, Family, Hyper, SpecError};
use crate::weights::gguf::write::{FileWriter, TensorInfo, header};
use crate::weights::gguf::{Metadata, Value};
use crate::weights::{Checkpoint, TensorType};

/// Metadata that speak of the source's own quantization or of how it was split.
const NOT_CARRIED: [&str; 3] = [
    "general.file_type",
    "general.quantization_version",
    "general.alignment",
];
const SPLIT: &str = "split.";
/// The version of the block layouts, which has been 2 since 2023.
const QUANTIZATION_VERSION: u32 = 2;

/// A quantized file before it is written.
#[derive(Debug)]
pub struct Plan {
    keys: Vec<(String, Value)>,
    tensors: Vec<(TensorInfo, Values)>,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The size of the file.
    pub file_bytes: u64,
    /// The bytes of all tensors in it.
    pub tensor_bytes: u64,
    /// The numbers in all tensors.
    pub parameters: u64,
    /// How many tensors have which type, by the type's name.
    pub types: BTreeMap<&'static str, usize>,
}

impl Plan {
    /// Plans the file for a model. `name` becomes `general.name`, and `vocabulary` the metadata
    /// `tokenizer.*`; a model that is a GGUF file already has both and keeps its own.
    ///
    /// # Errors
    /// If the architecture has no place in GGUF, or the tensors are not those of it.
    pub fn new(
        checkpoint: &Checkpoint,
        target: TargetType,
        name: &str,
        vocabulary: Vec<(String, Value)>,
    ) -> Result<Self, QuantizeError> {
        match checkpoint.gguf() {
            Some(metadata) => Self::of_gguf(checkpoint, metadata, target),
            None => Self::of_config(checkpoint, target, name, vocabulary),
        }
    }

    /// The tensors of the file, in order.
    pub fn tensors(&self) -> impl Iterator<Item = &TensorInfo> {
        self.tensors.iter().map(|(info, _)| info)
    }

    /// Writes the file with `threads` threads, or one per core. `progress` gets the bytes of
    /// tensors that are written and those of all tensors.
    ///
    /// # Errors
    /// If a weight is not finite or too large for its type, or the file cannot be written; then
    /// nothing is left of it.
    pub fn write(
        &self,
        path: &Path,
        overwrite: bool,
        threads: Option<usize>,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Written, QuantizeError> {
        let pool = ThreadPoolBuilder::new()
            .num_threads(threads.unwrap_or(0))
            .build()?;
        let infos: Vec<_> = self.tensors.iter().map(|(info, _)| info.clone()).collect();
        let header = header(path, &self.keys, &infos)?;
        let tensor_bytes = header.tensor_bytes.iter().sum();
        let mut writer = FileWriter::create(path, overwrite, &header)?;
        let mut done = 0;
        for (info, values) in &self.tensors {
            write_tensor(&pool, info, values, &mut |bytes| {
                writer.append(bytes)?;
                done += bytes.len() as u64;
                progress(done, tensor_bytes);
                Ok(())
            })?;
        }
        let mut types = BTreeMap::new();
        for info in &infos {
            *types.entry(info.ty.name()).or_insert(0) += 1;
        }
        let n_values = |info: &TensorInfo| info.shape.iter().product::<usize>() as u64;
        Ok(Written {
            file_bytes: writer.finish()?,
            tensor_bytes,
            parameters: infos.iter().map(n_values).sum(),
            types,
        })
    }

    fn of_gguf(
        checkpoint: &Checkpoint,
        metadata: &Metadata,
        target: TargetType,
    ) -> Result<Self, QuantizeError> {
        let spec = ArchSpec::of(checkpoint)?;
        let carried = metadata
            .iter()
            .filter(|(key, _)| !NOT_CARRIED.contains(key) && !key.starts_with(SPLIT));
        let mut keys: Vec<_> = carried
            .map(|(key, value)| (key.to_owned(), value.clone()))
            .collect();
        keys.extend(quantization(target));
        let outputs = checkpoint.tensors().cloned().map(Output::same).collect();
        Ok(Self::with_types(keys, outputs, target, spec.layers.len()))
    }

    fn of_config(
        checkpoint: &Checkpoint,
        target: TargetType,
        name: &str,
        vocabulary: Vec<(String, Value)>,
    ) -> Result<Self, QuantizeError> {
        let config = checkpoint.config().ok_or(SpecError::Missing {
            place: "model folder",
            key: "config.json".into(),
        })?;
        let (family, hyper) = Hyper::from_config(config)?;
        let spec = ArchSpec::resolve(family, &hyper)?;
        let arch = family.gguf_written_as();
        let arch = arch.ok_or_else(|| QuantizeError::NoConvention {
            family: family.name.clone(),
        })?;
        let target_family = Family::by_gguf_arch(arch)?;
        let described = metadata::describe(&hyper, &spec, target_family, arch);
        let mut keys = general(arch, name);
        keys.extend(described.keys);
        check::check(&spec, &keys, &described.tables)?;
        keys.extend(quantization(target));
        keys.extend(vocabulary);
        let mut outputs = described.tables;
        outputs.extend(convert(checkpoint, &spec, target_family)?);
        Ok(Self::with_types(keys, outputs, target, spec.layers.len()))
    }

    fn with_types(
        keys: Vec<(String, Value)>,
        outputs: Vec<Output>,
        target: TargetType,
        n_layers: usize,
    ) -> Self {
        let names = outputs.iter().map(|output| output.name.as_str());
        let model = Model::new(names, n_layers);
        let typed = |output: Output| {
            let chosen = model.choose(target, &output.name, &output.shape);
            let info = TensorInfo {
                ty: chosen.unwrap_or_else(|| kept_type(&output.values)),
                name: output.name,
                shape: output.shape,
            };
            (info, output.values)
        };
        Self {
            tensors: outputs.into_iter().map(typed).collect(),
            keys,
        }
    }
}

/// Tensors that are not quantized become float32. What is float32, or no floating-point number at
/// all, stays what it is.
fn kept_type(values: &Values) -> TensorType {
    match values {
        Values::Stored { parts, .. } => match parts.first().map(|part| part.ty()) {
            Some(
                TensorType::F16 | TensorType::BF16 | TensorType::F8E4M3 | TensorType::Block(_),
            )
            | None => TensorType::F32,
            Some(other) => other,
        },
        Values::Computed(_) => TensorType::F32,
    }
}

fn general(arch: &str, name: &str) -> Vec<(String, Value)> {
    let keys = [
        ("general.architecture", arch),
        ("general.type", "model"),
        ("general.name", name),
    ];
    keys.map(|(key, text)| (key.to_owned(), Value::from(text)))
        .into()
}

fn quantization(target: TargetType) -> [(String, Value); 2] {
    [
        ("general.file_type", target.file_type()),
        ("general.quantization_version", QUANTIZATION_VERSION),
    ]
    .map(|(key, number)| (key.to_owned(), Value::from(number)))
}
