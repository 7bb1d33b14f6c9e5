//! RESTORE of payloads that somebody has damaged: an error or a cache, and a server that goes on either way.

use crate::harness::{args, cmd, Client, Reply, Server};
use crate::support::{get, set, Dice};

/// The server's version of the format (2 bytes) and its checksum (8 bytes) at a payload's end.
pub const FOOTER: usize = 10;

/// The type's byte and the module's id: behind them is what the module wrote.
pub const HEAD: usize = 10;

/// CRC-64/Jones, as the server has it at the end of a payload.
fn crc64(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(
            crc ^ u64::from(*byte),
            |crc: u64, _| if crc & 1 == 1 { crc >> 1 ^ 0x95ac_9329_ac4b_c9b5 } else { crc >> 1 },
        )
    })
}

/// A payload around this body, as valid as its body is.
pub fn sealed(body: &[u8], version: &[u8]) -> Vec<u8> {
    let mut payload = [body, version].concat();
    let crc = crc64(&payload);
    payload.extend_from_slice(&crc.to_le_bytes());
    payload
}

/// A cache with something of everything, and its DUMP.
fn dump(c: &mut Client) -> Vec<u8> {
    c.words("LLMCACHE.CREATE faq STALE 5 PRICE gpt 1 2 MAXENTRIES 50").ok();
    c.words("LLMCACHE.STRATEGY faq SET mine TTL 500 STALE 1 JITTER 5").ok();
    c.words("LLMCACHE.RULE faq SET r TYPE t MODEL * STRATEGY mine").ok();
    c.words("LLMCACHE.ALERT faq SET a roi ABOVE 5 WINDOW 60").ok();
    set(c, "raw", "short", "PERSIST TAGS 2 x y META {}").ok();
    set(c, "model", "2", "EX 1000 MODEL gpt SCOPE s SYSTEM sys PARAMS {\"t\":1}").ok();
    // The newest stands last; it ends with what no byte of the footer can stand for.
    set(c, "packed", &"three ".repeat(100), "TYPE t COST 0.5 STALE 100").ok();
    cmd!(c, "DUMP", "faq").bytes().to_vec()
}

fn body(payload: &[u8]) -> (&[u8], &[u8]) {
    let (body, footer) = payload.split_at(payload.len() - FOOTER);
    (body, &footer[..2])
}

/// The same payload with a bit or a few turned, and sealed again.
pub fn damaged(payload: &[u8], dice: &mut Dice) -> Vec<u8> {
    let (body, version) = body(payload);
    let mut bytes = body.to_vec();
    for _ in 0..1 + dice.below(2) {
        let at = HEAD + dice.below((bytes.len() - HEAD) as u64) as usize;
        bytes[at] ^= 1 << dice.below(8);
    }
    sealed(&bytes, version)
}

/// Everything that reads a cache, at one that may be odd, and the untouched one beside it.
fn look_everywhere(c: &mut Client) {
    let commands = [
        "LLMCACHE.GET k raw",
        "LLMCACHE.GET k packed STALEOK WITHMETA",
        "LLMCACHE.EXPLAIN k raw",
        "LLMCACHE.SCAN k 0 COUNT 100",
        "LLMCACHE.INFO k",
        "LLMCACHE.STATS k",
        "LLMCACHE.STATS",
        "MEMORY USAGE k",
        "DEBUG DIGEST-VALUE k",
        "LLMCACHE.INVALIDATE k TAG 1 x DRYRUN",
        "DUMP k",
        "COPY k copy",
        "LLMCACHE.SET k new r",
        "LLMCACHE.ALTER k MAXENTRIES 1",
        "LLMCACHE.INVALIDATE k ALL",
        "UNLINK k",
        "DEL copy",
    ];
    let commands: Vec<_> =
        commands.iter().map(|line| line.split(' ').map(|word| word.as_bytes().to_vec()).collect()).collect();
    let replies = c.pipeline(&commands);
    assert!(!replies[10].is_error() && !replies[4].is_error(), "{replies:?}");
    assert_eq!(get(c, "raw", "NOTOUCH"), "short");
}

