"""Where a measurement was made, and its table."""

import os
import platform
import statistics
import subprocess
import time


def first(path, prefix):
    """What stands after the colon in the first line of a file that begins so."""
    with open(path) as file:
        for line in file:
            if line.startswith(prefix):
                return line.partition(":")[2].strip()
    return "unknown"


def commit():
    def git(*arguments):
        return subprocess.run(["git", *arguments], capture_output=True, text=True).stdout.strip()

    dirty = " with changes" if git("status", "--porcelain", "--untracked-files=no") else ""
    return (git("rev-parse", "--short=12", "HEAD") or "unknown") + dirty


def machine(options, data, caches):
    return {
        "when": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "commit": commit(),
        "processor": first("/proc/cpuinfo", "model name"),
        "cores": os.cpu_count(),
        "memory": first("/proc/meminfo", "MemTotal"),
        "kernel": platform.release(),
        "data": data,
        "load_before": os.getloadavg()[0],
        "rounds": options.rounds,
        "seconds": options.seconds,
        "connections": options.connections,
        "versions": {cache.name: cache.version() for cache in caches},
    }


def spread(values):
    return f"{min(values):.2f} / {statistics.median(values):.2f} / {max(values):.2f}"


def show(whole):
    """Markdown: medians of the rounds, and the ratios of each round's pair as min / median / max."""
    machine = whole["machine"]
    print(f"\n{machine['when']}, commit {machine['commit']}; {machine['processor']}, {machine['cores']} cores, "
          f"{machine['memory']}, Linux {machine['kernel']}, data in {machine['data']}, "
          f"load {machine['load_before']:.1f} before")
    print(f"{machine['rounds']} rounds of {machine['seconds']} s, {machine['connections']} connections; "
          + "; ".join(f"{name}: {version}" for name, version in machine["versions"].items()) + "\n")
    print("| workload | cache | CPU µs a request | requests/s | memory, MB | p50 / p99, µs | stored |")
    print("|---|---|---|---|---|---|---|")
    for result in whole["results"]:
        for name, rounds in result["caches"].items():
            def median(key):
                return statistics.median(one[key] for one in rounds)

            def latency(key):
                return statistics.median(one["latency_us"][key] for one in rounds)

            stored = [one["stored_share"] for one in rounds if one["stored_share"] is not None]
            print(f"| {result['what']} | {name} | {median('cpu_us'):.1f} | {median('requests_per_second'):.0f} | "
                  f"{median('memory_bytes') / 1e6:.0f} | {latency('p50'):.0f} / {latency('p99'):.0f} | "
                  f"{f'{min(stored):.0%}' if stored else ''} |")
    names = list(whole["machine"]["versions"])
    peers = [name for name in names if name in ("nginx", "varnish")]
    builds = [name for name in names if name not in peers]
    print("\nRatios of one round, min / median / max over the rounds. Below 1, the first takes less.\n")
    print("| workload | ratio | CPU a request | requests/s | memory |")
    print("|---|---|---|---|---|")
    # With several builds, each is compared with the first as well.
    pairs = [(build, peer) for build in builds for peer in peers] + [(build, builds[0]) for build in builds[1:]]
    for result in whole["results"]:
        for ours, theirs in pairs:
            both = list(zip(result["caches"][ours], result["caches"][theirs]))

            def ratio(key):
                return spread([one[key] / other[key] for one, other in both])

            print(f"| {result['what']} | {ours} / {theirs} | {ratio('cpu_us')} | {ratio('requests_per_second')} | "
                  f"{ratio('memory_bytes')} |")
