//! `Vary`: what a version of an object depends on, and which variant of it a client must get.
//!
//! The chunks of a variant name another object than those of the others, so that no rule takes one for
//! another: an object's number has its variant in the bits above. That a body is of the variant that was
//! asked for only the world can say, for it knows the request and what the version depends on.

use crate::explore::{world::World, world::client::place, world::draws::Draws};
use std::sync::Arc;
use tiergate_engine::{Fields, RequestHead, Symbol};

/// The field that most versions depend on, if they do on any.
const LANGUAGE: &str = "accept-language";
/// The other one.
const DEVICE: &str = "x-device";
/// What clients say in them; nothing, some say.
const LANGUAGES: [Option<&str>; 3] = [Some("de"), Some("en"), None];
const DEVICES: [Option<&str>; 2] = [None, Some("phone")];
/// Bits of an object's number below its variant.
const OBJECT_BITS: u32 = 32;

/// What a client says in the fields that a version may depend on, as places in their tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::explore) struct Wish {
    language: u8,
    device: u8,
}

/// What a version depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::explore) enum Dependence {
    Nothing,
    Language,
    Device,
    Both,
    /// It says `*`, and has a body for each language and device.
    Unseen,
}

impl Wish {
    pub(in crate::explore) fn draw(draws: &mut Draws, values: u64) -> Self {
        let mut one_of = |count: u64| u8::try_from(draws.below(count)).expect("the tables are short");
        Self { language: one_of(values.min(LANGUAGES.len() as u64)), device: one_of(DEVICES.len() as u64) }
    }

    /// The same for a reader.
    pub(in crate::explore) fn in_words(self) -> String {
        let language = LANGUAGES[usize::from(self.language)].unwrap_or("any");
        let device = DEVICES[usize::from(self.device)].unwrap_or("any");
        format!("language {language}, for device {device}")
    }

    /// What a request says that came to the origin.
    pub(in crate::explore) fn of(head: &RequestHead) -> Self {
        let place_in = |table: &[Option<&str>], name: &str| {
            let said = head.fields.only(name);
            let found = table.iter().position(|value| value.map(str::as_bytes) == said);
            let found = found.unwrap_or_else(|| panic!("no client here says {said:?} in {name}"));
            u8::try_from(found).expect("the tables are short")
        };
        Self { language: place_in(&LANGUAGES, LANGUAGE), device: place_in(&DEVICES, DEVICE) }
    }

    /// The request with these fields.
    pub(in crate::explore) fn added_to(self, head: &RequestHead) -> Arc<RequestHead> {
        let mut fields: Fields = head.fields.clone();
        let said =
            [(LANGUAGE, LANGUAGES[usize::from(self.language)]), (DEVICE, DEVICES[usize::from(self.device)])];
        for (name, value) in said {
            if let Some(value) = value {
                fields.push(name, value.as_bytes());
            }
        }
        Arc::new(RequestHead { fields, ..head.clone() })
    }
}

impl Dependence {
    pub(in crate::explore) fn draw(draws: &mut Draws) -> Self {
        match draws.below(8) {
            0..4 => Self::Language,
            4 => Self::Device,
            5 => Self::Both,
            6 => Self::Unseen,
            _ => Self::Nothing,
        }
    }

    /// What every version of an object depends on where nothing may surprise a cache.
    pub(in crate::explore) const fn of_object(object: usize) -> Self {
        match object % 4 {
            0 => Self::Language,
            1 => Self::Nothing,
            2 => Self::Both,
            _ => Self::Device,
        }
    }

    /// What `Vary` says of it.
    pub(in crate::explore) const fn vary(self) -> Option<&'static str> {
        match self {
            Self::Nothing => None,
            Self::Language => Some("Accept-Language"),
            Self::Device => Some("X-Device"),
            Self::Both => Some("X-Device, Accept-Language"),
            Self::Unseen => Some("*"),
        }
    }

    /// Which variant answers such a request.
    pub(in crate::explore) fn variant(self, wish: Wish) -> u64 {
        let (language, device) = (u64::from(wish.language), u64::from(wish.device));
        match self {
            Self::Nothing => 0,
            Self::Language => 1 + language,
            Self::Device => 1 + device,
            Self::Both | Self::Unseen => 1 + device * LANGUAGES.len() as u64 + language,
        }
    }
}

/// The object number that a variant's bytes carry.
pub(in crate::explore) fn number_of(object: usize, variant: u64) -> u64 {
    object as u64 | variant << OBJECT_BITS
}

/// The object whose bytes, of whichever variant, carry this number.
pub(in crate::explore) fn object_of(number: u64) -> usize {
    place(number & ((1 << OBJECT_BITS) - 1))
}

impl World {
    /// Are all bytes of the object among `pieces` of the variant that answers this client?
    pub(in crate::explore) fn check_variant(&mut self, ask: usize, pieces: &[Symbol]) {
        let (object, wish) = (self.clients.asks[ask].object, self.clients.asks[ask].wish);
        let is_wrong = |piece: &&Symbol| {
            let dependence = self.origin.dependence(object, piece.version);
            dependence.is_some_and(|depends| piece.object != number_of(object, depends.variant(wish)))
        };
        let wrong = pieces.iter().find(is_wrong).copied();
        if let Some(piece) = wrong {
            self.breaks(
                "C5",
                format!("ask {ask} of {wish:?} got another variant of object {object}: {piece:?}"),
            );
        }
    }
}
