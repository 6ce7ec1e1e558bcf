//! Reads every manifest and fails on a dependency that the architecture forbids.
//!
//! The table below is the rule; `ARCHITECTURE.md` tells it in words. It stands with the engine because the
//! engine's row is the strictest and these tests are the quickest to build. It does not look at versions,
//! licences or features: `deny.toml` and `scripts/no-std` do.

use std::{collections::BTreeSet, fmt, fs, path::Path};
use toml::{Table, Value};

/// What one crate may use.
struct Rule {
    krate: &'static str,
    /// Crates of this workspace, outside of tests.
    ours: &'static [&'static str],
    /// Crates of this workspace that it may use behind a feature only.
    ours_optional: &'static [&'static str],
    /// Crates of other people, outside of tests.
    others: Others,
}

enum Others {
    /// These and no more: one more is agreed in review, and then added here.
    Only(&'static [&'static str]),
    /// Any that no row of [`CONFINED`] keeps elsewhere.
    Any,
}

const RULES: [Rule; 12] = [
    Rule {
        // `schemars` behind the feature `schema`, which only tests switch on: editors' schema of the
        // configuration comes from the same types that read it, so it cannot say something else.
        krate: "tiergate-engine",
        ours: &[],
        ours_optional: &[],
        others: Others::Only(&["blake3", "bytes", "hashbrown", "schemars", "serde", "xxhash-rust"]),
    },
    Rule {
        // It sees public events only, so it cannot share the engine's mistakes.
        krate: "tiergate-invariants",
        ours: &["tiergate-engine"],
        ours_optional: &[],
        others: Others::Only(&[]),
    },
    Rule {
        // Every crate's tests may use it, so it knows none of them.
        krate: "tiergate-fuzz",
        ours: &[],
        ours_optional: &[],
        others: Others::Only(&[]),
    },
    Rule {
        // A scenario is readable without running anything. `schemars` and `serde_json` behind the feature
        // `schema`, as in the engine.
        krate: "tiergate-scenarios",
        ours: &["tiergate-config", "tiergate-engine"],
        ours_optional: &[],
        others: Others::Only(&["humantime", "schemars", "serde", "serde-saphyr", "serde_json"]),
    },
    Rule {
        krate: "tiergate-driver",
        ours: &["tiergate-engine"],
        ours_optional: &[],
        others: Others::Only(&["bytes", "tokio"]),
    },
    Rule {
        krate: "tiergate-tiers",
        ours: &["tiergate-engine", "tiergate-driver"],
        ours_optional: &[],
        others: Others::Any,
    },
    Rule {
        // Apart from the tiers, whose builds need not wait for databases and clients of clouds.
        krate: "tiergate-stores",
        ours: &["tiergate-engine", "tiergate-driver", "tiergate-tiers"],
        ours_optional: &[],
        others: Others::Any,
    },
    Rule {
        // A proxy's file is readable without Pingora: a scenario says its sections in the same types.
        krate: "tiergate-config",
        ours: &["tiergate-engine", "tiergate-tiers"],
        ours_optional: &[],
        others: Others::Only(&["http", "schemars", "serde", "serde-saphyr"]),
    },
    Rule {
        // The server writes recordings, the simulator reads them.
        krate: "tiergate-recording",
        ours: &["tiergate-engine", "tiergate-driver"],
        ours_optional: &[],
        others: Others::Only(&["bytes", "serde", "serde_json", "tracing"]),
    },
    Rule {
        // The server and the simulator meet in one place: a feature that puts the real front under
        // simulation.
        krate: "tiergate-sim",
        ours: BELOW_THE_SIMULATOR,
        ours_optional: &["tiergate"],
        others: Others::Any,
    },
    Rule { krate: "tiergate-benches", ours: BELOW_THE_SIMULATOR, ours_optional: &[], others: Others::Any },
    Rule {
        krate: "tiergate",
        ours: &[
            "tiergate-config",
            "tiergate-stores",
            "tiergate-engine",
            "tiergate-driver",
            "tiergate-tiers",
            "tiergate-recording",
            "tiergate-invariants",
        ],
        ours_optional: &[],
        others: Others::Any,
    },
];

