//! What faults make of heads on their way into the engine.

use super::{Face, Fault};
use crate::language::{
    chunk::Chunk,
    head::{Fields, Head, Length},
    id::FillId,
};
use alloc::sync::Arc;

impl<C: Chunk> Face<C> {
    /// What the engine is told of a head that came for a fill.
    pub(super) fn alter_head(&mut self, fault: Fault, fill: Option<FillId>, head: &mut Arc<Head>) {
        let fetch = fill.and_then(|fill| self.known.fetches.get_mut(&fill));
        match fault {
            Fault::F5 => replace(head, |said| contains(said, b"max-age=0"), b"max-age=31536000"),
            Fault::X55 => {
                replace(
                    head,
                    |said| contains(said, b"no-store") || contains(said, b"private"),
                    b"max-age=60",
                );
            }
            Fault::F7 => strengthen(&mut Arc::make_mut(head).fields),
            Fault::X38 => without(head, "retry-after"),
            // What depends on more than fields tell may not be stored, and is none of a variant.
            Fault::X27 | Fault::X28 if head.fields.all("vary").any(|names| names == b"*") => {}
            Fault::X27 => without(head, "vary"),
            Fault::X28 if fetch.as_ref().is_some_and(|fetch| self.known.collapsed.contains(&fetch.key)) => {
                without(head, "vary");
            }
            Fault::X62 | Fault::X63 => {
                if let (Some(fetch), Length::Known(length)) = (fetch, head.length())
                    && head.fields.contains("content-length")
                {
                    fetch.promised = Some(length.0);
                    without(head, "content-length");
                }
            }
            Fault::X71 if head.status == 304 => Arc::make_mut(head).fields.remove(|name| {
                let is_of_use = ["etag", "last-modified", "date", "age", "cache-control", "expires", "vary"];
                !is_of_use.contains(&name)
            }),
            _ => {}
        }
    }
}

/// Validators as if all were strong.
pub(super) fn strengthen(fields: &mut Fields) {
    *fields = fields.iter().map(|(name, value)| (name, value.strip_prefix(b"W/").unwrap_or(value))).collect();
}

fn without(head: &mut Arc<Head>, unwanted: &str) {
    if head.fields.contains(unwanted) {
        Arc::make_mut(head).fields.remove(|name| name == unwanted);
    }
}

/// Says something else where `Cache-Control` says this.
fn replace(head: &mut Arc<Head>, is_meant: impl Fn(&[u8]) -> bool, said: &[u8]) {
    if head.fields.all("cache-control").any(&is_meant) {
        without(head, "cache-control");
        Arc::make_mut(head).fields.push("cache-control", said);
    }
}

fn contains(said: &[u8], word: &[u8]) -> bool {
    said.windows(word.len()).any(|part| part == word)
}
