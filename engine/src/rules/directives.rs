//! `Cache-Control`, of responses and of requests (RFC 9111 section 5.2), and `Pragma` (section 5.4).
//!
//! Directives that permit are read strictly, and what is wrong with them means "stale", as section 4.2.1
//! encourages; directives that forbid are read wherever they can be recognised.

use super::{
    list::{members, number},
    policy::NamedFields,
};
use crate::language::head::Fields;
use alloc::{borrow::Cow, boxed::Box, string::String, vec::Vec};
use core::time::Duration;

/// Does a directive hold, and for what (RFC 9111 sections 5.2.2.4 and 5.2.2.7)?
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Scope {
    /// It is not there.
    #[default]
    Absent,
    /// For these fields, named in lower case.
    Fields(Vec<Box<str>>),
    /// For the whole response.
    Whole,
}

impl Scope {
    /// Both hold: the wider one decides.
    fn widen(&mut self, other: Self) {
        match (&mut *self, other) {
            (Self::Whole, _) | (_, Self::Absent) => {}
            (Self::Fields(known), Self::Fields(more)) => known.extend(more),
            (Self::Absent, Self::Fields(more)) => *self = Self::Fields(more),
            (Self::Absent | Self::Fields(_), Self::Whole) => *self = Self::Whole,
        }
    }

    /// Field names in a quoted string, or nothing that can be one: then all of the response is meant.
    pub(super) fn of_text(argument: Option<&[u8]>) -> Self {
        let names: Vec<Box<str>> = argument
            .and_then(|quoted| core::str::from_utf8(quoted).ok())
            .into_iter()
            .flat_map(|text| text.split(','))
            .map(|name| name.trim().to_ascii_lowercase().into_boxed_str())
            .filter(|name| !name.is_empty())
            .collect();
        if names.is_empty() { Self::Whole } else { Self::Fields(names) }
    }
}

/// The response directives that this cache knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ResponseDirectives {
    pub no_store: bool,
    pub no_cache: Scope,
    pub private: Scope,
    pub public: bool,
    pub must_revalidate: bool,
    pub proxy_revalidate: bool,
    pub must_understand: bool,
    /// Said to others: we transform nothing (section 5.2.2.6).
    pub no_transform: bool,
    /// Said to browsers: we revalidate only what is stale (RFC 8246).
    pub immutable: bool,
    pub max_age: Option<Duration>,
    pub s_maxage: Option<Duration>,
    pub stale_while_revalidate: Option<Duration>,
    pub stale_if_error: Option<Duration>,
}

/// Which field the directives came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DirectiveSource {
    /// `CDN-Cache-Control`: neither `Cache-Control` nor `Expires` counts (RFC 9213 section 2.2).
    Targeted,
    /// `Cache-Control`, which may be absent.
    Untargeted,
}

impl ResponseDirectives {
    /// All `Cache-Control` lines, as one list.
    pub(super) fn untargeted(fields: &Fields) -> Self {
        let mut found = Self::default();
        for line in fields.all("cache-control") {
            for member in members(line) {
                found.take(&Member::of(member));
            }
        }
        found
    }

    fn take(&mut self, member: &Member<'_>) {
        match &*member.name {
            "no-store" => self.no_store = true,
            "no-cache" => self.no_cache.widen(Scope::of_text(member.quoted())),
            "private" => self.private.widen(Scope::of_text(member.quoted())),
            "public" => self.public = true,
            "must-revalidate" => self.must_revalidate = true,
            "proxy-revalidate" => self.proxy_revalidate = true,
            "must-understand" => self.must_understand = true,
            "no-transform" => self.no_transform = true,
            "immutable" => self.immutable = true,
            "max-age" => keep_smaller(&mut self.max_age, member.seconds()),
            "s-maxage" => keep_smaller(&mut self.s_maxage, member.seconds()),
            "stale-while-revalidate" => {
                keep_smaller(&mut self.stale_while_revalidate, member.seconds());
            }
            "stale-if-error" => keep_smaller(&mut self.stale_if_error, member.seconds()),
            // Section 5.2.3: an unknown directive is ignored.
            _ => {}
        }
    }

    /// The same where the policy takes named fields for the whole response. After it only fields that are to
    /// be left out are still named.
    pub(crate) fn with(mut self, named_fields: NamedFields) -> Self {
        for scope in [&mut self.no_cache, &mut self.private] {
            match (named_fields, &*scope) {
                (NamedFields::WholeResponse, Scope::Fields(_)) => *scope = Scope::Whole,
                (NamedFields::WholeResponse, Scope::Absent | Scope::Whole) | (NamedFields::LeaveOut, _) => {}
            }
        }
        self
    }

    /// The lifetime that these directives give, which for a shared cache is `s-maxage` before `max-age`
    /// (section 4.2.1).
    pub(crate) fn lifetime(&self) -> Option<Duration> {
        self.s_maxage.or(self.max_age)
    }

