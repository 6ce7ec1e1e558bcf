//! What the origin serves: objects, and the versions that each goes through. All of it follows from the seed.

use super::body;
use tiergate_engine::{CacheKey, Random, Seed};
use tiergate_scenarios::{Between, Objects, PurgeOf, Window};
use tiergate_tiers::http_head::Scheme;

/// The host name that clients ask for.
pub(crate) const AUTHORITY: &str = "example.test";

/// Every object of one run.
#[derive(Debug)]
pub(crate) struct Catalogue {
    objects: Vec<Object>,
    /// By which schemes they are asked for: what comes over TLS is keyed apart.
    schemes: &'static [Scheme],
}

/// One object.
#[derive(Debug)]
pub(crate) struct Object {
    /// Path and query.
    pub target: String,
    /// What the engine calls it, where it is asked for in clear text.
    pub key: CacheKey,
    /// The same over TLS.
    encrypted: CacheKey,
    /// What it is called over TLS.
    encrypted_name: String,
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
    /// Is that tag a weak one?
    pub is_weak: bool,
    /// What it is answered with.
    pub status: u16,
    /// How long it may be used stale, in seconds, where it says so: while it is asked about, and while the
    /// origin fails.
    pub windows_s: [Option<u64>; 2],
    /// Must the origin agree to each use?
    pub is_no_cache: bool,
    /// Must it agree to each use once it is stale?
    pub must_revalidate: bool,
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
    pub(crate) fn draw(objects: &Objects, has_tls: bool, until_ms: u64, seed: Seed) -> Self {
        // Each has its own chance: how many others there are changes nothing of it.
        let random = |number| seed.split(&format!("object {number}"));
        let draw = |number| Object::draw(number, objects, until_ms, &mut random(number));
        let schemes: &[Scheme] = if has_tls { &[Scheme::Http, Scheme::Https] } else { &[Scheme::Http] };
        Self { objects: (0..objects.count).map(draw).collect(), schemes }
    }

    /// The object with this number.
    pub(crate) fn object(&self, number: u32) -> &Object {
        &self.objects[number as usize]
    }

    /// The key over `scheme` of the object with this number, if there is one.
    pub(crate) fn key_of(&self, number: u32, scheme: Scheme) -> Option<CacheKey> {
        self.objects.get(number as usize).map(|object| object.key_over(scheme))
    }

    /// The number of what has this key.
    pub(crate) fn number_of_key(&self, key: CacheKey) -> Option<u32> {
        let is_its = |object: &Object| self.schemes.iter().any(|scheme| object.key_over(*scheme) == key);
        (0..).zip(&self.objects).find(|(_, object)| is_its(object)).map(|(number, _)| number)
    }