/// Restores payloads and answers how many were taken; none of them harms the server.
fn restore_all(c: &mut Client, bodies: &[Vec<u8>], version: &[u8]) -> usize {
    let mut taken = 0;
    for chunk in bodies.chunks(50) {
        let commands: Vec<_> =
            chunk.iter().map(|body| args!["RESTORE", "k", 0, sealed(body, version), "REPLACE"]).collect();
        for (command, reply) in commands.iter().zip(c.pipeline(&commands)) {
            match reply {
                Reply::Error(error) => assert!(error.starts_with("ERR Bad data format"), "{error}"),
                reply => {
                    reply.ok();
                    taken += 1;
                    // The pipeline may have put another one in its place since.
                    c.cmd(command).ok();
                    look_everywhere(c);
                }
            }
        }
    }
    taken
}

#[test]
fn the_checksum_is_the_servers() {
    assert_eq!(crc64(b"123456789"), 0xe9c6_d914_c4b8_d9ca);
    let server = Server::start();
    let mut c = server.client();
    let payload = dump(&mut c);
    let (body, version) = body(&payload);
    assert_eq!(sealed(body, version), payload);
    let mut wrong = payload.clone();
    wrong[HEAD + 20] ^= 1;
    assert!(cmd!(c, "RESTORE", "k", 0, wrong).error().contains("checksum"));
}

#[test]
fn a_truncated_payload_is_an_error_wherever_it_ends() {
    let server = Server::start();
    let mut c = server.client();
    // What the server has compressed may say the same with another last byte.
    c.words("CONFIG SET rdbcompression no").ok();
    let payload = dump(&mut c);
    let (body, version) = body(&payload);
    let cut: Vec<_> = (HEAD..body.len()).map(|end| body[..end].to_vec()).collect();
    assert!(cut.len() > 500);
    assert_eq!(restore_all(&mut c, &cut, version), 0);
    assert_eq!(cmd!(c, "EXISTS", "k"), 0);
    assert_eq!(get(&mut c, "raw", ""), "short");
}

#[test]
fn a_mutated_payload_never_takes_the_server_down() {
    let server = Server::start();
    let mut c = server.client();
    let payload = dump(&mut c);
    let (body, version) = body(&payload);
    let mut dice = Dice::new("mutations");
    let mutated: Vec<_> = (0..4000)
        .map(|_| {
            let mut bytes = body.to_vec();
            for _ in 0..1 + dice.below(3) {
                let at = HEAD + dice.below((bytes.len() - HEAD) as u64) as usize;
                match dice.below(6) {
                    0 => bytes[at] = dice.below(256) as u8,
                    1 => bytes[at] = [0, 1, 0x7f, 0x80, 0x81, 0xff][dice.below(6) as usize],
                    2 => bytes.insert(at, dice.below(256) as u8),
                    3 => {
                        bytes.remove(at);
                    }
                    4 => {
                        let end = (at + 1 + dice.below(8) as usize).min(bytes.len());
                        bytes[at..end].fill(0xff);
                    }
                    _ => bytes[at] ^= 1 << dice.below(8),
                }
            }
            bytes
        })
        .collect();
    let taken = restore_all(&mut c, &mutated, version);
    println!("{taken} of {} were taken", mutated.len());
    assert!(taken > 0 && taken < mutated.len(), "{taken} of {} taken", mutated.len());
    assert_eq!(get(&mut c, "raw", ""), "short");
}

#[test]
fn every_single_byte_may_be_wrong() {
    let server = Server::start();
    let mut c = server.client();
    let payload = dump(&mut c);
    let (body, version) = body(&payload);
    let mut dice = Dice::new("bytes");
    let mutated: Vec<_> = (HEAD..body.len())
        .flat_map(|at| [0x01, 0x80, 1 << dice.below(8)].map(|flip| (at, flip)))
        .map(|(at, flip)| {
            let mut bytes = body.to_vec();
            bytes[at] ^= flip;
            bytes
        })
        .collect();
    let taken = restore_all(&mut c, &mutated, version);
    assert!(taken > 0 && taken < mutated.len(), "{taken} of {} taken", mutated.len());
}

#[test]
fn a_payload_of_the_future_is_refused() {
    let server = Server::start();
    let mut c = server.client();
    let payload = dump(&mut c);
    let (body, version) = body(&payload);
    // An opcode (2: a number follows), then the version of the format, which is 5.
    assert_eq!(body[HEAD..HEAD + 2], [2, 5], "the payload begins otherwise than this test knows");
    for format in [0, 6, 63] {
        let mut other = body.to_vec();
        other[HEAD + 1] = format;
        assert!(cmd!(c, "RESTORE", "k", 0, sealed(&other, version)).is_error(), "{format}");
    }
    server.wait_for_log("a cache cannot be loaded");
}
