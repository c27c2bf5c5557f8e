//! The tensors of a checkpoint, in file order and by name.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use super::error::{DAMAGED, Fault, Result, WeightsError, quoted};
use super::tensor::MappedTensor;

/// All tensors of one model, over all its files.
#[derive(Debug, Default)]
pub(super) struct TensorTable {
    tensors: Vec<MappedTensor>,
    by_name: HashMap<Arc<str>, usize>,
}

impl TensorTable {
    /// Adds a tensor.
    ///
    /// # Errors
    /// If there is one of that name already.
    pub(super) fn insert(&mut self, tensor: MappedTensor) -> Result<()> {
        match self.by_name.entry(Arc::clone(tensor.shared_name())) {
            Entry::Occupied(_) => Err(WeightsError::Malformed(Fault::new(
                tensor.path(),
                format!("tensor {}", quoted(tensor.name().as_bytes())),
                "each name once",
                "a second tensor of that name",
                DAMAGED,
            ))),
            Entry::Vacant(place) => {
                place.insert(self.tensors.len());
                self.tensors.push(tensor);
                Ok(())
            }
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&MappedTensor> {
        self.by_name.get(name).map(|&i| &self.tensors[i])
    }

    pub(super) fn iter(&self) -> std::slice::Iter<'_, MappedTensor> {
        self.tensors.iter()
    }
}
