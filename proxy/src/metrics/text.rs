//! All families, in the order in which they are written.

use super::{
    Metrics, ShardCounts,
    exposition::{Exposition, Kind},
    labels::{DependencyLabel, Label, TierEdge},
    process::Process,
    tally::{Histogram, Tally, Times},
};
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::UNIX_EPOCH,
};
use tiergate_engine::{BreakerState, Late, TierId};

const TIERS: [TierId; 4] = [TierId::L0, TierId::L1, TierId::L2, TierId::L3];
const BELOW_L0: [&str; 3] = ["l1", "l2", "l3"];
/// Why only a copy into L3 is given up, and a breaker that only L3 has.
const OF_L3: [&str; 5] = ["outrun", "lease_lost", "too_late", "crowded", "l3_index"];

impl Metrics {
    /// Everything that is counted, as Prometheus reads it. Asks the system about the process, which reads
    /// files.
    pub fn exposition(&self) -> String {
        let mut text = Families { text: Exposition::default(), metrics: self, absent: self.absent() };
        text.requests();
        text.front();
        text.origin();
        text.copies();
        text.residence();
        text.tiers();
        text.breakers();
        text.purges();
        text.watchers();
        text.process();
        text.text.into_text()
    }

    /// Words of labels that stand for a tier which is not configured: rows of zeros with them are left out.
    fn absent(&self) -> Vec<&'static str> {
        let is_absent = |tier: &TierId| !self.tiers.contains(tier);
        let tiers = TIERS.into_iter().filter(is_absent).map(TierId::as_str);
        let between = TIERS.into_iter().flat_map(|from| TIERS.into_iter().map(move |to| (from, to)));
        let edges = between
            .filter(|(from, to)| is_absent(from) || is_absent(to))
            .filter_map(|(from, to)| TierEdge::between(from, to))
            .flat_map(|edge| TierEdge::words(edge.index()));
        let waits = (0..Late::COUNT).map(|index| Late::words(index)[0]);
        let waits =
            waits.filter(|wait| TIERS.iter().any(|tier| is_absent(tier) && wait.starts_with(tier.as_str())));
        let of_l3 = if is_absent(&TierId::L3) { &OF_L3[..] } else { &[] };
        tiers.chain(edges).chain(waits).chain(of_l3.iter().copied()).collect()
    }
}

struct Families<'m> {
    text: Exposition,
    metrics: &'m Metrics,
    absent: Vec<&'static str>,
}

