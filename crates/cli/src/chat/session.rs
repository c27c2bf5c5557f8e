//! The conversation itself: reads turns, obeys commands, asks for answers.

use std::path::Path;

use ponder_engine::Request;

use super::assemble::Assembler;
use super::command::{self, Command};
use super::conversation::Conversation;
use super::lines::{Line, LineSource};
use crate::answer;
use crate::args::{AnswerOptions, EffortLevel};
use crate::error::CliError;
use crate::render::events::Answer;
use crate::render::{Totals, clean, style::Styles};

/// Who answers: the engine, or a fake in tests.
pub(super) trait Responder {
    /// Shows and returns the answer to a request.
    fn respond(&mut self, request: Request) -> Result<Answer, CliError>;
}

/// A running conversation.
pub(super) struct Session<R> {
    responder: R,
    options: AnswerOptions,
    model: String,
    conversation: Conversation,
    totals: Totals,
    /// Styles of standard error, where all that is not an answer goes.
    styles: Styles,
}

/// Whether the conversation goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Continue,
    Leave,
}

impl<R: Responder> Session<R> {
    /// A conversation in which nothing has been said.
    pub(super) fn new(responder: R, options: AnswerOptions, model: String, styles: Styles) -> Self {
        let conversation = Conversation {
            system: options.system.clone(),
            effort: options.effort,
            turns: Vec::new(),
        };
        Self {
            responder,
            options,
            model,
            conversation,
            totals: Totals::default(),
            styles,
        }
    }

    /// Says who answers and how to get help.
    pub(super) fn greet(&self) {
        self.note(&format!(
            "{}: /help shows the commands, Ctrl-D leaves",
            self.model
        ));
    }

    /// Reads turns until the input ends.
    ///
    /// # Errors
    /// Only what makes going on useless: the input or the output is gone. An answer that
    /// fails is reported and the conversation goes on.
    pub(super) fn talk(&mut self, lines: &mut dyn LineSource) -> Result<(), CliError> {
        let mut assembler = Assembler::default();
        loop {
            let turn = match lines.next_line(assembler.is_open())? {
                Line::Text(line) => assembler.push(&line),
                Line::Interrupted => {
                    assembler.take();
                    None
                }
                // What was begun is sent, so that no line of a pipe is lost.
                Line::End => {
                    let rest = assembler.take();
                    if !rest.trim().is_empty() {
                        self.turn(rest)?;
                    }
                    return Ok(());
                }
            };
            let Some(turn) = turn.filter(|turn| !turn.trim().is_empty()) else {
                continue;
            };
            lines.remember(&turn);
            if self.turn(turn)? == Next::Leave {
                return Ok(());
            }
        }
    }

    fn turn(&mut self, turn: String) -> Result<Next, CliError> {
        match command::parse(&turn) {
            None => {
                self.ask(turn)?;
                Ok(Next::Continue)
            }
            Some(Ok(Command::Exit)) => Ok(Next::Leave),
            Some(Ok(command)) => {
                if let Err(error) = self.obey(command) {
                    error.report(self.styles);
                }
                Ok(Next::Continue)
            }
            Some(Err(message)) => {
                CliError::failed(message).report(self.styles);
                Ok(Next::Continue)
            }
        }
    }

    fn ask(&mut self, text: String) -> Result<(), CliError> {
        self.conversation.ask(text);
        let (effort, messages) = (self.conversation.effort, self.conversation.messages());
        let request = answer::request(&self.options, effort, messages);
        match self.responder.respond(request) {
            Ok(answer) => {
                self.totals.add(&answer.summary);
                self.conversation.answered(&answer);
                Ok(())
            }
            Err(error @ CliError::Output(_)) => Err(error),
            Err(error) => {
                self.conversation.retract();
                error.report(self.styles);
                Ok(())
            }
        }
    }

    fn obey(&mut self, command: Command) -> Result<(), CliError> {
        match command {
            Command::Help => self.note(command::help().trim_end()),
            Command::System(Some(text)) => self.set_system(text),
            Command::System(None) => match &self.conversation.system {
                Some(text) => self.note(text),
                None => self.note("there is no system message"),
            },
            Command::Effort(Some(level)) => {
                self.conversation.effort = Some(level);
                self.note(&format!("effort {}", level.name()));
            }
            Command::Effort(None) => {
                let level = self.conversation.effort.map(EffortLevel::name);
                self.note(&format!("effort {}", level.unwrap_or("is the model's own")));
            }
            Command::Save(path) => self.save(&path)?,
            Command::Load(path) => self.load(&path)?,
            Command::Clear => {
                self.conversation.turns.clear();
                self.note("the conversation is forgotten");
            }
            Command::Stats => self.note(&self.totals.line()),
            Command::Exit => {}
        }
        Ok(())
    }

