//! A replay for each policy and each capacity of one tier, and a table of what they miss.
//!
//! One replay follows the other, each through the whole file, so memory does not grow with their number.

use super::{Progress, ReplayArgs, Replayed, TraceError, each_request, report, settings::Capacity};
use hashbrown::HashTable;
use serde_json::{Value, json};
use std::fmt::Write;
use tiergate_engine::{ByteCount, CacheKey, Eviction, TierId};

/// Which tier a sweep is over, and over what.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct SweepArgs {
    /// Replay once for each of --capacities of this tier, and for each of --policies if it is L0; print what
    /// each misses.
    #[arg(long, value_name = "TIER")]
    pub(super) sweep: Option<Swept>,
    /// The policies of a sweep over L0. Default: all.
    #[arg(long, value_name = "POLICY,...", value_delimiter = ',', value_parser = Eviction::parse, requires = "sweep")]
    policies: Vec<Eviction>,
    /// The capacities of the sweep: sizes, or a part of the bytes of all objects, as 2.5%.
    #[arg(long, value_name = "CAPACITY,...", value_delimiter = ',', value_parser = Part::parse, requires = "sweep",
        default_value = "0.1%,1%,10%,30%")]
    capacities: Vec<Part>,
}

/// A tier that evicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Swept {
    /// Memory, by any policy.
    L0,
    /// The local disk, whose log decides.
    L2,
}

impl Swept {
    const fn tier(self) -> TierId {
        match self {
            Self::L0 => TierId::L0,
            Self::L2 => TierId::L2,
        }
    }
}

/// A capacity, once the trace is known.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Part {
    Bytes(ByteCount),
    Percent(f64),
}

impl Part {
    fn parse(text: &str) -> Result<Self, String> {
        let Some(number) = text.strip_suffix('%') else {
            return ByteCount::parse(text)
                .map(Self::Bytes)
                .map_err(|wrong| format!("{wrong}, or as 2.5% of the bytes of all objects"));
        };
        let percent = number.parse().ok().filter(|percent| *percent > 0.0 && *percent <= 100.0);
        percent.map(Self::Percent).ok_or_else(|| format!("`{text}` must be above 0% and at most 100%"))
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a part of a sum is no larger than it, and not negative"
    )]
    fn of(self, whole: ByteCount) -> ByteCount {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Percent(percent) => ByteCount((whole.0 as f64 * percent / 100.0) as u64),
        }
    }
}

/// Who leaves the tier of a cell.
#[derive(Clone, Copy, Debug)]
enum Policy {
    /// Of L0.
    Named(Eviction),
    /// Of L2.
    Log,
}

impl Policy {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Named(eviction) => eviction.as_str(),
            Self::Log => "log",
        }
    }
}

/// What the replays of one capacity came to, in the order of the policies.
struct Row {
    capacity: ByteCount,
    replayed: Vec<Replayed>,
}

/// Replays all cells and renders them.
pub(super) fn run(args: &ReplayArgs, swept: Swept, progress: &mut Progress) -> Result<String, String> {
    args.refuse_what_is_swept(swept)?;
    let policies = &args.policies(swept)[..];
    let capacities = capacities(args, progress).map_err(|wrong| wrong.to_string())?;
    let cells = capacities.len() * policies.len();
    let mut rows = Vec::new();
    args.with(ByteCount::mib(1 << 20), policies[0]).tell_notes()?;
    for capacity in capacities {
        let mut replayed = Vec::new();
        for policy in policies {
            let cell = rows.len() * policies.len() + replayed.len() + 1;
            progress.begin(format!("{cell} of {cells}, {} at {capacity}: ", policy.as_str()));
            replayed.push(args.with(capacity, *policy).replay(progress)?);
        }
        rows.push(Row { capacity, replayed });
    }
    Ok(if args.json { json(args, swept, policies, &rows) } else { tables(args, policies, &rows) })
}

/// The capacities in bytes, for which the trace may have to be read once.
fn capacities(args: &ReplayArgs, progress: &mut Progress) -> Result<Vec<ByteCount>, TraceError> {
    let parts = &args.sweep.capacities;
    let is_relative = parts.iter().any(|part| matches!(part, Part::Percent(_)));
    let whole = if is_relative { bytes_of_objects(args, progress)? } else { ByteCount::ZERO };
    Ok(parts.iter().map(|part| part.of(whole)).collect())
}

