//! [`Marks`]: events that tell times, each with a number.

use std::sync::{Arc, Mutex, PoisonError};

use super::context::{Context, Event, Use};
use crate::CudaError;

/// Events are used again, because measurements need many, a few at a time.
#[derive(Default)]
pub(super) struct Marks {
    events: Mutex<Events>,
}

#[derive(Default)]
struct Events {
    by_number: Vec<Arc<Event>>,
    /// Numbers of those that nobody asks for any more.
    idle: Vec<usize>,
}

impl Marks {
    /// The number of an event that comes when everything on the stream is done.
    pub(super) fn record(&self, context: &Arc<Context>) -> Result<u64, CudaError> {
        let mut events = self.events();
        let number = match events.idle.pop() {
            Some(number) => number,
            None => {
                let event = Event::new(context, Use::Time)?;
                events.by_number.push(Arc::new(event));
                events.by_number.len() - 1
            }
        };
        events.by_number[number].record()?;
        Ok(number as u64)
    }

    /// Waits for both.
    pub(super) fn milliseconds(&self, from: u64, to: u64) -> Result<f64, CudaError> {
        let [from, to] = {
            let events = self.events();
            [from, to].map(|number| events.by_number[number as usize].clone())
        };
        from.wait()?;
        to.wait()?;
        to.milliseconds_since(&from).map(f64::from)
    }

    pub(super) fn forget(&self, number: u64) {
        self.events().idle.push(number as usize);
    }

    fn events(&self) -> std::sync::MutexGuard<'_, Events> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
