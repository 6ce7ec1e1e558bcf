//! What a scenario expects to come of it: figures that a run counts, and between which bounds they must be.
//!
//! The rules say what must never happen; these say what users must have got, so that a world in which nobody
//! is served proves nothing. Start at [`Figure`].

use serde::{
    Deserialize, Deserializer,
    de::{self, IntoDeserializer as _, MapAccess, Visitor},
};
use std::{collections::BTreeMap, fmt};
use tiergate_engine::TierId;

/// `expect`: figures and their bounds, of the whole run or of one of its phases.
///
/// ```yaml
/// expect:
///   answered_percent: {at_least: 90}
///   healed:
///     answered_percent: {at_least: 99.9, of: each_seed}
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Expectations(BTreeMap<(Phase, Figure), Expectation>);

/// A part of a run. What is told of a request belongs to the phase in which it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// All of it.
    Whole,
    /// Until `faults_until`.
    Faults,
    /// From then on.
    Healed,
}

/// The bounds of one figure. At least one of the two is there.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// It is this or more. More than 0.
    #[serde(default)]
    pub at_least: Option<f64>,
    /// It is this or less.
    #[serde(default)]
    pub at_most: Option<f64>,
    /// Of what? Default `all_seeds`.
    #[serde(default)]
    pub of: Scope,
}

/// What a figure is taken of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Of all seeds of a run together. Where one seed is run by itself, nothing is expected of it.
    #[default]
    AllSeeds,
    /// Of each seed by itself.
    EachSeed,
}

/// How the values of two seeds, or of two phases, come to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sum {
    /// They are added.
    Added,
    /// The highest counts.
    Highest,
    /// It follows from others anew.
    Derived,
}

/// Each figure with its key, how it is summed, and the tier without which it is always zero.
macro_rules! figures {
    ($($(#[doc = $doc:literal])+ $name:ident = $key:literal, $sum:ident, $tier:expr;)+) => {
        /// What a run counts.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Figure {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Figure {
            /// Every figure, in the order in which they are reported.
            pub const ALL: [Self; [$($key),+].len()] = [$(Self::$name),+];

            /// Its key under `expect`.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $key,)+
                }
            }

            /// What it counts.
            pub const fn describe(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($($doc, "\n"),+),)+
                }
            }

            /// How the values of two seeds come to one.
            pub const fn sum(self) -> Sum {
                match self {
                    $(Self::$name => Sum::$sum,)+
                }
            }

            /// The tier without which it is always zero.
            pub const fn tier(self) -> Option<TierId> {
                match self {
                    $(Self::$name => $tier,)+
                }
            }
        }
    };
}

