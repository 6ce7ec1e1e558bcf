//! Facts in plain words, for somebody who knows HTTP caches and not this one.

use super::{Names, Party};
use std::fmt::Debug;
use tiergate_engine::{
    BreakerState, CacheKey, CopyEvent, Dependency, DurableEvent, DurableStore, Effect, End, Event, FetchEnd,
    FetchEvent, FillVerdict, Length, MissReason, PurgeEvent, PurgeMode, Purpose, RequestEvent, RequestId,
    ResidenceEvent, ResilienceEvent, SelectorKind, Storable, Symbol, TierId, durable::PublishEnd,
};
use tiergate_invariants::{Fact, Got, What};

/// Who does what. None for what is only bookkeeping.
pub(crate) fn of_fact(names: &dyn Names, fact: &Fact) -> Option<(Party, String)> {
    let name = |key: &CacheKey| names.name_of(*key);
    Some(match &fact.what {
        What::Engine { edge, event, .. } => (Party::Edge(edge.0), of_event(names, event)?),
        What::EdgeStarted { edge } => (Party::Edge(edge.0), "starts".to_owned()),
        What::EdgeCrashed { edge } => {
            (Party::Edge(edge.0), "crashes; what it had in memory is gone".to_owned())
        }
        What::Published { key, version, length, storable, lifetime_ns } => {
            let lifetime = if *storable {
                format!("fresh for {} s", lifetime_ns / 1_000_000_000)
            } else {
                "not to be stored".to_owned()
            };
            let (version, key) = (version.0, name(key));
            (Party::Origin, format!("publishes version {version} of {key}, {}, {lifetime}", bytes(*length)))
        }
        What::OriginAnswered { edge, key, version } => {
            (Party::Origin, format!("answers edge {} with version {} of {}", edge.0, version.0, name(key)))
        }
        What::ClientAsked { ask, edge, key, .. } => {
            (Party::Clients, format!("{} asks edge {} for {}", names.client(*ask), edge.0, name(key)))
        }
        What::ClientGot { ask, key, got, .. } => {
            (Party::Clients, format!("{} {}", names.client(*ask), of_answer(names, *key, got)))
        }
        What::PurgeAsked { edge, key, .. } => {
            (Party::Clients, format!("an operator asks edge {} to purge {}", edge.0, name(key)))
        }
        What::PurgeConfirmed { edge, key, newest_when_asked, .. } => (
            Party::Edge(edge.0),
            format!(
                "acknowledges the purge of {}: nothing from before it may be served from now on (version {} was the newest)",
                name(key),
                newest_when_asked.0
            ),
        ),
        What::Healed => (Party::Origin, "from here on there are no more faults".to_owned()),
        What::Audited { .. } | What::Settled { .. } => return None,
    })
}

fn of_answer(names: &dyn Names, key: CacheKey, got: &Got) -> String {
    match got {
        Got::Whole { status, age, spans } => {
            let parts: Vec<String> = spans
                .iter()
                .map(|span| match span.of {
                    None => format!("{} that no origin ever sent", bytes(span.length)),
                    Some((of, version)) => {
                        let whose =
                            if of == key { String::new() } else { format!(" of {}", names.name_of(of)) };
                        let is_all = (0, Some(span.length)) == (span.offset, names.length_of(of, version));
                        let (first, last) = (span.offset, span.offset + span.length - 1);
                        let which =
                            if is_all { "all of".to_owned() } else { format!("bytes {first} to {last} of") };
                        format!("{which} version {}{whose}", version.0)
                    }
                })
                .collect();
            let body = if parts.is_empty() { "an empty body".to_owned() } else { parts.join(", then ") };
            let age = age.filter(|age| *age > 0).map_or(String::new(), |age| format!(", {age} s old"));
            format!("gets {status} for {}, complete: {body}{age}", names.name_of(key))
        }
        Got::Broken => format!("sees {} break off", names.name_of(key)),
        Got::Nothing => format!("gets nothing of {}", names.name_of(key)),
        Got::Left => "goes away".to_owned(),
    }
}

fn of_event(names: &dyn Names, event: &Event) -> Option<String> {
    match event {
        Event::Request(event) => of_request(names, event),
        Event::Fetch(event) => Some(of_fetch(names, event)),
        Event::Copy(event) => of_copy(names, event),
        Event::Residence(event) => of_residence(names, event),
        Event::Resilience(event) => of_resilience(names, event),
        Event::Purge(event) => Some(of_purge(names, event)),
        Event::Durable(event) => of_durable(names, event),
    }
}

