//! The timeline page: one run of the simulator on one page of HTML, for somebody who has a failing seed and
//! does not know the answer. What was broken, how to see it again, and what every host did around it.
//!
//! The page is one file that fetches nothing. It is made of the files beside this one: `data.js` reads the
//! run and filters it, `chart.js` draws it, `page.js` shows everything around the chart, and `input.js` is
//! what the reader does. Start at [`Timeline`], which the caller fills. This module decides nothing about a
//! run: which events matter, and what they are called, is the caller's.

#[cfg(test)]
mod tests;

use serde::{Serialize, Serializer};

/// The page, with places for its parts: `{{data}}`, and the names of files.
const TEMPLATE: &str = include_str!("page.html");

/// What stands in place of the names. The data are not among them.
const PARTS: [(&str, &str); 5] = [
    ("page.css", include_str!("page.css")),
    ("data.js", include_str!("data.js")),
    ("chart.js", include_str!("chart.js")),
    ("input.js", include_str!("input.js")),
    ("page.js", include_str!("page.js")),
];

/// One run, as the page shows it. Lanes are named by their number in `lanes`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Timeline {
    pub(crate) scenario: String,
    pub(crate) description: String,
    /// As text on the page, because JavaScript rounds numbers beyond 2^53.
    #[serde(serialize_with = "as_text")]
    pub(crate) seed: u64,
    /// Shows the run again when it is typed into a shell.
    pub(crate) command: String,
    pub(crate) version: String,
    /// The known fault that was put into the engine.
    pub(crate) planted: Option<String>,
    pub(crate) ends_at_ms: u64,
    /// From when on there are no more faults.
    pub(crate) healed_at_ms: Option<u64>,
    /// From top to bottom.
    pub(crate) lanes: Vec<Lane>,
    pub(crate) shades: Vec<Shade>,
    /// Those of one moment are shown in the order in which they stand here.
    pub(crate) entries: Vec<Entry>,
    pub(crate) broken: Option<Broken>,
    /// How many events came before the first entry and are not among them, because there are too many.
    pub(crate) left_out: u64,
}

/// A host, or a part of one that has a lane of its own.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Lane {
    pub(crate) name: String,
    pub(crate) kind: LaneKind,
}

/// Decides the colour of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LaneKind {
    Clients,
    Edge,
    Tier,
    Disk,
    Origin,
}

/// A fault that lasts for a time.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Shade {
    /// As scenarios name it.
    pub(crate) name: String,
    pub(crate) from_ms: u64,
    pub(crate) to_ms: u64,
    /// Which lanes it touches. Empty: all of them.
    pub(crate) lanes: Vec<usize>,
    /// Did anybody meet it?
    pub(crate) observed: bool,
}

/// Something that happened on one host.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Entry {
    pub(crate) at_ns: u64,
    pub(crate) lane: usize,
    /// In plain words, without time and host.
    pub(crate) text: String,
    /// The objects that it is about, as they are named in `text`. An entry about none at all passes the
    /// filters by object if it is not usual: a crash matters to every object.
    pub(crate) about: Vec<String>,
    pub(crate) weight: Weight,
}

/// How an entry is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Weight {
    Usual,
    /// Something went wrong.
    Bad,
    /// Without it the rest is not understood: a purge, a restart.
    Key,
}

/// The rule that the run broke.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Broken {
    pub(crate) at_ns: u64,
    pub(crate) rule: String,
    pub(crate) promise: Option<String>,
    /// What was seen instead.
    pub(crate) seen: String,
    /// Where. May be empty.
    pub(crate) lanes: Vec<usize>,
    /// The objects, named as in [`Entry::about`]. The page opens with what is about them.
    pub(crate) about: Vec<String>,
}

impl Timeline {
    /// The whole page.
    ///
    /// # Panics
    /// An entry, a shade or the broken rule names a lane that does not exist.
    pub(crate) fn page(&self) -> String {
        self.assert_lanes_exist();
        let mut page = String::new();
        // What is put in is never searched again: a text may look like a place.
        let mut rest = TEMPLATE;
        while let Some((before, behind)) = rest.split_once("{{") {
            let (name, after) = behind.split_once("}}").expect("every place in `page.html` is closed");
            page.push_str(before);
            match PARTS.iter().find(|(part, _)| *part == name) {
                Some((_, text)) => page.push_str(text),
                None if name == "data" => page.push_str(&self.data()),
                None => unreachable!("`page.html` names a part that is not there: {name}"),
            }
            rest = after;
        }
        page + rest
    }

    /// Everything as JSON that may stand in a `<script>`. In JSON `<` occurs in strings alone, where it can
    /// be written otherwise; without it neither `</script>` nor `<!--` can occur.
    fn data(&self) -> String {
        let json = serde_json::to_string(self).expect("texts, numbers and lists can always be written");
        json.replace('<', "\\u003c")
    }

    fn assert_lanes_exist(&self) {
        let of_entries = self.entries.iter().map(|entry| &entry.lane);
        let of_shades = self.shades.iter().flat_map(|shade| &shade.lanes);
        let of_broken = self.broken.iter().flat_map(|broken| &broken.lanes);
        let count = self.lanes.len();
        for lane in of_entries.chain(of_shades).chain(of_broken) {
            assert!(*lane < count, "lane {lane} of {count} is named in the timeline of {}", self.scenario);
        }
    }
}

fn as_text<S: Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(number)
}
