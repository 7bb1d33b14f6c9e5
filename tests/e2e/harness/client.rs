//! A connection. Every read has a deadline, and a failure says what was sent.

use super::resp::{encode, Reply};
use super::PATIENCE;
use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// What can stand in [`super::cmd!`]: text, bytes and numbers.
pub trait ToArg {
    fn to_arg(&self) -> Vec<u8>;
}

macro_rules! to_arg {
    ($($bytes:ty),*; $($shown:ty),*) => {
        $(impl ToArg for $bytes {
            fn to_arg(&self) -> Vec<u8> {
                AsRef::<[u8]>::as_ref(self).to_vec()
            }
        })*
        $(impl ToArg for $shown {
            fn to_arg(&self) -> Vec<u8> {
                self.to_string().into_bytes()
            }
        })*
    };
}

to_arg!(str, String, [u8], Vec<u8>; i32, i64, u16, u32, u64, i128, u128, usize, f32, f64, char);

impl<const N: usize> ToArg for [u8; N] {
    fn to_arg(&self) -> Vec<u8> {
        self.to_vec()
    }
}

impl<T: ToArg + ?Sized> ToArg for &T {
    fn to_arg(&self) -> Vec<u8> {
        (**self).to_arg()
    }
}

/// A published message, in either protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub channel: String,
    pub payload: String,
}

/// The socket behind the reader: it gives up at the deadline and can keep what it read.
struct Wire {
    stream: TcpStream,
    deadline: Instant,
}

impl Read for Wire {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        // A time-out of zero would mean none at all.
        self.stream.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
        loop {
            match self.stream.read(buf) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Err(io::ErrorKind::TimedOut.into()),
                other => return other,
            }
        }
    }
}

/// Keeps a copy of all that goes through.
struct Tee<'a, R> {
    from: &'a mut R,
    copy: Vec<u8>,
}

impl<R: BufRead> Read for Tee<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.from.read(buf)?;
        self.copy.extend_from_slice(&buf[..n]);
        Ok(n)
    }
}

impl<R: BufRead> BufRead for Tee<'_, R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.from.fill_buf()
    }

    fn consume(&mut self, n: usize) {
        // What is consumed was in the buffer, so this reads nothing.
        if let Ok(buf) = self.from.fill_buf() {
            self.copy.extend_from_slice(&buf[..n]);
        }
        self.from.consume(n);
    }
}

/// A connection to a server, RESP2 until [`Client::hello3`].
///
/// The plain methods panic when the connection fails, since a test has no other way out; `try_cmd` and `try_read` are
/// for tests in which it is meant to fail.
pub struct Client {
    reader: BufReader<Wire>,
    // Servers differ in whether a command's pushes come before its reply, so either waits for who asks for it.
    pushes: VecDeque<Reply>,
    replies: VecDeque<Reply>,
    resp3: bool,
    patience: Duration,
    sent: String,
}

