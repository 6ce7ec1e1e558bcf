//! Living a recording again: the same engine, told the same.

use crate::{
    line::Header,
    reader::{Incoming, Step},
};
use serde_json::Value;
use std::fmt;
use tiergate_engine::{Blank, ConfigError, Effect, Engine, Event};

/// An engine that lives a recording again.
pub struct Life {
    engine: Engine<Blank>,
}

/// What it did in one step.
#[derive(Clone, Debug, Default)]
pub struct Lived {
    /// What it asked for.
    pub asked: Vec<Effect<Blank>>,
    /// What it told.
    pub events: Vec<Event>,
    /// Did a look through the fast path find something?
    pub found: bool,
}

/// Since when an engine decides otherwise than was recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The step's line in the recording, from 1.
    pub line: u64,
    /// The first that is not the same, as recorded; none where there was no more.
    pub recorded: Option<Value>,
    /// And what it is now.
    pub now: Option<Value>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |value: &Option<Value>| value.as_ref().map_or("nothing".to_owned(), Value::to_string);
        writeln!(f, "another decision on what line {} tells:", self.line)?;
        writeln!(f, "  recorded: {}", text(&self.recorded))?;
        write!(f, "  now:      {}", text(&self.now))
    }
}

impl Life {
    /// Begins as the header says.
    ///
    /// # Errors
    /// A value of its configuration is out of bounds.
    pub fn begin(header: &Header) -> Result<Self, ConfigError> {
        Ok(Self { engine: Engine::new(header.config()?, header.seed(), header.at) })
    }

    /// The engine, to be looked at.
    pub const fn engine(&self) -> &Engine<Blank> {
        &self.engine
    }

    /// Tells the engine what reached it then.
    ///
    /// # Panics
    /// As the engine does: it was recorded, or the recording was changed.
    pub fn live(&mut self, incoming: &Incoming) -> Lived {
        let mut lived = Lived::default();
        match incoming {
            Incoming::Told { at, input } => {
                self.engine.handle(*at, input.clone());
                lived.asked.extend(std::iter::from_fn(|| self.engine.poll_effect()));
                lived.events.extend(std::iter::from_fn(|| self.engine.poll_event()));
            }
            Incoming::Looked(look) => {
                let hit = self.engine.fresh_hit(look.at, look.key, look.method, look.fields.iter());
                lived.found = hit.is_some();
            }
        }
        lived
    }
}

impl Step {
    /// Was it lived as it was recorded?
    ///
    /// # Errors
    /// The first difference.
    pub fn compare(&self, lived: &Lived) -> Result<(), Difference> {
        let differ = |recorded, now| Err(Difference { line: self.line, recorded, now });
        if let Incoming::Looked(look) = &self.incoming
            && look.found != lived.found
        {
            return differ(Some(look.found.into()), Some(lived.found.into()));
        }
        let now: Vec<Value> = lived
            .asked
            .iter()
            .map(|effect| serde_json::to_value(effect).unwrap_or_else(|error| error.to_string().into()))
            .collect();
        let compared = if self.is_last { self.asked.len() } else { self.asked.len().max(now.len()) };
        match (0..compared).find(|at| self.asked.get(*at) != now.get(*at)) {
            Some(at) => differ(self.asked.get(at).cloned(), now.get(at).cloned()),
            None => Ok(()),
        }
    }
}
