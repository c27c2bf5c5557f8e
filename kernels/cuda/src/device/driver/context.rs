//! [`Context`]: a device with what the process has on it, and what lies in it.

use std::ffi::{c_int, c_uint, c_void};
use std::ptr::{self, NonNull};
use std::sync::Arc;

use super::api::{Api, Handle};
use super::status::Status;
use crate::CudaError;

/// A device's primary context, the stream that everything happens on, and one for what comes from the
/// machine meanwhile.
pub(super) struct Context {
    pub(super) api: &'static Api,
    device: c_int,
    context: Handle,
    pub(super) stream: Handle,
    pub(super) deliveries: Handle,
}

// SAFETY: handles are numbers to the driver, whose functions may be called by any thread.
unsafe impl Send for Context {}
// SAFETY: see above; several threads may do so at a time.
unsafe impl Sync for Context {}

impl Context {
    pub(super) fn new(api: &'static Api, device: c_int) -> Result<Arc<Self>, CudaError> {
        let mut context = ptr::null_mut();
        // SAFETY: it writes a handle.
        let status = unsafe { (api.retain_context)(&raw mut context, device) };
        status.check(api, "creating a context on the device")?;
        // From here on dropping it releases the context.
        let mut this = Self {
            api,
            device,
            context,
            stream: ptr::null_mut(),
            deliveries: ptr::null_mut(),
        };
        this.enter()?;
        // It does not wait for what others do on the default stream.
        const NON_BLOCKING: c_uint = 1;
        for stream in [&raw mut this.stream, &raw mut this.deliveries] {
            // SAFETY: it writes a handle.
            let status = unsafe { (api.create_stream)(stream, NON_BLOCKING) };
            status.check(api, "creating a stream")?;
        }
        Ok(Arc::new(this))
    }

    /// Makes it the one that this thread's calls are about.
    pub(super) fn enter(&self) -> Result<(), CudaError> {
        // SAFETY: the context lives as long as this.
        let status = unsafe { (self.api.set_context)(self.context) };
        self.check(status, "entering the device's context")
    }

    pub(super) fn check(&self, status: Status, operation: &'static str) -> Result<(), CudaError> {
        status.check(self.api, operation)
    }

    /// Bytes that are free, and bytes in all.
    pub(super) fn memory(&self) -> Result<(usize, usize), CudaError> {
        self.enter()?;
        let (mut free, mut total) = (0, 0);
        // SAFETY: it writes two numbers.
        let status = unsafe { (self.api.memory_info)(&raw mut free, &raw mut total) };
        self.check(status, "asking for free memory")?;
        Ok((free, total))
    }

    /// Waits for everything on the streams.
    pub(super) fn synchronize(&self) -> Result<(), CudaError> {
        self.enter()?;
        [self.stream, self.deliveries]
            .into_iter()
            .try_for_each(|stream| {
                // SAFETY: the stream is this context's.
                let status = unsafe { (self.api.wait_for_stream)(stream) };
                self.check(status, "waiting for the device")
            })
    }

    /// Copies to the device when the stream comes to it.
    ///
    /// # Safety
    /// The stream is this context's, the bytes are pinned and stay as they are until the copy is done,
    /// and `to` has room for them.
    pub(super) unsafe fn upload(
        &self,
        from: &[u8],
        to: u64,
        stream: Handle,
    ) -> Result<(), CudaError> {
        self.enter()?;
        // SAFETY: the caller's promise.
        let status = unsafe { (self.api.upload)(to, from.as_ptr().cast(), from.len(), stream) };
        self.check(status, "copying to the device")
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        if self.enter().is_err() {
            return;
        }
        // SAFETY: nobody else has these handles any more; nothing can be done about failures.
        unsafe {
            for stream in [self.stream, self.deliveries] {
                if !stream.is_null() {
                    (self.api.wait_for_stream)(stream);
                    (self.api.destroy_stream)(stream);
                }
            }
            (self.api.release_context)(self.device);
        }
    }
}

/// A point of a stream.
pub(super) struct Event {
    context: Arc<Context>,
    handle: Handle,
}

// SAFETY: as for [`Context`].
unsafe impl Send for Event {}
// SAFETY: as for [`Context`].
unsafe impl Sync for Event {}

/// What an event is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// Being waited for by a thread that has nothing else to do, so that it is there at once.
    Wait,
    /// Being waited for by a thread that leaves its core to others.
    Sleep,
    /// Telling times.
    Time,
}

