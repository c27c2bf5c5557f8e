//! Every answer of a server that is no file: retried, bounded, and told in one line with a hint.

use std::time::{Duration, Instant};

use ponder_runtime::hub::{HubError, ModelRef, Store, StoreOptions};

use crate::server::{Fault, Hub};
use crate::support::{Bench, REPO, hub_ref, noise, options};

fn bench() -> Bench {
    Bench::new(Hub::with(REPO, &[("m.gguf", &noise(1000))]))
}

/// The error of a pull, after the checks that hold for every error.
fn error_of(bench: &Bench, reference: &str) -> HubError {
    let error = bench.pull(reference).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("hint: ") && !text.contains('\n'), "{text}");
    assert!(
        !text.contains("s3cret"),
        "signatures of storage URLs stay out of messages: {text}"
    );
    error
}

#[test]
fn not_found_says_what_was_not_found() {
    let bench = bench();
    assert!(matches!(
        error_of(&bench, "org/other"),
        HubError::RepoNotFound { .. }
    ));
    let error = error_of(&bench, "org/tiny@v9");
    assert!(
        matches!(&error, HubError::RevisionNotFound { revision, .. } if revision == "v9"),
        "{error}"
    );
    assert!(matches!(
        error_of(&bench, "org/tiny:Q4_0"),
        HubError::FileNotFound { .. }
    ));
    bench.hub.trap(
        "GET /org/tiny/resolve",
        9,
        Fault::Status(404, "X-Error-Code: EntryNotFound\r\n"),
    );
    let error = error_of(&bench, REPO);
    assert!(
        matches!(error, HubError::Server { status: 404, .. }),
        "listed but not there: {error}"
    );
    bench.hub.state().commits.clear();
    assert!(matches!(
        error_of(&bench, REPO),
        HubError::RevisionNotFound { .. }
    ));
}

#[test]
fn unauthorized_and_gated_say_how_to_get_access_and_are_not_repeated() {
    let bench = bench();
    bench.hub.trap("/revision/", 1, Fault::Status(401, ""));
    let error = error_of(&bench, REPO);
    assert!(
        matches!(
            error,
            HubError::Unauthorized {
                with_token: false,
                ..
            }
        ),
        "{error}"
    );
    assert!(error.to_string().contains("set HF_TOKEN"), "{error}");
    assert_eq!(bench.hub.seen("/revision/").len(), 1);

    for (status, header) in [
        (403, ""),
        (
            401,
            "X-Error-Code: GatedRepo\r\nX-Error-Message: ask first\r\n",
        ),
    ] {
        bench
            .hub
            .trap("HEAD /org/tiny/resolve", 1, Fault::Status(status, header));
        let error = error_of(&bench, REPO);
        assert!(matches!(error, HubError::Forbidden { .. }), "{error}");
        assert!(
            error
                .to_string()
                .contains(&format!("licence on {}/org/tiny", bench.hub.endpoint)),
            "{error}"
        );
    }
    bench.hub.trap("/tree/", 1, Fault::Status(403, ""));
    assert!(matches!(error_of(&bench, REPO), HubError::Forbidden { .. }));

    bench.hub.trap("/revision/", 1, Fault::Status(401, ""));
    let store = Store::new(StoreOptions {
        token: Some("hf_old".into()),
        ..bench.options()
    });
    let error = store
        .pull(&hub_ref(REPO), &mut |_| {})
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("check that the token") && !error.contains("hf_old"),
        "{error}"
    );
}

#[test]
fn a_rate_limit_is_waited_for_as_long_as_the_hub_asks() {
    let bench = bench();
    bench.hub.trap(
        "HEAD /org/tiny/resolve",
        1,
        Fault::Status(429, "Retry-After: 1\r\n"),
    );
    let start = Instant::now();
    bench.pull(REPO).unwrap();
    assert!(
        start.elapsed() >= Duration::from_secs(1),
        "{:?}",
        start.elapsed()
    );

    let bench = self::bench();
    bench.hub.trap("/revision/", 99, Fault::Status(429, ""));
    assert!(matches!(
        error_of(&bench, REPO),
        HubError::RateLimited { wait: None, .. }
    ));
    assert_eq!(
        bench.hub.seen("/revision/").len(),
        3,
        "a bounded number of attempts"
    );

    let bench = self::bench();
    bench.hub.trap(
        "/revision/",
        99,
        Fault::Status(429, "Retry-After: 3600\r\n"),
    );
    let error = error_of(&bench, REPO);
    assert!(error.to_string().contains("3600 s"), "{error}");
    assert_eq!(
        bench.hub.seen("/revision/").len(),
        1,
        "an hour is not waited for"
    );
}

