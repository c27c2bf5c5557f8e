//! A full disk, and two processes that pull the same model.
//!
//! Both need a process of their own: these tests start this test program again, as
//! [`pull_in_a_child`], with the store and the hub in its environment.

use std::path::Path;
use std::process::{Command, Stdio};

use ponder_runtime::hub::{HubError, Store};

use crate::server::{Fault, Hub};
use crate::support::{Bench, REPO, hub_ref, noise, options};

const ENDPOINT: &str = "PONDER_TEST_HUB_ENDPOINT";
const CACHE: &str = "PONDER_TEST_HUB_CACHE";

/// The part of the children. In the parent, where the variables are not set, there is nothing
/// for it to do.
#[test]
fn pull_in_a_child() {
    let (Ok(endpoint), Ok(cache)) = (std::env::var(ENDPOINT), std::env::var(CACHE)) else {
        return;
    };
    let store = Store::new(options(&endpoint, Path::new(&cache)));
    match store.pull(&hub_ref(REPO), &mut |_| {}) {
        Ok(path) => println!("\npulled {}", path.display()),
        Err(error) => println!("\nfailed {error:?} {error}"),
    }
}

/// This program as a child, started by `start` (a shell script, or nothing).
fn child(bench: &Bench, start: Option<&str>) -> Command {
    let program = std::env::current_exe().unwrap();
    let mut command = match start {
        Some(script) => {
            let mut shell = Command::new("sh");
            shell
                .args(["-c", &format!("{script}; exec \"$0\" \"$@\"")])
                .arg(program);
            shell
        }
        None => Command::new(program),
    };
    command.args([
        "--exact",
        "limits::pull_in_a_child",
        "--nocapture",
        "--test-threads=1",
    ]);
    command
        .env(ENDPOINT, &bench.hub.endpoint)
        .env(CACHE, bench.cache.path());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[test]
fn a_download_that_cannot_fit_is_refused_before_it_begins() {
    let bench = Bench::new(Hub::with(REPO, &[("m.gguf", b"x")]));
    bench.hub.change("m.gguf", |file| file.announced = 1 << 60);
    let error = bench.pull(REPO).unwrap_err();
    let HubError::DiskFull {
        needed,
        free: Some(free),
        ..
    } = &error
    else {
        panic!("{error}")
    };
    assert!(*needed == 1 << 60 && *free < 1 << 60);
    assert!(error.to_string().contains(&free.to_string()), "{error}");
    assert!(
        bench.hub.seen("GET /org/tiny/resolve").is_empty(),
        "nothing was downloaded"
    );
}

/// The limit on the size of a file makes a write fail in the middle of a download, as a full
/// disk does, and needs no rights.
#[test]
#[cfg(unix)]
fn a_disk_that_fills_up_keeps_the_part_and_the_next_pull_goes_on() {
    let weights = noise(2_000_000);
    let bench = Bench::new(Hub::with(REPO, &[("m.gguf", &weights)]));
    // Units of 512 or 1024 bytes, as the shell likes: 0.5 or 1 MB.
    let told = output(&mut child(&bench, Some("trap '' XFSZ; ulimit -f 1000")));
    assert!(
        told.contains("failed DiskFull") && told.contains("no room for the download"),
        "{told}"
    );
    let kept = bench.incomplete();
    assert!((500_000..1_100_000).contains(&kept), "{kept}");
    assert_eq!(std::fs::read(bench.pull(REPO).unwrap()).unwrap(), weights);
    assert_eq!(
        bench.hub.seen("GET /org/tiny/aaaa").last().unwrap().range,
        Some(kept as usize)
    );
}

#[test]
fn two_processes_that_pull_the_same_model_download_it_once() {
    let weights = noise(3_000_000);
    let bench = Bench::new(Hub::with(REPO, &[("m.gguf", &weights)]));
    // Keeps the first one busy for long enough that the second one meets its lock.
    bench
        .hub
        .trap("GET /org/tiny/aaaa", 1, Fault::Stall(1_000_000));
    let children = [(); 2].map(|()| child(&bench, None).spawn().unwrap());
    for child in children {
        let told = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
        assert!(told.contains("pulled "), "{told}");
    }
    let ranges: Vec<_> = bench
        .hub
        .seen("GET /org/tiny/aaaa")
        .iter()
        .map(|seen| seen.range)
        .collect();
    assert_eq!(ranges, [None, Some(1_000_000)]);
    let path = bench
        .root()
        .join("snapshots")
        .join("a".repeat(40))
        .join("m.gguf");
    assert_eq!(std::fs::read(path).unwrap(), weights);
}