impl Families<'_> {
    /// A family of counters with labels, summed over the shards.
    fn tally<L: Label, const N: usize>(
        &mut self,
        name: &str,
        labels: &[&str],
        help: &str,
        of: impl Fn(&ShardCounts) -> &Tally<L, N>,
    ) {
        self.tally_without(&[], name, labels, help, of);
    }

    /// The same, of which some words are `unused` as long as nothing was counted.
    fn tally_without<L: Label, const N: usize>(
        &mut self,
        unused: &[&str],
        name: &str,
        labels: &[&str],
        help: &str,
        of: impl Fn(&ShardCounts) -> &Tally<L, N>,
    ) {
        let mut sums = [0; N];
        for shard in &self.metrics.shards {
            of(shard).add_to(&mut sums);
        }
        self.rows::<L>(unused, name, labels, help, &sums);
    }

    fn rows<L: Label>(&mut self, unused: &[&str], name: &str, labels: &[&str], help: &str, sums: &[u64]) {
        self.text.family(name, Kind::Counter, help);
        for (index, sum) in sums.iter().enumerate() {
            let words = L::words(index);
            let is_unused = |word: &&str| self.absent.contains(word) || unused.contains(word);
            if *sum == 0 && words.iter().any(is_unused) {
                continue;
            }
            let pairs: Vec<_> = labels.iter().copied().zip(words).collect();
            self.text.row(name, &pairs, sum);
        }
    }

    fn sum(&self, of: impl Fn(&ShardCounts) -> &AtomicU64) -> u64 {
        self.metrics.shards.iter().map(|shard| of(shard).load(Ordering::Relaxed)).sum()
    }

    fn counter(&mut self, name: &str, help: &str, of: impl Fn(&ShardCounts) -> &AtomicU64) {
        let sum = self.sum(of);
        self.text.single(name, Kind::Counter, help, sum);
    }

    fn gauge(&mut self, name: &str, help: &str, of: impl Fn(&ShardCounts) -> &AtomicU64) {
        let sum = self.sum(of);
        self.text.single(name, Kind::Gauge, help, sum);
    }

    fn times(&mut self, name: &str, help: &str, of: impl Fn(&ShardCounts) -> &Histogram) {
        let mut times = Times::default();
        for shard in &self.metrics.shards {
            of(shard).add_to(&mut times);
        }
        self.text.histogram(name, help, &times);
    }

    fn requests(&mut self) {
        let help = "Requests whose outcome is known, by outcome and the tier that answered.";
        self.requests_by_outcome(help);
        let help =
            "Requests that no tier could answer, by reason. What became of each is among the outcomes.";
        self.tally("tiergate_misses_total", &["reason"], help, |shard| &shard.misses);
        let help = "Requests that went around the cache, by reason.";
        self.tally("tiergate_passes_total", &["reason"], help, |shard| &shard.passes);
        let help = "Requests that were answered with an error, by reason.";
        self.tally("tiergate_refusals_total", &["reason"], help, |shard| &shard.refusals);
        let help = "Requests that were answered with a stale response, by reason.";
        self.tally("tiergate_stale_served_total", &["reason"], help, |shard| &shard.stale);
        let help = "Requests that joined a lookup or fetch which another had begun.";
        self.counter("tiergate_collapsed_total", help, |shard| &shard.collapsed);
        let help = "Requests that came too late to read a running fetch from its first byte.";
        self.counter("tiergate_attach_refused_total", help, |shard| &shard.attach_refused);
        let help = "Reads of a tier that were late and were made a second time.";
        self.counter("tiergate_hedged_reads_total", help, |shard| &shard.hedged);
    }

    /// Only what can be is shown as zero: a hit is some tier's, a miss is none's.
    fn requests_by_outcome(&mut self, help: &str) {
        let name = "tiergate_requests_total";
        let mut sums = [0; 35];
        for shard in &self.metrics.shards {
            shard.requests.add_to(&mut sums);
        }
        self.text.family(name, Kind::Counter, help);
        for (index, sum) in sums.iter().enumerate() {
            let words = <(super::Answered, super::By)>::words(index);
            let (outcome, tier) = (words[0], words[1]);
            let is_of_tier = matches!(outcome, "hit" | "stale" | "revalidated");
            let can_be = is_of_tier != (tier == "none") && !self.absent.contains(&tier);
            if *sum > 0 || can_be {
                self.text.row(name, &[("outcome", outcome), ("tier", tier)], sum);
            }
        }
    }

    fn front(&mut self) {
        let stripes = &self.metrics.stripes;
        let (mut responses, mut bytes, mut connections) = ([0; 6], 0, 0);
        for stripe in stripes {
            stripe.responses.add_to(&mut responses);
            bytes += stripe.bytes.load(Ordering::Relaxed);
            connections += stripe.connections.load(Ordering::Relaxed);
        }
        let open = self.metrics.connections.load(Ordering::Relaxed);
        let name = "tiergate_responses_total";
        let help = "Responses to clients, by class of status.";
        self.rows::<super::StatusClass>(&["1xx", "other"], name, &["code"], help, &responses);
        let help = "Bytes of bodies sent to clients.";
        self.text.single("tiergate_response_body_bytes_total", Kind::Counter, help, bytes);
        let help = "Connections of clients that were accepted.";
        self.text.single("tiergate_connections_total", Kind::Counter, help, connections);
        let help = "Connections of clients that are open.";
        self.text.single("tiergate_connections_open", Kind::Gauge, help, open);
        let refused = self.metrics.proxy_headers_refused.load(Ordering::Relaxed);
        let help = "Connections that were closed because no header of the PROXY protocol came that counts.";
        self.text.single("tiergate_proxy_headers_refused_total", Kind::Counter, help, refused);
        let turned_away = self.metrics.turned_away.load(Ordering::Relaxed);
        let help = "Requests that were turned away because too many came: of one address, or at a time.";
        self.text.single("tiergate_requests_turned_away_total", Kind::Counter, help, turned_away);
    }

    fn origin(&mut self) {
        let help = "Requests to the origin, for everybody who waits (shared) or for one client (private).";
        self.tally("tiergate_origin_fetches_total", &["purpose"], help, |shard| &shard.fetches);
        let help = "Requests to the origin that are over, by how they ended.";
        self.tally("tiergate_origin_fetches_ended_total", &["end"], help, |shard| &shard.fetches_ended);
        let help = "Responses of the origin, by class of status.";
        let name = "tiergate_origin_responses_total";
        self.tally_without(&["1xx", "other"], name, &["code"], help, |shard| &shard.origin_responses);
        let help = "Time from a request to the origin to the head of its response.";
        self.times("tiergate_origin_head_seconds", help, |shard| &shard.origin_head);
        let help = "Bytes of bodies received from the origin.";
        self.counter("tiergate_origin_body_bytes_total", help, |shard| &shard.origin_bytes);
        let help = "Requests to the origin that failed and are made again.";
        self.counter("tiergate_origin_retries_total", help, |shard| &shard.retries);
        let help = "Requests to the origin that failed and are not made again, by reason.";
        self.tally("tiergate_origin_gave_up_total", &["reason"], help, |shard| &shard.gave_up);
        let help = "Responses of the origin that may not be stored, by reason.";
        self.tally("tiergate_not_storable_total", &["reason"], help, |shard| &shard.not_storable);
        let help =
            "Answers to POST that were stored for later GETs, or were to be, by how their bodies ended.";
        self.tally("tiergate_adoptions_ended_total", &["end"], help, |shard| &shard.adoptions_ended);
        let help = "Answers to POST that say they are what a GET would get, and were not stored, by reason.";
        self.tally("tiergate_not_adopted_total", &["reason"], help, |shard| &shard.not_adopted);
    }

    fn copies(&mut self) {
        let help = "Copies into a tier that began.";
        self.tally("tiergate_lanes_opened_total", &["tier"], help, |shard| &shard.lanes_opened);
        let help = "Copies into a tier that were given up, by reason.";
        let labels = &["tier", "reason"];
        self.tally("tiergate_lanes_dropped_total", labels, help, |shard| &shard.lanes_dropped);
        let help = "Responses that a tier did not admit, by reason.";
        self.tally("tiergate_rejections_total", labels, help, |shard| &shard.rejections);
        let help = "Copies of a hit into a faster tier that began.";
        self.tally("tiergate_promotions_begun_total", &["edge"], help, |shard| &shard.promotions_begun);
        let help = "Copies of a hit into a faster tier that became visible there.";
        self.tally("tiergate_promotions_committed_total", &["edge"], help, |shard| {
            &shard.promotions_committed
        });
        let help = "Copies of a hit into a faster tier that were given up, by reason.";
        let labels = &["edge", "reason"];
        self.tally("tiergate_promotions_dropped_total", labels, help, |shard| &shard.promotions_dropped);
    }

    fn residence(&mut self) {
        let help = "Responses that became visible in a tier.";
        self.tally("tiergate_stored_total", &["tier"], help, |shard| &shard.stored);
        let help = "Stored responses that the origin said still hold.";
        self.tally("tiergate_freshened_total", &["tier"], help, |shard| &shard.freshened);
        let help =
            "Responses that a tier no longer has, by reason; capacity is an eviction. Only L0 tells them.";
        let (name, labels) = ("tiergate_removals_total", &["tier", "reason"]);
        self.tally_without(&BELOW_L0, name, labels, help, |shard| &shard.removals);
        let help = "Bytes that L0 holds, heads and bodies.";
        self.gauge("tiergate_l0_resident_bytes", help, |shard| &shard.resident_bytes);
        let help = "Responses that L0 holds.";
        self.gauge("tiergate_l0_resident_objects", help, |shard| &shard.resident_objects);
        let (name, help) = ("tiergate_l0_capacity_bytes", "Bytes that L0 may hold.");
        self.text.single(name, Kind::Gauge, help, self.metrics.memory_capacity.0);
    }

    fn tiers(&mut self) {
        let labels = &["tier", "operation"];
        let help = "Operations that a tier failed.";
        let name = "tiergate_tier_failures_total";
        self.tally_without(&["l0"], name, labels, help, |shard| &shard.tier_failures);
        let help = "Operations that a tier was not asked for, because its breaker was open.";
        let name = "tiergate_tier_skips_total";
        self.tally_without(&["l0"], name, labels, help, |shard| &shard.tier_skips);
        let help = "Stored responses that were not what had been written. None of them was served.";
        let name = "tiergate_tier_rotten_total";
        self.tally_without(&["l0"], name, &["tier"], help, |shard| &shard.rotten);
        let help = "Answers that did not come in time, by what was waited for.";
        let name = "tiergate_deadlines_missed_total";
        self.tally_without(&["l0_lookup", "l0_read"], name, &["what"], help, |shard| &shard.late);
    }

    fn breakers(&mut self) {
        let help = "Changes of breakers, by the state that was entered. Each shard has its own breakers.";
        let (name, labels) = ("tiergate_breaker_transitions_total", &["dependency", "state"]);
        self.tally(name, labels, help, |shard| &shard.breaker_changes);
        let name = "tiergate_breaker_shards";
        self.text.family(name, Kind::Gauge, "Shards whose breaker is in this state.");
        for who in DependencyLabel::ALL {
            if self.absent.contains(&who.as_str()) {
                continue;
            }
            for state in 0..BreakerState::COUNT {
                let is_in = |shard: &&ShardCounts| {
                    shard.breakers[who.index()].load(Ordering::Relaxed) as usize == state
                };
                let shards = self.metrics.shards.iter().filter(is_in).count();
                let labels = [("dependency", who.as_str()), ("state", BreakerState::words(state)[0])];
                self.text.row(name, &labels, shards);
            }
        }
    }

    fn purges(&mut self) {
        let help =
            "Purges that began here, by what they name. Of keys, also those that an unsafe request caused.";
        self.tally("tiergate_purges_total", &["kind"], help, |shard| &shard.purges);
        let help =
            "Shards' parts of purges that some tier did not confirm: it may still hold what was purged.";
        self.tally("tiergate_purges_unconfirmed_total", &["kind"], help, |shard| &shard.unconfirmed);
    }

    fn watchers(&mut self) {
        if let Some(log) = &self.metrics.sources.log {
            let help = "Lines written to the access log.";
            self.text.single("tiergate_access_log_lines_total", Kind::Counter, help, log.written());
            let help = "Lines of the access log that were lost, because it could not be written fast enough, or not at all.";
            self.text.single("tiergate_access_log_dropped_total", Kind::Counter, help, log.dropped());
        }
        if let Some(tap) = &self.metrics.sources.tap {
            let help = "Events that were shown to the rules which watch one shard.";
            self.text.single("tiergate_tap_events_total", Kind::Counter, help, tap.checked());
            let name = "tiergate_tap_rules_broken_total";
            self.text.family(name, Kind::Counter, "Rules that the watched shard broke. Please report any.");
            for (rule, count) in tap.broken() {
                self.text.row(name, &[("rule", rule)], count);
            }
        }
    }

    fn process(&mut self) {
        let name = "tiergate_build_info";
        self.text.family(name, Kind::Gauge, "The version of the program.");
        self.text.row(name, &[("version", env!("CARGO_PKG_VERSION"))], 1);
        let began = self.metrics.began.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let help = "When the process began, in seconds since 1970.";
        self.text.single("process_start_time_seconds", Kind::Gauge, help, began);
        let Process { resident_bytes, open_fds, fds_max, cpu_seconds, threads } = Process::now();
        let gauges = [
            ("process_resident_memory_bytes", resident_bytes, "Resident memory of the process."),
            ("process_open_fds", open_fds, "Open file descriptors."),
            ("process_max_fds", fds_max, "Open file descriptors at most."),
            ("process_threads", threads, "Threads of the process."),
        ];
        for (name, value, help) in gauges {
            if let Some(value) = value {
                self.text.single(name, Kind::Gauge, help, value);
            }
        }
        if let Some(seconds) = cpu_seconds {
            let help = "User and system time of the process.";
            self.text.single("process_cpu_seconds_total", Kind::Counter, help, seconds);
        }
    }
}
