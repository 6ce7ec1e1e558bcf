//! The result of a replay, for people and for machines.

use super::{
    Replayed,
    totals::{Count, Totals, ratios},
    trace::LeftOut,
};
use serde_json::{Value, json};
use std::{fmt::Write, path::Path, time::Duration};
use tiergate_engine::TierId;

/// A table that is read at once.
pub(super) fn table(file: &Path, replayed: &Replayed, took: Duration) -> String {
    let Replayed { totals, format, left_out } = replayed;
    let asked = totals.asked;
    let mut text = String::new();
    line(
        &mut text,
        format_args!(
            "{} ({format}): {} requests for {} over {}",
            file.display(),
            grouped(asked.requests),
            bytes(asked.bytes),
            span(totals.span_ms)
        ),
    );
    left_out_lines(&mut text, left_out);
    line(&mut text, format_args!(""));
    line(
        &mut text,
        format_args!(
            "{:<8}{:>15}{:>15}{:>11}{:>8}{:>12}{:>8}{:>13}",
            "", "asked", "hits", "hit ratio", "of all", "byte ratio", "of all", "bytes hit"
        ),
    );
    for (tier, came, tier_totals) in totals.walk() {
        let hits = tier_totals.hits;
        row(&mut text, tier.as_str(), came, hits, asked);
    }
    row(&mut text, "origin", totals.origin, totals.origin, asked);
    line(&mut text, format_args!(""));
    line(
        &mut text,
        format_args!(
            "{:<8}{:>26}{:>26}{:>26}{:>26}",
            "", "stored", "of these promoted", "evicted", "held at the end"
        ),
    );
    for (tier, totals) in &totals.tiers {
        let held = if *tier == TierId::L3 { "unknown".to_owned() } else { objects(totals.resident) };
        let (stored, promoted, evicted) =
            (objects(totals.stored), objects(totals.promoted), objects(totals.evicted));
        line(
            &mut text,
            format_args!("{:<8}{stored:>26}{promoted:>26}{evicted:>26}{held:>26}", tier.as_str()),
        );
    }
    write_amplification(&mut text, totals);
    let speed = asked.requests as f64 / took.as_secs_f64().max(1e-9);
    line(&mut text, format_args!("\n{} requests replayed per second", grouped(speed as u64)));
    text
}

fn row(text: &mut String, name: &str, came: Count, hits: Count, asked: Count) {
    let (of_came, bytes_of_came) = ratios(hits, came);
    let (of_all, bytes_of_all) = ratios(hits, asked);
    line(
        text,
        format_args!(
            "{name:<8}{:>15}{:>15}{of_came:>11.4}{of_all:>8.4}{bytes_of_came:>12.4}{bytes_of_all:>8.4}{:>13}",
            grouped(came.requests),
            grouped(hits.requests),
            bytes(hits.bytes)
        ),
    );
}

fn write_amplification(text: &mut String, totals: &Totals) {
    let Some(l2) = totals.tiers.get(&TierId::L2) else { return };
    if let (Some(device), Some(amplification)) = (l2.device, l2.write_amplification()) {
        let [sum, appended, moved, marks] =
            [device.sum(), device.appended, device.moved, device.marks].map(bytes);
        line(
            text,
            format_args!(
                "\nl2 wrote {sum} to its device, {amplification:.3} for each byte that it stored: {appended} for \
                 objects, {moved} again for those that were used, {marks} to mark segments"
            ),
        );
    }
}

fn left_out_lines(text: &mut String, left_out: &LeftOut) {
    let LeftOut { other_methods, other_statuses, unknown_sizes, reordered, malformed, examples, .. } =
        left_out;
    let parts = [
        (*other_methods, "with methods other than GET and HEAD"),
        (*other_statuses, "with statuses that are not cached"),
        (*unknown_sizes, "of unknown size: HEAD or 304 for what was not seen whole before"),
        (*malformed, "malformed lines:"),
    ];
    let total: u64 = parts.iter().map(|(count, _)| count).sum();
    if total > 0 {
        line(text, format_args!("{} lines were left out:", grouped(total)));
        for (count, what) in parts.into_iter().filter(|(count, _)| *count > 0) {
            line(text, format_args!("  {} {what}", grouped(count)));
        }
        for example in examples {
            line(text, format_args!("    {example}"));
        }
    }
    if *reordered > 0 {
        let reordered = grouped(*reordered);
        line(
            text,
            format_args!(
                "{reordered} lines are earlier than those before, and were replayed where they stand"
            ),
        );
    }
}