#[test]
fn server_errors_are_repeated_a_bounded_number_of_times() {
    for place in [
        "/revision/",
        "/tree/",
        "HEAD /org/tiny/resolve",
        "GET /org/tiny/resolve",
        "GET /org/tiny/aaaa",
    ] {
        let bench = bench();
        bench.hub.trap(place, 2, Fault::Status(500, ""));
        bench
            .pull(REPO)
            .unwrap_or_else(|error| panic!("{place}: {error}"));

        let bench = self::bench();
        bench.hub.trap(place, 99, Fault::Status(503, ""));
        let error = error_of(&bench, REPO);
        assert!(
            matches!(error, HubError::Server { status: 503, .. }),
            "{place}: {error}"
        );
    }
}

#[test]
fn a_cut_before_the_first_byte_is_repeated() {
    let bench = bench();
    bench.hub.trap("/tree/", 1, Fault::Cut(5));
    bench.hub.trap("/revision/", 1, Fault::Cut(0));
    bench.pull(REPO).unwrap();
}

#[test]
fn a_wrong_checksum_removes_the_file_and_says_so() {
    let bench = bench();
    bench.hub.trap("GET /org/tiny/aaaa", 9, Fault::Corrupt);
    let error = error_of(&bench, REPO);
    assert!(matches!(error, HubError::Checksum { .. }), "{error}");
    let left: Vec<_> = std::fs::read_dir(bench.root().join("blobs"))
        .unwrap()
        .collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(!bench.root().join("snapshots").exists());
    bench.hub.clear_traps();
    bench.pull(REPO).unwrap();
}

#[test]
fn more_bytes_than_announced_are_not_stored() {
    let bench = bench();
    bench.hub.change("m.gguf", |file| file.announced = 10);
    let error = error_of(&bench, REPO);
    assert!(matches!(error, HubError::Malformed { .. }), "{error}");
    assert_eq!(bench.incomplete(), 0);
}

#[test]
fn a_dead_network_is_told_apart_and_the_cache_still_works() {
    let bench = bench();
    bench.pull(REPO).unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let dead = Store::new(options(
        &format!("http://127.0.0.1:{port}"),
        bench.cache.path(),
    ));
    let error = dead.pull(&hub_ref(REPO), &mut |_| {}).unwrap_err();
    assert!(
        matches!(&error, HubError::NoNetwork { cached, .. } if cached == &[REPO]),
        "{error}"
    );
    assert!(error.to_string().contains("--offline"), "{error}");
    dead.resolve(&ModelRef::Hub(hub_ref(REPO)), &mut |_| {})
        .unwrap();
}

#[test]
fn offline_never_touches_the_network() {
    let bench = bench();
    let store = bench.offline();
    for result in [
        store.pull(&hub_ref(REPO), &mut |_| {}),
        store.resolve(&ModelRef::Hub(hub_ref(REPO)), &mut |_| {}),
    ] {
        let error = result.unwrap_err();
        assert!(
            matches!(&error, HubError::Offline { cached, .. } if cached.is_empty()),
            "{error}"
        );
    }
    assert!(bench.hub.seen("").is_empty());
    bench.pull(REPO).unwrap();
    let requests = bench.hub.seen("").len();
    store
        .resolve(&ModelRef::Hub(hub_ref(REPO)), &mut |_| {})
        .unwrap();
    let error = store
        .resolve(&ModelRef::Hub(hub_ref("org/other")), &mut |_| {})
        .unwrap_err();
    assert!(
        error.to_string().contains("the cache has org/tiny"),
        "{error}"
    );
    assert_eq!(bench.hub.seen("").len(), requests);
}

#[test]
fn offline_finds_a_file_that_was_pulled_before_the_branch_moved() {
    let bench = Bench::new(Hub::with(
        REPO,
        &[("m-Q8_0.gguf", b"eight"), ("m-Q4_0.gguf", b"four")],
    ));
    bench.pull("org/tiny:Q8_0").unwrap();
    bench.hub.commit(
        REPO,
        "main",
        'b',
        &[("m-Q8_0.gguf", b"eight"), ("m-Q4_0.gguf", b"four")],
    );
    bench.pull("org/tiny:Q4_0").unwrap();
    let path = bench
        .offline()
        .resolve(&ModelRef::Hub(hub_ref("org/tiny:Q8_0")), &mut |_| {})
        .unwrap();
    assert_eq!(std::fs::read(path).unwrap(), b"eight");
}

#[test]
fn an_endpoint_that_is_no_url_is_named() {
    let cache = tempfile::tempdir().unwrap();
    let error = Store::new(options("not a url", cache.path()))
        .pull(&hub_ref(REPO), &mut |_| {})
        .unwrap_err();
    assert!(
        matches!(error, HubError::Client { .. }) && error.to_string().contains("HF_ENDPOINT"),
        "{error}"
    );
}
