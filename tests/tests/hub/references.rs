//! What a user may type.

use ponder_runtime::hub::{FileSpec, HubError, ModelRef, registry};

use crate::support::hub_ref;

#[test]
fn hub_references_with_file_and_revision_in_either_order() {
    let tag = |tag: &str| Some(FileSpec::Tag(tag.to_owned()));
    let name = |name: &str| Some(FileSpec::Name(name.to_owned()));
    let cases = [
        ("Qwen/Qwen3-0.6B", None, None),
        ("Qwen/Qwen3-0.6B@main", None, Some("main")),
        ("Qwen/Qwen3-0.6B:q8_0", tag("q8_0"), None),
        ("Qwen/Qwen3-0.6B:Q8_0@v1.0", tag("Q8_0"), Some("v1.0")),
        (
            "Qwen/Qwen3-0.6B@refs/pr/1:Q8_0",
            tag("Q8_0"),
            Some("refs/pr/1"),
        ),
        (
            "Qwen/Qwen3-0.6B:sub/a-00001-of-00002.gguf",
            name("sub/a-00001-of-00002.gguf"),
            None,
        ),
    ];
    for (text, file, revision) in cases {
        let parsed = hub_ref(text);
        assert_eq!(parsed.repo.as_str(), "Qwen/Qwen3-0.6B");
        assert_eq!(
            (parsed.file.clone(), parsed.revision.as_deref()),
            (file, revision),
            "{text}"
        );
        assert_eq!(
            hub_ref(&parsed.to_string()),
            parsed,
            "{text} survives being printed"
        );
    }
}

#[test]
fn short_names_come_from_the_registry_and_can_be_pinned() {
    for entry in registry() {
        let parsed = hub_ref(&entry.name);
        assert_eq!(parsed.repo.as_str(), entry.repo);
        assert_eq!(hub_ref(&entry.name.to_uppercase()), parsed);
    }
    assert_eq!(hub_ref("qwen3:0.6b@abc").revision.as_deref(), Some("abc"));
    assert_eq!(ModelRef::parse("default").unwrap(), ModelRef::Default);
    let error = ModelRef::parse("qwen3:0.6").unwrap_err();
    assert!(matches!(error, HubError::UnknownName { .. }));
    assert!(error.to_string().contains("qwen3:0.6b"), "{error}");
}

#[test]
fn a_path_that_exists_wins_and_what_looks_like_one_is_one() {
    // The tests run in the folder of their package, which has `tests/hub`.
    assert!(matches!(
        ModelRef::parse("tests/hub").unwrap(),
        ModelRef::Path(_)
    ));
    for text in ["./x", "../x/y", "/x/y", "model.gguf", "a/b/c.gguf", "~/x"] {
        assert!(
            matches!(ModelRef::parse(text).unwrap(), ModelRef::Path(_)),
            "{text}"
        );
    }
}

#[test]
fn hostile_and_broken_references_are_refused() {
    let broken = [
        "",
        " ",
        "a/b/c",
        "a/b:",
        "a/b@",
        "a/b@..",
        "a/b@x/../y",
        "a/..",
        "../..:x",
        "a/b:../x",
        "a/b:x/y",
        "a\0/b",
        "a--b/c",
        "a/b:Q4 K",
        "a/b@-\n",
        "a/b?x",
        "a/b#x",
    ];
    for text in broken {
        let refused = match ModelRef::parse(text) {
            Err(HubError::InvalidReference { .. }) => true,
            // Names a folder above, which exists or not, but never a place in the cache.
            Ok(ModelRef::Path(_)) => text.starts_with(".."),
            _ => false,
        };
        assert!(refused, "{text:?}");
    }
}