fn of_request(names: &dyn Names, event: &RequestEvent) -> Option<String> {
    let name = |key: &CacheKey| names.name_of(*key);
    let who = |request: &RequestId| names.asker(*request);
    Some(match event {
        // Bookkeeping, or said by another line.
        RequestEvent::Requested { .. } => return None,
        RequestEvent::Hit { request, key, tier } => {
            format!("finds {} in {} for {}", name(key), of(tier), who(request))
        }
        RequestEvent::ServedStale { request, key, tier, why } => {
            format!("gives {} the stale {} from {}: {}", who(request), name(key), of(tier), plain(why))
        }
        RequestEvent::Revalidated { request, key, tier } => {
            format!("the origin agrees, so {} gets {} from {}", who(request), name(key), of(tier))
        }
        RequestEvent::Missed { request, key, reason } => {
            let why = match reason {
                MissReason::Absent => "it has none".to_owned(),
                MissReason::Stale => "what it has is stale".to_owned(),
                MissReason::TierFailed => "a tier failed".to_owned(),
                MissReason::Uncacheable => "it may not be stored".to_owned(),
                MissReason::Bypass(bypass) => format!("the request goes past the cache, {}", plain(bypass)),
            };
            format!("cannot answer {} from the cache with {}: {why}", who(request), name(key))
        }
        RequestEvent::Collapsed { request, key } => {
            format!("lets {} wait for what another began for {}", who(request), name(key))
        }
        RequestEvent::AttachRefused { request, .. } => {
            format!("{} came too late to share a fetch", who(request))
        }
        RequestEvent::LeaderReplaced { request, .. } => {
            format!("lets {} lead, whose leader failed", names.asker(*request))
        }
        RequestEvent::FollowsPart { request, key, length } => {
            format!("will send {} {} of {} as they come", who(request), bytes(length.0), name(key))
        }
        RequestEvent::Hedged { request, tier } => {
            format!("asks {} once more for {}, who has waited long", of(tier), names.asker(*request))
        }
        RequestEvent::Passed { request, .. } => {
            format!("sends the request of {} past the cache", who(request))
        }
        RequestEvent::Refused { request, refusal } => format!("refuses {}: {}", who(request), plain(refusal)),
        RequestEvent::Served { request, key, sent, end } => {
            let end = match end {
                End::Complete => "which is complete".to_owned(),
                End::Aborted(why) => format!("which breaks off: {}", plain(why)),
            };
            format!("has sent {} {} of {}, {end}", who(request), bytes(sent.0), name(key))
        }
    })
}

fn of_fetch(names: &dyn Names, event: &FetchEvent) -> String {
    let name = |key: &CacheKey| names.name_of(*key);
    match event {
        FetchEvent::Fetched { key, purpose, .. } => {
            let whom = match purpose {
                Purpose::Shared => "",
                Purpose::Part => ", of which a part was asked for",
                Purpose::Private => ", for one client only",
            };
            format!("asks the origin for {}{whom}", name(key))
        }
        FetchEvent::HeadArrived { key, status, length, storable, .. } => {
            let length = match length {
                Length::Known(length) => format!("{} announced", bytes(length.0)),
                Length::Unknown => "no length announced".to_owned(),
            };
            let storable = match storable {
                Storable::Yes => "may be stored".to_owned(),
                Storable::No(why) => format!("may not be stored ({})", plain(why)),
            };
            format!("receives {status} for {}: {length}, {storable}", name(key))
        }
        FetchEvent::FoundUncacheable { key, why } => {
            format!("remembers that {} may not be stored: {}", name(key), plain(why))
        }
        FetchEvent::FetchEnded { key, received, end, .. } => {
            let end = match end {
                FetchEnd::Complete => "and takes that for the whole body".to_owned(),
                FetchEnd::Failed(failure) => format!("then the origin failed: {}", plain(failure)),
                FetchEnd::Cancelled => "and wants no more".to_owned(),
            };
            format!("has got {} of {} from the origin, {end}", bytes(received.0), name(key))
        }
        FetchEvent::Retried { key, attempt, at, .. } => {
            format!(
                "will ask for {} again, attempt {attempt}, at {:.6} ms",
                name(key),
                at.as_nanos() as f64 / 1e6
            )
        }
        FetchEvent::Adopted { key, length, .. } => {
            let length = match length {
                Length::Known(length) => format!("{} announced", bytes(length.0)),
                Length::Unknown => "no length announced".to_owned(),
            };
            format!("stores what a POST to {} was answered with: {length}", name(key))
        }
        FetchEvent::NotAdopted { key, why } => {
            format!("does not store what a POST to {} was answered with: {}", name(key), plain(why))
        }
        FetchEvent::AdoptionEnded { key, received, end, .. } => {
            let end = match end {
                FetchEnd::Complete => "which is the whole body".to_owned(),
                FetchEnd::Failed(failure) => format!("then it broke off: {}", plain(failure)),
                FetchEnd::Cancelled => "and wants no more".to_owned(),
            };
            format!("has got {} of what a POST to {} was answered with, {end}", bytes(received.0), name(key))
        }
        FetchEvent::GaveUp { why, .. } => format!("will not ask again: {}", plain(why)),
    }
}

