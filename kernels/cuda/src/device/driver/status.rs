//! What the driver returns.

use std::ffi::{CStr, c_char, c_int};
use std::ptr;

use super::api::Api;
use crate::CudaError;

/// A code that the driver returned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub(super) struct Status(pub(super) c_int);

impl Status {
    pub(super) const SUCCESS: Self = Self(0);
    pub(super) const OUT_OF_MEMORY: Self = Self(2);
    /// A toolkit's stand-in for a driver, to link with.
    pub(super) const STUB_LIBRARY: Self = Self(34);
    pub(super) const NO_DEVICE: Self = Self(100);
    pub(super) const NOT_FOUND: Self = Self(500);

    pub(super) fn check(self, api: &Api, operation: &'static str) -> Result<(), CudaError> {
        match self {
            Self::SUCCESS => Ok(()),
            status => Err(status.error(api, operation)),
        }
    }

    pub(super) fn error(self, api: &Api, operation: &'static str) -> CudaError {
        let message = self.message(api);
        if self.is_fatal() {
            CudaError::Lost { operation, message }
        } else {
            CudaError::Driver { operation, message }
        }
    }

    /// The driver's name for it, and what it says.
    pub(super) fn message(self, api: &Api) -> String {
        let text = |function: unsafe extern "system" fn(Self, *mut *const c_char) -> Self| {
            let mut text: *const c_char = ptr::null();
            // SAFETY: it writes a pointer, to a text that lasts as long as the library, or null.
            let status = unsafe { function(self, &raw mut text) };
            let is_there = status == Self::SUCCESS && !text.is_null();
            // SAFETY: see above.
            is_there.then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy())
        };
        match (text(api.error_name), text(api.error_string)) {
            (Some(name), Some(words)) => format!("{words} ({name})"),
            (Some(name), None) => name.into_owned(),
            _ => format!("code {}", self.0),
        }
    }

    /// Whether a module was refused for what it is, not for want of memory or the like.
    pub(super) fn is_refusal(self) -> bool {
        // Invalid image, no binary for the device, invalid PTX, no compiler for PTX, PTX too new, no
        // compiling of PTX allowed.
        matches!(self.0, 200 | 209 | 218 | 221 | 222 | 223)
    }

    /// Whether the context is of no more use: every later call fails, too.
    fn is_fatal(self) -> bool {
        // Device unavailable; uncorrectable memory, link and contained errors; a context that was
        // destroyed; and what can go wrong in a kernel, from an illegal address to a failed launch.
        matches!(
            self.0,
            46 | 214 | 220 | 226 | 700 | 702 | 709 | 710 | 714..=719
        )
    }
}

/// `13.0` for 13000.
pub(super) fn version_text(version: u32) -> String {
    format!("{}.{}", version / 1000, version % 1000 / 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_written_as_people_do() {
        assert_eq!(version_text(13000), "13.0");
        assert_eq!(version_text(12080), "12.8");
        assert_eq!(version_text(11040), "11.4");
    }

    #[test]
    fn what_goes_wrong_in_a_kernel_is_fatal() {
        for code in [700, 710, 716, 719] {
            assert!(Status(code).is_fatal(), "{code}");
        }
        // No memory, an invalid value, too many resources for a launch, no such kernel.
        for code in [0, 1, 2, 500, 701] {
            assert!(!Status(code).is_fatal(), "{code}");
        }
    }
}
