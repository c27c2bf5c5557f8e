//! The crate graph has the edges of the architecture's picture and no other.

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

use crate::{assert_none, root};

/// What one crate of the workspace may use of the others.
struct Edges {
    from: &'static str,
    /// Normal and build dependencies.
    normal: &'static [&'static str],
    /// Dependencies of its own tests.
    dev: &'static [&'static str],
}

const BENCH: &str = "ponder-bench";
const CPU: &str = "ponder-kernels-cpu";
const CUDA: &str = "ponder-kernels-cuda";
const EFFORT: &str = "ponder-effort";
const ENGINE: &str = "ponder-engine";
const EVAL: &str = "ponder-eval";
const FIGURES: &str = "ponder-figures";
const MODELS: &str = "ponder-models";
const RUNTIME: &str = "ponder-runtime";
const SERVER: &str = "ponder-server";
const TASKS: &str = "ponder-tasks";
const TESTS: &str = "ponder-tests";
const TOKENIZER: &str = "ponder-tokenizer";

/// A crate that is not listed fails: a new one has to state its edges.
const EDGES: &[Edges] = &[
    Edges {
        from: MODELS,
        normal: &[],
        dev: &[],
    },
    Edges {
        from: CPU,
        normal: &[],
        dev: &[],
    },
    Edges {
        from: CUDA,
        // Formats are the same on every device.
        normal: &[CPU],
        dev: &[],
    },
    Edges {
        from: TASKS,
        normal: &[],
        dev: &[],
    },
    Edges {
        from: FIGURES,
        normal: &[],
        dev: &[],
    },
    Edges {
        from: TOKENIZER,
        normal: &[MODELS],
        dev: &[],
    },
    Edges {
        from: RUNTIME,
        normal: &[CPU, CUDA, MODELS],
        dev: &[],
    },
    Edges {
        from: EFFORT,
        normal: &[],
        dev: &[],
    },
    Edges {
        from: ENGINE,
        normal: &[TOKENIZER, RUNTIME, EFFORT, MODELS],
        dev: &[],
    },
    Edges {
        from: EVAL,
        normal: &[ENGINE, TASKS, FIGURES],
        dev: &[],
    },
    Edges {
        from: BENCH,
        // Beside the engine, what the machine can do at most is measured with its kernels.
        normal: &[ENGINE, CPU, CUDA, FIGURES],
        dev: &[],
    },
    Edges {
        from: SERVER,
        normal: &[ENGINE],
        dev: &[],
    },
    Edges {
        from: "ponder-cli",
        normal: &[ENGINE, EVAL, BENCH, SERVER, FIGURES],
        dev: &[],
    },
    Edges {
        from: "ponder-benches",
        normal: &[CPU, TOKENIZER, RUNTIME, EFFORT, ENGINE],
        dev: &[CPU, TOKENIZER, RUNTIME, EFFORT, ENGINE],
    },
    // Tests across crates may see all but the edges of the system.
    Edges {
        from: TESTS,
        normal: &[RUNTIME, TOKENIZER, ENGINE, CUDA],
        dev: &[CPU, TOKENIZER, RUNTIME, EFFORT, ENGINE, MODELS],
    },
    Edges {
        from: "xtask",
        normal: &[],
        dev: &[],
    },
];

/// External crates that stand for a job, and the crates that have this job.
/// Everyone else is kept from them, so that only the runtime sees a tensor,
/// only the tokenizer renders templates, and only the edge knows a terminal.
const JOBS: &[(&[&str], &str)] = &[
    (&["candle-core", "candle-nn", "hf-hub"], RUNTIME),
    (&["tokenizers", "minijinja", "minijinja-contrib"], TOKENIZER),
    (&["axum", "axum-server", "tower-http"], SERVER),
    (&["llguidance", "toktrie"], ENGINE),
    (&["libloading"], CUDA),
    (&["clap", "ctrlc", "indicatif", "rustyline"], "ponder-cli"),
];

fn metadata() -> Metadata {
    MetadataCommand::new()
        .current_dir(root())
        .no_deps()
        .other_options(["--locked".to_owned()])
        .exec()
        .expect("cargo metadata")
}

/// The edges of `package` to `ours` that [`EDGES`] lacks.
fn forbidden_edges(package: &Package, ours: &[&str]) -> Vec<String> {
    let Some(edges) = EDGES.iter().find(|edges| *package.name == edges.from) else {
        return vec![format!("{} is missing in the table of edges", package.name)];
    };
    let mut forbidden = Vec::new();
    for dependency in &package.dependencies {
        let (allowed, kind) = match dependency.kind {
            DependencyKind::Development => (edges.dev, "dev-dependency"),
            _ => (edges.normal, "dependency"),
        };
        let to = dependency.name.as_str();
        if ours.contains(&to) && !allowed.contains(&to) {
            forbidden.push(format!("{} -> {to} ({kind})", package.name));
        }
    }
    forbidden
}

#[test]
fn no_edge_outside_the_picture() {
    let metadata = metadata();
    let packages = metadata.workspace_packages();
    let ours: Vec<&str> = packages
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    let forbidden: Vec<String> = packages
        .iter()
        .flat_map(|package| forbidden_edges(package, &ours))
        .collect();
    assert_none("the architecture forbids these dependencies", &forbidden);
}

#[test]
fn an_edge_between_siblings_is_found() {
    let metadata = metadata();
    let packages = metadata.workspace_packages();
    let find = |name: &str| {
        let package = packages.iter().find(|package| *package.name == name);
        Package::clone(package.unwrap_or_else(|| panic!("no crate {name}")))
    };
    let mut effort = find(EFFORT);
    effort.dependencies = find(ENGINE).dependencies;
    let found = forbidden_edges(&effort, &[EFFORT, TOKENIZER]);
    assert_eq!(
        found,
        [
            "ponder-effort -> ponder-effort (dependency)",
            "ponder-effort -> ponder-tokenizer (dependency)"
        ]
    );
}

#[test]
fn external_crates_stay_with_their_job() {
    let metadata = metadata();
    let mut strangers = Vec::new();
    for package in metadata.workspace_packages() {
        for dependency in &package.dependencies {
            let owners: Vec<&str> = JOBS
                .iter()
                .filter(|(crates, _)| crates.contains(&dependency.name.as_str()))
                .map(|(_, owner)| *owner)
                .collect();
            let is_test = dependency.kind == DependencyKind::Development;
            if !is_test && !owners.is_empty() && !owners.contains(&package.name.as_str()) {
                strangers.push(format!("{} -> {}", package.name, dependency.name));
            }
        }
    }
    assert_none("these crates do not have this job", &strangers);
}
