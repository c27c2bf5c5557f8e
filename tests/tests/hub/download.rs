//! What is downloaded, where it lies, and that only what is missing is asked for.

use std::fs;
use std::path::Path;

use ponder_runtime::hub::{HubError, ModelRef, Store, StoreOptions};

use crate::server::{Fault, Hub, git_hash, sha256};
use crate::support::{Bench, REPO, Recorded, hub_ref, noise, pull_recorded};

const CONFIG: &[u8] = b"{\"model_type\":\"tiny\"}";

#[test]
fn a_folder_has_the_layout_of_the_hugging_face_cache_and_only_what_is_needed() {
    let weights = noise(50_000);
    let files: [(&str, &[u8]); 7] = [
        ("config.json", CONFIG),
        ("tokenizer.json", b"{}"),
        ("chat_template.jinja", b"{{ messages }}"),
        ("model.safetensors", &weights),
        ("pytorch_model.bin", b"pickle"),
        ("original/model.safetensors", b"again"),
        ("onnx/model.onnx", b"onnx"),
    ];
    let bench = Bench::new(Hub::with(REPO, &files));
    let path = bench.pull(REPO).unwrap();
    let commit = "a".repeat(40);
    assert_eq!(path, bench.root().join("snapshots").join(&commit));
    assert_eq!(
        fs::read_to_string(bench.root().join("refs/main")).unwrap(),
        commit
    );
    assert_eq!(fs::read(path.join("model.safetensors")).unwrap(), weights);
    assert_eq!(
        fs::read(bench.root().join("blobs").join(sha256(&weights))).unwrap(),
        weights
    );
    assert_eq!(
        fs::read(bench.root().join("blobs").join(git_hash(CONFIG))).unwrap(),
        CONFIG
    );
    let mut names: Vec<_> = fs::read_dir(&path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "chat_template.jinja",
            "config.json",
            "model.safetensors",
            "tokenizer.json"
        ]
    );
    #[cfg(unix)]
    assert_eq!(
        fs::read_link(path.join("config.json")).unwrap(),
        Path::new("../../blobs").join(git_hash(CONFIG)),
        "relative, so that the cache can be moved"
    );
}

#[test]
fn sharded_safetensors_are_those_that_the_index_names() {
    let index = br#"{"weight_map":{"a":"model-1.safetensors","b":"model-2.safetensors","c":"model-1.safetensors"}}"#;
    let files: [(&str, &[u8]); 5] = [
        ("config.json", CONFIG),
        ("model.safetensors.index.json", index),
        ("model-1.safetensors", b"one"),
        ("model-2.safetensors", b"two"),
        ("model-3.safetensors", b"of another export"),
    ];
    let bench = Bench::new(Hub::with(REPO, &files));
    let path = bench.pull(REPO).unwrap();
    assert_eq!(fs::read(path.join("model-2.safetensors")).unwrap(), b"two");
    assert!(!path.join("model-3.safetensors").exists());
    assert_eq!(
        bench
            .offline()
            .resolve(&ModelRef::Hub(hub_ref(REPO)), &mut |_| {})
            .unwrap(),
        path
    );
    fs::remove_file(path.join("model-2.safetensors")).unwrap();
    let error = bench
        .offline()
        .resolve(&ModelRef::Hub(hub_ref(REPO)), &mut |_| {})
        .unwrap_err();
    assert!(
        matches!(error, HubError::Offline { .. }),
        "a folder without one of its shards is not complete: {error}"
    );
}

#[test]
fn one_gguf_is_chosen_by_tag_or_name_and_a_split_one_comes_whole() {
    let files: [(&str, &[u8]); 5] = [
        ("m-Q4_K_M.gguf", b"four"),
        ("m-Q8_0.gguf", b"eight"),
        ("F16/m-F16-00001-of-00002.gguf", b"one"),
        ("F16/m-F16-00002-of-00002.gguf", b"two"),
        ("README.md", b"text"),
    ];
    let bench = Bench::new(Hub::with(REPO, &files));
    let path = bench.pull("org/tiny:q4_k_m").unwrap();
    assert!(path.ends_with("m-Q4_K_M.gguf") && fs::read(&path).unwrap() == b"four");
    assert!(
        bench
            .pull("org/tiny:m-Q8_0.gguf")
            .unwrap()
            .ends_with("m-Q8_0.gguf")
    );
    let first = bench.pull("org/tiny:f16").unwrap();
    assert!(
        first.ends_with("F16/m-F16-00001-of-00002.gguf"),
        "{}",
        first.display()
    );
    assert_eq!(
        fs::read(first.with_file_name("m-F16-00002-of-00002.gguf")).unwrap(),
        b"two"
    );

    let error = bench.pull(REPO).unwrap_err();
    assert!(
        matches!(&error, HubError::Ambiguous { available, .. } if available.len() == 3),
        "{error}"
    );
    let error = bench.pull("org/tiny:Q2_K").unwrap_err();
    assert!(
        matches!(error, HubError::FileNotFound { .. }) && error.to_string().contains("m-Q8_0.gguf"),
        "{error}"
    );
}