const BELOW_THE_SIMULATOR: &[&str] = &[
    "tiergate-stores",
    "tiergate-config",
    "tiergate-engine",
    "tiergate-invariants",
    "tiergate-scenarios",
    "tiergate-driver",
    "tiergate-tiers",
    "tiergate-recording",
];

/// Nothing depends on these, not even a test, except where a rule says so by name.
const ROOTS: [&str; 3] = ["tiergate", "tiergate-sim", "tiergate-benches"];

/// Crates of other people, told by how their names begin, and the only crates of ours that may use them,
/// tests included.
const CONFINED: [(&str, &[&str]); 2] =
    [("turmoil", &["tiergate-sim"]), ("pingora", &["tiergate", "tiergate-benches"])];

/// Crates of other people that nobody ships: they are there behind a feature only, for tests.
const BEHIND_A_FEATURE: [&str; 1] = ["schemars"];

/// Why a manifest breaks the rules.
#[derive(Debug, PartialEq, Eq)]
enum Forbidden {
    /// No rule names this crate: add a row.
    UnknownCrate { krate: String },
    /// `krate` may not use this crate of ours.
    OurEdge { krate: String, uses: String },
    /// `krate` may use this crate behind a feature only.
    NotOptional { krate: String, uses: String },
    /// The crate is not on `krate`'s short list.
    NotListed { krate: String, uses: String },
    /// The crate is kept to other crates of ours.
    Confined { krate: String, uses: String },
}

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownCrate { krate } => write!(f, "{krate} has no row in the table of this test"),
            Self::OurEdge { krate, uses } => write!(f, "{krate} must not depend on {uses}"),
            Self::NotOptional { krate, uses } => {
                write!(f, "{krate} may use {uses} as an optional dependency only")
            }
            Self::NotListed { krate, uses } => write!(f, "{uses} is not on the list of what {krate} may use"),
            Self::Confined { krate, uses } => write!(f, "{krate} must not know of {uses}"),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    /// `[dependencies]` and `[build-dependencies]`.
    Shipped,
    /// `[dev-dependencies]`.
    InTests,
}

struct Edge {
    uses: String,
    kind: Use,
    is_optional: bool,
}

/// Everything that a manifest, or its table for one target, depends on. `shared` is the workspace's table of
/// versions.
fn edges(table: &Table, shared: &Table) -> Vec<Edge> {
    let sections = [
        ("dependencies", Use::Shipped),
        ("build-dependencies", Use::Shipped),
        ("dev-dependencies", Use::InTests),
    ];
    let mut edges = Vec::new();
    for (section, kind) in sections {
        for (alias, value) in table.get(section).and_then(Value::as_table).into_iter().flatten() {
            let is_inherited = value.get("workspace").and_then(Value::as_bool) == Some(true);
            let declared = if is_inherited { shared.get(alias) } else { Some(value) };
            // A dependency may be renamed: `package` has the real name.
            let renamed = declared.and_then(|value| value.get("package")).and_then(Value::as_str);
            edges.push(Edge {
                uses: renamed.unwrap_or(alias).to_owned(),
                kind,
                is_optional: value.get("optional").and_then(Value::as_bool) == Some(true),
            });
        }
    }
    for target in table.get("target").and_then(Value::as_table).into_iter().flat_map(Table::values) {
        if let Some(table) = target.as_table() {
            edges.extend(self::edges(table, shared));
        }
    }
    edges
}

/// Everything forbidden in the manifest of `krate`.
fn forbidden(krate: &str, manifest: &Table, shared: &Table) -> Vec<Forbidden> {
    let Some(rule) = RULES.iter().find(|rule| rule.krate == krate) else {
        return vec![Forbidden::UnknownCrate { krate: krate.to_owned() }];
    };
    edges(manifest, shared).into_iter().filter_map(|edge| rule.judge(edge)).collect()
}

