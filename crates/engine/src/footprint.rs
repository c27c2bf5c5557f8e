//! What memory a model would take before it is loaded, and whether there is so much.

use std::fmt;

use ponder_runtime::{cache::CachePlan, spec::ArchSpec};

use crate::{
    Device, EngineError, LoadOptions, device, load, memory,
    placement::{Parts, USEFUL},
};

/// Whose memory it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryPlace {
    /// The machine's.
    Machine,
    /// That of a device of NVIDIA's, by its index.
    Cuda(usize),
}

/// Memory that is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// Where.
    pub place: MemoryPlace,
    /// Bytes that the model takes there.
    pub needed: u64,
    /// Bytes that nobody uses.
    pub free: u64,
    /// What would fit.
    pub advice: String,
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (needed, free) = (self.needed.div_ceil(1 << 20), self.free >> 20);
        write!(f, "needs {needed} MB of memory")?;
        if let MemoryPlace::Cuda(index) = self.place {
            write!(f, " on cuda:{index}")?;
        }
        write!(f, ", and {free} MB are free")
    }
}

/// What a model would take where the options put it, with the cache that was asked for, or else the
/// least that is of use.
#[derive(Clone, Debug)]
pub struct Footprint {
    /// The device that it would go to.
    cuda: Option<usize>,
    parts: Parts,
    /// Bytes where all of it stays on the processor: of weights, and with the cache.
    weights: u64,
    whole: u64,
    /// Layers that are to go to the device, where that was asked for.
    gpu_layers: Option<usize>,
    /// Whether the processor takes it where the device has no room for a layer.
    may_stay: bool,
    tokens: usize,
}

impl Footprint {
    /// Weighs a model by its files, which are fetched if need be.
    ///
    /// # Errors
    /// When it is not there or cannot be understood.
    pub fn of(model: &str, options: &LoadOptions) -> Result<Self, EngineError> {
        let checkpoint = load::resolve(model, options, &mut |_| {})?.open()?;
        let spec = ArchSpec::of(&checkpoint)?;
        let bytes_of_32 = options.cache_type()?.bytes_of_32();
        let least = memory::least_tokens(options.context, spec.context_len);
        let tokens = options.cache_tokens.unwrap_or(least);
        let cuda = match options.device {
            Device::Reference | Device::Cpu => None,
            Device::Cuda(index) => Some(index),
            Device::Auto => device::free_memory(0).ok().map(|_| 0),
        };
        let weights = checkpoint.file_bytes();
        Ok(Self {
            cuda,
            parts: Parts::of(&spec, &checkpoint, bytes_of_32, device::weigh),
            weights,
            whole: weights.saturating_add(CachePlan::new(&spec).bytes(tokens, bytes_of_32)),
            gpu_layers: options.gpu_layers,
            may_stay: options.device == Device::Auto,
            tokens,
        })
    }

    /// Where memory is short now, if it is: what the model wants is all of its layers on the device,
    /// and, `with_less`, as many as fit there.
    ///
    /// # Errors
    /// Where the device does not say what is free.
    pub fn shortage(&self, with_less: bool) -> Result<Option<Shortage>, EngineError> {
        let on_device = self.cuda.map(device::free_memory).transpose()?;
        Ok(self.shortage_of(memory::available_bytes(), on_device.unwrap_or(0), with_less))
    }

    fn shortage_of(&self, free: u64, on_device: u64, with_less: bool) -> Option<Shortage> {
        let needed = match self.cuda {
            None => self.whole,
            Some(index) => {
                let (parts, tokens) = (&self.parts, self.tokens);
                let fitting = parts.place(on_device, tokens, None).n_on_device;
                let wanted = self.gpu_layers.unwrap_or(usize::MAX).min(parts.n_layers());
                let may_be_less = with_less && self.gpu_layers.is_none();
                match fitting.min(wanted) {
                    n if n == wanted => parts.on_processor(n, tokens),
                    0 if may_be_less && self.may_stay => self.whole,
                    n if may_be_less && n > 0 => parts.on_processor(n, tokens),
                    _ => return Some(parts.shortage(index, on_device, tokens, wanted)),
                }
            }
        };
        (needed > free).then(|| Shortage {
            place: MemoryPlace::Machine,
            needed,
            free,
            advice: self.advice(free),
        })
    }

