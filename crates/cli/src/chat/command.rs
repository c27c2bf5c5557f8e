//! The commands of a conversation.

use std::path::PathBuf;

use clap::ValueEnum;

use crate::args::EffortLevel;

/// A command that was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Help,
    /// `None` shows the system message, an empty one removes it.
    System(Option<String>),
    /// `None` shows the level.
    Effort(Option<EffortLevel>),
    Save(PathBuf),
    Load(PathBuf),
    Clear,
    Stats,
    Exit,
}

/// Name, arguments and purpose of every command, in the order of the help.
const COMMANDS: [(&str, &str, &str); 8] = [
    ("/help", "", "show this"),
    (
        "/system",
        "[TEXT|none]",
        "show, change or remove the system message",
    ),
    (
        "/effort",
        "[LEVEL]",
        "show or change how hard the model thinks",
    ),
    ("/save", "FILE", "write the conversation to a JSON file"),
    ("/load", "FILE", "go on with a saved conversation"),
    ("/clear", "", "forget the conversation"),
    ("/stats", "", "show what the answers cost"),
    ("/exit", "", "leave, as Ctrl-D does"),
];

/// The names of all commands.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    COMMANDS.iter().map(|(name, ..)| *name)
}

/// The text of `/help`.
pub(super) fn help() -> String {
    let commands = COMMANDS.iter().map(|(name, arguments, purpose)| {
        let usage = format!("{name} {arguments}");
        format!("{usage:22} {purpose}\n")
    });
    let rest = "\
A backslash at the end of a line goes on in the next line; \"\"\" begins and ends a block of lines.
A space before a slash sends it as text. Ctrl-C ends a thought, then the
answer, or clears the line; Ctrl-D leaves.\n";
    commands.collect::<String>() + rest
}

/// Reads a turn as a command: `None` where it is text for the model.
///
/// # Errors
/// What is wrong with the command, in one line.
pub(super) fn parse(turn: &str) -> Option<Result<Command, String>> {
    let typed = turn.strip_prefix('/')?;
    let (name, argument) = typed.split_once(char::is_whitespace).unwrap_or((typed, ""));
    Some(command(name, argument.trim()))
}

fn command(name: &str, argument: &str) -> Result<Command, String> {
    let given = (!argument.is_empty()).then_some(argument);
    let path = || {
        given
            .map(PathBuf::from)
            .ok_or_else(|| format!("/{name} needs a file name"))
    };
    let command = match name {
        "help" => Command::Help,
        "system" if argument == "none" => Command::System(Some(String::new())),
        "system" => Command::System(given.map(str::to_owned)),
        "effort" => Command::Effort(given.map(level).transpose()?),
        "save" => Command::Save(path()?),
        "load" => Command::Load(path()?),
        "clear" => Command::Clear,
        "stats" => Command::Stats,
        "exit" | "quit" => Command::Exit,
        _ => return Err(format!("there is no command /{name}; /help lists them")),
    };
    let takes_argument = matches!(name, "system" | "effort" | "save" | "load");
    match given {
        Some(_) if !takes_argument => Err(format!("/{name} takes no argument")),
        _ => Ok(command),
    }
}

fn level(text: &str) -> Result<EffortLevel, String> {
    EffortLevel::from_str(text, true).map_err(|_| {
        let names: Vec<_> = EffortLevel::all().map(EffortLevel::name).collect();
        format!("`{text}` is not a level; there are {}", names.join(" "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(turn: &str) -> Command {
        parse(turn).expect("a command").expect("a valid one")
    }

    #[test]
    fn every_listed_command_is_known() {
        for name in names() {
            let known = parse(&format!("{name} x"))
                .or(parse(name))
                .expect("a command");
            let error = known.err().unwrap_or_default();
            assert!(!error.contains("there is no"), "{name}: {error}");
        }
        assert!(names().all(|name| help().contains(name)));
    }

    #[test]
    fn commands_take_arguments() {
        assert_eq!(
            parsed("/system  You are terse. "),
            Command::System(Some("You are terse.".to_owned()))
        );
        assert_eq!(
            parsed("/system\nline"),
            Command::System(Some("line".to_owned()))
        );
        assert_eq!(parsed("/system"), Command::System(None));
        assert_eq!(
            parsed("/effort HIGH"),
            Command::Effort(Some(EffortLevel::High))
        );
        assert_eq!(parsed("/save a b.json"), Command::Save("a b.json".into()));
        for wrong in ["/save", "/effort huge", "/nope", "/", "/clear now"] {
            assert!(parse(wrong).expect("a command").is_err(), "{wrong}");
        }
    }

    #[test]
    fn text_is_text() {
        assert_eq!(parse("hello /help"), None);
        assert_eq!(parse(" /help"), None);
    }
}