figures! {
    /// Of a hundred requests, how many were answered in full: `whole` of `whole`, `broken` and `unanswered`.
    AnsweredPercent = "answered_percent", Derived, None;
    /// Of a hundred whole responses, how many came from a tier.
    HitPercent = "hit_percent", Derived, None;
    /// How long clients that read at once waited for the whole of a response: half of them no longer than
    /// this, in milliseconds.
    LatencyP50Ms = "latency_p50_ms", Derived, None;
    /// How long clients that read at once waited for the whole of a response: ninety-nine in a hundred no
    /// longer than this, in milliseconds.
    LatencyP99Ms = "latency_p99_ms", Derived, None;
    /// How long clients that read at once waited for the whole of a response at most, in milliseconds.
    LatencyMaxMs = "latency_max_ms", Derived, None;
    /// Responses that a client got whole, whoever answered.
    Whole = "whole", Added, None;
    /// Responses that broke off under a client who still read.
    Broken = "broken", Added, None;
    /// Requests that got no response of use: refused, reset, timed out, or an error of the server's.
    Unanswered = "unanswered", Added, None;
    /// Unanswered requests whose client waited for as long as it would.
    TimedOut = "timed_out", Added, None;
    /// Unanswered requests that were told of a server error (5xx).
    ServerErrors = "server_errors", Added, None;
    /// Whole responses with a version that was not the newest any more when it was asked for.
    StaleAnswers = "stale_answers", Added, None;
    /// Requests that reached the origin.
    OriginRequests = "origin_requests", Added, None;
    /// Requests to an origin that answered 503, which were put off for as long as its `Retry-After` said.
    WaitedAsTold = "waited_as_told", Added, None;
    /// How long after the faults were over a request was still asked that was not answered in full, at most,
    /// in milliseconds.
    RecoveredMs = "recovered_ms", Highest, None;
    /// How often an edge stopped asking an origin or a tier as before, because it had failed too often.
    BreakersOpened = "breakers_opened", Added, None;
    /// How long after the faults were over an edge did not yet ask an origin or a tier as before, at most, in
    /// milliseconds. One that stays open to the end counts until the last request.
    BreakersClosedMs = "breakers_closed_ms", Highest, None;
    /// Whole responses from L0.
    HitsL0 = "hits_l0", Added, Some(TierId::L0);
    /// Whole responses from L1.
    HitsL1 = "hits_l1", Added, Some(TierId::L1);
    /// Whole responses from L2.
    HitsL2 = "hits_l2", Added, Some(TierId::L2);
    /// Whole responses from L3.
    HitsL3 = "hits_l3", Added, Some(TierId::L3);
    /// Whole responses from L2 with an object that was stored before the edge last lost its power.
    HitsL2Recovered = "hits_l2_recovered", Added, Some(TierId::L2);
    /// Whole responses from L2 with an object that was stored after the faults were over.
    HitsL2Healed = "hits_l2_healed", Added, Some(TierId::L2);
    /// Whole responses from a tier, which were stale and allowed to be.
    HitsStale = "hits_stale", Added, None;
    /// Whole responses for which the origin was asked.
    Misses = "misses", Added, None;
    /// Odd requests that were answered, each as is right.
    OddAnswered = "odd_answered", Added, None;
    /// Requests to the admin listener, other than purges, that were answered, each as is right.
    AdminAnswered = "admin_answered", Added, None;
    /// Requests that were refused because too many came: 429, or 503 of that kind.
    TurnedAway = "turned_away", Added, None;
    /// Whole responses that came over TLS.
    WholeOverTls = "whole_over_tls", Added, None;
    /// Lines of an access log with the client of whom a load balancer spoke, who is the one that asked.
    LoggedClients = "logged_clients", Added, None;
    /// Interim responses (`103 Early Hints`) that clients were sent before a final one.
    InterimSeen = "interim_seen", Added, None;
    /// Objects stored in L2.
    StoredL2 = "stored_l2", Added, Some(TierId::L2);
    /// Copies into L2 that were under way when their edge lost its power.
    CutL2 = "cut_l2", Added, Some(TierId::L2);
    /// Sectors of a disk that were written and not synced, and that a power loss took or spoiled.
    SectorsLost = "sectors_lost", Added, Some(TierId::L2);
    /// Whole responses for an object whose purge an edge confirmed before it lost its power, and that was
    /// asked of it since.
    PurgedThenAsked = "purged_then_asked", Added, None;
    /// Purges that were confirmed a lease of the feed ago, so that they count at every edge.
    PurgedElsewhere = "purged_elsewhere", Added, None;
    /// Purges that were sent to every edge at once, and that every one confirmed.
    PurgedEverywhere = "purged_everywhere", Added, None;
    /// How long a client that reads at once waited for the whole of a response that L2 had no part in, at
    /// most, in milliseconds: what L0 answered, and what this edge's L2 never held. It asked an edge that was
    /// up: one that starts reads from its disk what was purged before it answers anybody.
    LatencyElsewhereMs = "latency_elsewhere_ms", Highest, Some(TierId::L2);
    /// Of the clients that `latency_elsewhere_ms` is about, those that asked while their edge's disk was
    /// slow.
    AskedWhileSlow = "asked_while_slow", Added, Some(TierId::L2);
}

impl Figure {
    /// The highest value that it can have.
    pub const fn most(self) -> f64 {
        if matches!(self, Self::AnsweredPercent | Self::HitPercent) { 100.0 } else { f64::MAX }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|figure| figure.as_str() == name)
    }
}

impl Phase {
    /// Its key under `expect`; none for the whole, whose figures stand there themselves.
    pub const fn as_str(self) -> Option<&'static str> {
        match self {
            Self::Whole => None,
            Self::Faults => Some("faults"),
            Self::Healed => Some("healed"),
        }
    }

    fn named(name: &str) -> Option<Self> {
        [Self::Faults, Self::Healed].into_iter().find(|phase| phase.as_str() == Some(name))
    }
}

/// Where an expectation stands in a file.
pub(crate) fn path(phase: Phase, figure: Figure) -> String {
    let figure = figure.as_str();
    phase.as_str().map_or_else(|| format!("expect.{figure}"), |phase| format!("expect.{phase}.{figure}"))
}

