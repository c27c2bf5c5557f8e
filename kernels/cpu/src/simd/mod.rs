//! Vectors of `f32` without the name of an instruction set: what kernels over floats are
//! written with, once.
//!
//! 1. A kernel is a struct with its arguments that implements [`Kernel`]: a scalar twin, plain
//!    and obvious, and a body over any [`Simd`].
//! 2. [`run`] calls the one that suits an [`Isa`]. This is the only place that chooses.
//! 3. [`math`] has exponentials and their relatives, [`rows`] the multiply-add loop that matrices
//!    and attention share, [`pairs`] its twin for quantized numbers.
//!
//! Another instruction set is one more file beside `avx2.rs` and one more arm in [`run`].

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod define;
pub(crate) mod math;
#[cfg(target_arch = "aarch64")]
mod neon;
pub(crate) mod pairs;
pub(crate) mod rows;
#[cfg(test)]
pub(crate) mod tests;

use crate::Isa;

/// An operation with its arguments.
pub(crate) trait Kernel: Sized {
    /// What it returns.
    type Output;

    /// Plain Rust; defines what the operation does.
    fn scalar(self) -> Self::Output;

    /// The same with vectors, or with the compiler's: then it calls `scalar`. Implementations are `#[inline(always)]`, as is all that they call
    /// in inner loops: only what is inlined into [`run`]'s callee is compiled for the set.
    fn simd<S: Simd>(self, simd: S) -> Self::Output;
}

/// Runs a kernel with an instruction set.
///
/// # Panics
/// If the machine does not have it.
pub(crate) fn run<K: Kernel>(isa: Isa, kernel: K) -> K::Output {
    assert!(isa.is_available(), "this machine has no {}", isa.name());
    match isa {
        Isa::Scalar => kernel.scalar(),
        // SAFETY: the machine has the set, checked above.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 | Isa::AvxVnni => unsafe { avx2::run(kernel) },
        // SAFETY: likewise.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 | Isa::Avx512Bf16 => unsafe { avx512::run(kernel) },
        // SAFETY: the machine has the set, checked above.
        #[cfg(target_arch = "aarch64")]
        Isa::Neon | Isa::NeonDot => unsafe { neon::run(kernel) },
        #[allow(unreachable_patterns)] // Each architecture lacks those of the others.
        _ => unreachable!("available, checked above"),
    }
}

/// Vectors of an instruction set. A value of the type proves that the machine has the set, so
/// that operations on registers are safe.
///
/// `F32` is one register. `X32` is as many as hold 32 lanes, the unit of panels and cache blocks,
/// and `X16` half of that.
pub(crate) trait Simd: Copy {
    /// Lanes of `F32`; 32 is a multiple of it.
    const LANES: usize;
    /// Rows of factors that one pass over [rows](rows) of any type serves, at most 4: with two, all
    /// sums, a row and a factor are in registers where there are 16 of 32 bytes.
    const DIRECT_GROUP: usize = 2;
    /// Rows of factors that one pass over rows of `f32` serves, a half row at a time, at most 8:
    /// with six, loads are fewer than multiplications, and 16 registers are enough.
    const WIDE_GROUP: usize = 6;
    /// [`Self::LANES`] values.
    type F32: Copy;
    /// 16 values.
    type X16: Copy;
    /// 32 values.
    type X32: Copy;
    /// 32 lanes of two 16-bit numbers.
    type Pairs: Copy;
    /// 32 sums of whole numbers.
    type I32: Copy;

