//! Tables of functions of a library that is opened at run time.

/// A struct `Api` of functions that all return the same type of code: `field = "name"(arguments);`, and,
/// behind them, of those that older versions lack: `? field = "name": Type;`.
macro_rules! functions {
    (
        $(#[$doc:meta])*
        $code:ty;
        $($field:ident = $name:literal ($($arg:ty),* $(,)?);)*
        $(? $new:ident = $new_name:literal: $new_type:ty;)*
    ) => {
        $(#[$doc])*
        pub(super) struct Api {
            $(pub(super) $field: unsafe extern "system" fn($($arg),*) -> $code,)*
            $(pub(super) $new: Option<$new_type>,)*
            /// What they are in; it must stay loaded.
            pub(super) _library: Option<libloading::Library>,
        }

        impl Api {
            /// The functions, or the name of the first one that is missing.
            ///
            /// # Safety
            /// The library is the one that these functions are of.
            unsafe fn look_up(library: libloading::Library) -> Result<Self, &'static str> {
                Ok(Self {
                    $($field: {
                        // SAFETY: the function of this name has this type in every version.
                        let symbol = unsafe { library.get(concat!($name, "\0")) };
                        *symbol.map_err(|_| $name)?
                    },)*
                    $($new: {
                        // SAFETY: the function of this name has this type in every version that has it.
                        let symbol = unsafe { library.get::<$new_type>(concat!($new_name, "\0")) };
                        symbol.ok().map(|symbol| *symbol)
                    },)*
                    _library: Some(library),
                })
            }
        }
    };
}

pub(super) use functions;
