//! Server-sent events: an answer that is sent as it comes.
//!
//! A [`Speaker`] says what each of the engine's events becomes in its endpoint's words; [`respond`] asks
//! for events only as fast as the client takes them.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, header};
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt};
use ponder_engine::Event;
use serde_json::Value;

use super::ApiError;
use crate::generate::Answers;

/// How long a stream says nothing before a comment keeps proxies from closing it.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// What is to be sent, in order.
pub(crate) type Outbox = VecDeque<SseEvent>;

/// Puts an answer into words.
pub(crate) trait Speaker: Send + Unpin + 'static {
    /// Before the first event.
    fn begin(&mut self, out: &mut Outbox);
    /// What an event of the answer with this index becomes.
    fn take(&mut self, index: usize, event: Event, out: &mut Outbox);
    /// After the last event of all answers.
    fn finish(&mut self, out: &mut Outbox);
    /// Instead of the rest.
    fn fail(&mut self, error: ApiError, out: &mut Outbox);
}

/// An event that is only data.
pub(crate) fn data(value: &Value) -> SseEvent {
    SseEvent::default().data(value.to_string())
}

/// The event after which OpenAI's clients read no more.
pub(crate) fn done() -> SseEvent {
    SseEvent::default().data("[DONE]")
}

/// Sends answers as they come.
pub(crate) fn respond(mut speaker: impl Speaker, answers: Answers) -> Response {
    let mut out = Outbox::new();
    speaker.begin(&mut out);
    let speech = Speech {
        speaker,
        answers: Some(answers),
        out,
    };
    let mut response = Sse::new(speech.map(Ok::<_, Infallible>))
        .keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
        .into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // Proxies of nginx's kind would hold events back otherwise.
    let buffering = HeaderName::from_static("x-accel-buffering");
    headers.insert(buffering, HeaderValue::from_static("no"));
    response
}

struct Speech<S> {
    speaker: S,
    answers: Option<Answers>,
    out: Outbox,
}

impl<S: Speaker> Stream for Speech<S> {
    type Item = SseEvent;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<SseEvent>> {
        let this = &mut *self;
        loop {
            if let Some(event) = this.out.pop_front() {
                return Poll::Ready(Some(event));
            }
            let Some(answers) = &mut this.answers else {
                return Poll::Ready(None);
            };
            match answers.poll_next_unpin(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some((index, Ok(event)))) => {
                    this.speaker.take(index, event, &mut this.out);
                }
                Poll::Ready(None) => {
                    this.answers = None;
                    this.speaker.finish(&mut this.out);
                }
                Poll::Ready(Some((_, Err(error)))) => {
                    this.answers = None;
                    this.speaker.fail(error.into(), &mut this.out);
                }
            }
        }
    }
}
