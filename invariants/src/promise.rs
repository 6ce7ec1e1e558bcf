//! What each rule promises, in the words of its own file.

/// The rules with the files that say what they check.
const FILES: [(&str, &str); 26] = [
    ("C1", include_str!("c1.rs")),
    ("C2", include_str!("c2.rs")),
    ("C4", include_str!("c4.rs")),
    ("C5", include_str!("c5.rs")),
    ("C6", include_str!("c6.rs")),
    ("C7", include_str!("c7.rs")),
    ("C8", include_str!("c8.rs")),
    ("CON1", include_str!("con1.rs")),
    ("CON5", include_str!("con5.rs")),
    ("CON6", include_str!("con6.rs")),
    ("CON7", include_str!("con7.rs")),
    ("I3", include_str!("i3.rs")),
    ("I6", include_str!("i6.rs")),
    ("I7", include_str!("i7.rs")),
    ("I11", include_str!("i11.rs")),
    ("I13", include_str!("i13.rs")),
    ("I14", include_str!("i14.rs")),
    ("I15", include_str!("i15.rs")),
    ("M1", include_str!("m1.rs")),
    ("M3", include_str!("m3.rs")),
    ("M4", include_str!("m4.rs")),
    ("M5", include_str!("m5.rs")),
    ("M6", include_str!("m6.rs")),
    ("O1", include_str!("o1.rs")),
    ("O2", include_str!("o2.rs")),
    ("P3", include_str!("p3.rs")),
];

/// What the rule with this id promises: the first sentence of its file. None for an id that no rule of this
/// crate has.
pub fn promise(rule: &str) -> Option<&'static str> {
    let (_, file) = FILES.into_iter().find(|(id, _)| *id == rule)?;
    file.lines().next()?.strip_prefix("//! ")?.strip_prefix(rule)?.strip_prefix(": ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Invariants;

    /// Every rule says what it promises, in one whole sentence.
    #[test]
    fn every_rule_has_a_promise() {
        for id in Invariants::all().ids() {
            let promise = promise(id).unwrap_or_default();
            assert!(promise.ends_with('.') && promise.len() > 20, "{id}: {promise:?}");
        }
        assert_eq!(promise("C99"), None);
    }
}
