//! Listing and removing.

use std::fs;

use ponder_runtime::hub::HubError;

use crate::server::Hub;
use crate::support::{Bench, REPO, hub_ref};

fn two_commits() -> Bench {
    let bench = Bench::new(Hub::with(
        REPO,
        &[("m-Q8_0.gguf", b"eight bytes"), ("m-Q4_0.gguf", b"four")],
    ));
    bench.pull("org/tiny:Q8_0").unwrap();
    bench.pull("org/tiny:Q4_0").unwrap();
    bench.hub.commit(
        REPO,
        "next",
        'b',
        &[
            ("m-Q8_0.gguf", b"eight bytes"),
            ("m-Q4_0.gguf", b"other four"),
        ],
    );
    bench.pull("org/tiny:Q8_0@next").unwrap();
    bench
}

#[test]
fn an_empty_store_lists_nothing_and_has_nothing_to_remove() {
    let bench = Bench::new(Hub::start());
    assert!(bench.store().list().unwrap().is_empty());
    let error = bench.store().remove(&hub_ref(REPO)).unwrap_err();
    assert!(matches!(error, HubError::NotCached { .. }), "{error}");
}

#[test]
fn the_list_has_commits_refs_files_and_sizes() {
    let bench = two_commits();
    fs::create_dir_all(bench.cache.path().join("datasets--org--data/snapshots/x")).unwrap();
    fs::create_dir_all(bench.cache.path().join("models--broken")).unwrap();
    let list = bench.store().list().unwrap();
    let short: Vec<_> = list
        .iter()
        .map(|model| {
            (
                model.repo.as_str(),
                &model.revision[..1],
                model.refs.join(","),
                model.files.len(),
                model.bytes,
            )
        })
        .collect();
    assert_eq!(
        short,
        [
            (REPO, "a", "main".to_owned(), 2, 15),
            (REPO, "b", "next".to_owned(), 1, 11)
        ]
    );
    assert_eq!(list[0].files[0].name, "m-Q4_0.gguf");
    assert_eq!(
        list[0].path,
        bench.root().join("snapshots").join("a".repeat(40))
    );
}

#[test]
#[cfg(unix)]
fn removing_frees_only_what_nothing_else_uses() {
    let bench = two_commits();
    assert_eq!(bench.store().remove(&hub_ref("org/tiny:q4_0")).unwrap(), 4);
    let freed = bench.store().remove(&hub_ref("org/tiny@next")).unwrap();
    assert!(
        freed <= 40,
        "the weights are still used by the other commit, only the ref went: {freed}"
    );
    assert_eq!(bench.store().list().unwrap().len(), 1);
    assert!(!bench.root().join("refs/next").exists());
    assert!(bench.store().remove(&hub_ref("org/tiny:Q8_0")).unwrap() >= 11);
    assert!(!bench.root().exists(), "nothing of the repository is left");
}

#[test]
fn removing_a_repository_takes_its_interrupted_downloads_along() {
    let bench = two_commits();
    fs::write(
        bench
            .root()
            .join("blobs")
            .join("c".repeat(64) + ".incomplete"),
        [0; 1000],
    )
    .unwrap();
    assert!(bench.store().remove(&hub_ref(REPO)).unwrap() >= 1015);
    assert!(!bench.root().exists());
}

#[test]
#[cfg(unix)]
fn links_that_lead_out_of_the_cache_are_neither_followed_nor_counted() {
    use std::os::unix::fs::symlink;
    let bench = two_commits();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("precious"), [1; 5000]).unwrap();
    let snapshot = bench.root().join("snapshots").join("a".repeat(40));
    symlink(outside.path(), snapshot.join("folder")).unwrap();
    symlink(outside.path().join("precious"), snapshot.join("file.gguf")).unwrap();
    assert_eq!(bench.store().list().unwrap()[0].bytes, 15);
    assert!(bench.store().remove(&hub_ref(REPO)).unwrap() < 1000);
    assert!(outside.path().join("precious").exists());

    symlink(outside.path(), bench.root()).unwrap();
    assert!(matches!(
        bench.store().remove(&hub_ref(REPO)),
        Err(HubError::NotCached { .. })
    ));
    assert!(outside.path().join("precious").exists());
}

#[test]
fn what_is_being_downloaded_is_not_removed() {
    let bench = two_commits();
    let locks = bench.cache.path().join(".locks/models--org--tiny");
    let file = fs::File::options()
        .write(true)
        .open(fs::read_dir(locks).unwrap().next().unwrap().unwrap().path());
    let file = file.unwrap();
    file.lock().unwrap();
    assert!(matches!(
        bench.store().remove(&hub_ref(REPO)),
        Err(HubError::Busy { .. })
    ));
    file.unlock().unwrap();
    bench.store().remove(&hub_ref(REPO)).unwrap();
}