    /// May the answer to a request with `Authorization` be shared (section 3.5)?
    pub(crate) const fn shares_credentials(&self) -> bool {
        self.public || self.must_revalidate || self.s_maxage.is_some()
    }

    /// May the response never be served stale (section 4.2.4)? `s-maxage` forbids it too (section 5.2.2.10).
    pub(crate) fn forbids_stale(&self) -> bool {
        self.must_revalidate
            || self.proxy_revalidate
            || self.s_maxage.is_some()
            || self.no_cache == Scope::Whole
    }
}

/// `max-stale` (RFC 9111 section 5.2.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MaxStale {
    /// Stale by no more than this.
    Within(Duration),
    /// However stale.
    Any,
}

/// The request directives that this cache knows (section 5.2.1). Whether they count is the policy's to say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RequestDirectives {
    pub no_cache: bool,
    pub no_store: bool,
    pub only_if_cached: bool,
    pub max_age: Option<Duration>,
    pub min_fresh: Option<Duration>,
    pub max_stale: Option<MaxStale>,
}

impl RequestDirectives {
    /// What a request says, `Pragma: no-cache` included where there is no `Cache-Control` (section 5.4).
    pub(crate) fn of(fields: &Fields) -> Self {
        let mut found = Self::default();
        for line in fields.all("cache-control") {
            for member in members(line) {
                found.take(&Member::of(member));
            }
        }
        if !fields.contains("cache-control") {
            found.no_cache =
                fields.all("pragma").flat_map(members).any(|member| member.eq_ignore_ascii_case(b"no-cache"));
        }
        found
    }

    fn take(&mut self, member: &Member<'_>) {
        match &*member.name {
            "no-cache" => self.no_cache = true,
            "no-store" => self.no_store = true,
            "only-if-cached" => self.only_if_cached = true,
            "max-age" => keep_smaller(&mut self.max_age, member.seconds()),
            // Of two, the larger asks more, unlike everywhere else.
            "min-fresh" => self.min_fresh = self.min_fresh.max(Some(member.seconds())),
            "max-stale" => {
                let limit = match member.argument {
                    Some(_) => MaxStale::Within(member.seconds()),
                    None => MaxStale::Any,
                };
                self.max_stale = Some(match (self.max_stale, limit) {
                    (Some(MaxStale::Within(one)), MaxStale::Within(other)) => {
                        MaxStale::Within(one.min(other))
                    }
                    (Some(MaxStale::Within(one)), MaxStale::Any) => MaxStale::Within(one),
                    (Some(MaxStale::Any) | None, limit) => limit,
                });
            }
            // Section 5.2.3: an unknown directive is ignored.
            _ => {}
        }
    }
}

/// Of several of one directive the smallest holds (section 4.2.1 leaves the choice).
pub(super) fn keep_smaller(known: &mut Option<Duration>, new: Duration) {
    *known = Some(known.map_or(new, |known| known.min(new)));
}

/// One directive: a name in lower case, and what stands behind its `=`, blanks included.
struct Member<'m> {
    name: Cow<'m, str>,
    argument: Option<&'m [u8]>,
    /// Is there a blank beside the `=`? The grammar knows none (section 5.2).
    blank_beside_equals: bool,
}

impl<'m> Member<'m> {
    fn of(member: &'m [u8]) -> Self {
        let (name, argument) = match member.iter().position(|byte| *byte == b'=') {
            Some(at) => (&member[..at], Some(&member[at + 1..])),
            None => (member, None),
        };
        Self {
            name: lower(String::from_utf8_lossy(name.trim_ascii())),
            argument,
            blank_beside_equals: name.trim_ascii_end() != name
                || argument.is_some_and(|argument| argument.trim_ascii_start() != argument),
        }
    }

    /// What stands between the argument's quotes.
    fn quoted(&self) -> Option<&'m [u8]> {
        let argument = self.argument?.trim_ascii();
        argument.strip_prefix(b"\"")?.strip_suffix(b"\"")
    }

    /// Delta-seconds, quoted or not; past 2³¹ they are 2³¹ (section 1.2.2). Anything else is zero.
    fn seconds(&self) -> Duration {
        if self.blank_beside_equals {
            return Duration::ZERO;
        }
        let digits = self.quoted().or(self.argument).unwrap_or_default();
        Duration::from_secs(number(digits, SECONDS_MAX).unwrap_or(0))
    }
}

/// In lower case, as nearly all are.
fn lower(name: Cow<'_, str>) -> Cow<'_, str> {
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) { name.to_ascii_lowercase().into() } else { name }
}

/// What larger numbers of seconds count as (section 1.2.2).
pub(super) const SECONDS_MAX: u64 = 1 << 31;

#[cfg(test)]
mod tests;
