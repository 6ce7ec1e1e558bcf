//! What the origin serves: objects, and the versions that each goes through. All of it follows from the seed.

use super::body;
use tiergate_engine::{CacheKey, Random, Seed};
use tiergate_scenarios::{Between, Objects, PurgeOf};

/// The host name that clients ask for.
pub(crate) const AUTHORITY: &str = "example.test";

/// Every object of one run.
#[derive(Debug)]
pub(crate) struct Catalogue(Vec<Object>);

/// One object.
#[derive(Debug)]
pub(crate) struct Object {
    /// Path and query.
    pub target: String,
    /// What the engine calls it.
    pub key: CacheKey,
    /// Does the origin send it in chunks, without a length before it?
    pub framing: Framing,
    /// May a shared cache store it?
    pub storage: Storage,
    /// Is there a body for each language?
    pub varies: bool,
    /// Does its answer say when it was given?
    pub says_date: bool,
    /// Does it come with an entity tag?
    pub has_tag: bool,
    /// Does it come with a cookie?
    pub sets_cookie: bool,
    /// Does an interim response come before its answers?
    pub hints: bool,
    /// Its tag, from 0.
    pub tag: Option<u32>,
    /// Every version, oldest first; the first is there from the start.
    pub versions: Vec<Version>,
}

/// How a body's end is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// By `Content-Length`.
    Length,
    /// By the last chunk.
    Chunks,
}

/// What `Cache-Control` and its like say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Storage {
    /// It may be stored, for the version's lifetime.
    Storable,
    /// `no-store`.
    NoStore,
    /// `private`.
    Private,
    /// No lifetime at all.
    NoLifetime,
    /// It depends on a request field.
    Varies,
}

/// One version of an object, numbered from 1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Version {
    /// From when on the origin serves it.
    pub from_ms: u64,
    /// Its length.
    pub length: u64,
    /// How long it may be used once served.
    pub lifetime_s: u64,
}

impl Catalogue {
    /// Draws the objects and all versions that appear before `until_ms`.
    pub(crate) fn draw(objects: &Objects, until_ms: u64, seed: Seed) -> Self {
        // Each has its own chance: how many others there are changes nothing of it.
        let random = |number| seed.split(&format!("object {number}"));
        let draw = |number| Object::draw(number, objects, until_ms, &mut random(number));
        Self((0..objects.count).map(draw).collect())
    }

    /// The object with this number.
    pub(crate) fn object(&self, number: u32) -> &Object {
        &self.0[number as usize]
    }

    /// The object with this number, if there is one.
    pub(crate) fn key_of(&self, number: u32) -> Option<CacheKey> {
        self.0.get(number as usize).map(|object| object.key)
    }

    /// The number of the object at `target`.
    pub(crate) fn number_of(&self, target: &str) -> Option<u32> {
        let number = target.rsplit('/').next()?.parse().ok()?;
        (*self.0.get(number as usize)?.target == *target).then_some(number)
    }

    /// Every key.
    pub(crate) fn keys(&self) -> impl Iterator<Item = CacheKey> {
        self.0.iter().map(|object| object.key)
    }

    /// The objects that a purge of `object` covers, if it is of `what`.
    pub(crate) fn covered(&self, object: u32, what: PurgeOf) -> Vec<u32> {
        let of = self.object(object);
        let is_covered = |other: &Object, number: u32| match what {
            PurgeOf::Key | PurgeOf::SoftKey => number == object,
            PurgeOf::Tag | PurgeOf::SoftTag => other.tag == of.tag,
            PurgeOf::Prefix | PurgeOf::SoftPrefix => other.folder() == of.folder(),
            PurgeOf::All | PurgeOf::SoftAll => true,
        };
        (0..)
            .zip(&self.0)
            .filter(|(number, other)| is_covered(other, *number))
            .map(|(number, _)| number)
            .collect()
    }

    /// What is asked for under this key.
    pub(crate) fn target_of(&self, key: CacheKey) -> Option<&str> {
        Some(self.0.iter().find(|object| object.key == key)?.target.as_str())
    }

    /// How long a version of what has this key is.
    pub(crate) fn length_of(&self, key: CacheKey, version: u32) -> Option<u64> {
        let object = self.0.iter().find(|object| object.key == key)?;
        let number = usize::try_from(version.checked_sub(1)?).ok()?;
        object.versions.get(number).map(|version| version.length)
    }

    /// When each version of each object appears, in order of time: object and version number.
    pub(crate) fn publications(&self) -> Vec<(u64, u32, u32)> {
        let mut all: Vec<_> = (0..)
            .zip(&self.0)
            .flat_map(|(object, drawn)| {
                (1..).zip(&drawn.versions).map(move |(number, version)| (version.from_ms, object, number))
            })
            .collect();
        all.sort_unstable();
        all
    }
}

impl Object {
    fn draw(number: u32, objects: &Objects, until_ms: u64, random: &mut Random) -> Self {
        let target = format!("/{}/{number}", number / 10);
        let key = CacheKey::of(AUTHORITY, &target);
        let framing =
            if percent(random, objects.chunked_percent) { Framing::Chunks } else { Framing::Length };
        let storage = if percent(random, objects.not_storable_percent) {
            [Storage::NoStore, Storage::Private, Storage::NoLifetime, Storage::Varies]
                [usize::try_from(random.below(4)).expect("a number below 4 fits")]
        } else {
            Storage::Storable
        };
        let size = match objects.large {
            Some(large) if percent(random, large.percent) => large.size,
            Some(_) | None => objects.size,
        };
        let mut versions = Vec::new();
        let mut from_ms = 0;
        while from_ms < until_ms {
            let length = between(random, Between(size.0.0, size.1.0));
            versions.push(Version {
                from_ms,
                // A body shorter than one word could not say which version it is.
                length: if length == 0 { 0 } else { length.max(body::SHORTEST) },
                lifetime_s: between(random, objects.lifetime_s),
            });
            from_ms += between(random, objects.version_every_ms);
        }
        let varies = percent(random, objects.vary_percent);
        let says_date = percent(random, objects.date_percent);
        let has_tag = percent(random, objects.validators_percent);
        let sets_cookie = percent(random, objects.cookie_percent);
        let hints = percent(random, objects.interim_percent);
        let tag = number.checked_rem(objects.tags);
        Self { target, key, framing, storage, varies, says_date, has_tag, sets_cookie, hints, tag, versions }
    }

    /// What its path begins with, up to its number.
    pub(crate) fn folder(&self) -> &str {
        self.target.rsplit_once('/').map_or("/", |(folder, _)| folder)
    }

    /// The entity tag of a version.
    pub(crate) fn etag(&self, version: u32, language: u8) -> String {
        format!("\"{}-{version}-{language}\"", self.key)
    }

    /// The version with this number.
    pub(crate) fn version(&self, number: u32) -> &Version {
        &self.versions[number as usize - 1]
    }

    /// May a shared cache store it? One without a lifetime as well: it is of use where the origin agrees, or
    /// fails.
    pub(crate) fn is_storable(&self) -> bool {
        self.storage == Storage::Storable && !self.sets_cookie
    }
}

/// A tag as the origin and whoever purges have it.
pub(crate) fn tag_name(tag: u32) -> String {
    format!("tag-{tag}")
}

/// True in `percent` of a hundred draws.
pub(crate) fn percent(random: &mut Random, percent: u8) -> bool {
    random.chance(percent.into(), 100)
}

/// A number from the range, both ends included.
pub(crate) fn between(random: &mut Random, Between(least, most): Between<u64>) -> u64 {
    least + random.below(most - least + 1)
}
