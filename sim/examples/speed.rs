//! How fast `run` lives a scenario of hits, beside hosts of the same network that only send bytes back.
//!
//! ```sh
//! cargo run --release -p tiergate-sim --example speed
//! ```
//!
//! Both worlds have the same hosts, latencies, connections, requests and bytes. Counted is processor time of the
//! process, in turn, and printed are replies a second of it, and the ratio of each round.

use clap::Parser as _;
use std::{fs, path::Path, process::ExitCode, time::Duration};
use tiergate_sim::{
    args::{Args, Command},
    run,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use turmoil::net::{TcpListener, TcpStream};

const CLIENTS: u32 = 2;
const STREAMS: u64 = 8;
const REQUESTS: u64 = 20_000;
const SIMULATED_S: u64 = 60;
const BODY_BYTES: usize = 2 << 10;
const REQUEST_BYTES: usize = 80;
const ROUNDS: usize = 5;
const PORT: u16 = 80;

fn main() -> ExitCode {
    let folder = std::env::temp_dir().join(format!("tiergate-speed-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("the system's folder for such files can be written to");
    let file = folder.join("hits.yaml");
    fs::write(&file, scenario()).expect("a folder of ours");
    println!("{:>12} {:>12} {:>8}", "run, 1/s", "echo, 1/s", "ratio");
    let mut ratios = Vec::new();
    for _ in 0..ROUNDS {
        let of_run = per_second(|| live(&file));
        let of_echo = per_second(echo);
        ratios.push(of_run / of_echo);
        println!("{of_run:>12.0} {of_echo:>12.0} {:>7.1}%", 100.0 * of_run / of_echo);
    }
    ratios.sort_by(f64::total_cmp);
    println!("median: {:.1}%", 100.0 * ratios[ROUNDS / 2]);
    let _ = fs::remove_dir_all(folder);
    ExitCode::SUCCESS
}

/// Replies of a processor second.
#[expect(clippy::cast_precision_loss, reason = "a number of some thousands")]
fn per_second(world: impl FnOnce()) -> f64 {
    let before = cpu();
    world();
    REQUESTS as f64 / (cpu() - before).as_secs_f64()
}

/// Processor time of the process so far, in ticks of 10 ms (proc(5)).
fn cpu() -> Duration {
    let text = fs::read_to_string("/proc/self/stat").expect("this system has /proc");
    let (_, fields) = text.rsplit_once(')').expect("the name is in parentheses");
    let ticks = fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok());
    Duration::from_millis(10 * ticks.sum::<u64>())
}

/// A few objects that stay fresh in memory, once they are there.
fn scenario() -> String {
    format!(
        "name: hits\ndescription: d\ntopology: {{edges: 1, clients: {CLIENTS}}}\nlatency: [1ms, 4ms]\n\
         cache: {{l0: {{capacity: 4MiB}}}}\n\
         objects: {{count: 20, size: {BODY_BYTES}, chunked_percent: 0, not_storable_percent: 0, \
         lifetime: 1h, version_every: 1h}}\n\
         workload: {{requests: {REQUESTS}, streams: {STREAMS}, timeout: 2s}}\n\
         faults_until: {}s\nsettle: {}s\n",
        SIMULATED_S * 4 / 5,
        2 * SIMULATED_S
    )
}

fn live(file: &Path) {
    let file = file.to_str().expect("a name of ours");
    let args = ["tiergate-sim", "run", file, "--seed", "1", "--jobs", "1", "--shrink-seconds", "0"];
    let Command::Run(args) = Args::parse_from(args).command else { unreachable!("it says so") };
    assert_eq!(run::run(args), ExitCode::SUCCESS);
}

/// The same hosts; each request takes a connection of its own, as there.
fn echo() {
    let mut sim = turmoil::Builder::new()
        .simulation_duration(Duration::from_secs(2 * SIMULATED_S))
        .tick_duration(Duration::from_millis(1))
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(Duration::from_millis(4))
        .build();
    sim.host("edge", || async {
        let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
        loop {
            let (mut stream, _) = listener.accept().await?;
            tokio::spawn(async move {
                let mut request = [0; REQUEST_BYTES];
                if stream.read_exact(&mut request).await.is_ok() {
                    let _ = stream.write_all(&[0; BODY_BYTES]).await;
                }
            });
        }
    });
    let each = REQUESTS / (u64::from(CLIENTS) * STREAMS);
    for client in 0..CLIENTS {
        sim.client(format!("client-{client}"), async move {
            let streams: Vec<_> = (0..STREAMS).map(|_| tokio::spawn(ask(each))).collect();
            for stream in streams {
                stream.await?;
            }
            Ok(())
        });
    }
    sim.run().expect("nothing fails here");
}

async fn ask(count: u64) {
    let between = Duration::from_millis(SIMULATED_S * 1_000 / count);
    for _ in 0..count {
        let mut stream = TcpStream::connect(("edge", PORT)).await.expect("it listens");
        stream.write_all(&[0; REQUEST_BYTES]).await.expect("it reads");
        let mut reply = [0; BODY_BYTES];
        stream.read_exact(&mut reply).await.expect("it answers");
        tokio::time::sleep(between.saturating_sub(Duration::from_millis(10))).await;
    }
}
