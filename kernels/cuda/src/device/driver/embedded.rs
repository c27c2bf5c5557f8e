//! The kernels as nvcc compiled them.

include!(concat!(env!("OUT_DIR"), "/modules.rs"));

/// A `.cu` file.
pub(super) struct Module {
    /// A fat binary: machine code for several architectures, and code to be compiled for later ones.
    pub(super) image: &'static [u8],
    /// Kernels that it has, for one architecture at least.
    pub(super) kernels: &'static [&'static str],
    /// Those of them that await earlier launches, so that they may start while these run; none where it
    /// was compiled for architectures that cannot.
    pub(super) overlapping: &'static [&'static str],
}

/// The driver reads numbers from the image.
#[repr(C, align(16))]
struct Aligned<T: ?Sized>(T);

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// What a part of a fat binary is.
    const PTX: u16 = 1;
    const MACHINE_CODE: u16 = 2;

    fn number<const N: usize>(image: &[u8], at: usize) -> [u8; N] {
        image[at..at + N].try_into().expect("so many bytes")
    }

    /// Kind and architecture of each part: behind a header that tells its own length and that of all
    /// parts, each part has such a header, too.
    fn parts(image: &[u8]) -> Vec<(u16, u32)> {
        assert_eq!(
            u32::from_le_bytes(number(image, 0)),
            0xBA55_ED50,
            "the magic number"
        );
        let header = usize::from(u16::from_le_bytes(number(image, 6)));
        let len = u64::from_le_bytes(number(image, 8)) as usize;
        assert_eq!(header + len, image.len());
        let mut parts = Vec::new();
        let mut at = header;
        while at < image.len() {
            let kind = u16::from_le_bytes(number(image, at));
            let header = u32::from_le_bytes(number(image, at + 4)) as usize;
            let len = u64::from_le_bytes(number(image, at + 8)) as usize;
            parts.push((kind, u32::from_le_bytes(number(image, at + 28))));
            at += header + len;
        }
        parts
    }

    #[test]
    fn modules_have_code_for_every_architecture() {
        let number = |name: &&str| name.trim_end_matches(char::is_alphabetic).parse();
        let wanted: BTreeSet<u32> = ARCHITECTURES
            .iter()
            .map(|name| number(name).unwrap())
            .collect();
        let of_kind = |parts: &[(u16, u32)], kind| -> BTreeSet<u32> {
            let parts = parts.iter().filter(|part| part.0 == kind);
            parts.map(|part| part.1).collect()
        };
        let general = ARCHITECTURES
            .iter()
            .filter(|name| !name.ends_with(char::is_alphabetic));
        let general: Vec<u32> = general.map(|name| number(name).unwrap()).collect();
        assert!(!MODULES.is_empty());
        for module in MODULES {
            let parts = parts(module.image);
            assert_eq!(
                of_kind(&parts, MACHINE_CODE),
                wanted,
                "{:?}",
                module.kernels
            );
            let ends = [general.first(), general.last()];
            let ends: BTreeSet<u32> = ends.into_iter().flatten().copied().collect();
            assert_eq!(of_kind(&parts, PTX), ends, "{:?}", module.kernels);
            assert_eq!(module.image.as_ptr().align_offset(16), 0);
        }
    }

    #[test]
    fn no_two_kernels_have_the_same_name() {
        let mut names = BTreeSet::new();
        for module in MODULES {
            assert!(!module.kernels.is_empty());
            for name in module.kernels {
                assert!(names.insert(name), "{name}");
            }
        }
    }

    /// So it is for every step of a model, but for what stands beside it.
    #[test]
    fn kernels_of_products_overlap_from_hopper_on() {
        let number = |name: &&str| name.trim_end_matches(char::is_alphabetic).parse();
        let is_new = ARCHITECTURES
            .iter()
            .any(|name| number(name).is_ok_and(|number: u32| number >= 90));
        for module in MODULES {
            let products = |names: &[&str]| {
                let products = names.iter().filter(|name| name.starts_with("matvec_"));
                products.count()
            };
            let n_products = if is_new { products(module.kernels) } else { 0 };
            assert_eq!(products(module.overlapping), n_products);
        }
    }

    /// Both compilers are given the same sources: what each has found in them is the same.
    #[cfg(feature = "emulated")]
    #[test]
    fn the_processor_has_the_same_kernels() {
        let emulated = crate::Device::emulated().kernels();
        let emulated: BTreeSet<&str> = emulated.into_iter().collect();
        let kernels = MODULES.iter().flat_map(|module| module.kernels);
        let kernels: BTreeSet<&str> = kernels.copied().collect();
        let others: Vec<_> = emulated.symmetric_difference(&kernels).collect();
        // There is nothing to test with on a device.
        let of_tests = |name: &&&str| name.starts_with("test_");
        assert!(others.iter().all(of_tests), "{others:?}");
    }
}
