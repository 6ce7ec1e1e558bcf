//! The JSON schema of scenario files and the tables of `docs/scenarios.md` are as the types are now, and the
//! schema takes and refuses what the reader does.
//!
//! `UPDATE=1 cargo test -p tiergate-scenarios --test schema` writes both anew.

use jsonschema::Validator;
use serde_json::{Value, json};
use std::{
    env, fs,
    path::{Path, PathBuf},
};
use tiergate_scenarios::{FaultKey, FaultKind, Figure, parse, reference, schema};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate has a folder above it")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The file says this, or is written anew where that is asked for.
#[track_caller]
fn check(file: &str, now: &str) {
    let path = root().join(file);
    if fs::read_to_string(&path).is_ok_and(|kept| kept == now) {
        return;
    }
    assert!(
        env::var_os("UPDATE").is_some(),
        "{file} is not what the types say now: UPDATE=1 cargo test -p tiergate-scenarios --test schema"
    );
    fs::write(&path, now).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// Editors complete what the reader reads.
#[test]
fn the_schema_is_up_to_date() {
    let text = serde_json::to_string_pretty(&schema()).expect("a value is text");
    check("scenarios/scenario.schema.json", &(text + "\n"));
}

/// People read what the types say.
#[test]
fn the_page_is_up_to_date() {
    let file = "docs/scenarios.md";
    check(file, &reference(&read(&root().join(file))));
}

fn validator(schema: &Value) -> Validator {
    jsonschema::options().build(schema).expect("the schema is one")
}

fn value(path: &Path, text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Why the schema refuses what is no mistake; nothing if it does not.
fn refusals(validator: &Validator, value: &Value) -> Vec<String> {
    validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

fn yaml_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.map(|entry| entry.expect("a folder of ours can be read").path());
    paths
        .flat_map(|path| if path.is_dir() { yaml_files(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect()
}

/// No shipped scenario is underlined in an editor, nor the one that the documents begin with, nor the
/// section that a scenario has in common with a proxy's file.
#[test]
fn what_ships_has_no_mistake() {
    let schema = schema();
    let scenario = validator(&schema);
    let files = yaml_files(&root().join("scenarios"));
    assert!(files.len() > 20, "{files:?}");
    for path in files {
        let value = value(&path, &read(&path));
        assert_eq!(refusals(&scenario, &value), [""; 0], "{}", path.display());
    }

    let page = root().join("docs/scenarios.md");
    let text = read(&page);
    let example =
        text.split("```yaml\n").find(|block| block.contains("name: shop-outage")).expect("it is there");
    let example = value(&page, example.split("```").next().expect("a first part"));
    assert_eq!(refusals(&scenario, &example), [""; 0]);

    let proxy = root().join("proxy/tiergate.example.yaml");
    let cache = &value(&proxy, &read(&proxy))["cache"];
    let of_cache = json!({"$ref": "#/$defs/RawConfig", "$defs": schema["$defs"]});
    assert!(cache.is_object());
    assert_eq!(refusals(&validator(&of_cache), cache), [""; 0]);
}

/// A scenario with a bit of everything.
fn good() -> Value {
    json!({
        "name": "x",
        "description": "d",
        "topology": {"edges": 2, "clients": 6, "shards": 1},
        "cache": {"l1": {}, "l2": {"capacity": "16MiB"}, "l3": {}},
        "storage": {"l2": {"sync": {"every_ms": 100}}},
        "objects": {
            "count": 3, "size": [0, "2KiB"], "large": {"percent": 1, "size": "3KiB"}, "chunked_percent": 50,
            "stale_if_error": {"percent": 50, "for": "2s"}, "not_storable_percent": 10, "lifetime": ["1s", "4s"], "version_every": "100ms", "tags": 1
        },
        "workload": {"requests": 10, "timeout": "500ms"},
        "faults_until": "1s",
        "settle": "2s"
    })
}

/// Does the schema take it, and does the reader? JSON is YAML.
fn verdicts(validator: &Validator, value: &Value) -> (bool, bool) {
    (validator.is_valid(value), parse(Path::new("x.yaml"), &value.to_string()).is_ok())
}

fn with(pointer: &str, value: Value) -> Value {
    let mut good = good();
    let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
    good.pointer_mut(parent).expect("it has this section")[key] = value;
    good
}

/// Each whole number that the schema bounds is bounded alike by the reader: what one refuses, the other does.
#[test]
fn bounds_of_numbers_are_the_readers() {
    let schema = schema();
    let validator = validator(&schema);
    assert_eq!(verdicts(&validator, &good()), (true, true));
    let sections = [
        ("Topology", "/topology"),
        ("Objects", "/objects"),
        ("Large", "/objects/large"),
        ("Window", "/objects/stale_if_error"),
        ("Workload", "/workload"),
    ];
    let mut found = 0;
    for (of, pointer) in sections {
        for (key, property) in schema["$defs"][of]["properties"].as_object().expect("a section has keys") {
            let (Some(least), Some(most)) = (property["minimum"].as_i64(), property["maximum"].as_i64())
            else {
                assert_ne!(property["type"], "integer", "{of}.{key} has no bounds in the schema");
                continue;
            };
            let verdict =
                |number: i64| verdicts(&validator, &with(&format!("{pointer}/{key}"), json!(number)));
            assert_eq!([least, most].map(verdict), [(true, true); 2], "{of}.{key}");
            assert_eq!([least - 1, most + 1].map(verdict), [(false, false); 2], "{of}.{key}");
            found += 1;
        }
    }
    assert!(found > 15, "only {found} bounds");
}

/// A value that each key of a fault may have.
fn sample(key: FaultKey) -> Value {
    match key {
        FaultKey::Times | FaultKey::Percent => json!(1),
        FaultKey::At => json!("10ms"),
        FaultKey::For => json!(["5ms", "300ms"]),
        FaultKey::Delay | FaultKey::By => json!("5ms"),
        FaultKey::RetryAfter => json!("2s"),
        FaultKey::Link => json!("origin"),
        FaultKey::BytesPerSecond => json!("64KiB"),
        FaultKey::Capacity => json!("32MiB"),
        FaultKey::Edge => json!("all"),
        FaultKey::Direction => json!("out"),
        FaultKey::Object | FaultKey::Answer => json!(0),
    }
}

/// Of every kind of fault, the schema takes the keys that the reader takes, wants those that it wants, and no
/// others.
#[test]
fn each_fault_takes_its_own_keys() {
    let validator = validator(&schema());
    for kind in FaultKind::ALL {
        let verdict = |fault: &Value| verdicts(&validator, &with("/faults", json!({kind.as_str(): fault})));
        let mut whole = json!({});
        for key in kind.takes().iter().filter(|key| **key != FaultKey::At) {
            whole[key.as_str()] = sample(*key);
        }
        assert_eq!(verdict(&whole), (true, true), "{kind:?}: {whole}");
        assert_eq!(verdict(&json!([whole, whole])), (true, true), "{kind:?}, twice");
        assert_eq!(verdict(&json!([])), (false, false), "{kind:?}, not once");
        for key in FaultKey::ALL {
            let mut changed = whole.clone();
            let is_taken = kind.takes().contains(&key);
            // Without what it takes, with what it does not, and with `at` beside `times`.
            match changed.as_object_mut().expect("it is one").remove(key.as_str()) {
                Some(_) => {}
                None => changed[key.as_str()] = sample(key),
            }
            let (by_schema, by_reader) = verdict(&changed);
            assert_eq!(by_schema, by_reader, "{kind:?}: {changed}");
            let is_free = is_taken
                && key.is_optional()
                && !matches!(key, FaultKey::Times | FaultKey::At | FaultKey::Object);
            assert_eq!(by_schema, is_free, "{kind:?}: {changed}");
        }
    }
}

/// Every figure, of the whole and of each phase, takes the bounds that the reader takes.
#[test]
fn each_figure_takes_bounds() {
    let validator = validator(&schema());
    for figure in Figure::ALL {
        for phase in [None, Some("faults"), Some("healed")] {
            let verdict = |bounds: Value| {
                let figures = json!({figure.as_str(): bounds});
                let expect = phase.map_or_else(|| figures.clone(), |phase| json!({phase: figures}));
                verdicts(&validator, &with("/expect", expect))
            };
            assert_eq!(
                verdict(json!({"at_least": 1.5, "at_most": 99, "of": "each_seed"})),
                (true, true),
                "{figure:?}"
            );
            let is_free = figure.most() > 100.0;
            assert_eq!(verdict(json!({"at_most": 101})), (is_free, is_free), "{figure:?}");
            for wrong in [
                json!({}),
                json!({"at_least": 0}),
                json!({"at_most": -1}),
                json!({"of": "all_seeds"}),
                json!(3),
            ] {
                assert_eq!(verdict(wrong.clone()), (false, false), "{figure:?}: {wrong}");
            }
        }
    }
}

/// Each row changes one thing, and both or neither take it.
#[track_caller]
fn agree<const N: usize>(rows: [(&str, Value, bool); N]) {
    let validator = validator(&schema());
    for (pointer, value, is_right) in rows {
        let verdict = verdicts(&validator, &with(pointer, value.clone()));
        assert_eq!(verdict, (is_right, is_right), "{pointer}: {value}");
    }
}

/// Of the world and what is in it.
#[test]
fn the_schema_refuses_what_the_reader_refuses() {
    agree([
        ("/topology/edgse", json!(2), false),
        ("/topology/edges", json!("many"), false),
        ("/name", json!("X"), false),
        ("/cache/fill", json!({"lane_chunks": 2}), false),
        ("/cache/l0", json!({"eviction": "lru", "capacity": "1 GiB"}), true),
        (
            "/cache/l0",
            json!({"eviction": {"policy": "gdsf", "objective": "bytes"}, "gate": "unlimited"}),
            true,
        ),
        ("/cache/l0", json!({"eviction": "mru"}), false),
        ("/cache/l0", json!({"eviction": {"policies": "lru"}}), false),
        ("/cache/l0", Value::Null, true),
        ("/cache/promotion", json!({"l2_to_l0": {"after_hits": 2}}), true),
        ("/cache/promotion", json!({"l2_to_l0": "at_once"}), false),
        ("/storage/l2/sync", json!("on_seal"), true),
        ("/storage/l2/sync", json!("sometimes"), false),
        ("/objects/size", json!("2KiBi"), false),
        ("/objects/size", json!([1, 2, 3]), false),
        ("/objects/size", json!([1]), false),
        ("/objects/lifetime", json!("1500ms"), false),
        ("/objects/lifetime", json!("1min 30s"), false),
        ("/objects/version_every", json!("1.5s"), false),
        ("/objects/version_every", json!("1500us"), false),
        ("/latency", json!(0), true),
        ("/latency", json!("0"), true),
        ("/settle", json!(2000), false),
        ("/settle", json!("soon"), false),
        ("/workload/popularity", json!("zip"), false),
        ("/workload/popularity", json!("zipf"), true),
        ("/workload/purges", json!(["tag", "soft_all"]), true),
        ("/workload/purges", json!([]), false),
        ("/workload/purges", json!(["tags"]), false),
    ]);
}

/// Of requests in a list, of faults, and of what is expected.
#[test]
fn the_schema_refuses_wrong_lists_and_choices() {
    let request = |more: Value| {
        let mut request = json!({"at": "1s", "object": 0});
        request.as_object_mut().expect("it is one").extend(more.as_object().expect("it is one").clone());
        json!([request])
    };
    agree([
        ("/workload/requests", json!(0), false),
        ("/workload/requests", json!(100_001), false),
        ("/workload/requests", json!([]), false),
        ("/workload/requests", request(json!({})), true),
        (
            "/workload/requests",
            request(json!({"range": [0, 9], "leaves_after": "1KiB", "pauses": "2ms"})),
            true,
        ),
        ("/workload/requests", request(json!({"range": [0]})), false),
        ("/workload/requests", request(json!({"language": 3})), false),
        ("/workload/requests", request(json!({"stream": 64})), false),
        ("/workload/requests", request(json!({"objects": 1})), false),
        ("/workload/requests", json!([{"at": "1s"}]), false),
        ("/faults", json!({"edge_restart": {"times": 1, "for": "5ms"}}), false),
        ("/faults", json!({"edge_restarts": {"times": 1, "for": "5ms", "edge": "none"}}), false),
        ("/faults", json!({"edge_restarts": {"times": 101, "for": "5ms"}}), false),
        ("/faults", json!({"link_hold": {"times": 1, "for": "5ms", "link": "nowhere"}}), false),
        ("/faults", json!({"partition_origin": {"times": 1, "for": "5ms", "direction": "up"}}), false),
        ("/swarm", json!("none"), false),
        ("/seeds", json!([]), false),
        ("/seeds", json!([1, 2]), true),
        ("/expect", json!({"heeled": {"broken": {"at_most": 0}}}), false),
        ("/expect", json!({"healed": {"faults": {"broken": {"at_most": 0}}}}), false),
        ("/descriptoin", json!("d"), false),
    ]);
}

/// An editor tells who begins a file what it still lacks.
#[test]
fn each_required_key_is_missed() {
    let validator = validator(&schema());
    for key in ["name", "description", "topology", "cache", "objects", "workload", "faults_until", "settle"] {
        let mut without = good();
        without.as_object_mut().expect("it is one").remove(key);
        assert_eq!(verdicts(&validator, &without), (false, false), "without {key}");
    }
}