    /// What would fit into the machine's memory.
    fn advice(&self, free: u64) -> String {
        let cache = u128::from(self.whole - self.weights);
        let room = u128::from(free.saturating_sub(self.weights));
        // The cache grows with its tokens, so the share that fits has its share of them.
        match (room * self.tokens as u128).checked_div(cache) {
            Some(tokens) if tokens >= u128::from(USEFUL) && self.cuda.is_none() => {
                format!("hint: a cache of {tokens} tokens fits, by --cache-tokens or --context")
            }
            _ => "hint: use a smaller model, or one that is quantized to fewer bits".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::placement::tests::{MB, parts};

    /// Ten layers of 100 MB and 200 MB beside them; a thousand tokens of cache take 10 MB.
    fn footprint(cuda: Option<usize>) -> Footprint {
        Footprint {
            cuda,
            parts: parts(),
            weights: 1200 * MB,
            whole: 1210 * MB,
            gpu_layers: None,
            may_stay: false,
            tokens: 1024,
        }
    }

    /// Where it is short and of how much, with so many MB free.
    fn short(
        model: &Footprint,
        [free, on_device]: [u64; 2],
        less: bool,
    ) -> Option<(MemoryPlace, u64)> {
        let shortage = model.shortage_of(free * MB, on_device * MB, less);
        shortage.map(|short| (short.place, short.needed / MB))
    }

    #[test]
    fn what_stays_on_the_processor_needs_the_machines_memory() {
        let model = footprint(None);
        assert_eq!(short(&model, [1210, 0], false), None);
        let machine = Some((MemoryPlace::Machine, 1210));
        assert_eq!(short(&model, [1209, 9999], true), machine);
        let shortage = model
            .shortage_of(1205 * MB, 0, false)
            .expect("it does not fit");
        assert_eq!(
            shortage.to_string(),
            "needs 1210 MB of memory, and 1205 MB are free"
        );
        assert!(
            shortage.advice.contains("512 tokens"),
            "{}",
            shortage.advice
        );
        let none = model.shortage_of(1200 * MB, 0, false).expect("nor this");
        assert!(none.advice.contains("smaller model"), "{}", none.advice);
    }

    #[test]
    fn what_goes_to_a_device_needs_its_memory() {
        let model = footprint(Some(1));
        let all = 512 + 200 + 1000 + 10;
        assert_eq!(short(&model, [0, all], false), None, "the machine has none");
        let device = Some((MemoryPlace::Cuda(1), all));
        assert_eq!(short(&model, [9999, all - 1], false), device);
        // One layer stays, with what lies beside the layers.
        assert_eq!(short(&model, [9999, all - 1], true), None);
        let machine = Some((MemoryPlace::Machine, 301));
        assert_eq!(short(&model, [300, all - 1], true), machine);
        let shortage = model.shortage_of(0, (all - 1) * MB, false).expect("short");
        assert_eq!(
            shortage.to_string(),
            "needs 1722 MB of memory on cuda:1, and 1721 MB are free"
        );
    }

    #[test]
    fn what_was_asked_for_by_number_is_not_made_less() {
        let mut model = footprint(Some(0));
        model.gpu_layers = Some(5);
        let half = 512 + 200 + 500 + 5;
        assert_eq!(short(&model, [9999, half], true), None);
        let device = Some((MemoryPlace::Cuda(0), half));
        assert_eq!(short(&model, [9999, half - 1], true), device);
        assert_eq!(
            short(&model, [704, half], true),
            Some((MemoryPlace::Machine, 705))
        );
    }

    #[test]
    fn a_device_without_room_is_left_alone_where_any_would_do() {
        let mut model = footprint(Some(0));
        assert!(short(&model, [9999, 0], true).is_some());
        model.may_stay = true;
        assert!(short(&model, [9999, 0], false).is_some());
        assert_eq!(short(&model, [1210, 0], true), None);
        let machine = Some((MemoryPlace::Machine, 1210));
        assert_eq!(short(&model, [1209, 0], true), machine);
    }
}