    fn splat(self, value: f32) -> Self::F32;
    fn add(self, a: Self::F32, b: Self::F32) -> Self::F32;
    fn sub(self, a: Self::F32, b: Self::F32) -> Self::F32;
    fn mul(self, a: Self::F32, b: Self::F32) -> Self::F32;
    fn div(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// The larger, or `b` where one of them is no number.
    fn max(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// The smaller, or `b` where one of them is no number.
    fn min(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a * b + c`, rounded once.
    fn mul_add(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32;
    fn abs(self, a: Self::F32) -> Self::F32;
    /// `magnitude` (not negative) with the sign of `sign`.
    fn with_sign(self, magnitude: Self::F32, sign: Self::F32) -> Self::F32;
    /// The nearest whole number.
    fn round(self, a: Self::F32) -> Self::F32;
    /// 2 to the power `n`, whole numbers from -126 to 127.
    fn power_of_two(self, n: Self::F32) -> Self::F32;
    /// `yes` where `a < b`, else `no`.
    fn select_less(self, a: Self::F32, b: Self::F32, yes: Self::F32, no: Self::F32) -> Self::F32;
    /// The sum of all lanes.
    fn sum(self, a: Self::F32) -> f32;
    /// The largest of all lanes.
    fn largest(self, a: Self::F32) -> f32;

    /// # Safety
    /// `from` is valid for reading [`Self::LANES`] values, aligned or not.
    unsafe fn load(self, from: *const f32) -> Self::F32;
    /// # Safety
    /// `to` is valid for writing [`Self::LANES`] values, aligned or not.
    unsafe fn store(self, to: *mut f32, a: Self::F32);

    fn splat_16(self, value: f32) -> Self::X16;
    fn scale_16(self, a: f32, b: Self::X16) -> Self::X16;
    /// `a * b + c`, rounded once.
    fn scale_add_16(self, a: Self::F32, b: Self::X16, c: Self::X16) -> Self::X16;
    /// # Safety
    /// `from` is valid for reading 64 bytes.
    unsafe fn load_16(self, from: *const f32) -> Self::X16;
    /// # Safety
    /// `to` is valid for writing 64 bytes.
    unsafe fn store_16(self, to: *mut f32, a: Self::X16);

    fn splat_32(self, value: f32) -> Self::X32;
    fn scale_32(self, a: f32, b: Self::X32) -> Self::X32;
    /// `a * b + c`, rounded once.
    fn mul_add_32(self, a: Self::X32, b: Self::X32, c: Self::X32) -> Self::X32;
    /// `a * b + c`, rounded once.
    fn scale_add_32(self, a: Self::F32, b: Self::X32, c: Self::X32) -> Self::X32;
    /// # Safety
    /// `from` is valid for reading 128 bytes.
    unsafe fn load_32(self, from: *const f32) -> Self::X32;
    /// # Safety
    /// `to` is valid for writing 128 bytes.
    unsafe fn store_32(self, to: *mut f32, a: Self::X32);
    /// 32 half-precision values.
    ///
    /// # Safety
    /// `from` is valid for reading 64 bytes.
    unsafe fn load_32_f16(self, from: *const u8) -> Self::X32;
    /// 32 bfloat16 values, as [`rows::Bf16`] orders them.
    ///
    /// # Safety
    /// `from` is valid for reading 64 bytes.
    unsafe fn load_32_bf16(self, from: *const u8) -> Self::X32;
    /// 32 lanes of two 16-bit numbers from bytes, see [`pairs::I8`].
    ///
    /// # Safety
    /// `from` is valid for reading 64 bytes.
    unsafe fn load_pairs_i8(self, from: *const u8) -> Self::Pairs;
    /// 32 lanes of two 16-bit numbers from half bytes, see [`pairs::I4`].
    ///
    /// # Safety
    /// `from` is valid for reading 32 bytes.
    unsafe fn load_pairs_u4(self, from: *const u8) -> Self::Pairs;
    /// The first and the second number of each lane.
    fn split_pairs(self, pairs: Self::Pairs) -> [Self::X32; 2];
    fn splat_i32(self, value: i32) -> Self::I32;
    fn i32_to_f32(self, a: Self::I32) -> Self::X32;
    /// Adds the product of two factors with the two numbers of each lane.
    ///
    /// # Safety
    /// `factors` is valid for reading two values, aligned or not.
    unsafe fn pairs_add(
        self,
        factors: *const i16,
        pairs: Self::Pairs,
        sums: Self::I32,
    ) -> Self::I32;
    /// Multiplies 32 values with a factor and rounds to whole numbers of 16 bits.
    ///
    /// # Safety
    /// `from` is valid for reading and `to` for writing 32 values.
    unsafe fn round_i16(self, from: *const f32, factor: f32, to: *mut i16);
    /// Asks for a cache line that will be read soon. Any address is allowed.
    fn prefetch(self, address: *const u8);

    /// The first lanes from memory, up to `n`, zeros behind.
    ///
    /// # Safety
    /// `from` is valid for reading the smaller of `n` and [`Self::LANES`] values.
    #[inline(always)]
    unsafe fn load_upto(self, from: *const f32, n: usize) -> Self::F32 {
        let mut lanes = [0.0; rows::WIDTH];
        // SAFETY: this function's own condition; the array has room for a register.
        unsafe {
            if n >= Self::LANES {
                return self.load(from);
            }
            std::ptr::copy_nonoverlapping(from, lanes.as_mut_ptr(), n);
            self.load(lanes.as_ptr())
        }
    }

    /// Stores the first lanes, up to `n`.
    ///
    /// # Safety
    /// `to` is valid for writing the smaller of `n` and [`Self::LANES`] values.
    #[inline(always)]
    unsafe fn store_upto(self, to: *mut f32, a: Self::F32, n: usize) {
        let mut lanes = [0.0; rows::WIDTH];
        // SAFETY: this function's own condition; the array has room for a register.
        unsafe {
            if n >= Self::LANES {
                return self.store(to, a);
            }
            self.store(lanes.as_mut_ptr(), a);
            std::ptr::copy_nonoverlapping(lanes.as_ptr(), to, n);
        }
    }
}