/// The sum of the sizes of all objects, each as large as it was first.
fn bytes_of_objects(args: &ReplayArgs, progress: &mut Progress) -> Result<ByteCount, TraceError> {
    // Keys are hashes already.
    #[expect(clippy::cast_possible_truncation, reason = "64 bits of a key are enough to spread a table")]
    const fn hash(key: &CacheKey) -> u64 {
        key.0 as u64
    }
    progress.begin("the bytes of all objects: ".to_owned());
    let (mut seen, mut sum) = (HashTable::<CacheKey>::new(), ByteCount::ZERO);
    each_request(&args.file, &args.reading(), progress, |request| {
        let key = request.key;
        if seen.find(hash(&key), |other| *other == key).is_none() {
            seen.insert_unique(hash(&key), key, hash);
            sum = sum.plus(request.size.0);
        }
    })?;
    Ok(sum)
}

impl ReplayArgs {
    fn refuse_what_is_swept(&self, swept: Swept) -> Result<(), String> {
        let tier = swept.tier().as_str();
        let (capacity, policy) = match swept {
            Swept::L0 => (self.l0.is_some(), self.l0_policy.is_some()),
            Swept::L2 => (self.l2.is_some(), false),
        };
        if capacity {
            return Err(format!("`--{tier}` cannot be given with `--sweep {tier}`: name --capacities"));
        }
        if policy {
            return Err(format!("`--{tier}-policy` cannot be given with `--sweep {tier}`: name --policies"));
        }
        match swept {
            Swept::L2 if !self.sweep.policies.is_empty() => {
                Err("`--policies` cannot be given with `--sweep l2`: who leaves L2 is decided by its log"
                    .into())
            }
            Swept::L0 | Swept::L2 => Ok(()),
        }
    }

    fn policies(&self, swept: Swept) -> Vec<Policy> {
        match swept {
            Swept::L0 if self.sweep.policies.is_empty() => Eviction::ALL.map(Policy::Named).into(),
            Swept::L0 => self.sweep.policies.iter().copied().map(Policy::Named).collect(),
            Swept::L2 => vec![Policy::Log],
        }
    }

    /// The same replay with one cell's tier.
    fn with(&self, capacity: ByteCount, policy: Policy) -> Self {
        let mut args = self.clone();
        match policy {
            Policy::Named(eviction) => {
                args.l0 = Some(Capacity::Bytes(capacity));
                args.l0_policy = Some(eviction);
            }
            Policy::Log => args.l2 = Some(Capacity::Bytes(capacity)),
        }
        args
    }
}

/// Two tables in Markdown: the part of the requests, and of the bytes, that no tier answered.
fn tables(args: &ReplayArgs, policies: &[Policy], rows: &[Row]) -> String {
    let names: Vec<_> = policies.iter().map(|policy| policy.as_str()).collect();
    let table = |title: &str, ratio: fn(&Replayed) -> f64| {
        let mut text = format!("{title}\n\n| capacity | {} |\n", names.join(" | "));
        text += &format!("|{}\n", "---|".repeat(1 + policies.len()));
        for Row { capacity, replayed } in rows {
            let ratios: Vec<_> = replayed.iter().map(|replayed| format!("{:.4}", ratio(replayed))).collect();
            // Writing to a string cannot fail.
            let _ = writeln!(text, "| {} | {} |", report::grouped(capacity.0), ratios.join(" | "));
        }
        text
    };
    let objects = table("Object miss ratios", |replayed| replayed.totals.miss_ratios().0);
    let bytes = table("Byte miss ratios", |replayed| replayed.totals.miss_ratios().1);
    format!("{}\n\n{objects}\n{bytes}", args.file.display())
}

/// The same for machines.
fn json(args: &ReplayArgs, swept: Swept, policies: &[Policy], rows: &[Row]) -> String {
    let cells: Vec<Value> = rows
        .iter()
        .flat_map(|row| policies.iter().zip(&row.replayed).map(move |cell| (row.capacity, cell)))
        .map(|(capacity, (policy, replayed))| {
            let (miss_ratio, byte_miss_ratio) = replayed.totals.miss_ratios();
            json!({
                "policy": policy.as_str(),
                "capacity": capacity.0,
                "miss_ratio": miss_ratio,
                "byte_miss_ratio": byte_miss_ratio,
            })
        })
        .collect();
    format!(
        "{:#}\n",
        json!({ "file": args.file.display().to_string(), "tier": swept.tier().as_str(), "cells": cells })
    )
}