impl Rule {
    fn judge(&self, edge: Edge) -> Option<Forbidden> {
        let krate = self.krate.to_owned();
        let uses = edge.uses.as_str();
        if RULES.iter().any(|rule| rule.krate == uses) {
            let is_allowed = match edge.kind {
                Use::Shipped => self.ours.contains(&uses),
                Use::InTests => !ROOTS.contains(&uses),
            };
            return match (is_allowed, self.ours_optional.contains(&uses)) {
                (true, _) => None,
                (false, true) if edge.is_optional => None,
                (false, true) => Some(Forbidden::NotOptional { krate, uses: edge.uses }),
                (false, false) => Some(Forbidden::OurEdge { krate, uses: edge.uses }),
            };
        }
        let is_confined =
            CONFINED.iter().any(|(prefix, homes)| uses.starts_with(prefix) && !homes.contains(&self.krate));
        if is_confined {
            return Some(Forbidden::Confined { krate, uses: edge.uses });
        }
        if edge.kind == Use::Shipped && BEHIND_A_FEATURE.contains(&uses) && !edge.is_optional {
            return Some(Forbidden::NotOptional { krate, uses: edge.uses });
        }
        match self.others {
            Others::Only(list) if edge.kind == Use::Shipped && !list.contains(&uses) => {
                Some(Forbidden::NotListed { krate, uses: edge.uses })
            }
            Others::Only(_) | Others::Any => None,
        }
    }
}

fn read(path: &Path) -> Table {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every crate of the workspace uses only what the table lets it use, and the table has no row too many.
#[test]
fn no_manifest_has_a_forbidden_edge() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the engine has a folder above it");
    let workspace = read(&root.join("Cargo.toml"));
    let shared = workspace["workspace"]["dependencies"].as_table().expect("a table in every Cargo.toml");
    let members = workspace["workspace"]["members"].as_array().expect("an array in every Cargo.toml");

    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    for member in members {
        let folder = member.as_str().expect("members are paths");
        let manifest = read(&root.join(folder).join("Cargo.toml"));
        let krate = manifest["package"]["name"].as_str().expect("Cargo wants a name");
        found.extend(forbidden(krate, &manifest, shared));
        seen.insert(krate.to_owned());
    }

    let reasons: Vec<String> = found.iter().map(Forbidden::to_string).collect();
    assert!(reasons.is_empty(), "forbidden dependencies:\n  {}", reasons.join("\n  "));
    assert_eq!(seen, RULES.iter().map(|rule| rule.krate.to_owned()).collect());
}

#[track_caller]
fn check(krate: &str, manifest: &str, expected: &[&str]) {
    let shared = "time-machine = { package = 'turmoil', version = '1' }".parse().expect("valid TOML");
    let manifest = manifest.parse().expect("valid TOML");
    let found: Vec<String> = forbidden(krate, &manifest, &shared).iter().map(Forbidden::to_string).collect();
    assert_eq!(found, expected);
}

/// The check goes red for each kind of bad manifest, wherever in it the edge is written; so it can fail at
/// all.
#[test]
fn each_kind_of_forbidden_edge_is_found() {
    check("tiergate-engine", "[dependencies]\nbytes = '1'", &[]);
    check(
        "tiergate-engine",
        "[dependencies]\ntokio = '1'\n[build-dependencies]\ncc = '1'\n[dev-dependencies]\nproptest = '1'",
        &[
            "tokio is not on the list of what tiergate-engine may use",
            "cc is not on the list of what tiergate-engine may use",
        ],
    );
    check(
        "tiergate-engine",
        "[target.'cfg(unix)'.dependencies]\nlibc = '0.2'",
        &["libc is not on the list of what tiergate-engine may use"],
    );
    check("tiergate-engine", "[dependencies]\nschemars = { workspace = true, optional = true }", &[]);
    check(
        "tiergate-engine",
        "[dependencies]\nschemars = '1'",
        &["tiergate-engine may use schemars as an optional dependency only"],
    );
    check(
        "tiergate-driver",
        "[dev-dependencies]\ntiergate-sim = { path = '../../sim' }\ntiergate-tiers.workspace = true",
        &["tiergate-driver must not depend on tiergate-sim"],
    );
    check(
        "tiergate-tiers",
        "[dependencies]\npingora-core = '0.9'\ntime-machine.workspace = true",
        &["tiergate-tiers must not know of pingora-core", "tiergate-tiers must not know of turmoil"],
    );
    check("tiergate-sim", "[dependencies]\ntiergate = { path = '../proxy', optional = true }", &[]);
    check(
        "tiergate-sim",
        "[dependencies]\nfront = { package = 'tiergate', path = '../proxy' }",
        &["tiergate-sim may use tiergate as an optional dependency only"],
    );
    check("tiergate-newcomer", "", &["tiergate-newcomer has no row in the table of this test"]);
}