/// Everything, in numbers.
pub(super) fn json(file: &Path, replayed: &Replayed, took: Duration) -> Value {
    let Replayed { totals, format, left_out } = replayed;
    let count = |count: Count| json!({ "count": count.requests, "bytes": count.bytes });
    let tiers: Vec<Value> = totals
        .walk()
        .map(|(tier, came, totals)| {
            let (hit_ratio, byte_hit_ratio) = ratios(totals.hits, came);
            json!({
                "tier": tier.as_str(),
                "requests": count(came),
                "hits": count(totals.hits),
                "hit_ratio": hit_ratio,
                "byte_hit_ratio": byte_hit_ratio,
                "stored": count(totals.stored),
                "promoted": count(totals.promoted),
                "evicted": count(totals.evicted),
                "resident": (tier != TierId::L3).then(|| count(totals.resident)),
                "device_bytes_written": totals.device.map(|device| device.sum()),
                "device_bytes_appended": totals.device.map(|device| device.appended),
                "device_bytes_moved": totals.device.map(|device| device.moved),
                "device_bytes_of_marks": totals.device.map(|device| device.marks),
                "write_amplification": totals.write_amplification(),
                "log_amplification": totals.log_amplification(),
            })
        })
        .collect();
    let (miss_ratio, byte_miss_ratio) = totals.miss_ratios();
    json!({
        "file": file.display().to_string(),
        "format": format.to_string(),
        "requests": count(totals.asked),
        "span_ms": totals.span_ms,
        "tiers": tiers,
        "origin": count(totals.origin),
        "miss_ratio": miss_ratio,
        "byte_miss_ratio": byte_miss_ratio,
        "left_out": {
            "other_methods": left_out.other_methods,
            "other_statuses": left_out.other_statuses,
            "unknown_sizes": left_out.unknown_sizes,
            "malformed": left_out.malformed,
            "malformed_examples": left_out.examples.iter().map(ToString::to_string).collect::<Vec<_>>(),
        },
        "reordered": left_out.reordered,
        "requests_per_second": totals.asked.requests as f64 / took.as_secs_f64().max(1e-9),
    })
}

fn line(text: &mut String, content: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{content}");
}

fn objects(count: Count) -> String {
    format!("{} ({})", grouped(count.requests), bytes(count.bytes))
}

/// A number with its thousands apart.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes with three digits and a unit of two to the tenth.
fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = UNITS[0];
    for next in &UNITS[1..] {
        if value < 999.5 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    let digits = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
    format!("{value:.digits$} {unit}")
}

/// Time in the two largest units that fit.
fn span(ms: u64) -> String {
    let s = ms / 1_000;
    match s {
        0 => format!("{ms} ms"),
        1..60 => format!("{s} s"),
        60..3_600 => format!("{} min {} s", s / 60, s % 60),
        3_600..86_400 => format!("{} h {} min", s / 3_600, s % 3_600 / 60),
        _ => format!("{} d {} h", s / 86_400, s % 86_400 / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_easy_to_read() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [0, 1023, 1024, 10 << 20, 1_048_575, 150 << 30].map(bytes),
            ["0 B", "1023 B", "1.00 KiB", "10.0 MiB", "1.00 MiB", "150 GiB"]
        );
        assert_eq!(
            [5, 59_000, 61_000, 3_700_000, 90_000_000].map(span),
            ["5 ms", "59 s", "1 min 1 s", "1 h 1 min", "1 d 1 h"]
        );
    }
}
