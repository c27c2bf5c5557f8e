//! How the files of instruction sets define the operations of [`Simd`](super::Simd).

/// Operations on registers, safe for who holds a value of the type that they are defined for.
macro_rules! on_registers {
    ($(fn $name:ident($($arg:ident: $type:ty),*) -> $output:ty { $body:expr })*) => {$(
        #[inline(always)]
        fn $name(self, $($arg: $type),*) -> $output {
            // SAFETY: a value of the type proves that the machine has the instructions.
            unsafe { $body }
        }
    )*};
}
pub(super) use on_registers;

/// Operations on memory; the trait says what must be readable or writable.
macro_rules! on_memory {
    ($(fn $name:ident($($arg:ident: $type:ty),*) $(-> $output:ty)? { $body:expr })*) => {$(
        #[inline(always)]
        unsafe fn $name(self, $($arg: $type),*) $(-> $output)? {
            // SAFETY: a value of the type proves that the machine has the instructions; the memory
            // is valid by the function's own condition, and no access needs alignment.
            unsafe { $body }
        }
    )*};
}
pub(super) use on_memory;