fn of_copy(names: &dyn Names, event: &CopyEvent) -> Option<String> {
    let name = |key: &CacheKey| names.name_of(*key);
    Some(match event {
        CopyEvent::LaneOpened { tier, key, .. } => {
            format!("begins a copy of {} into {}", name(key), of(tier))
        }
        CopyEvent::LaneDropped { tier, key, why, .. } => {
            format!("gives up the copy of {} into {}: {}", name(key), of(tier), plain(why))
        }
        CopyEvent::Filled { tier, key, verdict, .. } => match verdict {
            FillVerdict::Stored => return None,
            FillVerdict::Rejected(why) => {
                format!("{} does not go into {}: {}", name(key), of(tier), plain(why))
            }
            FillVerdict::Dropped(why) => {
                format!("{} did not get into {}: {}", name(key), of(tier), plain(why))
            }
        },
        CopyEvent::Rejected { tier, key, why } => {
            format!("does not put {} into {}: {}", name(key), of(tier), plain(why))
        }
    })
}

fn of_residence(names: &dyn Names, event: &ResidenceEvent) -> Option<String> {
    let name = |key: &CacheKey| names.name_of(*key);
    Some(match event {
        ResidenceEvent::Stored { tier, key, length, from, .. } => {
            let from = from.map_or(String::new(), |from| format!(", copied from {}", of(&from)));
            format!("{} is in {} now, {}{from}", name(key), of(tier), bytes(length.0))
        }
        ResidenceEvent::Freshened { tier, key } => format!("{} in {} is fresh again", name(key), of(tier)),
        ResidenceEvent::Staled { tier, key, .. } => format!("{} in {} is stale now", name(key), of(tier)),
        ResidenceEvent::Removed { tier, key, why, .. } => {
            format!("{} is no longer in {}: {}", name(key), of(tier), plain(why))
        }
        // Bookkeeping, or said by another line.
        ResidenceEvent::Resident { .. } => return None,
    })
}

fn of_resilience(names: &dyn Names, event: &ResilienceEvent) -> Option<String> {
    let name = |key: &CacheKey| names.name_of(*key);
    Some(match event {
        ResilienceEvent::TierJoined { tier, objects, .. } => {
            format!("can ask {} from now on, with {objects} objects in it", of(tier))
        }
        ResilienceEvent::TierFailed { tier, operation } => {
            format!("learns that {} failed a {}", of(tier), plain(operation))
        }
        ResilienceEvent::TierSkipped { tier, .. } => {
            format!("does not ask {}, which failed too often", of(tier))
        }
        ResilienceEvent::FoundRotten { tier, key } => {
            format!("learns that what {} has of {} is rotten", of(tier), name(key))
        }
        ResilienceEvent::BreakerChanged { who, state } => match state {
            BreakerState::Closed => format!("trusts {} again", whom_of(*who)),
            BreakerState::Open { until } => {
                format!("stops asking {} until {:.6} ms", whom_of(*who), until.as_nanos() as f64 / 1e6)
            }
            BreakerState::HalfOpen => format!("tries {} again", whom_of(*who)),
        },
        ResilienceEvent::DeadlineMissed { key, what } => {
            format!("waits no longer for {}: {} is late", name(key), plain(what))
        }
        // Bookkeeping, or said by another line.
        ResilienceEvent::LateAnswer { .. } => return None,
    })
}

fn of_purge(names: &dyn Names, event: &PurgeEvent) -> String {
    match event {
        PurgeEvent::PurgeBegan { what, mode, .. } => {
            format!("begins to {} {}", mode_of(*mode), whom(names, what))
        }
        PurgeEvent::RemotePurged { what, mode } => {
            format!("learns from another edge that it must {} {}", mode_of(*mode), whom(names, what))
        }
        PurgeEvent::PurgesMissed => {
            "cannot know what other edges purged, and uses nothing older any more".to_owned()
        }
        PurgeEvent::PurgeEnded { what, confirmed, .. } => {
            let end = if *confirmed { "in every tier" } else { "but a tier did not confirm it" };
            format!("has purged {}, {end}", whom(names, what))
        }
    }
}

