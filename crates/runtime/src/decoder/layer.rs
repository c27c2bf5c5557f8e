//! One layer: mixer and feed-forward, each with its norms, around the residual stream.

use crate::{
    backend::{
        AttentionLayer, Backend, BackendError, Batch, Experts, Linear, RecurrentLayer,
        RecurrentMixer,
    },
    cache::LayerSlot,
    spec::{FfnSpec, LayerSpec, MixerSpec, NormSpec, RopeTable},
};

/// The weights of a layer.
pub(super) struct Layer<W> {
    pub(super) mixer: Mixer<W>,
    pub(super) mixer_norm: Option<W>,
    pub(super) mixer_output_norm: Option<W>,
    pub(super) ffn: Ffn<W>,
    pub(super) ffn_norm: Option<W>,
    pub(super) ffn_output_norm: Option<W>,
    pub(super) slot: LayerSlot,
}

pub(super) enum Mixer<W> {
    Attention {
        q: Linear<W>,
        k: Linear<W>,
        v: Linear<W>,
        output: Linear<W>,
        query_norm: Option<W>,
        key_norm: Option<W>,
    },
    ShortConv {
        input: Linear<W>,
        filter: W,
        filter_bias: Option<W>,
        output: Linear<W>,
    },
}

pub(super) enum Ffn<W> {
    Gated {
        gate: Linear<W>,
        up: Linear<W>,
        down: Linear<W>,
    },
    Experts(Experts<W>),
}

/// The activations of a forward pass, planned once.
pub(super) struct Buffers<T> {
    /// `[n, hidden]`
    pub(super) residual: T,
    /// `[n, hidden]`
    pub(super) normed: T,
    /// `[n, hidden]`: what mixer or feed-forward adds to the residual.
    pub(super) output: T,
    /// `[n, n_heads * head_dim]`, or what a recurrent mixer's input projection gives.
    pub(super) q: T,
    /// `[n, n_kv_heads * head_dim]`
    pub(super) k: T,
    /// `[n, n_kv_heads * head_dim]`
    pub(super) v: T,
    /// `[n, n_heads * head_dim]`
    pub(super) mixed: T,
    /// `[n, ffn width]`
    pub(super) gate: T,
    /// `[n, ffn width]`
    pub(super) up: T,
}

impl<W> Layer<W> {
    /// Adds what this layer has to say to `buffers.residual`.
    #[allow(clippy::too_many_arguments)] // Each is a different thing, and there is one caller.
    pub(super) fn forward<B: Backend<Weight = W>>(
        &self,
        backend: &B,
        spec: &LayerSpec,
        norm: NormSpec,
        ropes: &[RopeTable],
        batch: &Batch<'_>,
        state: &mut B::State,
        buffers: &mut Buffers<B::Buffer>,
    ) -> Result<(), BackendError> {
        let x = input(
            backend,
            norm,
            self.mixer_norm.as_ref(),
            &buffers.residual,
            &mut buffers.normed,
        )?;
        match (&self.mixer, &spec.mixer) {
            (
                Mixer::Attention {
                    q,
                    k,
                    v,
                    output,
                    query_norm,
                    key_norm,
                },
                MixerSpec::Attention(spec),
            ) => {
                backend.linear(x, q, &mut buffers.q)?;
                backend.linear(x, k, &mut buffers.k)?;
                backend.linear(x, v, &mut buffers.v)?;
                let layer = AttentionLayer {
                    spec,
                    rope: spec.rope.map(|index| &ropes[index]),
                    query_norm: query_norm.as_ref(),
                    key_norm: key_norm.as_ref(),
                    norm,
                    slot: self.slot,
                };
                backend.attention(
                    &layer,
                    [&buffers.q, &buffers.k, &buffers.v],
                    batch,
                    state,
                    &mut buffers.mixed,
                )?;
                backend.linear(&buffers.mixed, output, &mut buffers.output)?;
            }
            (
                Mixer::ShortConv {
                    input,
                    filter,
                    filter_bias,
                    output,
                },
                MixerSpec::ShortConv(spec),
            ) => {
                backend.linear(x, input, &mut buffers.q)?;
                let mixer = RecurrentMixer::ShortConv {
                    spec,
                    filter,
                    bias: filter_bias.as_ref(),
                };
                let layer = RecurrentLayer {
                    mixer,
                    slot: self.slot,
                };
                backend.recurrent(&layer, &buffers.q, batch, state, &mut buffers.mixed)?;
                backend.linear(&buffers.mixed, output, &mut buffers.output)?;
            }
            _ => unreachable!("layers were loaded from this spec"),
        }
        add_output(backend, norm, self.mixer_output_norm.as_ref(), buffers)?;

        let x = input(
            backend,
            norm,
            self.ffn_norm.as_ref(),
            &buffers.residual,
            &mut buffers.normed,
        )?;
        match (&self.ffn, &spec.ffn) {
            (Ffn::Gated { gate, up, down }, FfnSpec::Gated { activation, .. }) => {
                backend.linear(x, gate, &mut buffers.gate)?;
                backend.linear(x, up, &mut buffers.up)?;
                backend.gated(*activation, &mut buffers.gate, &buffers.up)?;
                backend.linear(&buffers.gate, down, &mut buffers.output)?;
            }
            (Ffn::Experts(experts), FfnSpec::Experts(spec)) => {
                backend.experts(spec, experts, x, &mut buffers.output)?
            }
            _ => unreachable!("layers were loaded from this spec"),
        }
        add_output(backend, norm, self.ffn_output_norm.as_ref(), buffers)
    }
}

/// The residual stream, normed where the block norms its inputs.
fn input<'a, B: Backend>(
    backend: &B,
    spec: NormSpec,
    norm: Option<&B::Weight>,
    residual: &'a B::Buffer,
    normed: &'a mut B::Buffer,
) -> Result<&'a B::Buffer, BackendError> {
    match norm {
        Some(norm) => backend
            .norm(residual, norm, spec, normed)
            .map(|()| &*normed),
        None => Ok(residual),
    }
}

/// Adds the output to the residual stream, normed where the block norms its outputs.
fn add_output<B: Backend>(
    backend: &B,
    spec: NormSpec,
    norm: Option<&B::Weight>,
    buffers: &mut Buffers<B::Buffer>,
) -> Result<(), BackendError> {
    let output = input(backend, spec, norm, &buffers.output, &mut buffers.normed)?;
    backend.add(&mut buffers.residual, output)
}