#[test]
fn the_token_goes_to_the_hub_and_never_to_the_host_it_redirects_to() {
    let bench = Bench::new(Hub::with(REPO, &[("m.gguf", b"weights")]));
    let token = Some("hf_secret".to_owned());
    let store = Store::new(StoreOptions {
        token,
        ..bench.options()
    });
    store.pull(&hub_ref(REPO), &mut |_| {}).unwrap();
    let seen = bench.hub.seen("");
    let (hub, storage): (Vec<_>, Vec<_>) = seen.iter().partition(|seen| seen.host == "hub");
    assert!(
        hub.len() >= 4 && storage.iter().any(|seen| seen.line.starts_with("GET")),
        "{seen:?}"
    );
    assert!(
        hub.iter()
            .all(|seen| seen.authorization.as_deref() == Some("Bearer hf_secret")),
        "{hub:?}"
    );
    assert!(
        storage.iter().all(|seen| seen.authorization.is_none()),
        "{storage:?}"
    );

    let anonymous = Bench::new(Hub::with(REPO, &[("m.gguf", b"weights")]));
    anonymous.pull(REPO).unwrap();
    assert!(
        anonymous
            .hub
            .seen("")
            .iter()
            .all(|seen| seen.authorization.is_none()),
        "no token, none is made up"
    );
}

#[test]
fn a_cut_is_healed_by_a_range_request_and_progress_never_falls() {
    let weights = noise(300_000);
    let bench = Bench::new(Hub::with(REPO, &[("m.gguf", &weights)]));
    bench.hub.trap("GET /org/tiny/aaaa", 1, Fault::Cut(100_000));
    let Recorded {
        result,
        bytes,
        others,
    } = pull_recorded(&bench.store(), REPO);
    assert_eq!(fs::read(result.unwrap()).unwrap(), weights);
    let ranges: Vec<_> = bench
        .hub
        .seen("GET /org/tiny/aaaa")
        .iter()
        .map(|seen| seen.range)
        .collect();
    assert_eq!(ranges, [None, Some(100_000)]);
    assert!(
        bytes.is_sorted() && bytes.first().unwrap().0 == 0,
        "{bytes:?}"
    );
    assert_eq!(bytes.last(), Some(&(300_000, 300_000)));
    assert!(
        others.iter().any(|event| event.contains("bytes: 300000")),
        "the plan says the size: {others:?}"
    );
    assert!(
        others.iter().any(|event| event.starts_with("Retry")),
        "{others:?}"
    );
}

