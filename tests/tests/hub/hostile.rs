//! A server that lies about names must not get a byte outside the cache.

use std::path::Path;

use ponder_runtime::hub::HubError;

use crate::server::Hub;
use crate::support::{Bench, REPO};

/// Everything under a folder, as relative paths.
fn everything(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            found.push(path.strip_prefix(root).unwrap().display().to_string());
            if path.is_dir() && !path.is_symlink() {
                folders.push(path);
            }
        }
    }
    found
}

#[test]
fn file_names_that_lead_out_are_refused() {
    for name in [
        "../../../evil.gguf",
        "/tmp/evil.gguf",
        "a/../../../../evil.gguf",
        "a\0evil.gguf",
        "c:evil.gguf",
        "a\\..\\evil.gguf",
    ] {
        let bench = Bench::new(Hub::with(REPO, &[(name, b"evil")]));
        let error = bench.pull(REPO).unwrap_err();
        assert!(
            matches!(error, HubError::UnsafeName { .. }),
            "{name}: {error}"
        );
        assert!(!error.to_string().contains('\0'), "{error}");
        assert_eq!(everything(bench.cache.path()), [""; 0], "{name}");
        assert!(
            !bench
                .cache
                .path()
                .parent()
                .unwrap()
                .join("evil.gguf")
                .exists()
        );
    }
}

#[test]
fn an_index_cannot_name_files_outside() {
    let index = br#"{"weight_map":{"a":"../../../../evil.safetensors"}}"#;
    let files: [(&str, &[u8]); 2] = [
        ("config.json", b"{}"),
        ("model.safetensors.index.json", index),
    ];
    let bench = Bench::new(Hub::with(REPO, &files));
    assert!(matches!(bench.pull(REPO), Err(HubError::UnsafeName { .. })));
}

#[test]
fn an_index_that_is_none_is_an_error() {
    for index in [
        b"[]".as_slice(),
        b"{}",
        b"{\"weight_map\":{\"a\":1}}",
        b"\xff",
    ] {
        let files: [(&str, &[u8]); 2] = [
            ("config.json", b"{}"),
            ("model.safetensors.index.json", index),
        ];
        let bench = Bench::new(Hub::with(REPO, &files));
        let error = bench.pull(REPO).unwrap_err();
        assert!(matches!(error, HubError::Malformed { .. }), "{error}");
    }
}

#[test]
fn commits_and_checksums_are_hexadecimal_or_refused() {
    for commit in ["../../../evil", "", "main", "A", "/tmp"] {
        let bench = Bench::new(Hub::with(REPO, &[("m.gguf", b"x")]));
        bench
            .hub
            .state()
            .revisions
            .insert((REPO.into(), "main".into()), commit.into());
        assert!(
            matches!(bench.pull(REPO), Err(HubError::Malformed { .. })),
            "{commit}"
        );
    }
    for etag in [
        "../../../evil",
        "",
        "abc",
        &"g".repeat(64),
        &"../".repeat(22)[..64],
    ] {
        let bench = Bench::new(Hub::with(REPO, &[("m.gguf", b"x")]));
        bench
            .hub
            .change("m.gguf", |file| file.etag = Some(etag.to_owned()));
        assert!(
            matches!(bench.pull(REPO), Err(HubError::Malformed { .. })),
            "{etag}"
        );
        assert_eq!(everything(bench.cache.path()), [""; 0]);
    }
}
