//! What a user sees when ponder itself is wrong.

use std::io::{self, Write};
use std::panic::PanicHookInfo;

/// Replaces Rust's panic message by one that says what to do about it.
///
/// `RUST_BACKTRACE=1` still brings the stack.
pub(crate) fn install_hook() {
    let default_hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        // There is nowhere left to complain to when standard error is closed as well.
        let _ = io::stderr().write_all(message(info).as_bytes());
        if std::env::var_os("RUST_BACKTRACE").is_some_and(|value| value != "0") {
            default_hook(info);
        }
    }));
}

fn message(info: &PanicHookInfo<'_>) -> String {
    let cause = info.payload_as_str().unwrap_or("of an unknown cause");
    let place = info.location().map_or_else(
        || "an unknown place".to_owned(),
        |location| format!("{}:{}", location.file(), location.line()),
    );
    let cause = cause.lines().next().unwrap_or_default();
    format!(
        "error: this is a bug in ponder {}: {} (at {place})\n\
         hint: please report this line and what you did at {}/issues\n",
        env!("CARGO_PKG_VERSION"),
        crate::render::clean(cause),
        env!("CARGO_PKG_REPOSITORY"),
    )
}
