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
    pub(super) gated: T,
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
            &mut buffers.residual,
            &mut buffers.normed,
        )?;
        let (mixed, output) = match (&self.mixer, &spec.mixer) {
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
                let outs = (&mut buffers.q, &mut buffers.k, &mut buffers.v);
                backend.linear(x, [(q, outs.0), (k, outs.1), (v, outs.2)])?;
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
                    [&mut buffers.q, &mut buffers.k, &mut buffers.v],
                    batch,
                    state,
                    &mut buffers.mixed,
                )?;
                (&mut buffers.mixed, output)
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
                backend.linear(x, [(input, &mut buffers.q)])?;
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
                (&mut buffers.mixed, output)
            }
            _ => unreachable!("layers were loaded from this spec"),
        };
        let output_norm = self.mixer_output_norm.as_ref();
        match output_norm {
            None => backend.linear_add(mixed, output, &mut buffers.residual)?,
            Some(_) => backend.linear(mixed, [(output, &mut buffers.output)])?,
        }
        add_normed(backend, norm, output_norm, buffers)?;

        let x = input(
            backend,
            norm,
            self.ffn_norm.as_ref(),
            &mut buffers.residual,
            &mut buffers.normed,
        )?;
        let output_norm = self.ffn_output_norm.as_ref();
        match (&self.ffn, &spec.ffn) {
            (Ffn::Gated { gate, up, down }, FfnSpec::Gated { activation, .. }) => {
                backend.linear_gated(x, gate, up, *activation, &mut buffers.gated)?;
                match output_norm {
                    None => {
                        backend.linear_add(&mut buffers.gated, down, &mut buffers.residual)?;
                    }
                    Some(_) => {
                        backend.linear(&mut buffers.gated, [(down, &mut buffers.output)])?;
                    }
                }
            }
            (Ffn::Experts(experts), FfnSpec::Experts(spec)) => {
                let output = &mut buffers.output;
                match (output_norm, &self.ffn_norm) {
                    (Some(_), _) => backend.experts(spec, experts, x, output)?,
                    (None, Some(_)) => {
                        let (x, residual) = (&mut buffers.normed, &mut buffers.residual);
                        backend.experts_add(spec, experts, x, output, residual)?;
                    }
                    // The input is the residual stream itself.
                    (None, None) => {
                        backend.experts(spec, experts, x, output)?;
                        backend.add(&mut buffers.residual, output)?;
                    }
                }
            }
            _ => unreachable!("layers were loaded from this spec"),
        }
        add_normed(backend, norm, output_norm, buffers)
    }
}

/// The residual stream, normed where the block norms its inputs.
fn input<'a, B: Backend>(
    backend: &B,
    spec: NormSpec,
    norm: Option<&B::Weight>,
    residual: &'a mut B::Buffer,
    normed: &'a mut B::Buffer,
) -> Result<&'a mut B::Buffer, BackendError> {
    match norm {
        Some(norm) => {
            backend.norm(residual, norm, spec, normed)?;
            Ok(normed)
        }
        None => Ok(residual),
    }
}

/// Adds the output to the residual stream where the block norms its outputs; elsewhere the output
/// was added as it was computed.
fn add_normed<B: Backend>(
    backend: &B,
    spec: NormSpec,
    norm: Option<&B::Weight>,
    buffers: &mut Buffers<B::Buffer>,
) -> Result<(), BackendError> {
    let Some(norm) = norm else { return Ok(()) };
    backend.norm(&buffers.output, norm, spec, &mut buffers.normed)?;
    backend.add(&mut buffers.residual, &buffers.normed)
}
