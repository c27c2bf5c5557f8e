//! From a stream of events to a view, and to the answer as a whole.

use std::io;

use ponder_engine::{Event, Summary, ToolCall, VoteSummary};

use crate::error::CliError;

/// Where an answer is shown while it comes.
pub(crate) trait AnswerView {
    /// `done` of `total` tokens of the prompt have been read.
    fn prompt_progress(&mut self, done: usize, total: usize);
    /// A piece of reasoning.
    fn reasoning(&mut self, text: &str) -> io::Result<()>;
    /// A piece of the answer.
    fn content(&mut self, text: &str) -> io::Result<()>;
    /// A call of a tool.
    fn tool_call(&mut self, call: &ToolCall) -> io::Result<()>;
    /// The answer is over; the line that it stands on is ended.
    fn end(&mut self, summary: Option<&Summary>) -> io::Result<()>;
}

/// A complete answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) reasoning: String,
    pub(crate) content: String,
    pub(crate) tool_calls: Vec<ToolCall>,
    /// How a vote went, if there was one.
    pub(crate) votes: Option<VoteSummary>,
    pub(crate) summary: Summary,
}

/// Shows all events and returns what they add up to.
///
/// The view is ended in every case, so that an error stands on a line of its own.
///
/// # Errors
/// The stream's own error, an error of the output, or a stream that ends too early.
pub(crate) fn follow<E: Into<CliError>>(
    events: impl Iterator<Item = Result<Event, E>>,
    view: &mut dyn AnswerView,
) -> Result<Answer, CliError> {
    let result = collect(events, view);
    view.end(result.as_ref().ok().map(|answer| &answer.summary))?;
    result
}

fn collect<E: Into<CliError>>(
    events: impl Iterator<Item = Result<Event, E>>,
    view: &mut dyn AnswerView,
) -> Result<Answer, CliError> {
    let (mut reasoning, mut content, mut tool_calls) = (String::new(), String::new(), Vec::new());
    let mut votes = None;
    for event in events {
        match event.map_err(Into::into)? {
            Event::PromptProgress { done, total, .. } => view.prompt_progress(done, total),
            Event::Reasoning(text) => {
                view.reasoning(&text)?;
                reasoning.push_str(&text);
            }
            Event::Content(text) => {
                view.content(&text)?;
                content.push_str(&text);
            }
            Event::ToolCall(call) => {
                view.tool_call(&call)?;
                tool_calls.push(call);
            }
            Event::Token(_) => {}
            Event::Votes(summary) => votes = Some(summary),
            Event::Done(summary) => {
                return Ok(Answer {
                    reasoning,
                    content,
                    tool_calls,
                    votes,
                    summary,
                });
            }
        }
    }
    Err(CliError::failed("the answer ended without its summary"))
}

/// The summary of an answer that the model ended, for tests.
#[cfg(test)]
pub(crate) fn stopped_summary() -> Summary {
    Summary {
        finish_reason: ponder_engine::FinishReason::Stop,
        reasoning_ended_by: None,
        usage: ponder_engine::Usage::default(),
        timings: ponder_engine::Timings::default(),
        confidence: 0.0,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::render::{SilentView, Waiting};

    /// Events without errors.
    pub(in crate::render) fn ok(
        events: Vec<Event>,
    ) -> impl Iterator<Item = Result<Event, CliError>> {
        events.into_iter().map(Ok)
    }

    #[test]
    fn pieces_add_up() {
        let events = vec![
            Event::Reasoning("a".to_owned()),
            Event::Reasoning("b".to_owned()),
            Event::Content("c".to_owned()),
            Event::Content("d".to_owned()),
            Event::Done(stopped_summary()),
        ];
        let answer =
            follow(ok(events), &mut SilentView::new(Waiting::new(false))).expect("no error");
        assert_eq!((&*answer.reasoning, &*answer.content), ("ab", "cd"));
    }

    #[test]
    fn errors_end_the_answer() {
        let events = [
            Ok(Event::Content("a".to_owned())),
            Err(CliError::failed("out of memory")),
            Ok(Event::Done(stopped_summary())),
        ];
        let error = follow(
            events.into_iter(),
            &mut SilentView::new(Waiting::new(false)),
        )
        .expect_err("fails");
        assert_eq!(error.to_string(), "out of memory");
        let cut = vec![Event::Content("a".to_owned())];
        assert!(follow(ok(cut), &mut SilentView::new(Waiting::new(false))).is_err());
    }
}
