//! Other programs, which do not outlive the measurement.

use std::io;
use std::process::{Command, Output, Stdio};
use std::time::SystemTime;

use tokio::io::AsyncWriteExt;

use crate::stop::Stop;

/// What a program did.
pub(crate) struct Ended {
    /// When it was started.
    pub(crate) began: SystemTime,
    pub(crate) output: Output,
}

/// Runs a program to its end, with `input` as its standard input. `None` where the measurement was
/// stopped before: the program is gone then, with all that it has started.
pub(crate) fn run(command: Command, input: Vec<u8>, stop: &Stop) -> io::Result<Option<Ended>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut command = tokio::process::Command::from(command);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    // What it starts can be ended with it, and Ctrl-C reaches only us, who end all of them.
    #[cfg(unix)]
    command.process_group(0);
    runtime.block_on(async {
        let began = SystemTime::now();
        let mut child = command.spawn()?;
        let (group, stdin) = (child.id(), child.stdin.take());
        let write = async {
            if let Some(mut stdin) = stdin {
                // A program that has ended already, or does not read, says why itself.
                let _ = stdin.write_all(&input).await;
            }
        };
        let finish = async { tokio::join!(write, child.wait_with_output()).1 };
        tokio::select! {
            output = finish => Ok(Some(Ended { began, output: output? })),
            () = stop.wait() => {
                end(group);
                Ok(None)
            }
        }
    })
}

/// Ends a group of processes.
#[cfg(unix)]
fn end(group: Option<u32>) {
    let group = group.and_then(|id| rustix::process::Pid::from_raw(id as i32));
    if let Some(group) = group {
        // It may have ended by itself.
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
}

/// The program itself is ended where it is dropped.
#[cfg(not(unix))]
fn end(_: Option<u32>) {}

/// Sees that this process ends when the one that has started it does, whatever that ends of.
pub(crate) fn end_with_parent() {
    // Where it is refused, the parent still ends it when it ends in order.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
}

#[cfg(all(test, unix))]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_program_gets_its_input_and_gives_its_output() {
        // More than pipes hold, in both directions.
        let input = vec![b'x'; 1 << 20];
        let ended = run(shell("cat; echo why >&2"), input.clone(), &Stop::default());
        let output = ended.expect("runs").expect("ends").output;
        assert!(output.status.success());
        assert_eq!((output.stdout, output.stderr), (input, b"why\n".to_vec()));
        // One that does not read is no failure.
        let ended = run(shell("exit 3"), vec![b'x'; 1 << 20], &Stop::default());
        let output = ended.expect("runs").expect("ends").output;
        assert_eq!(output.status.code(), Some(3));
        assert!(
            run(
                Command::new("no/such-program"),
                Vec::new(),
                &Stop::default()
            )
            .is_err()
        );
    }

    #[test]
    fn what_a_program_has_started_ends_with_it() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("ids");
        let script = format!("sleep 100 & echo $$ $! > {}; wait", file.display());
        let stop = Stop::default();
        let stopper = stop.clone();
        let path = file.clone();
        let ids = std::thread::spawn(move || {
            let began = Instant::now();
            loop {
                let text = std::fs::read_to_string(&path).unwrap_or_default();
                if text.ends_with('\n') || began.elapsed() > Duration::from_secs(20) {
                    stopper.stop();
                    return text;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        let began = Instant::now();
        let ended = run(shell(&script), Vec::new(), &stop).expect("runs");
        assert!(ended.is_none() && began.elapsed() < Duration::from_secs(50));
        for id in ids.join().expect("a thread").split_whitespace() {
            wait_for_end(id);
        }
    }

    /// A process that was killed may be seen until its parent has taken note of it.
    fn wait_for_end(id: &str) {
        let began = Instant::now();
        while is_alive(id) {
            assert!(began.elapsed() < Duration::from_secs(20), "{id} lives on");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn is_alive(id: &str) -> bool {
        let pid = rustix::process::Pid::from_raw(id.parse().expect("a number"));
        let exists = rustix::process::test_kill_process(pid.expect("a process")).is_ok();
        let state = std::fs::read_to_string(format!("/proc/{id}/stat"));
        let is_zombie = state.is_ok_and(|state| state.contains(") Z "));
        exists && !is_zombie
    }
}
