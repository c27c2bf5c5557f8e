//! Every dependency's licence and source is one that `deny.toml` allows.
//!
//! The same rules as `cargo deny check licenses bans sources`, from the same
//! file, for everyone who has not installed that tool. All platforms count,
//! not only this one.

#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cargo_metadata::{Metadata, MetadataCommand};
use spdx::{Expression, Licensee, ParseMode};
use toml::{Table, Value};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

fn metadata() -> Metadata {
    MetadataCommand::new()
        .current_dir(ROOT)
        .other_options(["--locked".to_owned()])
        .exec()
        .expect("cargo metadata (hint: `cargo fetch` brings what it needs)")
}

/// The table `section` of `deny.toml`.
fn rules(section: &str) -> Table {
    let text = std::fs::read_to_string(Path::new(ROOT).join("deny.toml")).expect("deny.toml");
    let mut rules: Table = text.parse().expect("valid TOML");
    match rules.remove(section) {
        Some(Value::Table(table)) => table,
        _ => panic!("deny.toml has no section [{section}]"),
    }
}

/// The array of strings `table[key]`.
fn strings(table: &Table, key: &str) -> Vec<String> {
    let values = table[key].as_array().expect("an array").iter();
    values
        .map(|value| value.as_str().expect("a string").to_owned())
        .collect()
}

fn allowed_licences() -> Vec<Licensee> {
    let names = strings(&rules("licenses"), "allow");
    assert!(names.len() > 3);
    names
        .iter()
        .map(|name| Licensee::parse(name).expect("an SPDX licence"))
        .collect()
}

/// Whether the licence expression of a package can be met by `allowed` alone.
fn is_satisfied(expression: &str, allowed: &[Licensee]) -> bool {
    // Old packages write `MIT/Apache-2.0` for `MIT OR Apache-2.0`.
    let expression = Expression::parse_mode(expression, ParseMode::LAX);
    expression.is_ok_and(|expression| {
        expression.evaluate(|requirement| {
            allowed
                .iter()
                .any(|licensee| licensee.satisfies(requirement))
        })
    })
}

#[test]
fn every_licence_is_allowed() {
    let allowed = allowed_licences();
    let mut refused = Vec::new();
    for package in metadata().packages {
        let licence = package.license.as_deref().unwrap_or("none");
        if !is_satisfied(licence, &allowed) {
            refused.push(format!("{} {}: {licence}", package.name, package.version));
        }
    }
    assert!(
        refused.is_empty(),
        "licences that deny.toml does not allow: {refused:#?}"
    );
}

#[test]
fn copyleft_and_conjunctions_are_told_apart() {
    let allowed = allowed_licences();
    for good in [
        "MIT",
        "MIT/Apache-2.0",
        "MIT OR GPL-3.0-only",
        "ISC AND (MIT OR LGPL-2.1)",
    ] {
        assert!(is_satisfied(good, &allowed), "{good}");
    }
    for bad in [
        "GPL-3.0-only",
        "MIT AND GPL-3.0-only",
        "LicenseRef-custom",
        "none",
        "",
    ] {
        assert!(!is_satisfied(bad, &allowed), "{bad}");
    }
}

#[test]
fn every_source_is_the_public_registry() {
    let allowed = strings(&rules("sources"), "allow-registry");
    let metadata = metadata();
    let ours: BTreeSet<_> = metadata.workspace_members.iter().collect();
    let mut strangers = Vec::new();
    for package in &metadata.packages {
        let is_allowed = match &package.source {
            Some(source) => {
                let registry = source.repr.strip_prefix("registry+");
                registry.is_some_and(|url| allowed.iter().any(|allowed| allowed == url))
            }
            None => ours.contains(&package.id),
        };
        if !is_allowed {
            strangers.push(format!("{} from {:?}", package.id, package.source));
        }
    }
    assert!(
        strangers.is_empty(),
        "packages from elsewhere: {strangers:#?}"
    );
}

#[test]
fn heavy_crates_come_in_one_version() {
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in metadata().packages {
        let versions = versions.entry(package.name.to_string()).or_default();
        versions.insert(package.version.to_string());
    }
    let bans = rules("bans");
    let heavy: Vec<&str> = bans["deny"]
        .as_array()
        .expect("an array")
        .iter()
        .map(|ban| ban["crate"].as_str().expect("a crate"))
        .collect();
    assert!(heavy.contains(&"candle-core"));
    for name in heavy {
        let n_versions = versions.get(name).map_or(0, BTreeSet::len);
        assert!(n_versions <= 1, "{name} is there in {:?}", versions[name]);
    }
}
