//! A parser for dictionaries in structured fields (RFC 9651).
//!
//! It knows all bare types, with parameters and inner lists, because a member that we do not use must still
//! be valid.

use alloc::{string::String, vec::Vec};

/// A member's value, as far as directives need it told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Integer(i64),
    Boolean(bool),
    String(String),
    /// A decimal, token, byte sequence, date, display string or inner list: no directive of ours has one.
    Other,
}

/// What is left to read (RFC 9651 section 4.2). Each method takes what it names from the front, or fails.
pub(super) struct Parser<'t> {
    rest: &'t [u8],
}

impl<'t> Parser<'t> {
    /// Section 4.2.2. The value of a later member of the same name replaces the earlier one's.
    pub(super) fn dictionary(text: &'t [u8]) -> Option<Vec<(String, Value)>> {
        let mut parser = Self { rest: text };
        let mut members: Vec<(String, Value)> = Vec::new();
        parser.skip(|byte| byte == b' ');
        while !parser.rest.is_empty() {
            let name = parser.key()?;
            let value = if parser.eat(b'=') { parser.item_or_inner_list()? } else { Value::Boolean(true) };
            parser.parameters()?;
            match members.iter_mut().find(|(known, _)| *known == name) {
                Some((_, known)) => *known = value,
                None => members.push((name, value)),
            }
            parser.skip(is_blank);
            if parser.rest.is_empty() {
                break;
            }
            if !parser.eat(b',') {
                return None;
            }
            parser.skip(is_blank);
            // A comma with nothing behind it.
            if parser.rest.is_empty() {
                return None;
            }
        }
        Some(members)
    }

    fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    fn eat(&mut self, wanted: u8) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.rest = &self.rest[1..];
        }
        found
    }

    /// Takes the longest run of bytes that `wanted` accepts.
    fn skip(&mut self, wanted: impl Fn(u8) -> bool) -> &'t [u8] {
        let length = self.rest.iter().take_while(|byte| wanted(**byte)).count();
        let (run, rest) = self.rest.split_at(length);
        self.rest = rest;
        run
    }

    /// Section 4.2.3.3.
    fn key(&mut self) -> Option<String> {
        if !matches!(self.peek()?, b'a'..=b'z' | b'*') {
            return None;
        }
        let key = self.skip(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.' | b'*'));
        Some(String::from_utf8_lossy(key).into_owned())
    }

    /// Section 4.2.3.2.
    fn parameters(&mut self) -> Option<()> {
        while self.eat(b';') {
            self.skip(|byte| byte == b' ');
            self.key()?;
            if self.eat(b'=') {
                self.bare_item()?;
            }
        }
        Some(())
    }

    /// Sections 4.2.1.1 and 4.2.1.2. The caller reads the parameters behind it.
    fn item_or_inner_list(&mut self) -> Option<Value> {
        if !self.eat(b'(') {
            return self.bare_item();
        }
        loop {
            self.skip(|byte| byte == b' ');
            if self.eat(b')') {
                return Some(Value::Other);
            }
            self.bare_item()?;
            self.parameters()?;
            if !matches!(self.peek()?, b' ' | b')') {
                return None;
            }
        }
    }

    /// Section 4.2.3.1.
    fn bare_item(&mut self) -> Option<Value> {
        match self.peek()? {
            b'-' | b'0'..=b'9' => self.number(),
            b'"' => self.string().map(Value::String),
            b'a'..=b'z' | b'A'..=b'Z' | b'*' => {
                self.skip(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte));
                Some(Value::Other)
            }
            b':' => self.byte_sequence(),
            b'?' => {
                self.eat(b'?');
                let set = self.eat(b'1');
                (set || self.eat(b'0')).then_some(Value::Boolean(set))
            }
            b'@' => {
                self.eat(b'@');
                match self.number()? {
                    Value::Integer(_) => Some(Value::Other),
                    Value::Boolean(_) | Value::String(_) | Value::Other => None,
                }
            }
            b'%' => {
                self.eat(b'%');
                self.display_string()
            }
            _ => None,
        }
    }

    /// Section 4.2.4: 15 digits, or 12 before a point and 3 behind it.
    fn number(&mut self) -> Option<Value> {
        let negative = self.eat(b'-');
        let digits = self.skip(|byte| byte.is_ascii_digit());
        if self.eat(b'.') {
            let fraction = self.skip(|byte| byte.is_ascii_digit());
            let fits = matches!(digits.len(), 1..=12) && matches!(fraction.len(), 1..=3);
            return fits.then_some(Value::Other);
        }
        if !matches!(digits.len(), 1..=15) {
            return None;
        }
        let size = digits.iter().fold(0, |sum: i64, digit| sum * 10 + i64::from(digit - b'0'));
        Some(Value::Integer(if negative { -size } else { size }))
    }

    /// Section 4.2.5.
    fn string(&mut self) -> Option<String> {
        let mut text = String::new();
        self.eat(b'"');
        loop {
            let (first, rest) = self.rest.split_first()?;
            self.rest = rest;
            match first {
                b'"' => return Some(text),
                b'\\' => match self.peek()? {
                    escaped @ (b'"' | b'\\') => {
                        self.eat(escaped);
                        text.push(char::from(escaped));
                    }
                    _ => return None,
                },
                0x20..=0x7e => text.push(char::from(*first)),
                _ => return None,
            }
        }
    }

    /// Section 4.2.7. Padding may be left out, as the RFC allows, but stands at the end where there is some.
    fn byte_sequence(&mut self) -> Option<Value> {
        self.eat(b':');
        let data = self.skip(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/')).len();
        let padding = self.skip(|byte| byte == b'=').len();
        // Four characters are three bytes, and one character by itself is none.
        let is_base64 = data % 4 != 1 && (padding == 0 || padding <= 2 && (data + padding).is_multiple_of(4));
        (self.eat(b':') && is_base64).then_some(Value::Other)
    }

    /// Section 4.2.10: quoted, with lower-case percent escapes of UTF-8.
    fn display_string(&mut self) -> Option<Value> {
        if !self.eat(b'"') {
            return None;
        }
        let mut bytes = Vec::new();
        loop {
            let (first, rest) = self.rest.split_first()?;
            self.rest = rest;
            match first {
                b'"' => return core::str::from_utf8(&bytes).ok().map(|_| Value::Other),
                b'%' => {
                    let (digits, rest) = self.rest.split_first_chunk::<2>()?;
                    self.rest = rest;
                    bytes.push(hex(digits[0])? << 4 | hex(digits[1])?);
                }
                0x20..=0x7e => bytes.push(*first),
                _ => return None,
            }
        }
    }
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod vectors;