impl Event {
    /// One that has not been recorded.
    pub(super) fn new(context: &Arc<Context>, is_for: Use) -> Result<Self, CudaError> {
        const BLOCKING: c_uint = 1;
        const WITHOUT_TIMES: c_uint = 2;
        context.enter()?;
        let flags = match is_for {
            Use::Wait => WITHOUT_TIMES,
            Use::Sleep => WITHOUT_TIMES | BLOCKING,
            Use::Time => 0,
        };
        let mut handle = ptr::null_mut();
        // SAFETY: it writes a handle.
        let status = unsafe { (context.api.create_event)(&raw mut handle, flags) };
        context.check(status, "creating an event")?;
        Ok(Self {
            context: context.clone(),
            handle,
        })
    }

    /// It comes when everything that is on the stream by now is done.
    pub(super) fn record(&self) -> Result<(), CudaError> {
        self.record_on(self.context.stream)
    }

    /// It comes when everything that was delivered by now is there.
    pub(super) fn record_delivery(&self) -> Result<(), CudaError> {
        self.record_on(self.context.deliveries)
    }

    fn record_on(&self, stream: Handle) -> Result<(), CudaError> {
        self.context.enter()?;
        // SAFETY: both handles are of this context.
        let status = unsafe { (self.context.api.record_event)(self.handle, stream) };
        self.context.check(status, "recording an event")
    }

    /// What is put on the stream from now on happens when it has come.
    pub(super) fn delay_stream(&self) -> Result<(), CudaError> {
        let Context { api, stream, .. } = *self.context;
        self.context.enter()?;
        // SAFETY: both handles are of this context.
        let status = unsafe { (api.delay_stream)(stream, self.handle, 0) };
        self.context.check(status, "waiting for weights")
    }

    /// Waits until it has come; at once if it was never recorded.
    pub(super) fn wait(&self) -> Result<(), CudaError> {
        self.context.enter()?;
        // SAFETY: the handle is of this context.
        let status = unsafe { (self.context.api.wait_for_event)(self.handle) };
        self.context.check(status, "waiting for an event")
    }

    /// Milliseconds between two timed ones that have come.
    pub(super) fn milliseconds_since(&self, earlier: &Self) -> Result<f32, CudaError> {
        self.context.enter()?;
        let mut milliseconds = 0.0;
        // SAFETY: it writes a number; both handles are of this context.
        let status = unsafe {
            (self.context.api.milliseconds)(&raw mut milliseconds, earlier.handle, self.handle)
        };
        self.context.check(status, "timing with events")?;
        Ok(milliseconds)
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        if self.context.enter().is_ok() {
            // SAFETY: nobody else has the handle.
            unsafe { (self.context.api.destroy_event)(self.handle) };
        }
    }
}

/// Memory of the machine that the device reads and writes by itself.
pub(super) struct Pinned {
    context: Arc<Context>,
    at: NonNull<u8>,
    len: usize,
}

// SAFETY: it owns the memory.
unsafe impl Send for Pinned {}

impl Pinned {
    pub(super) fn new(context: &Arc<Context>, len: usize) -> Result<Self, CudaError> {
        context.enter()?;
        let mut at: *mut c_void = ptr::null_mut();
        // SAFETY: it writes a pointer.
        let status = unsafe { (context.api.alloc_pinned)(&raw mut at, len, 0) };
        context.check(status, "allocating memory of the machine for copies")?;
        let at = NonNull::new(at.cast::<u8>()).ok_or_else(|| CudaError::Driver {
            operation: "allocating memory of the machine for copies",
            message: "nothing came".to_owned(),
        })?;
        // SAFETY: the bytes were allocated a moment ago; from here on all of them are initialized.
        unsafe { at.write_bytes(0, len) };
        Ok(Self {
            context: context.clone(),
            at,
            len,
        })
    }

    /// # Safety
    /// The device neither reads nor writes these bytes at the moment.
    pub(super) unsafe fn bytes(&mut self, start: usize, len: usize) -> &mut [u8] {
        assert!(
            start + len <= self.len,
            "{len} bytes at {start} of {}",
            self.len
        );
        // SAFETY: the bytes are inside, initialized, and the caller has them for itself.
        unsafe { std::slice::from_raw_parts_mut(self.at.add(start).as_ptr(), len) }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // The device may still be reading from it.
        let is_idle = self.context.synchronize();
        if is_idle.is_ok() {
            // SAFETY: it was allocated so, and nobody has it any more.
            unsafe { (self.context.api.free_pinned)(self.at.as_ptr().cast()) };
        }
    }
}
