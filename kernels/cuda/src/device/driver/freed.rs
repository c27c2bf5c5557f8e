//! [`Freed`]: memory that was given back while a graph was captured, when nothing may wait.

use std::sync::{Mutex, PoisonError};

use super::context::Context;

/// Frees at once, or at the end of the graph that is being captured.
#[derive(Default)]
pub(super) struct Freed {
    later: Mutex<Option<Vec<u64>>>,
}

impl Freed {
    pub(super) fn begin(&self) {
        self.later().get_or_insert_default();
    }

    pub(super) fn end(&self, context: &Context) {
        let later = self.later().take();
        for address in later.into_iter().flatten() {
            free(context, address);
        }
    }

    pub(super) fn free(&self, context: &Context, address: u64) {
        match &mut *self.later() {
            Some(later) => later.push(address),
            None => free(context, address),
        }
    }

    fn later(&self) -> std::sync::MutexGuard<'_, Option<Vec<u64>>> {
        self.later.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn free(context: &Context, address: u64) {
    // What was launched may still use it. Where waiting fails the device is lost, and with it the
    // memory.
    if context.synchronize().is_ok() {
        // SAFETY: it was allocated, and nobody has it any more.
        unsafe { (context.api.free)(address) };
    }
}
