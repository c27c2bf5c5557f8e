//! Consecutive layers on one backend.

use super::layer::{Buffers, Layer};
use crate::{
    backend::{Backend, BackendError, Begun, StepInputs, StepOutput},
    cache::CacheCopy,
    spec::{ArchSpec, RopeTable},
};

/// Layers on one backend, with the embedding where they are the first, and the head where they are
/// the last.
pub(super) struct Stage<B: Backend> {
    pub(super) backend: B,
    /// The first layer's place in the model.
    pub(super) first_layer: usize,
    pub(super) embedding: Option<B::Weight>,
    pub(super) layers: Vec<Layer<B::Weight>>,
    pub(super) head: Option<Head<B::Weight>>,
    pub(super) state: B::State,
    pub(super) buffers: Buffers<B::Buffer>,
}

/// What makes logits of the last layer's output.
pub(super) struct Head<W> {
    pub(super) norm: W,
    /// `[vocab, hidden]`
    pub(super) weight: W,
}

/// What all stages of a forward pass are told.
pub(super) struct Pass<'a> {
    pub(super) spec: &'a ArchSpec,
    pub(super) ropes: &'a [RopeTable],
    pub(super) step: StepInputs<'a>,
}

impl<B: Backend> Stage<B> {
    pub(super) fn copy(&mut self, copies: &[CacheCopy]) -> Result<(), BackendError> {
        self.backend.copy(copies, &mut self.state)
    }

    /// Runs the layers on the step's tokens, or on what the stage before appended to its `output`:
    /// `[n, hidden]`. Appends the same, or what the step ends in.
    pub(super) fn run(
        &mut self,
        pass: &Pass<'_>,
        input: &[f32],
        output: &mut Vec<f32>,
    ) -> Result<(), BackendError> {
        let begun = self.backend.begin(&pass.step, &mut self.state)?;
        if begun == Begun::Operations && !self.layers(pass, input)? {
            return self.backend.read(&self.buffers.residual, output);
        }
        let (Some(head), false) = (&self.head, pass.step.rows.is_empty()) else {
            return self.backend.leave();
        };
        let normed = &mut self.buffers.normed;
        match pass.step.output {
            StepOutput::Hidden => self.backend.read(normed, output),
            StepOutput::Logits | StepOutput::Kept => {
                let softcap = pass.spec.logit_softcap;
                self.backend.logits(normed, &head.weight, softcap, output)
            }
        }
    }

    /// The layers, and the last norm of the rows that are selected. Returns whether this was the last
    /// stage.
    fn layers(&mut self, pass: &Pass<'_>, input: &[f32]) -> Result<bool, BackendError> {
        let Pass { spec, ropes, step } = pass;
        let (backend, buffers) = (&self.backend, &mut self.buffers);
        let residual = &mut buffers.residual;
        match &self.embedding {
            Some(table) => backend.embed(table, step.tokens, spec.embed_scale, residual)?,
            None => backend.write(input, spec.hidden_size, residual)?,
        }
        for (layer, layer_spec) in self.layers.iter().zip(&spec.layers[self.first_layer..]) {
            layer.forward(
                backend,
                layer_spec,
                spec.norm,
                ropes,
                &step.batch,
                &mut self.state,
                buffers,
            )?;
        }
        let Some(head) = &self.head else {
            return Ok(false);
        };
        if !step.rows.is_empty() {
            backend.select(&buffers.residual, step.rows, &mut buffers.output)?;
            let normed = &mut buffers.normed;
            backend.norm(&buffers.output, &head.norm, spec.norm, normed)?;
        }
        Ok(true)
    }
}
