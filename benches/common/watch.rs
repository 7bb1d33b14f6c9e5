//! What a server does and holds.

use crate::harness::{until, Client, PATIENCE};
use std::time::Duration;

/// The CPU time the server has taken so far, in microseconds.
pub fn cpu_us(client: &mut Client) -> f64 {
    let info = client.info("cpu");
    let seconds = |name: &str| info.iter().find(|(n, _)| n == name).map_or(0.0, |(_, v)| v.parse().unwrap_or(0.0));
    (seconds("used_cpu_user") + seconds("used_cpu_sys")) * 1e6
}

/// Waits until the server's threads have nothing left to do: new answers rest for a moment before they are compressed.
pub fn settle(client: &mut Client) {
    const LOOK: Duration = Duration::from_millis(20);
    const LOOKS: u32 = 20;
    let mut idle = 0;
    until("the server is idle", PATIENCE * 15, || {
        let before = cpu_us(client);
        std::thread::sleep(LOOK);
        idle = if cpu_us(client) - before < LOOK.as_micros() as f64 / 10.0 { idle + 1 } else { 0 };
        idle >= LOOKS
    });
}

/// What the server has allocated, beside the buffers of its clients.
pub fn used_memory(client: &mut Client) -> f64 {
    let info = client.info("memory");
    let bytes = |name: &str| info.iter().find(|(n, _)| n == name).map_or(0.0, |(_, v)| v.parse().unwrap_or(0.0));
    bytes("used_memory") - bytes("mem_clients_normal")
}

/// What a cache tells of its size.
pub struct Size {
    pub entries: f64,
    pub bytes: f64,
    pub hot: f64,
    pub index: f64,
    pub raw: f64,
    pub stored: f64,
    pub is_indexed: bool,
    /// How it compresses.
    pub compress: String,
    /// What it tells of its dictionaries, if it has any.
    pub dictionaries: Option<String>,
}

impl Size {
    pub fn of(client: &mut Client, cache: &str) -> Size {
        let info = client.cmd(&["LLMCACHE.INFO", cache]);
        let figure = |name: &str| info.field(name).int() as f64;
        let part = |name: &str| info.field("memory").field(name).int() as f64;
        Size {
            entries: figure("entries"),
            bytes: figure("memory_bytes"),
            hot: part("hot"),
            index: part("index"),
            raw: figure("bytes_raw"),
            stored: figure("bytes_stored"),
            is_indexed: info.field("index").field("state").text() != "building",
            compress: info.field("compress").text(),
            dictionaries: info.get("dictionaries").map(|told| format!("{told:?}")),
        }
    }
}

/// Waits until a cache has done all that it does behind replies: it is indexed, compressed as it will be, and has looked
/// the same for `quiet`. Answers whether it came to rest within the deadline.
pub fn rest(client: &mut Client, cache: &str, quiet: Duration, deadline: Duration) -> bool {
    const LOOK: Duration = Duration::from_millis(100);
    let (mut waited, mut same) = (Duration::ZERO, Duration::ZERO);
    let mut before = None;
    while waited < deadline {
        let cpu = cpu_us(client);
        std::thread::sleep(LOOK);
        waited += LOOK;
        let size = Size::of(client, cache);
        let is_idle = cpu_us(client) - cpu < LOOK.as_micros() as f64 / 10.0;
        let now = Some((size.stored as u64, size.hot as u64, size.index as u64));
        same = if is_idle && size.is_indexed && now == before { same + LOOK } else { Duration::ZERO };
        before = now;
        if same >= quiet {
            return true;
        }
    }
    false
}

/// Lets all uncompressed copies of answers go, and leaves no room for others: `MAXMEMORY` becomes what the rest takes.
pub fn cool(client: &mut Client, cache: &str) {
    // Less than the smallest of them takes.
    const ROOM: f64 = 128.0;
    // Statistics are set more apart under a limit, the more the higher it is: a limit that leaves room for that comes first,
    // and each further one is what is left without hot copies.
    let mut limit = f64::INFINITY;
    loop {
        let size = Size::of(client, cache);
        let next = if limit.is_finite() { size.bytes - size.hot + ROOM } else { size.bytes * 1.25 };
        if next >= limit {
            return;
        }
        limit = next;
        client.words(&format!("LLMCACHE.ALTER {cache} MAXMEMORY {}", limit as u64)).ok();
    }
}
