//! The load generator: several connections, one thread, batches in turn.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

pub struct Load {
    connections: Vec<Connection>,
}

impl Load {
    pub fn connect(addr: SocketAddr, clients: usize) -> Load {
        Load { connections: (0..clients).map(|_| Connection::new(addr)).collect() }
    }

    /// Sends all commands in batches of `pipeline` and answers how long it took until the last reply.
    pub fn drive(&mut self, commands: &[&[u8]], pipeline: usize) -> Duration {
        let count = self.connections.len();
        let start = Instant::now();
        for (i, batch) in commands.chunks(pipeline).enumerate() {
            let connection = &mut self.connections[i % count];
            connection.take_replies();
            connection.send(batch);
        }
        self.connections.iter_mut().for_each(Connection::take_replies);
        start.elapsed()
    }
}

struct Connection {
    stream: TcpStream,
    outgoing: Vec<u8>,
    incoming: Vec<u8>,
    expected: usize,
}

impl Connection {
    fn new(addr: SocketAddr) -> Connection {
        let stream = TcpStream::connect(addr).expect("the server takes connections");
        stream.set_nodelay(true).expect("TCP_NODELAY");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a read time-out");
        Connection { stream, outgoing: Vec::new(), incoming: Vec::new(), expected: 0 }
    }

    fn send(&mut self, batch: &[&[u8]]) {
        self.expected = batch.len();
        self.outgoing.clear();
        batch.iter().for_each(|command| self.outgoing.extend_from_slice(command));
        self.stream.write_all(&self.outgoing).expect("the server reads");
    }

    /// Reads the replies of the batch that is under way. A miss or an error ends the benchmark: it measures hits.
    fn take_replies(&mut self) {
        let (mut done, mut filled) = (0, 0);
        while self.expected > 0 {
            match reply_len(&self.incoming[done..filled]) {
                Some(len) => {
                    done += len;
                    self.expected -= 1;
                }
                None => {
                    if self.incoming.len() < filled + 64 * 1024 {
                        self.incoming.resize(filled + 256 * 1024, 0);
                    }
                    let n = self.stream.read(&mut self.incoming[filled..]).expect("the server answers");
                    assert!(n > 0, "the server closed the connection");
                    filled += n;
                }
            }
        }
        assert_eq!(done, filled, "more came back than was asked for");
    }
}

/// How long the reply is that begins here; none while it is not whole.
fn reply_len(bytes: &[u8]) -> Option<usize> {
    let line = bytes.iter().position(|&b| b == b'\n')? + 1;
    let text = || String::from_utf8_lossy(&bytes[..line]).trim_end().to_owned();
    let len = match bytes[0] {
        b'+' => line,
        b'$' if bytes[1] == b'-' => panic!("a miss where there should be only hits"),
        b'$' => line + text()[1..].parse::<usize>().expect("a length") + 2,
        _ => panic!("the server says: {}", text()),
    };
    (bytes.len() >= len).then_some(len)
}
