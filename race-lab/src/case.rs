//! The rows of the table: the client's actions, the requested response, and the published result.

use std::time::Duration;

/// The kind of socket between client and server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Unix,
    Tcp,
}

/// The side of the server that ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// hyper closes the stream; the ledger only observes.
    Server,
    /// The ledger takes the stream back and closes it gracefully: a lingering close.
    Ledger,
}

/// When the last chunk of the request, `0\r\n\r\n`, is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastChunk {
    /// In one write with the rest of the body.
    Together,
    /// In the next write, without a delay: a race with the server's reading.
    Separate,
    /// In a later write.
    Late(Duration),
    /// This long after the head of the response has arrived. The server has then responded without the last chunk, whatever
    /// the machine and its load.
    AfterHead(Duration),
}

/// The client's actions in one exchange.
#[derive(Clone, Copy, Debug)]
pub struct Script {
    pub last_chunk: LastChunk,
    pub request_says_close: bool,
    /// Shuts down the writing side after the request.
    pub half_closes: bool,
    /// How long the client waits between the head and the body of the response.
    pub stall: Duration,
    /// How long the client waits before each read of the body, of 256 KiB at most.
    pub pace: Duration,
}

/// How a row is run.
#[derive(Clone, Copy, Debug)]
pub enum Runner {
    /// One connection for each response, by the hand-written client.
    Connections { script: Script, runs: usize, at_once: usize },
    /// Keep-alive connections that repeatedly request small chunked responses.
    Stream { connections: usize, seconds: u64 },
    /// The Workers runtime is the client.
    Workerd { runs: usize },
}

/// The expected number of cut responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    Never,
    Always,
    /// At least one.
    Some,
    /// A race that each side wins sometimes: at least one, and not all.
    Race,
    /// Rare: a short run may have none.
    Rarely,
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub letter: char,
    pub title: &'static str,
    pub transport: Transport,
    /// hyper's `half_close` setting.
    pub half_close: bool,
    /// The side of the server that ends the connection.
    pub closing: Closing,
    /// The path of the request (`servers/shared/response_spec.rs`).
    pub target: &'static str,
    pub runner: Runner,
    /// By the index of the version in [`VERSIONS`].
    pub expected: [Expected; 5],
}

/// The versions of hyper in the lab, oldest first.
pub const VERSIONS: [&str; 5] = ["0.14.32", "1.8.1", "1.10.1", "1.11.0", "1.12.0"];

const STALL: Duration = Duration::from_millis(20);
const PLAIN: Script = Script {
    last_chunk: LastChunk::Together,
    request_says_close: false,
    half_closes: false,
    stall: STALL,
    pace: Duration::ZERO,
};
/// Over TCP: the last chunk is always late, and the reader is slower than the server, so that the server's kernel still
/// has part of the response queued when the server closes. With a reader as fast as the server the result would be random:
/// the bytes in flight at the reset may be the whole rest.
const UNREAD: Script = Script {
    last_chunk: LastChunk::AfterHead(Duration::from_millis(5)),
    pace: Duration::from_millis(2),
    ..PLAIN
};

const fn connections(script: Script, runs: usize) -> Runner {
    Runner::Connections { script, runs, at_once: 1 }
}

const UNFIXED_ALWAYS: [Expected; 5] =
    [Expected::Always, Expected::Always, Expected::Always, Expected::Never, Expected::Never];

