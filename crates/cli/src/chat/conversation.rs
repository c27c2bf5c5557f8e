//! The turns of a conversation, and their file.

use std::path::Path;

use ponder_engine::Message;
use serde::{Deserialize, Serialize};

use crate::args::EffortLevel;
use crate::error::CliError;
use crate::prompt::read_file;
use crate::render::events::Answer;

/// What was said, without the system message.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    pub(super) system: Option<String>,
    pub(super) effort: Option<EffortLevel>,
    pub(super) turns: Vec<Message>,
}

/// The file of `/save`: the messages are those of a Chat Completions request.
#[derive(Debug, Serialize, Deserialize)]
struct SavedConversation {
    #[serde(default)]
    model: String,
    #[serde(default)]
    effort: Option<EffortLevel>,
    messages: Vec<Message>,
}

impl Conversation {
    /// All messages: the system message, the turns, and what the user says now.
    pub(super) fn messages(&self) -> Vec<Message> {
        let system = self.system.as_deref();
        system
            .map(|text| Message::new("system", text))
            .into_iter()
            .chain(self.turns.iter().cloned())
            .collect()
    }

    /// Adds what the user says.
    pub(super) fn ask(&mut self, text: String) {
        self.turns.push(Message::new("user", text));
    }

    /// Takes back what the user said, because there was no answer.
    pub(super) fn retract(&mut self) {
        self.turns.pop();
    }

    /// Adds an answer with its reasoning, of which the template uses what it wants.
    pub(super) fn answered(&mut self, answer: &Answer) {
        let mut message = Message::new("assistant", answer.content.as_str());
        message.reasoning = (!answer.reasoning.is_empty()).then(|| answer.reasoning.clone());
        message.tool_calls.clone_from(&answer.tool_calls);
        self.turns.push(message);
    }

    /// Writes the conversation as JSON.
    pub(super) fn save(&self, path: &Path, model: &str) -> Result<(), CliError> {
        let saved = SavedConversation {
            model: model.to_owned(),
            effort: self.effort,
            messages: self.messages(),
        };
        let failed =
            |error: String| CliError::failed(format!("cannot write `{}`: {error}", path.display()));
        let mut text = serde_json::to_string_pretty(&saved).map_err(|e| failed(e.to_string()))?;
        text.push('\n');
        std::fs::write(path, text).map_err(|e| failed(e.to_string()))
    }

    /// Reads what [`save`](Self::save) wrote.
    pub(super) fn load(path: &Path) -> Result<Self, CliError> {
        let text = read_file(path)?;
        let saved: SavedConversation = serde_json::from_str(&text).map_err(|error| {
            CliError::failed(format!(
                "`{}` is not a saved conversation: {error}",
                path.display()
            ))
        })?;
        let mut turns = saved.messages;
        let has_system = turns.first().is_some_and(|turn| turn.role == "system");
        let system = has_system.then(|| turns.remove(0).text());
        Ok(Self {
            system,
            effort: saved.effort,
            turns,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn saved_conversations_come_back() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("talk.json");
        let mut conversation = Conversation {
            system: Some("Be terse.".to_owned()),
            effort: Some(EffortLevel::Low),
            turns: Vec::new(),
        };
        conversation.ask("2+2?\nquick".to_owned());
        let mut answer = Message::new("assistant", "4");
        answer.reasoning = Some("easy".to_owned());
        conversation.turns.push(answer);
        conversation.save(&path, "some/model").expect("saved");
        let loaded = Conversation::load(&path).expect("loaded");
        assert_eq!(loaded.messages(), conversation.messages());
        assert_eq!(loaded.system, conversation.system);
        assert_eq!(loaded.effort, conversation.effort);
    }

    #[test]
    fn wrong_files_are_refused_by_name() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("x.json");
        std::fs::write(&path, "{\"messages\": [{\"content\": 1}]}").expect("written");
        let error = Conversation::load(&path).expect_err("no roles").to_string();
        assert!(
            error.contains("x.json` is not a saved conversation"),
            "{error}"
        );
        assert!(Conversation::load(&dir.path().join("none")).is_err());
        let nowhere = dir.path().join("no/folder/x.json");
        assert!(Conversation::default().save(&nowhere, "m").is_err());
    }
}
