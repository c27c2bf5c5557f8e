//! Asks a model one question: `cargo run --release --example hello -- MODEL "What is 17 * 23?"`.

use std::io::Write;

use ponder_engine::{Engine, Event, LoadOptions, Message, Request};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let model = args.next().ok_or("usage: hello MODEL QUESTION")?;
    let question = args.next().ok_or("usage: hello MODEL QUESTION")?;

    let engine = Engine::load(&model, &LoadOptions::default(), &mut |_| {})?;
    let messages = vec![Message::new("user", question)];
    for event in engine.generate(Request {
        messages,
        ..Request::default()
    })? {
        match event? {
            Event::Content(text) => {
                print!("{text}");
                std::io::stdout().flush()?;
            }
            Event::Done(summary) => println!("\n\n{summary:#?}"),
            _ => {}
        }
    }
    Ok(())
}
