//! The load generator: several connections, one thread, batches in turn.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

pub struct Load {
    connections: Vec<Connection>,
    /// One for all: a batch is read to its end before another connection has its turn.
    incoming: Vec<u8>,
}

/// Commands that are sent together, and how many they are.
pub struct Trip {
    pub wire: Vec<u8>,
    pub commands: usize,
}

impl Trip {
    pub fn of<A: AsRef<[u8]>>(commands: &[A]) -> Trip {
        let wire = commands.iter().flat_map(|command| command.as_ref().iter().copied()).collect();
        Trip { wire, commands: commands.len() }
    }
}

impl Load {
    pub fn connect(addr: SocketAddr, clients: usize) -> Load {
        Load { connections: (0..clients).map(|_| Connection::new(addr)).collect(), incoming: vec![0; 1 << 20] }
    }

    /// Sends all commands in batches of `pipeline` and answers how long it took until the last reply.
    pub fn drive<A: AsRef<[u8]>>(&mut self, commands: &[A], pipeline: usize) -> Duration {
        // Laid out one behind the other before the clock starts: then there is nothing left to do but to send and to read.
        let mut wire = Vec::with_capacity(commands.iter().map(|command| command.as_ref().len()).sum());
        let batches = commands.chunks(pipeline).map(|batch| {
            batch.iter().for_each(|command| wire.extend_from_slice(command.as_ref()));
            (wire.len(), batch.len())
        });
        let batches: Vec<_> = batches.collect();
        let count = self.connections.len();
        let start = Instant::now();
        let mut from = 0;
        for (i, (to, commands)) in batches.into_iter().enumerate() {
            let connection = &mut self.connections[i % count];
            connection.take_replies(&mut self.incoming);
            connection.send(&wire[from..to], commands);
            from = to;
        }
        self.take_all();
        start.elapsed()
    }

    /// Makes calls of several round trips each, as many at once as there are connections, and answers how long it took. A
    /// trip begins when the one before it is over.
    pub fn drive_trips(&mut self, calls: &[Vec<Trip>]) -> Duration {
        let trips = calls.iter().map(Vec::len).max().unwrap_or(0);
        let start = Instant::now();
        for side_by_side in calls.chunks(self.connections.len()) {
            for trip in 0..trips {
                for (connection, call) in self.connections.iter_mut().zip(side_by_side) {
                    connection.take_replies(&mut self.incoming);
                    connection.send(&call[trip].wire, call[trip].commands);
                }
            }
        }
        self.take_all();
        start.elapsed()
    }

    /// Makes the calls one after the other over one connection and answers the microseconds that each took.
    pub fn time_trips(&mut self, calls: &[Vec<Trip>]) -> Vec<f64> {
        let connection = &mut self.connections[0];
        let timed = calls.iter().map(|call| {
            let start = Instant::now();
            for trip in call {
                connection.send(&trip.wire, trip.commands);
                connection.take_replies(&mut self.incoming);
            }
            start.elapsed().as_nanos() as f64 / 1000.0
        });
        timed.collect()
    }

    fn take_all(&mut self) {
        self.connections.iter_mut().for_each(|connection| connection.take_replies(&mut self.incoming));
    }
}

struct Connection {
    stream: TcpStream,
    expected: usize,
}

impl Connection {
    fn new(addr: SocketAddr) -> Connection {
        let stream = TcpStream::connect(addr).expect("the server takes connections");
        stream.set_nodelay(true).expect("TCP_NODELAY");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a read time-out");
        Connection { stream, expected: 0 }
    }

    fn send(&mut self, wire: &[u8], commands: usize) {
        self.expected = commands;
        self.stream.write_all(wire).expect("the server reads");
    }

    /// Reads the replies of the batch that is under way, and of their bulks only how long they are. A miss or an error ends
    /// the benchmark: it measures hits.
    fn take_replies(&mut self, incoming: &mut [u8]) {
        // `kept` is the beginning of a line that has not come to its end, `skip` what is left of a bulk.
        let (mut kept, mut skip) = (0, 0);
        while self.expected > 0 || skip > 0 {
            let n = self.stream.read(&mut incoming[kept..]).expect("the server answers");
            assert!(n > 0, "the server closed the connection");
            let filled = kept + n;
            let mut at = 0;
            loop {
                let over = skip.min(filled - at);
                (at, skip) = (at + over, skip - over);
                let Some(end) = memchr::memchr(b'\n', &incoming[at..filled]).filter(|_| skip == 0) else { break };
                assert!(self.expected > 0, "more came back than was asked for");
                let line = &incoming[at..=at + end];
                at += line.len();
                self.expected -= 1;
                match line[0] {
                    b'+' | b':' => {}
                    b'$' | b'*' if line[1] == b'-' => panic!("a miss where there should be only hits"),
                    b'$' => skip = number(line) + 2,
                    b'*' => self.expected += number(line),
                    _ => panic!("the server says: {}", String::from_utf8_lossy(line).trim_end()),
                }
            }
            incoming.copy_within(at..filled, 0);
            kept = filled - at;
        }
        assert_eq!(kept, 0, "more came back than was asked for");
    }
}

/// The number behind a reply's first byte.
fn number(line: &[u8]) -> usize {
    line[1..].iter().take_while(|byte| byte.is_ascii_digit()).fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0'))
}
