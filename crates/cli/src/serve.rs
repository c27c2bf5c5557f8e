//! `ponder serve`: an OpenAI-compatible server until Ctrl-C.

use std::io;

use ponder_server::{Server, ServerOptions};
use serde::Serialize;

use crate::error::CliError;
use crate::inspect::write_out;
use crate::render::{clean, print_json};

/// What is printed when the server listens.
#[derive(Serialize)]
struct Ready {
    url: String,
    models: Vec<String>,
}

/// Serves until a signal ends it.
pub(crate) fn serve(options: ServerOptions, json: bool) -> Result<(), CliError> {
    let ready = |server: &Server| {
        // Who started the server may have closed the pipe, which is no reason to stop.
        let _ = say(
            &Ready {
                url: server.url(),
                models: server.models(),
            },
            json,
        );
    };
    Ok(ponder_server::run(options, ready)?)
}

fn say(ready: &Ready, json: bool) -> Result<(), CliError> {
    if json {
        return Ok(print_json(&mut io::stdout(), ready)?);
    }
    let models = ready.models.join(", ");
    write_out(&format!(
        "listening on {} with {}\n",
        ready.url,
        clean(&models)
    ))
}
