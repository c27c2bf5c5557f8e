//! [`Making`]: a response that is being made, and how it is sent.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::sse::Event as SseEvent;
use futures_util::StreamExt;
use ponder_engine::Event;

use super::assemble::Assembler;
use super::item::Status;
use super::object::{Failure, Response};
use super::store::Stored;
use crate::app::SharedApp;
use crate::generate::Answers;
use crate::http::ApiError;
use crate::http::sse::{self, Outbox, Speaker};
use crate::ids;

/// A response under way. Dropped before its end, it is cancelled, which the store then says.
pub(super) struct Making {
    app: SharedApp,
    assembler: Assembler,
    stored: Option<Arc<Stored>>,
    /// What the store knows of: the status, and how many items.
    noted: (Status, usize),
}

impl Making {
    pub(super) fn new(app: SharedApp, assembler: Assembler, stored: Option<Arc<Stored>>) -> Self {
        let noted = (assembler.response().status, 0);
        Self {
            app,
            assembler,
            stored,
            noted,
        }
    }

    /// The response as far as it has come.
    pub(super) fn response(&self) -> &Response {
        self.assembler.response()
    }

    /// Reads it to its end.
    ///
    /// # Errors
    /// Why the model could not go on.
    pub(super) async fn finish(mut self, mut answers: Answers) -> Result<Response, ApiError> {
        while let Some((_, event)) = answers.next().await {
            match event {
                Ok(event) => self.push(event),
                Err(error) => {
                    let error = ApiError::from(error);
                    self.end_with(&error);
                    return Err(error);
                }
            }
            // Nobody reads them.
            self.assembler.take_events();
        }
        Ok(self.response().clone())
    }

    fn push(&mut self, event: Event) {
        self.assembler.push(event, ids::now());
        self.note();
    }

    fn end_with(&mut self, error: &ApiError) {
        self.assembler.fail(Failure {
            code: match error.status {
                StatusCode::TOO_MANY_REQUESTS => "rate_limit_exceeded",
                _ => "server_error",
            },
            message: error.message.clone(),
        });
        self.note();
    }

    fn note(&mut self) {
        let Some(stored) = &self.stored else { return };
        let response = self.assembler.response();
        let now = (response.status, response.output.len());
        if now != self.noted {
            self.noted = now;
            self.app.responses.update(stored, response);
        }
    }

    fn tell(&mut self, out: &mut Outbox) {
        for event in self.assembler.take_events() {
            let data = serde_json::to_string(&event).unwrap_or_default();
            out.push_back(SseEvent::default().event(event.kind).data(data));
        }
    }
}

impl Speaker for Making {
    fn begin(&mut self, out: &mut Outbox) {
        self.assembler.start();
        self.tell(out);
    }

    fn take(&mut self, _: usize, event: Event, out: &mut Outbox) {
        self.push(event);
        self.tell(out);
    }

    fn finish(&mut self, out: &mut Outbox) {
        out.push_back(sse::done());
    }

    fn fail(&mut self, error: ApiError, out: &mut Outbox) {
        self.end_with(&error);
        self.tell(out);
        out.push_back(sse::done());
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        if !self.assembler.is_over() {
            self.assembler.abandon();
            self.note();
        }
    }
}