impl Expectations {
    /// What every scenario may be asked for that says nothing of service: half of the requests answered.
    pub(crate) const SERVICE: (Figure, Expectation) =
        (Figure::AnsweredPercent, Expectation { at_least: Some(50.0), at_most: None, of: Scope::AllSeeds });

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (Phase, Figure, Expectation)> {
        self.0.iter().map(|((phase, figure), expectation)| (*phase, *figure, *expectation))
    }

    /// What is expected of this figure.
    pub fn of(&self, phase: Phase, figure: Figure) -> Option<Expectation> {
        self.0.get(&(phase, figure)).copied()
    }

    pub(crate) fn expect(&mut self, figure: Figure, expectation: Expectation) {
        self.0.insert((Phase::Whole, figure), expectation);
    }

    /// Would one of them fail if nobody were served? Who speaks of the share that is answered knows what it
    /// is.
    pub(crate) fn tell_of_service(&self) -> bool {
        self.iter().any(|(_, figure, expected)| match figure {
            Figure::AnsweredPercent => true,
            Figure::HitPercent
            | Figure::Whole
            | Figure::HitsL0
            | Figure::HitsL1
            | Figure::HitsL2
            | Figure::HitsL3
            | Figure::HitsL2Recovered
            | Figure::HitsL2Healed
            | Figure::HitsStale
            | Figure::Misses
            | Figure::PurgedThenAsked
            | Figure::OddAnswered
            | Figure::AdminAnswered
            | Figure::TurnedAway
            | Figure::WholeOverTls
            | Figure::LoggedClients
            | Figure::AskedWhileSlow => expected.at_least.is_some(),
            Figure::Unanswered => expected.at_most.is_some(),
            // Zero of these, and no wait at all, is what a world shows in which nobody gets anything.
            Figure::LatencyP50Ms
            | Figure::LatencyP99Ms
            | Figure::LatencyMaxMs
            | Figure::Broken
            | Figure::TimedOut
            | Figure::ServerErrors
            | Figure::StaleAnswers
            | Figure::InterimSeen
            | Figure::OriginRequests
            | Figure::WaitedAsTold
            | Figure::RecoveredMs
            | Figure::BreakersOpened
            | Figure::BreakersClosedMs
            | Figure::StoredL2
            | Figure::CutL2
            | Figure::PurgedElsewhere
            | Figure::PurgedEverywhere
            | Figure::SectorsLost
            | Figure::LatencyElsewhereMs => false,
        })
    }
}

impl Expectation {
    /// What is wrong with a figure that comes to this; `None` if nothing is.
    pub fn misses(&self, phase: Phase, figure: Figure, value: f64) -> Option<String> {
        let path = path(phase, figure);
        let value_said = spelled(value);
        let below = self.at_least.filter(|least| value < *least);
        let above = self.at_most.filter(|most| *most < value);
        below
            .map(|least| format!("`{path}` is {value_said}, but at least {} is expected", spelled(least)))
            .or_else(|| {
                above.map(|most| {
                    format!("`{path}` is {value_said}, but at most {} is expected", spelled(most))
                })
            })
    }
}

/// A value as people write it: at most two digits behind the point, cut and not rounded, so that 99.999 is
/// not told as 100.
pub fn spelled(value: f64) -> String {
    let cut = (value * 100.0).floor() / 100.0;
    format!("{cut}")
}

impl<'de> Deserialize<'de> for Expectations {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Whole)
    }
}

/// Reads what stands under `expect`.
struct Whole;

impl<'de> Visitor<'de> for Whole {
    type Value = Expectations;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("figures with their bounds, and `faults` or `healed` with such")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Expectations, A::Error> {
        let mut found = BTreeMap::new();
        while let Some(key) = map.next_key::<String>()? {
            if let Some(phase) = Phase::named(&key) {
                let figures: BTreeMap<Figure, Expectation> = map.next_value()?;
                found.extend(figures.into_iter().map(|(figure, expected)| ((phase, figure), expected)));
                continue;
            }
            let figure = Figure::deserialize(key.into_deserializer())?;
            if found.insert((Phase::Whole, figure), map.next_value()?).is_some() {
                return Err(de::Error::duplicate_field(figure.as_str()));
            }
        }
        Ok(Expectations(found))
    }
}

impl<'de> Deserialize<'de> for Figure {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::named(&name).ok_or_else(|| {
            let known = Self::ALL.map(Self::as_str).join(", ");
            de::Error::custom(format_args!("no figure is called `{name}`: there are {known}"))
        })
    }
}
