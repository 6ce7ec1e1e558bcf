//! Comma, semicolon or tab separated values (RFC 4180, but a field does not go over its line).

use super::{
    columns::{COLUMNS, Cells, Column, Columns},
    error::{Malformed, TraceFault},
    lines::TraceEntry,
};
use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use std::borrow::Cow;

/// Fields of a line that are looked at.
const FIELDS_MAX: usize = 256;

/// A reader of lines.
pub(super) struct Csv {
    named: Columns,
    reader: Reader,
    /// Which field holds what, and the name of its column. Empty before the header.
    places: Vec<(Column, usize, String)>,
    /// The fields of a line, one after the other, and where each ends.
    fields: Vec<u8>,
    ends: [usize; FIELDS_MAX],
}

impl Csv {
    pub(super) fn new(named: &Columns) -> Self {
        let places = named.positions().unwrap_or_default();
        let places = places.into_iter().map(|(column, at)| (column, at, format!("{column}"))).collect();
        let (reader, fields, ends) = (Reader::new(), Vec::new(), [0; FIELDS_MAX]);
        Self { named: named.clone(), reader, places, fields, ends }
    }

    /// Is the next line the one of names?
    pub(super) fn wants_header(&self) -> bool {
        self.places.is_empty()
    }

    pub(super) fn read_header(&mut self, line: &[u8]) -> Result<(), TraceFault> {
        let line = line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line);
        self.reader = ReaderBuilder::new().delimiter(delimiter(line)).build();
        let count = self.split(line).unwrap_or(0);
        let names: Vec<String> =
            (0..count).map(|at| String::from_utf8_lossy(self.field(at)).trim().to_owned()).collect();
        let place = |name: &str| names.iter().position(|other| other.eq_ignore_ascii_case(name));
        let no_column = |column| TraceFault::NoColumn { column, header: names.join(", ") };
        for column in COLUMNS {
            let at = match self.named.name(column) {
                Some(name) => Some(place(name).ok_or_else(|| no_column(column))?),
                None => column.known().iter().find_map(|name| place(name)),
            };
            self.places.extend(at.map(|at| (column, at, names[at].clone())));
        }
        let has = |column| self.places.iter().any(|(other, ..)| *other == column);
        let missing = [Column::Time, Column::Key, Column::Size].into_iter().find(|column| match column {
            Column::Key => !has(Column::Key) && !has(Column::Request),
            column => !has(*column),
        });
        missing.map_or(Ok(()), |column| Err(no_column(column)))
    }

    pub(super) fn entry(&mut self, line: &[u8]) -> Result<TraceEntry<'_>, Malformed> {
        const BOUND: &str = "fields between separators, each quote closed on its line";
        let Some(count) = self.split(line) else {
            return Err(Malformed::new("line", Some(line), BOUND));
        };
        let mut cells = Cells::default();
        for (column, at, name) in &self.places {
            if *at < count {
                let field = self.field(*at);
                let text = std::str::from_utf8(field)
                    .map_err(|_| Malformed::new(name.as_str(), Some(field), "UTF-8"))?;
                cells.set(*column, name, Cow::Borrowed(text));
            }
        }
        cells.entry()
    }

    /// Splits a line into fields and says how many there are.
    fn split(&mut self, line: &[u8]) -> Option<usize> {
        // No field is longer when its quotes are taken away.
        self.fields.resize(line.len() + 1, 0);
        self.reader.reset();
        let (result, _, filled, count) = self.reader.read_record(line, &mut self.fields, &mut self.ends);
        if result != ReadRecordResult::InputEmpty {
            return None;
        }
        // A line break ends the record, unless a quote is open.
        let (result, _, _, more) =
            self.reader.read_record(b"\n", &mut self.fields[filled..], &mut self.ends[count..]);
        (result == ReadRecordResult::Record).then_some(count + more)
    }

    fn field(&self, at: usize) -> &[u8] {
        let begin = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.fields[begin..self.ends[at]]
    }
}

/// The separator that stands in the line of names most often.
fn delimiter(line: &[u8]) -> u8 {
    let count = |separator: u8| line.iter().filter(|byte| **byte == separator).count();
    [b',', b';', b'\t'].into_iter().rev().max_by_key(|separator| count(*separator)).unwrap_or(b',')
}