    fn set_system(&mut self, text: String) {
        let is_removed = text.is_empty();
        self.conversation.system = Some(text).filter(|_| !is_removed);
        self.note(match is_removed {
            true => "the system message is removed",
            false => "the system message is changed",
        });
    }

    fn save(&self, path: &Path) -> Result<(), CliError> {
        self.conversation.save(path, &self.model)?;
        let turns = self.conversation.turns.len();
        self.note(&format!("{turns} turns saved to {}", path.display()));
        Ok(())
    }

    fn load(&mut self, path: &Path) -> Result<(), CliError> {
        self.conversation = Conversation::load(path)?;
        let turns = self.conversation.turns.len();
        self.note(&format!("{turns} turns loaded from {}", path.display()));
        Ok(())
    }

    /// A remark that is not part of an answer.
    fn note(&self, text: &str) {
        eprintln!("{}", self.styles.dim(&clean(text)));
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::super::lines::PipedLines;
    use super::*;
    use crate::args::answer_options;
    use crate::render::events::stopped_summary;

    /// Answers with the number of the request, and fails where it is asked to.
    #[derive(Clone, Default)]
    struct Fake(Rc<RefCell<Vec<Request>>>);

    impl Responder for Fake {
        fn respond(&mut self, request: Request) -> Result<Answer, CliError> {
            let last = request
                .messages
                .last()
                .map(|m| m.text())
                .unwrap_or_default();
            self.0.borrow_mut().push(request);
            if last == "fail" {
                return Err(CliError::failed("the context is full"));
            }
            Ok(Answer {
                reasoning: "hm".to_owned(),
                content: format!("answer {}", self.0.borrow().len()),
                tool_calls: Vec::new(),
                votes: None,
                summary: stopped_summary(),
            })
        }
    }

    /// The conversations that were sent, each message as `role: text (reasoning)`.
    fn talk(input: &str) -> Vec<Vec<String>> {
        let fake = Fake::default();
        let options = answer_options(&["--system", "Be terse."]);
        let styles = Styles::new(false);
        let mut session = Session::new(fake.clone(), options, "model".to_owned(), styles);
        session
            .talk(&mut PipedLines::new(input.as_bytes()))
            .expect("talks");
        let sent = fake.0.borrow();
        let line = |message: &ponder_engine::Message| {
            let reasoning = message.reasoning.as_deref().unwrap_or("-");
            format!("{}: {} ({reasoning})", message.role, message.text())
        };
        sent.iter()
            .map(|request| request.messages.iter().map(line).collect())
            .collect()
    }

    #[test]
    fn earlier_turns_are_sent_with_their_reasoning() {
        let sent = talk("one\n\ntwo \\\nlines\n");
        assert_eq!(sent[0], ["system: Be terse. (-)", "user: one (-)"]);
        assert_eq!(
            sent[1][2..],
            ["assistant: answer 1 (hm)", "user: two \nlines (-)"]
        );
        assert_eq!(sent.len(), 2);
    }

    #[test]
    fn commands_change_what_is_sent() {
        let sent =
            talk("one\n/clear\n/system Be kind.\ntwo\n/system none\n/nope\nthree\n/exit\nfour\n");
        assert_eq!(sent[1], ["system: Be kind. (-)", "user: two (-)"]);
        assert_eq!(sent[2][0], "user: two (-)");
        assert_eq!(sent.len(), 3, "nothing is sent behind /exit");
    }

    #[test]
    fn failed_turns_are_taken_back() {
        let sent = talk("fail\nagain\n");
        assert_eq!(sent[1], ["system: Be terse. (-)", "user: again (-)"]);
    }

    #[test]
    fn the_last_line_of_a_pipe_needs_no_end() {
        assert_eq!(talk("a\\\nb\\").len(), 1);
        assert_eq!(talk("\"\"\"\na")[0][1], "user: a (-)");
    }

    #[test]
    fn saved_conversations_go_on() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("talk.json");
        let file = file.display();
        let sent = talk(&format!(
            "one\n/effort low\n/save {file}\n/clear\n/load {file}\ntwo\n"
        ));
        let expected = ["user: one (-)", "assistant: answer 1 (hm)", "user: two (-)"];
        assert_eq!(sent[1][1..], expected);
    }
}
