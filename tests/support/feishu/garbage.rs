//! Frames that mean nothing, and frames that would do harm.

use super::super::mock::connections::Socket;
use super::wire::{Frame, put_bytes, put_number};

/// What acknowledgements of garbage name; whether there are any is nobody's business.
pub(super) const NAME: &str = "garbage";

/// A kind of garbage.
pub(crate) enum Garbage {
    Text(&'static str),
    Bytes(Vec<u8>),
    Frame(Frame),
}

/// A kind by name, and how to make some.
type Kind = (&'static str, fn() -> Garbage);

/// All kinds, by name.
pub(crate) const KINDS: &[Kind] = &[
    ("text", || Garbage::Text("hello")),
    ("JSON", || Garbage::Text(r#"{"code":0}"#)),
    ("nothing", || Garbage::Bytes(Vec::new())),
    ("noise", || {
        Garbage::Bytes((0..300).map(|n: u32| (n * 7 % 251) as u8).collect())
    }),
    ("an endless number", || Garbage::Bytes(vec![0xff; 64])),
    ("half a frame", || {
        let mut bytes = event(&[], b"{}").encode();
        bytes.truncate(bytes.len() / 2);
        Garbage::Bytes(bytes)
    }),
    ("a length beyond the end", || {
        Garbage::Bytes(vec![0x42, 0xff, 0xff, 0xff, 0xff, 0x0f])
    }),
    ("required fields missing", || {
        let mut bytes = Vec::new();
        put_number(&mut bytes, 4, 1);
        Garbage::Bytes(bytes)
    }),
    ("a header without a value", || {
        let mut bytes = event(&[], b"{}").encode();
        let mut header = Vec::new();
        put_bytes(&mut header, 1, b"sum");
        put_bytes(&mut bytes, 5, &header);
        Garbage::Bytes(bytes)
    }),
    ("unknown fields", || {
        let mut bytes = event(&[("type", "novelty")], b"{}").encode();
        put_number(&mut bytes, 77, 7);
        put_bytes(&mut bytes, 78, b"new");
        Garbage::Bytes(bytes)
    }),
    ("an unknown method", || {
        let mut frame = event(&[("type", "event")], b"{}");
        frame.method = 9;
        Garbage::Frame(frame)
    }),
    ("an unknown type", || {
        Garbage::Frame(event(&[("type", "novelty")], b"{}"))
    }),
    ("a card of old", || {
        Garbage::Frame(event(&[("type", "card")], b"{}"))
    }),
    ("no headers", || {
        Garbage::Frame(Frame {
            method: 1,
            payload: Some(b"{}".to_vec()),
            ..Frame::default()
        })
    }),
    ("no payload", || {
        let mut frame = event(&whole(), b"");
        frame.payload = None;
        Garbage::Frame(frame)
    }),
    ("a payload that is no JSON", || {
        Garbage::Frame(event(&whole(), b"{\"schema\":"))
    }),
    ("a payload that is no text", || {
        Garbage::Frame(event(&whole(), &[0xff, 0xfe, 0x00]))
    }),
    ("a payload that is no event", || {
        Garbage::Frame(event(&whole(), b"[1,null,{\"header\":7}]"))
    }),
    ("no parts", || part("0", "0")),
    ("a part behind the last", || part("2", "2")),
    ("two milliards of parts", || {
        part("2000000000", "1999999999")
    }),
    ("more parts than numbers", || {
        part("99999999999999999999", "1")
    }),
    ("a negative part", || part("3", "-1")),
    ("parts that are no number", || part("two", "one")),
    ("the first of parts that never come", || part("1000", "0")),
    ("a ping of the server", || {
        Garbage::Frame(control("ping", None))
    }),
    ("a pong without numbers", || {
        Garbage::Frame(control("pong", Some(b"{}".to_vec())))
    }),
    ("a pong that would stop everything", || {
        let config = br#"{"ReconnectCount":0,"ReconnectInterval":-7,"ReconnectNonce":99999999999,"PingInterval":0}"#;
        Garbage::Frame(control("pong", Some(config.to_vec())))
    }),
    ("a pong that is no JSON", || {
        Garbage::Frame(control("pong", Some(vec![0xff])))
    }),
];

impl From<Garbage> for Socket {
    fn from(garbage: Garbage) -> Self {
        match garbage {
            Garbage::Text(text) => Self::Text(text.to_owned()),
            Garbage::Bytes(bytes) => Self::Binary(bytes),
            Garbage::Frame(frame) => frame.into(),
        }
    }
}

fn whole() -> [(&'static str, &'static str); 3] {
    [("type", "event"), ("sum", "1"), ("seq", "0")]
}

fn part(sum: &str, seq: &str) -> Garbage {
    let headers = [("type", "event"), ("sum", sum), ("seq", seq)];
    Garbage::Frame(event(&headers, b"part"))
}

/// Returns the first of so many parts of something of this name.
pub(super) fn first_part(name: String, sum: u32, size: usize) -> Frame {
    let headers = [
        ("type", "event".to_owned()),
        ("sum", sum.to_string()),
        ("seq", "0".to_owned()),
        ("message_id", name),
    ];
    Frame {
        method: 1,
        headers: headers.map(|(key, value)| (key.to_owned(), value)).into(),
        payload: Some(vec![b'['; size]),
        ..Frame::default()
    }
}

fn event(headers: &[(&str, &str)], payload: &[u8]) -> Frame {
    let headers = headers.iter().chain(&[("message_id", NAME)]);
    Frame {
        method: 1,
        headers: headers
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect(),
        payload: Some(payload.to_vec()),
        ..Frame::default()
    }
}

fn control(kind: &str, payload: Option<Vec<u8>>) -> Frame {
    Frame {
        headers: vec![("type".to_owned(), kind.to_owned())],
        payload,
        ..Frame::default()
    }
}