/// Every row, in the table's order.
pub const CASES: [Case; 14] = [
    Case {
        letter: 'A',
        title: "request drained, keep-alive",
        transport: Transport::Unix,
        half_close: false,
        closing: Closing::Server,
        target: "/drain/keep/held/15000000",
        runner: connections(PLAIN, 25),
        expected: [Expected::Never; 5],
    },
    Case {
        letter: 'B',
        title: "request drained, Connection: close",
        transport: Transport::Unix,
        half_close: false,
        closing: Closing::Server,
        target: "/drain/close/held/15000000",
        runner: connections(Script { request_says_close: true, ..PLAIN }, 25),
        expected: [Expected::Never; 5],
    },
    Case {
        letter: 'C',
        title: "stops at boundary, keep-alive, 0-chunk in the same write",
        transport: Transport::Unix,
        half_close: false,
        closing: Closing::Server,
        target: "/boundary/keep/held/15000000",
        runner: connections(PLAIN, 25),
        expected: [Expected::Never; 5],
    },
    Case {
        letter: 'D',
        title: "stops at boundary, 0-chunk 5 ms later",
        transport: Transport::Unix,
        half_close: false,
        closing: Closing::Server,
        target: "/boundary/keep/held/15000000",
        runner: connections(Script { last_chunk: LastChunk::Late(Duration::from_millis(5)), ..PLAIN }, 25),
        expected: UNFIXED_ALWAYS,
    },
    Case {
        letter: 'E',
        title: "stops at boundary, 0-chunk in a write of its own",
        transport: Transport::Unix,
        half_close: false,
        closing: Closing::Server,
        target: "/boundary/keep/held/15000000",
        runner: connections(Script { last_chunk: LastChunk::Separate, ..PLAIN }, 100),
        expected: [Expected::Race, Expected::Race, Expected::Race, Expected::Never, Expected::Never],
    },
    Case {
        letter: 'F',
        title: "stops at boundary, response says Connection: close",
        transport: Transport::Unix,
        half_close: false,
        closing: Closing::Server,
        target: "/boundary/close/held/15000000",
        runner: connections(PLAIN, 25),
        expected: UNFIXED_ALWAYS,
    },
    Case {
        letter: 'G',
        title: "stops at boundary, request says Connection: close",
        transport: Transport::Unix,
        half_close: false,
        closing: Closing::Server,
        target: "/boundary/keep/held/15000000",
        runner: connections(Script { request_says_close: true, ..PLAIN }, 25),
        expected: UNFIXED_ALWAYS,
    },
    Case {
        letter: 'H',
        title: "as F, 400 kB, reader at full speed, 4 at once",
        transport: Transport::Unix,
        half_close: false,
        closing: Closing::Server,
        target: "/boundary/close/held/400000",
        runner: Runner::Connections {
            script: Script { stall: Duration::ZERO, ..PLAIN },
            runs: 200,
            at_once: 4,
        },
        expected: [Expected::Some, Expected::Some, Expected::Some, Expected::Never, Expected::Never],
    },
    Case {
        letter: 'I',
        title: "client half-closes, half_close(false)",
        transport: Transport::Unix,
        half_close: false,
        closing: Closing::Server,
        target: "/drain/keep/held/15000000",
        runner: connections(Script { half_closes: true, ..PLAIN }, 25),
        expected: [Expected::Always; 5],
    },
    Case {
        letter: 'J',
        title: "client half-closes, half_close(true), drained",
        transport: Transport::Unix,
        half_close: true,
        closing: Closing::Server,
        target: "/drain/keep/held/15000000",
        runner: connections(Script { half_closes: true, ..PLAIN }, 25),
        expected: [Expected::Never; 5],
    },
    Case {
        letter: 'K',
        title: "workerd is the client, case F",
        transport: Transport::Unix,
        half_close: false,
        closing: Closing::Server,
        target: "/boundary/close/held/15000000",
        runner: Runner::Workerd { runs: 25 },
        expected: UNFIXED_ALWAYS,
    },
    Case {
        letter: 'L',
        title: "stranded terminator: 18 B chunked from a thread, 6 at once",
        transport: Transport::Unix,
        half_close: false,
        closing: Closing::Server,
        target: "/drain/keep/fed/18",
        runner: Runner::Stream { connections: 6, seconds: 10 },
        expected: [Expected::Rarely, Expected::Never, Expected::Rarely, Expected::Rarely, Expected::Never],
    },
    Case {
        letter: 'M',
        title: "TCP, last chunk behind the head, slow reader: accepted is not received",
        transport: Transport::Tcp,
        half_close: false,
        closing: Closing::Server,
        target: "/boundary/keep/held/15000000",
        runner: connections(UNREAD, 25),
        expected: [Expected::Always; 5],
    },
    Case {
        letter: 'N',
        title: "as M, closed by the ledger",
        transport: Transport::Tcp,
        half_close: false,
        closing: Closing::Ledger,
        target: "/boundary/keep/held/15000000",
        runner: connections(UNREAD, 25),
        expected: UNFIXED_ALWAYS,
    },
];

impl Case {
    /// The case with fewer runs, for a quick look.
    pub fn quick(mut self) -> Self {
        match &mut self.runner {
            // The race needs a hundred runs.
            Runner::Connections { runs, .. } if self.letter != 'E' => *runs = runs.div_ceil(5),
            Runner::Connections { .. } => {}
            Runner::Stream { seconds, .. } => *seconds = 2,
            Runner::Workerd { runs } => *runs = 5,
        }
        self
    }

    pub fn find(letter: char) -> Option<Self> {
        CASES.into_iter().find(|case| case.letter == letter.to_ascii_uppercase())
    }
}

impl Expected {
    /// Whether `cut` of `runs` matches the published result.
    pub fn met_by(self, cut: usize, runs: usize) -> bool {
        match self {
            Self::Never => cut == 0,
            Self::Always => cut == runs,
            Self::Some => cut > 0,
            Self::Race => cut > 0 && cut < runs,
            Self::Rarely => cut * 100 < runs,
        }
    }

    pub fn word(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Always => "always",
            Self::Some => "some",
            Self::Race => "some and not all",
            Self::Rarely => "rarely",
        }
    }
}
