//! Reading: the header, then one step after another.

use crate::line::{FORMAT, Header, Line, Look};
use serde::Deserialize;
use serde_json::Value;
use std::{
    fmt,
    io::{self, BufRead},
};
use tiergate_engine::{Blank, Input, Instant};

/// One thing that reached the engine, and what it asked for thereupon.
#[derive(Clone, Debug)]
pub struct Step {
    /// Which line says what reached it, from 1.
    pub line: u64,
    /// What reached it.
    pub incoming: Incoming,
    /// What it asked for, as recorded.
    pub asked: Vec<Value>,
    /// Does the recording end here? Then it may have been cut off among the effects.
    pub is_last: bool,
}

/// What reached an engine.
#[derive(Clone, Debug)]
pub enum Incoming {
    /// An input.
    Told {
        /// The engine's time of the call.
        at: Instant,
        /// The input itself, without bytes.
        input: Input<Blank>,
    },
    /// A look through the fast path.
    Looked(Look),
}

/// Why a recording cannot be read.
#[derive(Debug)]
pub struct ReadError {
    /// Where, from 1.
    pub line: u64,
    /// What is wrong there.
    pub why: String,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.why)
    }
}

impl std::error::Error for ReadError {}

/// Reads a recording, one step at a time. Memory is that of one step.
#[derive(Debug)]
pub struct Reader<R> {
    source: R,
    line: u64,
    text: Vec<u8>,
    /// What the next step begins with.
    next: Option<(u64, Incoming)>,
}

impl<R: BufRead> Reader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// This is no recording, or one of another format.
    pub fn open(source: R) -> Result<(Header, Self), ReadError> {
        let mut reader = Self { source, line: 0, text: Vec::new(), next: None };
        let not = || ReadError { line: 1, why: "this is not the first line of a recording".to_owned() };
        if !reader.advance()? {
            return Err(not());
        }
        /// What every format has.
        #[derive(Deserialize)]
        struct Mark {
            tiergate_recording: u32,
        }
        let Mark { tiergate_recording: format } = serde_json::from_slice(&reader.text).map_err(|_| not())?;
        if format != FORMAT {
            let why = format!("`tiergate_recording` is {format}, but this version reads {FORMAT}");
            return Err(ReadError { line: 1, why });
        }
        let header: Header = reader.parse()?;
        if header.shard >= header.shards {
            let why = format!("`shard` is {}, but must be below `shards`, {}", header.shard, header.shards);
            return Err(ReadError { line: 1, why });
        }
        reader.next = reader.incoming()?;
        Ok((header, reader))
    }

    /// The next step, if there is one.
    ///
    /// # Errors
    /// A line is not one of a recording.
    pub fn step(&mut self) -> Result<Option<Step>, ReadError> {
        let Some((line, incoming)) = self.next.take() else { return Ok(None) };
        let mut asked = Vec::new();
        while self.advance()? {
            match self.parse()? {
                Line::Asked(effect) => asked.push(effect),
                Line::Told { at, input } => self.next = Some((self.line, Incoming::Told { at, input })),
                Line::Looked(look) => self.next = Some((self.line, Incoming::Looked(look))),
            }
            if self.next.is_some() {
                break;
            }
        }
        let is_last = self.next.is_none();
        Ok(Some(Step { line, incoming, asked, is_last }))
    }

    /// What the first step begins with.
    fn incoming(&mut self) -> Result<Option<(u64, Incoming)>, ReadError> {
        if !self.advance()? {
            return Ok(None);
        }
        match self.parse()? {
            Line::Told { at, input } => Ok(Some((self.line, Incoming::Told { at, input }))),
            Line::Looked(look) => Ok(Some((self.line, Incoming::Looked(look)))),
            Line::Asked(_) => Err(self.wrong("something is asked for before anything was told".to_owned())),
        }
    }

    /// Reads a line. No: there is none, or one without its end, which its writer did not live to write.
    fn advance(&mut self) -> Result<bool, ReadError> {
        self.text.clear();
        self.line += 1;
        let read = self.source.read_until(b'\n', &mut self.text);
        read.map_err(|error: io::Error| self.wrong(error.to_string()))?;
        Ok(self.text.ends_with(b"\n"))
    }

    fn parse<'t, T: Deserialize<'t>>(&'t self) -> Result<T, ReadError> {
        serde_json::from_slice(&self.text).map_err(|error| self.wrong(error.to_string()))
    }

    fn wrong(&self, why: String) -> ReadError {
        ReadError { line: self.line, why }
    }
}