impl Client {
    /// Connects. Use [`super::Server::client`] where there is a server.
    pub fn connect(addr: SocketAddr) -> io::Result<Client> {
        let stream = TcpStream::connect_timeout(&addr, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let wire = Wire { stream, deadline: Instant::now() };
        let reader = BufReader::with_capacity(64 * 1024, wire);
        Ok(Client {
            reader,
            pushes: VecDeque::new(),
            replies: VecDeque::new(),
            resp3: false,
            patience: PATIENCE,
            sent: String::new(),
        })
    }

    /// How long a reply may take; [`PATIENCE`] unless told.
    pub fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Switches to RESP3.
    pub fn hello3(mut self) -> Client {
        self.resp3 = true;
        let hello = self.words("HELLO 3");
        assert_eq!(*hello.field("proto"), 3, "no RESP3: {hello:?}");
        self
    }

    /// Sends one command and answers its reply, an error included.
    #[track_caller]
    pub fn cmd<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Reply {
        self.send(args);
        self.read()
    }

    /// Sends the words of a line as one command: `client.words("CONFIG SET maxmemory 1mb")`.
    #[track_caller]
    pub fn words(&mut self, line: &str) -> Reply {
        self.cmd(&line.split_whitespace().collect::<Vec<_>>())
    }

    /// As [`Client::cmd`], for a connection that may break.
    pub fn try_cmd<A: AsRef<[u8]>>(&mut self, args: &[A]) -> io::Result<Reply> {
        self.try_send(&encode(args))?;
        self.try_read()
    }

    /// Sends several commands in one write and answers their replies.
    #[track_caller]
    pub fn pipeline(&mut self, commands: &[Vec<Vec<u8>>]) -> Vec<Reply> {
        let wire: Vec<u8> = commands.iter().flat_map(|args| encode(args)).collect();
        self.send_raw(&wire);
        commands.iter().map(|_| self.read()).collect()
    }

    /// Sends a command and does not wait: for blocking commands.
    #[track_caller]
    pub fn send<A: AsRef<[u8]>>(&mut self, args: &[A]) {
        self.send_raw(&encode(args));
    }

    /// Sends bytes as they are.
    #[track_caller]
    pub fn send_raw(&mut self, wire: &[u8]) {
        self.try_send(wire).unwrap_or_else(|e| panic!("cannot send {}: {e}", self.sent));
    }

    fn try_send(&mut self, wire: &[u8]) -> io::Result<()> {
        self.sent = wire[..wire.len().min(200)].escape_ascii().to_string();
        self.reader.get_mut().stream.write_all(wire)
    }

    /// Reads the next reply; what a RESP3 server pushes in between is kept for [`Client::push`].
    #[track_caller]
    pub fn read(&mut self) -> Reply {
        self.try_read().unwrap_or_else(|e| panic!("no reply to {}: {e}", self.sent))
    }

    /// As [`Client::read`], for a connection that may break.
    pub fn try_read(&mut self) -> io::Result<Reply> {
        self.wait_at_most(self.patience);
        loop {
            if let Some(reply) = self.replies.pop_front() {
                return Ok(reply);
            }
            self.sort_next()?;
        }
    }

    /// The next reply if one begins within this time: to show that a client is still blocked.
    #[track_caller]
    pub fn read_within(&mut self, time: Duration) -> Option<Reply> {
        self.sort_while(time, |client| client.replies.is_empty());
        self.replies.pop_front()
    }

    /// Sends a command and answers the very bytes of its reply.
    #[track_caller]
    pub fn raw<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Vec<u8> {
        self.send(args);
        self.wait_at_most(self.patience);
        let mut tee = Tee { from: &mut self.reader, copy: Vec::new() };
        let read = Reply::read(&mut tee);
        let copy = tee.copy;
        read.unwrap_or_else(|e| panic!("no reply to {}: {e}; so far: {}", self.sent, copy.escape_ascii()));
        copy
    }

    /// Closes the connection for writing, as a client that goes away; what the server still says can be read.
    pub fn hang_up(&mut self) {
        let _ = self.reader.get_mut().stream.shutdown(Shutdown::Write);
    }

    /// Whether the server closes this connection within the patience, with whatever it says before.
    pub fn is_closed_by_server(&mut self) -> bool {
        self.wait_at_most(self.patience);
        match self.reader.read_to_end(&mut Vec::new()) {
            Ok(_) => true,
            Err(e) => e.kind() == io::ErrorKind::ConnectionReset,
        }
    }

    /// This connection's id, as `CLIENT KILL ID` and `CLIENT LIST` know it.
    #[track_caller]
    pub fn id(&mut self) -> i64 {
        self.words("CLIENT ID").int()
    }

    /// A section of INFO: name and value of each line.
    #[track_caller]
    pub fn info(&mut self, section: &str) -> Vec<(String, String)> {
        let text = self.words(&format!("INFO {section}")).text();
        let pairs = text.lines().filter_map(|line| line.split_once(':'));
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// One value of INFO.
    #[track_caller]
    pub fn info_field(&mut self, section: &str, name: &str) -> Option<String> {
        self.info(section).into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// The next RESP3 push.
    #[track_caller]
    pub fn push(&mut self) -> Reply {
        let patience = self.patience;
        self.push_within(patience).unwrap_or_else(|| panic!("no push within {patience:?}"))
    }

    /// The next RESP3 push if one begins within this time.
    #[track_caller]
    pub fn push_within(&mut self, time: Duration) -> Option<Reply> {
        self.sort_while(time, |client| client.pushes.is_empty());
        self.pushes.pop_front()
    }

    /// Subscribes to channels, or with `*` in one to patterns. From now on this is for [`Client::message`].
    #[track_caller]
    pub fn subscribe(&mut self, channels: &[&str]) {
        let pattern = channels.iter().any(|channel| channel.contains('*'));
        let mut args = vec![if pattern { "PSUBSCRIBE" } else { "SUBSCRIBE" }];
        args.extend(channels);
        self.send(&args);
        for channel in channels {
            let confirmed = self.published(self.patience).unwrap_or_else(|| panic!("not subscribed to {channel}"));
            assert_eq!(confirmed.at(1).text(), *channel, "{confirmed:?}");
        }
    }

    /// The next message of a subscription.
    #[track_caller]
    pub fn message(&mut self) -> Message {
        let patience = self.patience;
        self.message_within(patience).unwrap_or_else(|| panic!("no message within {patience:?}"))
    }

    /// The next message of a subscription if one begins within this time.
    #[track_caller]
    pub fn message_within(&mut self, time: Duration) -> Option<Message> {
        let reply = self.published(time)?;
        let items = reply.items();
        assert!(reply.at(0).text().ends_with("message"), "expected a message, got {reply:?}");
        let [.., channel, payload] = items else { panic!("expected a message, got {reply:?}") };
        Some(Message { channel: channel.text(), payload: payload.text() })
    }

    #[track_caller]
    fn published(&mut self, time: Duration) -> Option<Reply> {
        if self.resp3 {
            self.push_within(time)
        } else {
            self.read_within(time)
        }
    }

    fn wait_at_most(&mut self, time: Duration) {
        self.reader.get_mut().deadline = Instant::now() + time;
    }

    /// Reads what comes next and puts it where it belongs.
    fn sort_next(&mut self) -> io::Result<()> {
        match Reply::read(&mut self.reader)? {
            push @ Reply::Push(_) => self.pushes.push_back(push),
            reply => self.replies.push_back(reply),
        }
        Ok(())
    }

    /// Reads and sorts as long as something begins within this time and more is wanted.
    #[track_caller]
    fn sort_while(&mut self, time: Duration, wanted: impl Fn(&Client) -> bool) {
        let end = Instant::now() + time;
        while wanted(self) && self.begins_within(end.saturating_duration_since(Instant::now())) {
            self.wait_at_most(self.patience);
            if let Err(e) = self.sort_next() {
                panic!("no reply to {}: {e}", self.sent);
            }
        }
    }

    /// Whether a byte comes within this time.
    #[track_caller]
    fn begins_within(&mut self, time: Duration) -> bool {
        self.wait_at_most(time);
        match self.reader.fill_buf() {
            Ok(bytes) => {
                assert!(!bytes.is_empty(), "the server closed the connection after {}", self.sent);
                true
            }
            Err(e) if e.kind() == io::ErrorKind::TimedOut => false,
            Err(e) => panic!("the connection broke after {}: {e}", self.sent),
        }
    }
}