    /// Every key of an object.
    pub(crate) fn keys_of<'o>(&self, object: &'o Object) -> impl Iterator<Item = CacheKey> + use<'o> {
        self.schemes.iter().map(|scheme| object.key_over(*scheme))
    }

    /// The number of the object at `target`.
    pub(crate) fn number_of(&self, target: &str) -> Option<u32> {
        let number = target.rsplit('/').next()?.parse().ok()?;
        (*self.objects.get(number as usize)?.target == *target).then_some(number)
    }

    /// Every key.
    pub(crate) fn keys(&self) -> impl Iterator<Item = CacheKey> {
        self.objects.iter().flat_map(|object| self.keys_of(object))
    }

    /// The objects that a purge of `object` over `scheme` covers, if it is of `what`, and under which key. A
    /// URL names what is stored for its own scheme.
    pub(crate) fn covered(&self, object: u32, what: PurgeOf, scheme: Scheme) -> Vec<(u32, CacheKey)> {
        let of = self.object(object);
        let is_of_url =
            matches!(what, PurgeOf::Key | PurgeOf::SoftKey | PurgeOf::Prefix | PurgeOf::SoftPrefix);
        let is_covered = |other: &Object, number: u32| match what {
            PurgeOf::Key | PurgeOf::SoftKey => number == object,
            PurgeOf::Tag | PurgeOf::SoftTag => other.tag == of.tag,
            PurgeOf::Prefix | PurgeOf::SoftPrefix => other.folder() == of.folder(),
            PurgeOf::All | PurgeOf::SoftAll => true,
        };
        (0..)
            .zip(&self.objects)
            .filter(|(number, other)| is_covered(other, *number))
            .flat_map(|(number, other)| {
                let of_scheme = |own: &&Scheme| !is_of_url || **own == scheme;
                self.schemes.iter().filter(of_scheme).map(move |own| (number, other.key_over(*own)))
            })
            .collect()
    }

    /// What is asked for under this key.
    pub(crate) fn target_of(&self, key: CacheKey) -> Option<&str> {
        let object = self.object(self.number_of_key(key)?);
        Some(if object.key == key { &object.target } else { &object.encrypted_name })
    }

    /// How long a version of what has this key is.
    pub(crate) fn length_of(&self, key: CacheKey, version: u32) -> Option<u64> {
        let object = self.object(self.number_of_key(key)?);
        let number = usize::try_from(version.checked_sub(1)?).ok()?;
        object.versions.get(number).map(|version| version.length)
    }

    /// When each version of each object appears, in order of time: object and version number.
    pub(crate) fn publications(&self) -> Vec<(u64, u32, u32)> {
        let mut all: Vec<_> = (0..)
            .zip(&self.objects)
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
        let encrypted = CacheKey::of(&format!("{AUTHORITY}:443"), &target);
        let encrypted_name = format!("{target} over TLS");
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
        // What came later is drawn last: it moves none of the others.
        let window = |random: &mut Random, window: Option<Window>| {
            let Window { percent: share, for_s } = window?;
            percent(random, share).then(|| between(random, for_s))
        };
        let windows_s = [objects.stale_while_revalidate, objects.stale_if_error].map(|of| window(random, of));
        let is_no_cache = storage == Storage::Storable && percent(random, objects.no_cache_percent);
        let must_revalidate = percent(random, objects.must_revalidate_percent);
        let is_weak = percent(random, objects.weak_percent);
        let status = status(objects, random);
        Self {
            target,
            key,
            encrypted,
            encrypted_name,
            framing,
            storage,
            varies,
            says_date,
            has_tag: has_tag || is_no_cache,
            is_weak,
            status,
            windows_s,
            is_no_cache,
            must_revalidate,
            sets_cookie,
            hints,
            tag,
            versions,
        }
    }

    /// What the engine calls it, where it is asked for over `scheme`.
    pub(crate) const fn key_over(&self, scheme: Scheme) -> CacheKey {
        match scheme {
            Scheme::Http => self.key,
            Scheme::Https => self.encrypted,
        }
    }

    /// What its path begins with, up to its number.
    pub(crate) fn folder(&self) -> &str {
        self.target.rsplit_once('/').map_or("/", |(folder, _)| folder)
    }

    /// The entity tag of a version.
    pub(crate) fn etag(&self, version: u32, language: u8) -> String {
        let mark = if self.is_weak { "W/" } else { "" };
        format!("{mark}\"{}-{version}-{language}\"", self.key)
    }

    /// The version with this number.
    pub(crate) fn version(&self, number: u32) -> &Version {
        &self.versions[number as usize - 1]
    }

    /// Where a version leads to, if it is a redirect.
    pub(crate) fn location(&self, version: u32) -> Option<String> {
        matches!(self.status, 300..400).then(|| format!("/elsewhere/{version}{}", self.target))
    }

    /// How long a version of it may be used without asking, in seconds.
    pub(crate) fn lifetime_s(&self, version: u32) -> u64 {
        if self.is_no_cache { 0 } else { self.version(version).lifetime_s }
    }

    /// May a shared cache store it? One without a lifetime as well: it is of use where the origin agrees, or
    /// fails.
    pub(crate) fn is_storable(&self) -> bool {
        self.storage == Storage::Storable && !self.sets_cookie
    }
}

/// What an object is answered with.
fn status(objects: &Objects, random: &mut Random) -> u16 {
    let redirects = [301, 302, 307, 308];
    if percent(random, objects.redirect_percent) {
        redirects[usize::try_from(random.below(4)).expect("a number below 4 fits")]
    } else if percent(random, objects.missing_percent) {
        if random.chance(1, 4) { 410 } else { 404 }
    } else {
        200
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
