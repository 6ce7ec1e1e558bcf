//! What an operator's form says, as anybody may send it.

use super::*;

tiergate_fuzz::target!(
    /// A form that is understood wants at least one thing, at most as many as are remembered, and all of one
    /// kind.
    purge_form,
    ["url=http%3A%2F%2Fa%2Fb%3Fc", "tag=a&tag=b&soft=true", "prefix=http://a/b", "all=true", "url=%zz"],
    |bytes: &[u8]| {
        let Ok(Ok(wish)) = std::str::from_utf8(bytes).map(Wish::of_form) else { return };
        assert!((1..=TAGS_MAX).contains(&wish.selectors.len()));
        let are_tags = wish.selectors.iter().all(|selector| matches!(selector, Selector::Tag(_)));
        assert!(are_tags || wish.selectors.len() == 1);
    }
);
