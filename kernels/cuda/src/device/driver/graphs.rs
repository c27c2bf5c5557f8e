//! Graphs of the driver.

use std::ffi::c_int;
use std::ptr;
use std::sync::Arc;

use super::Driver;
use super::api::Handle;
use super::context::Context;
use crate::CudaError;
use crate::device::graph::{Graphs, Replay};

impl Graphs for Driver {
    fn begin(&self) -> Result<(), CudaError> {
        // What other threads do meanwhile is their own affair.
        const RELAXED: c_int = 2;
        let context = &self.context;
        context.enter()?;
        // SAFETY: the stream is this context's.
        let status = unsafe { (context.api.begin_capture)(context.stream, RELAXED) };
        context.check(status, "beginning a graph")?;
        self.freed.begin();
        Ok(())
    }

    fn end(&self) -> Result<Box<dyn Replay>, CudaError> {
        let Context { api, stream, .. } = *self.context;
        self.context.enter()?;
        let mut graph = ptr::null_mut();
        // SAFETY: it writes a handle.
        let status = unsafe { (api.end_capture)(stream, &raw mut graph) };
        self.freed.end(&self.context);
        self.context.check(status, "recording a graph")?;

        let mut executable = ptr::null_mut();
        // SAFETY: it writes a handle; the graph was made a moment ago.
        let status = unsafe { (api.instantiate_graph)(&raw mut executable, graph, 0) };
        // SAFETY: nobody else has the graph, and what was made of it does not need it.
        unsafe { (api.destroy_graph)(graph) };
        self.context.check(status, "making a graph executable")?;
        let executable = Executable {
            context: self.context.clone(),
            executable,
        };
        // SAFETY: both handles are of this context.
        let status = unsafe { (api.upload_graph)(executable.executable, stream) };
        self.context
            .check(status, "bringing a graph to the device")?;
        Ok(Box::new(executable))
    }
}

/// A graph that can be launched.
struct Executable {
    context: Arc<Context>,
    executable: Handle,
}

// SAFETY: handles are numbers to the driver, whose functions may be called by any thread.
unsafe impl Send for Executable {}
// SAFETY: launches of one graph go to one stream, where they follow each other.
unsafe impl Sync for Executable {}

impl std::fmt::Debug for Executable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Executable").field(&self.executable).finish()
    }
}

impl Replay for Executable {
    fn replay(&self) -> Result<(), CudaError> {
        let Context { api, stream, .. } = *self.context;
        self.context.enter()?;
        // SAFETY: both handles are of this context; the memory that the graph uses is kept with it.
        let status = unsafe { (api.launch_graph)(self.executable, stream) };
        self.context.check(status, "launching a graph")
    }
}

impl Drop for Executable {
    fn drop(&mut self) {
        if self.context.enter().is_ok() {
            // SAFETY: nobody else has the handle; a launch under way is finished before.
            unsafe { (self.context.api.destroy_executable)(self.executable) };
        }
    }
}
