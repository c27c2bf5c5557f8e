/// How exactly products and attention are computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// As fast as the device can: 16-bit or 8-bit factors, sums in float32.
    #[default]
    Fast,
    /// Float32 throughout, to verify everything else.
    Exact,
}
