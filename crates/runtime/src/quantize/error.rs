//! What can go wrong between a model and its quantized file.

use thiserror::Error;

use crate::spec::SpecError;
use crate::weights::WeightsError;

/// Why a model could not be quantized.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum QuantizeError {
    /// The source cannot be read, or the file cannot be written.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The model's description cannot be used.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The system refused to start threads.
    #[error("cannot start threads: {0}; hint: try --threads 1")]
    Threads(#[from] rayon::ThreadPoolBuildError),
    /// GGUF files of the family are unknown to this program.
    #[error(
        "family \"{family}\" has no GGUF convention that this program knows; hint: keep the model as safetensors, or convert it with another program"
    )]
    NoConvention {
        /// Name of the family file.
        family: String,
    },
    /// The family's GGUF metadata have no place for something that this model does.
    #[error(
        "GGUF metadata of family \"{family}\" cannot say this model's {what}; hint: keep the model as safetensors"
    )]
    Inexpressible {
        /// Name of the family file.
        family: String,
        /// What differs after reading the metadata back.
        what: String,
    },
    /// A tensor that the architecture needs is absent.
    #[error("tensor {name} is missing; hint: download all files of the model")]
    MissingTensor {
        /// Its name.
        name: String,
    },
    /// A tensor that the architecture does not have.
    #[error(
        "tensor {name} belongs to no part of family \"{family}\"; hint: the model may be of a newer kind"
    )]
    UnknownTensor {
        /// Its name.
        name: String,
        /// Name of the family file.
        family: String,
    },
    /// A tensor has another shape than its place wants.
    #[error(
        "tensor {name} has shape {found:?}, expected {expected}; hint: the weights may belong to another configuration"
    )]
    Shape {
        /// Its name.
        name: String,
        /// Its shape, outermost first.
        found: Vec<usize>,
        /// What its place wants.
        expected: String,
    },
    /// A weight is infinite or not a number.
    #[error(
        "tensor {name}, row {row} holds {value}, which no model should; hint: the file may be damaged, or training went wrong"
    )]
    NotFinite {
        /// Name in the new file.
        name: String,
        /// Row, counted from 0.
        row: usize,
        /// The value.
        value: f32,
    },
    /// A weight is larger than the type can hold.
    #[error(
        "tensor {name}, row {row} holds {value}, more than {ty} can; hint: choose --type bf16 or mxfp4"
    )]
    TooLarge {
        /// Name in the new file.
        name: String,
        /// Row, counted from 0.
        row: usize,
        /// The value.
        value: f32,
        /// The type.
        ty: &'static str,
    },
}