#[test]
fn a_download_that_was_given_up_goes_on_with_the_next_pull() {
    let weights = noise(300_000);
    let bench = Bench::new(Hub::with(REPO, &[("m.gguf", &weights)]));
    bench.hub.trap("GET /org/tiny/aaaa", 9, Fault::Cut(50_000));
    let error = bench.pull(REPO).unwrap_err();
    assert!(
        matches!(
            error,
            HubError::Interrupted {
                have: 150_000,
                total: 300_000,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(bench.incomplete(), 150_000);
    assert!(
        !bench.root().join("refs/main").exists(),
        "no ref leads to what is not complete"
    );
    let offline = bench
        .offline()
        .resolve(&ModelRef::Hub(hub_ref(REPO)), &mut |_| {});
    assert!(
        matches!(offline, Err(HubError::Offline { .. })),
        "{offline:?}"
    );

    bench.hub.clear_traps();
    let Recorded { result, bytes, .. } = pull_recorded(&bench.store(), REPO);
    assert_eq!(fs::read(result.unwrap()).unwrap(), weights);
    assert_eq!(bytes.first(), Some(&(150_000, 300_000)));
    assert_eq!(
        bench.hub.seen("GET /org/tiny/aaaa").last().unwrap().range,
        Some(150_000)
    );
    assert_eq!(bench.incomplete(), 0);
}

#[test]
fn a_silent_connection_counts_as_cut() {
    let weights = noise(100_000);
    let bench = Bench::new(Hub::with(REPO, &[("m.gguf", &weights)]));
    bench
        .hub
        .trap("GET /org/tiny/aaaa", 1, Fault::Stall(40_000));
    assert_eq!(fs::read(bench.pull(REPO).unwrap()).unwrap(), weights);
    assert_eq!(
        bench.hub.seen("GET /org/tiny/aaaa").last().unwrap().range,
        Some(40_000)
    );
}

#[test]
fn a_server_that_ignores_ranges_still_gives_the_right_file() {
    let weights = noise(100_000);
    let bench = Bench::new(Hub::with(REPO, &[("m.gguf", &weights)]));
    bench.hub.trap("GET /org/tiny/aaaa", 1, Fault::Cut(60_000));
    bench.hub.trap("GET /org/tiny/aaaa", 9, Fault::IgnoreRange);
    assert_eq!(fs::read(bench.pull(REPO).unwrap()).unwrap(), weights);
}

#[test]
fn a_damaged_kept_part_is_found_and_downloaded_again() {
    let weights = noise(100_000);
    let bench = Bench::new(Hub::with(REPO, &[("m.gguf", &weights)]));
    let blobs = bench.root().join("blobs");
    fs::create_dir_all(&blobs).unwrap();
    fs::write(
        blobs.join(format!("{}.incomplete", sha256(&weights))),
        vec![0; 70_000],
    )
    .unwrap();
    assert_eq!(fs::read(bench.pull(REPO).unwrap()).unwrap(), weights);
    let ranges: Vec<_> = bench
        .hub
        .seen("GET /org/tiny/aaaa")
        .iter()
        .map(|seen| seen.range)
        .collect();
    assert_eq!(ranges, [Some(70_000), None]);
}

#[test]
fn revisions_are_pinned_and_a_branch_moves_only_with_pull() {
    let hub = Hub::with(REPO, &[("m.gguf", b"old weights")]);
    let old = "a".repeat(40);
    let new = hub.commit(REPO, "main", 'b', &[("m.gguf", b"new weights")]);
    hub.commit(REPO, "refs/pr/1", 'c', &[("m.gguf", b"a proposal")]);
    hub.state()
        .revisions
        .insert((REPO.into(), "v1".into()), old.clone());
    let bench = Bench::new(hub);
    let content = |reference: &str| fs::read(bench.pull(reference).unwrap()).unwrap();
    assert_eq!(content("org/tiny@v1"), b"old weights");
    assert_eq!(content(&format!("org/tiny@{old}")), b"old weights");
    assert_eq!(content("org/tiny@refs/pr/1"), b"a proposal");
    assert_eq!(content("org/tiny"), b"new weights");
    assert_eq!(
        fs::read_to_string(bench.root().join("refs/v1")).unwrap(),
        old
    );
    assert_eq!(
        fs::read_to_string(bench.root().join("refs/main")).unwrap(),
        new
    );

    bench
        .hub
        .commit(REPO, "main", 'd', &[("m.gguf", b"newest weights")]);
    let requests = bench.hub.seen("").len();
    let resolved = bench
        .store()
        .resolve(&ModelRef::Hub(hub_ref(REPO)), &mut |_| {})
        .unwrap();
    assert_eq!(fs::read(resolved).unwrap(), b"new weights");
    assert_eq!(
        bench.hub.seen("").len(),
        requests,
        "what is complete is used without a request"
    );
    assert_eq!(content("org/tiny"), b"newest weights");
}

#[test]
fn contents_that_are_in_the_cache_are_not_downloaded_again() {
    let hub = Hub::with(REPO, &[("m.gguf", b"weights"), ("README.md", b"1")]);
    let bench = Bench::new(hub);
    let old = bench.pull(REPO).unwrap();
    bench.hub.commit(
        REPO,
        "main",
        'b',
        &[("renamed.gguf", b"weights"), ("README.md", b"2")],
    );
    let new = bench.pull(REPO).unwrap();
    assert_eq!(bench.hub.seen("GET /org/tiny/aaaa").len(), 1);
    assert_eq!(
        bench.hub.seen("GET /org/tiny/bbbb").len(),
        0,
        "the commit is new, the contents are not"
    );
    assert_eq!(fs::read(old).unwrap(), fs::read(new).unwrap());
}
