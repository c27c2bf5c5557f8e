//! One question at two levels of effort, what each costs, and an answer that is wanted now.
//!
//! `cargo run --release -p ponder-engine --example effort -- qwen3:0.6b "How many primes are below 30?"`

use std::time::Duration;

use ponder_engine::{
    Effort, EffortOverrides, Engine, EngineError, Event, LoadOptions, Message, Request, Summary,
};

fn main() -> Result<(), EngineError> {
    let mut arguments = std::env::args().skip(1);
    let model = arguments.next().unwrap_or_else(|| "default".to_owned());
    let question = arguments.next().unwrap_or_else(|| "17 * 23?".to_owned());
    let engine = Engine::load(&model, &LoadOptions::default(), &mut |_| {})?;
    for effort in [Effort::Low, Effort::High] {
        let request = Request {
            messages: vec![Message::new("user", question.as_str())],
            effort: Some(effort),
            // Whatever the level says: never longer than this.
            effort_overrides: EffortOverrides {
                think_time: Some(Duration::from_secs(60)),
                ..EffortOverrides::default()
            },
            ..Request::default()
        };
        println!("--- {}", effort.name());
        let generation = engine.generate(request)?;
        // Another thread could call `answer_now` on this, a button for example.
        let _button = generation.canceller();
        for event in generation {
            match event? {
                Event::Content(text) => print!("{text}"),
                Event::Done(summary) => print_cost(&summary),
                _ => {}
            }
        }
    }
    Ok(())
}

fn print_cost(summary: &Summary) {
    println!(
        "\n{} tokens of thought, ended by {:?}",
        summary.usage.reasoning_tokens, summary.reasoning_ended_by
    );
}
