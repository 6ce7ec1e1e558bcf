//! A run as a story: one line for each event, in plain words, in the column of whoever acts.

use crate::{
    explore::{case::Case, world::World, world::client::place, world::tier::Fate},
    telling::{Names, Party, words},
};
use std::{collections::BTreeSet, fmt::Write as _};
use tiergate_engine::{CacheKey, Effect, Instant, RequestId, Symbol};
use tiergate_invariants::{Version, promise};

/// How far apart the columns begin. A text runs on into those to its right, for only one party speaks in a
/// line.
const COLUMN: usize = 11;

/// Something that no checker is shown, and a reader wants to know.
#[derive(Debug)]
pub(in crate::explore) struct Note {
    /// How many facts there were before.
    after: u64,
    at: Instant,
    party: Party,
    text: String,
}

impl World {
    /// Notes something for the story, if one is told.
    pub(in crate::explore) fn note(&mut self, party: Party, text: impl FnOnce() -> String) {
        if self.history.is_some() {
            let note = Note { after: self.tally.facts, at: self.now, party, text: text() };
            self.notes.push(note);
        }
    }

    /// What becomes of an operation that a tier is asked for.
    pub(in crate::explore) fn note_fate(&mut self, effect: &Effect<Symbol>, fate: Fate) {
        let Some((tier, operation)) = words::operation(effect) else { return };
        let fault = match fate {
            Fate::Fine => return,
            Fate::Fails => "fails",
            Fate::Ambiguous => "may do, though it says that it fails,",
        };
        self.note(Party::Tier(tier), || format!("{fault} {operation}"));
    }

    /// When a tier was asked for this it lost something, or had nothing to lose.
    pub(in crate::explore) fn note_loss(&mut self, effect: &Effect<Symbol>, is_lost: bool) {
        if let Some((tier, _)) = words::operation(effect).filter(|_| is_lost) {
            self.note(Party::Tier(tier), || "loses a record".to_owned());
        }
    }
}

impl Names for World {
    fn name_of(&self, key: CacheKey) -> String {
        let found = self.origin.objects.iter().position(|object| object.key == key);
        found.map_or_else(|| "a variant".to_owned(), |object| format!("/{object}"))
    }

    fn length_of(&self, key: CacheKey, version: Version) -> Option<u64> {
        let object = self.origin.objects.iter().position(|object| object.key == key)?;
        self.origin.lengths(object).nth(place(u64::from(version.0.checked_sub(1)?)))
    }

    /// A request has its client's number.
    fn asker(&self, request: RequestId) -> String {
        words::client(request.0)
    }

    fn client(&self, ask: u64) -> String {
        words::client(ask)
    }
}

/// Tells what happened in the world of a case that was just lived.
pub(in crate::explore) fn tell(case: &Case, world: &World) -> String {
    let mut lines: Vec<(Instant, Party, String)> = Vec::new();
    let mut notes = world.notes.iter().peekable();
    for (count, fact) in (0..).zip(world.recent()) {
        while let Some(note) = notes.next_if(|note| note.after <= count) {
            lines.push((note.at, note.party, note.text.clone()));
        }
        lines.extend(words::of_fact(world, fact).map(|(party, text)| (fact.at, party, text)));
    }
    lines.extend(notes.map(|note| (note.at, note.party, note.text.clone())));
    let parties: Vec<Party> =
        lines.iter().map(|(_, party, _)| *party).collect::<BTreeSet<_>>().into_iter().collect();

    let mut text = setting(case, world);
    let names: String = parties.iter().map(|party| format!("{:<COLUMN$}", name(*party))).collect();
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{:>15}  {}", "ms", names.trim_end());
    for (at, party, words) in &lines {
        let millis = at.as_nanos() as f64 / 1e6;
        let column = parties.iter().position(|other| other == party).unwrap_or(0);
        let _ = writeln!(text, "{millis:>15.6}  {}{words}", format!("{:<COLUMN$}", "·").repeat(column));
    }
    if let Some((rule, seen)) = &case.broke {
        let _ = writeln!(text, "\n{rule} is broken: {}", with_names(world, seen));
        let _ = writeln!(text, "{rule}: {}", promise(rule).unwrap_or_else(|| of_world(rule)));
    }
    text
}

/// What the world is like.
fn setting(case: &Case, world: &World) -> String {
    let plan = &world.plan;
    let tiers = [
        (plan.config.has_memory(), "L0"),
        (plan.has_l1, "L1"),
        (plan.has_l2, "L2"),
        (world.simulated_l3.is_some(), "L3"),
    ];
    let tiers: Vec<&str> =
        tiers.into_iter().filter(|(is_there, _)| *is_there).map(|(_, name)| name).collect();
    let edges = if plan.edges == 1 { "one edge".to_owned() } else { format!("{} edges", plan.edges) };
    let objects = plan.work.objects;
    let objects = if objects == 1 { "one object".to_owned() } else { format!("{objects} objects") };
    let tiers =
        if tiers.is_empty() { "without a tier".to_owned() } else { format!("with {}", tiers.join(", ")) };
    let mut text = format!("{edges} {tiers}; {objects}");
    if let Some(fault) = case.fault {
        let _ = write!(text, "; planted in the engine: {}, {}", fault.as_str(), fault.describe());
    }
    text.push_str("\n\n");
    text
}

fn name(party: Party) -> String {
    match party {
        Party::Clients => "clients".to_owned(),
        Party::Edge(edge) => format!("edge {edge}"),
        Party::Tier(tier) => tier.as_str().to_uppercase(),
        Party::Origin => "origin".to_owned(),
    }
}

/// Keys are long; their names are not.
fn with_names(world: &World, seen: &str) -> String {
    let objects = world.origin.objects.iter().enumerate();
    objects.fold(seen.to_owned(), |text, (number, object)| {
        text.replace(&object.key.to_string(), &format!("/{number}"))
    })
}

/// The rules that the world itself watches.
fn of_world(rule: &str) -> &'static str {
    match rule {
        "panic" => "the engine's own assumptions hold; it stops when one does not.",
        "C3" => "a change of an index row changes nothing else, and survives its encoding.",
        "D1" => "what is not stored in L3 has a reason.",
        "D2" => "what a manifest names, or a lease protects, is there; what nothing names goes away.",
        "D3" => "the time of the index counts, not that of an edge.",
        "I15" => "an origin that fails is not asked much more often than one that does not.",
        "L2" => "who has timers wants to be woken.",
        "L4" => "what can be kept is kept.",
        "F9" => "an edge that holds a lease of the purge feed has applied every purge in it.",
        "F3" => "a freshened record keeps its body.",
        "MM1" | "MM2" => {
            "where all is calm, the cache is one flat map with lifetimes, whichever tiers there are."
        }
        "M6" => "a client gets no more than it asked for.",
        "O1" => "a fetch is read to its end or cancelled.",
        "T10" => "nothing is read that is not there.",
        "drain" => "what is opened is closed once, and an operation is asked of who can do it.",
        // Rules are named by text, and a new one may have no explanation yet.
        _ => "a rule of the catalogue.",
    }
}
