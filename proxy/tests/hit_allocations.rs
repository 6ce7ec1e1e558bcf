//! How often a hit in memory allocates, all threads of the process counted: what a client sends and receives
//! is in buffers that are there already.

use clap::Parser as _;
use std::{
    alloc::{GlobalAlloc, Layout, System},
    collections::BTreeSet,
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

/// Allocations of the whole process.
static COUNT: AtomicU64 = AtomicU64::new(0);

struct Counting;

// Safety: every call is handed to the system's allocator as it came, which keeps the promises of
// `GlobalAlloc`; beside that a counter is raised, which allocates nothing and cannot panic.
#[expect(unsafe_code, reason = "an allocator that counts can be written in no other way")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const BODY_BYTES: usize = 1024;
/// With those before, fewer than a connection may bring.
const HITS: u64 = 800;
/// What a hit may allocate at most.
const ALLOCATIONS_MAX: f64 = 8.0;

/// An origin with one object of 1 KiB.
fn origin() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let mut head = [0; 4096];
            // What cannot be read or written is the server's connection check, which asks nothing.
            if stream.read(&mut head).is_ok_and(|length| length > 0) {
                let mut response =
                    b"HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Length: 1024\r\n\r\n".to_vec();
                response.resize(response.len() + BODY_BYTES, b'x');
                drop(stream.write_all(&response));
            }
        }
    });
    address
}

/// Ports on which this process listens.
fn listening() -> BTreeSet<u16> {
    let own: BTreeSet<String> = fs::read_dir("/proc/self/fd")
        .expect("the system tells what is open")
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect();
    let sockets = fs::read_to_string("/proc/self/net/tcp").expect("the system tells its sockets");
    let listens = |line: &str| {
        let mut words = line.split_whitespace().skip(1);
        let (local, state) = (words.next()?, words.nth(1)?);
        let inode = words.nth(5)?;
        let port = u16::from_str_radix(local.split_once(':')?.1, 16).ok()?;
        (state == "0A" && own.contains(inode)).then_some(port)
    };
    sockets.lines().filter_map(listens).collect()
}

#[test]
fn a_hit_allocates_little() {
    let origin = origin();
    let site = tempfile::tempdir().expect("a directory");
    let config = site.path().join("tiergate.yaml");
    fs::write(&config, format!("listen: 127.0.0.1:0\norigin: http://{origin}\n")).expect("it can be written");
    let before = listening();
    thread::spawn(move || {
        let arguments = ["tiergate", "serve", "--config", config.to_str().expect("a path in UTF-8")];
        tiergate_proxy::run(tiergate_proxy::args::Arguments::parse_from(arguments))
    });
    let port = loop {
        if let Some(port) = listening().difference(&before).next() {
            break *port;
        }
        thread::yield_now();
    };
    let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("it listens");
    let mut buffer = [0; 8192];
    let mut asks_for_a_hit = || {
        client
            .write_all(b"GET /a HTTP/1.1\r\nHost: site.example\r\nUser-Agent: test\r\nAccept: */*\r\n\r\n")
            .expect("it reads");
        let mut read = 0;
        loop {
            let count = client.read(&mut buffer[read..]).expect("it answers");
            assert!(count > 0, "it closed after {}", String::from_utf8_lossy(&buffer[..read]));
            read += count;
            let head = buffer[..read].windows(4).position(|bytes| bytes == b"\r\n\r\n");
            if head.is_some_and(|head| read >= head + 4 + BODY_BYTES) {
                return buffer[..read].windows(13).any(|bytes| bytes == b"tiergate; hit");
            }
        }
    };
    while !asks_for_a_hit() {}
    for _ in 0..100 {
        assert!(asks_for_a_hit());
    }
    let before = COUNT.load(Ordering::Relaxed);
    for _ in 0..HITS {
        assert!(asks_for_a_hit());
    }
    let each = (COUNT.load(Ordering::Relaxed) - before) as f64 / HITS as f64;
    println!("{each:.2} allocations for each hit");
    assert!(each <= ALLOCATIONS_MAX, "{each:.2} allocations for each hit");
}
