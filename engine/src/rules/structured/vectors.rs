//! The public test vectors of RFC 9651, where they are at hand: `../shared/vectors/structured-fields` beside
//! this repository. All dictionaries and items that are parsed; lists, and what is only to be written, are
//! nothing that a rule of ours reads or writes.

use super::{Parser, Value};
use serde_json::Value as Json;
use std::{borrow::ToOwned, fs, path::Path, println, vec::Vec};

impl Parser<'_> {
    /// Section 4.2.3, for a field that is one item.
    fn lone_item(text: &[u8]) -> Option<Value> {
        let mut parser = Parser { rest: text };
        parser.skip(|byte| byte == b' ');
        let value = parser.bare_item()?;
        parser.parameters()?;
        parser.skip(|byte| byte == b' ');
        parser.rest.is_empty().then_some(value)
    }
}

/// What we know of an item of which the vectors say this.
fn known(expected: &Json) -> Value {
    match expected {
        Json::Bool(value) => Value::Boolean(*value),
        Json::String(text) => Value::String(text.clone()),
        // The files write decimals with a fraction, and integers without.
        Json::Number(number) => number.as_i64().map_or(Value::Other, Value::Integer),
        _ => Value::Other,
    }
}

/// Everything that must fail fails, and everything else is read as what it is.
#[test]
fn the_public_vectors_pass() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors/structured-fields");
    let Ok(files) = fs::read_dir(&folder) else {
        println!("note: {} is absent: the public vectors were not run", folder.display());
        return;
    };
    let mut checked = 0;
    for file in files {
        let file = file.expect("a readable folder").path();
        let text = fs::read(&file).expect("a readable file");
        let cases: Vec<Json> = serde_json::from_slice(&text).expect("a list of cases");
        for case in cases {
            let (Some(raw), Some(kind)) = (case["raw"].as_array(), case["header_type"].as_str()) else {
                continue;
            };
            let lines: Vec<_> = raw.iter().map(|line| line.as_str().expect("text")).collect();
            let line = lines.join(", ");
            let about = std::format!("{}: {}", file.display(), case["name"]);
            let (must_fail, can_fail) = (case["must_fail"] == true, case["can_fail"] == true);
            let found = match kind {
                "dictionary" => Parser::dictionary(line.as_bytes()).map(|members| {
                    members.into_iter().map(|(name, value)| (Some(name), value)).collect::<Vec<_>>()
                }),
                "item" => Parser::lone_item(line.as_bytes()).map(|value| Vec::from([(None, value)])),
                _ => continue,
            };
            checked += 1;
            let Some(found) = found else {
                assert!(must_fail || can_fail, "{about}: refused");
                continue;
            };
            assert!(!must_fail, "{about}: taken for {found:?}");
            let expected: Vec<_> = match kind {
                "item" => Vec::from([(None, known(&case["expected"][0]))]),
                _ => case["expected"]
                    .as_array()
                    .expect("a dictionary")
                    .iter()
                    .map(|member| (member[0].as_str().map(str::to_owned), known(&member[1][0])))
                    .collect(),
            };
            assert_eq!(found, expected, "{about}");
        }
    }
    println!("{checked} public vectors were run");
    assert!(checked > 1_000, "{checked} cases are not all of them");
}

/// Padding stands at the end of what it pads, and of one character by itself no byte can be made.
#[test]
fn a_byte_sequence_is_base64() {
    for bytes in ["", "aGk", "aGk=", "aGVsbG8hIQ==", "aGVsbG8hIQ"] {
        assert!(Parser::dictionary(std::format!("a=:{bytes}:").as_bytes()).is_some(), "{bytes}");
    }
    for bytes in ["=aGk", "aG=k", "a", "aGk==", "====", "aGk=\u{7f}"] {
        assert!(Parser::dictionary(std::format!("a=:{bytes}:").as_bytes()).is_none(), "{bytes}");
    }
}