fn of_durable(names: &dyn Names, event: &DurableEvent) -> Option<String> {
    let name = |key: &CacheKey| names.name_of(*key);
    Some(match event {
        DurableEvent::DurableMissed { key, why } => format!("L3 has no {}: {}", name(key), plain(why)),
        DurableEvent::UploadEnded { key, end, .. } => {
            let end = match end {
                PublishEnd::Won { .. } => "is what L3 has now".to_owned(),
                PublishEnd::Lost { .. } => "lost to another's".to_owned(),
                other => format!("failed: {}", plain(other)),
            };
            format!("its upload of {} {end}", name(key))
        }
        DurableEvent::Corrupt { key, .. } => format!("finds {} in L3 corrupt", name(key)),
        DurableEvent::Unanswered { store } => {
            let store = match store {
                DurableStore::Index => "index",
                DurableStore::Blobs => "blob store",
            };
            format!("waits no longer for L3's {store}, and takes it that nothing is known to be done")
        }
        DurableEvent::Swept { collected } => match collected.deleted {
            0 => return None,
            deleted => format!("has swept L3: {deleted} blobs deleted"),
        },
    })
}

/// What is asked of a tier.
pub(crate) fn operation(effect: &Effect<Symbol>) -> Option<(TierId, &'static str)> {
    Some(match effect {
        Effect::Lookup { tier, .. } => (*tier, "a lookup"),
        Effect::Read { tier, .. } => (*tier, "a read"),
        Effect::Open { tier, .. } => (*tier, "the opening of a copy"),
        Effect::Write { tier, .. } => (*tier, "a write"),
        Effect::Commit { tier, .. } => (*tier, "a commit"),
        Effect::Freshen { tier, .. } => (*tier, "a new head"),
        Effect::StoreBan { tier, .. } => (*tier, "a ban"),
        Effect::Delete { tier, .. } => (*tier, "a delete"),
        Effect::Durable { .. } => (TierId::L3, "a question to the index or the blob store"),
        Effect::OpenBlob { .. } => (TierId::L3, "the opening of a blob"),
        Effect::Release { .. }
        | Effect::Discard { .. }
        | Effect::Fetch { .. }
        | Effect::Adopt { .. }
        | Effect::Pull { .. }
        | Effect::Cancel { .. }
        | Effect::Serve { .. }
        | Effect::Body { .. }
        | Effect::Finish { .. }
        | Effect::Pass { .. }
        | Effect::Refuse { .. }
        | Effect::PurgeDone { .. } => return None,
    })
}

const fn mode_of(mode: PurgeMode) -> &'static str {
    match mode {
        PurgeMode::Hard => "purge",
        PurgeMode::Soft => "make stale",
    }
}

fn whom(names: &dyn Names, what: &SelectorKind) -> String {
    match what {
        SelectorKind::Key(key) => names.name_of(*key),
        SelectorKind::Tag => "what bears a tag".to_owned(),
        SelectorKind::Prefix => "what is under a path".to_owned(),
        SelectorKind::All => "everything".to_owned(),
    }
}

/// Clients are A, B, C and so on; after Z comes A1.
pub(crate) fn client(ask: u64) -> String {
    let letter = char::from(b'A' + u8::try_from(ask % 26).expect("a letter's place fits a byte"));
    if ask < 26 { letter.to_string() } else { format!("{letter}{}", ask / 26) }
}

pub(crate) fn bytes(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text.push_str(if count == 1 { " byte" } else { " bytes" });
    text
}

fn of(tier: &TierId) -> String {
    tier.as_str().to_uppercase()
}

/// Who has a breaker.
fn whom_of(who: Dependency) -> String {
    match who {
        Dependency::Index => "L3's index".to_owned(),
        Dependency::Tier(_) | Dependency::Origin(_) => plain(&who),
    }
}

/// A reason in words: `Origin(TooShort)` is "origin: too short".
fn plain(reason: &dyn Debug) -> String {
    let mut text = String::new();
    let mut before = ' ';
    for letter in format!("{reason:?}").chars() {
        match letter {
            '(' => text.push_str(": "),
            ')' => {}
            'A'..='Z' => {
                if before.is_lowercase() {
                    text.push(' ');
                }
                text.push(letter.to_ascii_lowercase());
            }
            _ => text.push(letter),
        }
        before = letter;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use tiergate_engine::{AbortReason, OriginFailure};

    /// What a reader sees of names and numbers.
    #[test]
    fn words_are_plain() {
        assert_eq!([client(0), client(25), client(26)], ["A", "Z", "A1"]);
        assert_eq!([bytes(1), bytes(999), bytes(1_234_567)], ["1 byte", "999 bytes", "1,234,567 bytes"]);
        assert_eq!(plain(&AbortReason::Origin(OriginFailure::TooShort)), "origin: too short");
    }
}
