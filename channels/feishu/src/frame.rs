//! The frames of the long connection: one protobuf message per binary WebSocket message.
//!
//! **Architecture Invariant:** this module does no IO and knows no event. Whatever bytes come in, the
//! worst they can do is an error.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use prost::Message as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

/// The kind of a frame that is about the connection.
const CONTROL: i32 = 0;

/// The kind of a frame that carries an event.
const DATA: i32 = 1;

/// The name of the header that says what a frame is.
const TYPE: &str = "type";

/// A frame, as proto2 declares it.
///
/// The required fields are written even when they are zero: every decoder but prost's refuses a
/// frame without them. Fields that are not known are passed over.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Frame {
    /// The number of the frame; 0 in ours.
    #[prost(uint64, required, tag = "1")]
    pub(crate) seq_id: u64,
    /// Feishu's number for its own log. Uses all 64 bits.
    #[prost(uint64, required, tag = "2")]
    pub(crate) log_id: u64,
    /// Which of Feishu's services speaks; ours is in the connection's URL.
    #[prost(int32, required, tag = "3")]
    pub(crate) service: i32,
    /// 0 for control, 1 for data.
    #[prost(int32, required, tag = "4")]
    pub(crate) method: i32,
    /// What the frame is about.
    #[prost(message, repeated, tag = "5")]
    pub(crate) headers: Vec<Header>,
    /// How the payload is packed; not seen in use.
    #[prost(string, optional, tag = "6")]
    pub(crate) payload_encoding: Option<String>,
    /// What the payload is; not seen in use.
    #[prost(string, optional, tag = "7")]
    pub(crate) payload_type: Option<String>,
    /// JSON, or a part of it.
    #[prost(bytes = "vec", optional, tag = "8")]
    pub(crate) payload: Option<Vec<u8>>,
    /// Feishu's newer name for its own log.
    #[prost(string, optional, tag = "9")]
    pub(crate) log_id_new: Option<String>,
}

/// A header of a frame.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Header {
    /// Its name.
    #[prost(string, required, tag = "1")]
    pub(crate) key: String,
    /// What it says.
    #[prost(string, required, tag = "2")]
    pub(crate) value: String,
}

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The answer to our ping, perhaps with a [`ClientConfig`].
    Pong,
    /// Feishu's own ping. Nobody answers these.
    Ping,
    /// An event or a callback: acknowledge it.
    Event,
    /// The callback of an old kind of card. Nobody acknowledges these.
    Card,
    /// Anything else: pass it over.
    Unknown,
}

/// Bytes that are no frame.
#[derive(Debug, Error)]
#[error("a message on the long connection is not a frame")]
pub(crate) struct BadFrame(#[source] prost::DecodeError);

/// How Feishu wants the connection to be kept. All numbers are seconds but `reconnect_count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ClientConfig {
    /// How often to try again; for ever when negative.
    #[serde(default)]
    pub(crate) reconnect_count: Option<i64>,
    /// How long to wait between tries.
    #[serde(default)]
    pub(crate) reconnect_interval: Option<i64>,
    /// How much to spread the first try.
    #[serde(default)]
    pub(crate) reconnect_nonce: Option<i64>,
    /// How often to ping.
    #[serde(default)]
    pub(crate) ping_interval: Option<i64>,
}

/// What became of an event, in the answer to its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AckCode {
    /// It is on disk, or means nothing to us.
    Ok,
    /// It is not on disk: deliver it again.
    Failed,
}

#[derive(Serialize)]
struct Ack {
    code: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<String>,
}

// === impl Frame ===

impl Frame {
    /// Reads a frame.
    ///
    /// # Errors
    ///
    /// When the bytes are none.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, BadFrame> {
        Self::decode(bytes).map_err(BadFrame)
    }

    /// Returns the bytes of the frame.
    pub(crate) fn write(&self) -> Vec<u8> {
        self.encode_to_vec()
    }

    /// Makes the ping of a connection.
    pub(crate) fn ping(service_id: i32) -> Self {
        Self {
            service: service_id,
            method: CONTROL,
            headers: vec![Header {
                key: TYPE.to_owned(),
                value: "ping".to_owned(),
            }],
            ..Self::default()
        }
    }

    /// Returns the value of the first header of this name.
    pub(crate) fn header(&self, key: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|header| header.key == key)
            .map(|header| header.value.as_str())
    }

    /// Returns what the frame is.
    pub(crate) fn kind(&self) -> Kind {
        match (self.method, self.header(TYPE)) {
            (CONTROL, Some("pong")) => Kind::Pong,
            (CONTROL, Some("ping")) => Kind::Ping,
            (DATA, Some("event")) => Kind::Event,
            (DATA, Some("card")) => Kind::Card,
            _ => Kind::Unknown,
        }
    }

    /// Returns what a pong says about keeping the connection, if it says anything that can be read.
    pub(crate) fn client_config(&self) -> Option<ClientConfig> {
        serde_json::from_slice(self.payload.as_deref()?).ok()
    }

    /// Turns an event's frame into its acknowledgement.
    ///
    /// All of its headers go back as they came: by `instance_id` Feishu finds the server that waits.
    /// `data` is the answer to a callback; the acknowledgement of an event has none.
    pub(crate) fn into_ack(mut self, code: AckCode, data: Option<&Value>, took_ms: u64) -> Self {
        self.headers.push(Header {
            key: "biz_rt".to_owned(),
            value: took_ms.to_string(),
        });
        let ack = Ack {
            code: code.number(),
            data: data.map(|answer| BASE64.encode(answer.to_string())),
        };
        self.payload = Some(json(&ack));
        self
    }
}

// === impl AckCode ===

impl AckCode {
    fn number(self) -> u16 {
        match self {
            Self::Ok => 200,
            Self::Failed => 500,
        }
    }
}

fn json(ack: &Ack) -> Vec<u8> {
    serde_json::to_vec(ack).expect("a number and a text are always JSON")
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn header(key: &str, value: &str) -> Header {
        Header {
            key: key.to_owned(),
            value: value.to_owned(),
        }
    }

    fn event() -> Frame {
        Frame {
            seq_id: 1,
            log_id: u64::MAX,
            service: 33_554_678,
            method: DATA,
            headers: vec![
                header("type", "event"),
                header("message_id", "m-1"),
                header("sum", "1"),
                header("seq", "0"),
                header("trace_id", "t-1"),
                header("instance_id", "i-1"),
                header("instance_id", "a second one of the same name"),
            ],
            payload: Some(b"{}".to_vec()),
            log_id_new: Some("new".to_owned()),
            ..Frame::default()
        }
    }

    #[test]
    fn a_ping_has_every_required_field_although_three_are_zero() {
        #[rustfmt::skip]
        let expected = [
            0x08, 0x00,                         // SeqID = 0
            0x10, 0x00,                         // LogID = 0
            0x18, 0x96, 0x01,                   // service = 150
            0x20, 0x00,                         // method = 0
            0x2a, 0x0c,                         // headers, 12 bytes
            0x0a, 0x04, b't', b'y', b'p', b'e', //   key
            0x12, 0x04, b'p', b'i', b'n', b'g', //   value
        ];
        assert_eq!(Frame::ping(150).write(), expected);
    }

    #[test]
    fn a_ping_for_a_negative_service_is_written_as_proto2_wants_it() {
        let mut expected = vec![0x08, 0x00, 0x10, 0x00, 0x18];
        expected.extend([0xff; 9]);
        expected.push(0x01);
        expected.extend([0x20, 0x00, 0x2a, 0x0c]);
        expected.extend(b"\x0a\x04type\x12\x04ping");
        assert_eq!(Frame::ping(-1).write(), expected);
    }

    #[test]
    fn an_empty_header_is_written_with_both_fields() {
        let frame = Frame {
            headers: vec![header("", "")],
            ..Frame::default()
        };
        let expected = [
            0x08, 0x00, 0x10, 0x00, 0x18, 0x00, 0x20, 0x00, 0x2a, 0x04, 0x0a, 0x00, 0x12, 0x00,
        ];
        assert_eq!(frame.write(), expected);
    }

    #[test]
    fn a_whole_frame_is_read_from_hand_written_bytes() {
        let mut bytes = vec![0x08, 0x01, 0x10];
        bytes.extend([0xff; 9]);
        bytes.push(0x01); // LogID = u64::MAX
        bytes.extend([0x18, 0x07, 0x20, 0x01]);
        bytes.extend(b"\x2a\x0d\x0a\x04type\x12\x05event");
        bytes.extend(b"\x32\x04gzip"); // payload_encoding
        bytes.extend(b"\x3a\x04json"); // payload_type
        bytes.extend(b"\x42\x02{}"); // payload
        bytes.extend(b"\x4a\x03abc"); // LogIDNew
        let frame = Frame {
            seq_id: 1,
            log_id: u64::MAX,
            service: 7,
            method: 1,
            headers: vec![header("type", "event")],
            payload_encoding: Some("gzip".to_owned()),
            payload_type: Some("json".to_owned()),
            payload: Some(b"{}".to_vec()),
            log_id_new: Some("abc".to_owned()),
        };
        assert_eq!(Frame::read(&bytes).unwrap(), frame);
        assert_eq!(frame.write(), bytes);
    }

    #[test]
    fn unknown_fields_of_every_wire_type_are_passed_over() {
        let mut bytes = Frame::ping(1).write();
        bytes.extend([0x50, 0x2a]); // 10: varint
        bytes.extend([0x59, 1, 2, 3, 4, 5, 6, 7, 8]); // 11: 64 bits
        bytes.extend(b"\x62\x03abc"); // 12: bytes
        bytes.extend([0x6d, 1, 2, 3, 4]); // 13: 32 bits
        bytes.extend(b"\x7a\x00\x82\x01\x00"); // 15, 16: empty
        assert_eq!(Frame::read(&bytes).unwrap(), Frame::ping(1));
    }

    #[test]
    fn what_is_cut_or_of_the_wrong_type_is_an_error() {
        let whole = event().write();
        let table: [&[u8]; 6] = [
            &whole[..whole.len() - 1],
            &[0xff],
            &[0x0a, 0x01, 0x00],                   // SeqID as bytes
            &[0x2a, 0x7f, 0x0a],                   // a header longer than the frame
            &[0x2a, 0x04, 0x0a, 0x02, 0xff, 0xfe], // a header that is no UTF-8
            b"{\"json\":true}",
        ];
        for bytes in table {
            assert!(Frame::read(bytes).is_err(), "{bytes:02x?}");
        }
    }

    #[test]
    fn the_kind_of_a_frame_needs_both_its_method_and_its_type() {
        let table = [
            (0, Some("pong"), Kind::Pong),
            (0, Some("ping"), Kind::Ping),
            (1, Some("event"), Kind::Event),
            (1, Some("card"), Kind::Card),
            (0, Some("event"), Kind::Unknown),
            (1, Some("pong"), Kind::Unknown),
            (1, Some("EVENT"), Kind::Unknown),
            (2, Some("event"), Kind::Unknown),
            (-1, Some("event"), Kind::Unknown),
            (1, None, Kind::Unknown),
        ];
        for (method, kind, expected) in table {
            let frame = Frame {
                method,
                headers: kind.map(|kind| header("type", kind)).into_iter().collect(),
                ..Frame::default()
            };
            assert_eq!(frame.kind(), expected, "{method} {kind:?}");
        }
    }

    #[test]
    fn a_pong_configures_as_far_as_it_can_be_read() {
        let none = ClientConfig {
            reconnect_count: None,
            reconnect_interval: None,
            reconnect_nonce: None,
            ping_interval: None,
        };
        let all = ClientConfig {
            reconnect_count: Some(-1),
            reconnect_interval: Some(120),
            reconnect_nonce: Some(30),
            ping_interval: Some(90),
        };
        let table: [(Option<&str>, Option<ClientConfig>); 6] = [
            (None, None),
            (Some(""), None),
            (Some("[1"), None),
            (Some(r#"{"PingInterval":"x"}"#), None),
            (Some(r#"{"New":1}"#), Some(none)),
            (
                Some(
                    r#"{"ReconnectCount":-1,"ReconnectInterval":120,"ReconnectNonce":30,"PingInterval":90}"#,
                ),
                Some(all),
            ),
        ];
        for (payload, expected) in table {
            let pong = Frame {
                payload: payload.map(|text| text.as_bytes().to_vec()),
                ..Frame::default()
            };
            assert_eq!(pong.client_config(), expected, "{payload:?}");
        }
    }

    #[test]
    fn an_acknowledgement_echoes_everything_and_says_code_and_time() {
        let received = event();
        let ack = received.clone().into_ack(AckCode::Ok, None, 12);
        let mut headers = received.headers.clone();
        headers.push(header("biz_rt", "12"));
        let expected = Frame {
            headers,
            payload: Some(br#"{"code":200}"#.to_vec()),
            ..received
        };
        assert_eq!(Frame::read(&ack.write()).unwrap(), expected);
    }

    #[test]
    fn a_failure_asks_for_another_delivery() {
        let ack = event().into_ack(AckCode::Failed, None, 0);
        assert_eq!(ack.payload.unwrap(), br#"{"code":500}"#);
    }

    #[test]
    fn the_answer_to_a_callback_is_base64_of_its_json() {
        let answer = json!({"toast": {"type": "info", "content": "好?>"}});
        let ack = event().into_ack(AckCode::Ok, Some(&answer), 0);
        let payload: Value = serde_json::from_slice(&ack.payload.unwrap()).unwrap();
        assert_eq!(payload["code"], 200);
        let data = BASE64.decode(payload["data"].as_str().unwrap()).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&data).unwrap(), answer);
    }

    prop_compose! {
        fn frames()(
            numbers in any::<(u64, u64, i32, i32)>(),
            headers in prop::collection::vec((".*", ".*"), 0..5),
            texts in any::<(Option<String>, Option<String>, Option<String>)>(),
            payload in any::<Option<Vec<u8>>>(),
        ) -> Frame {
            Frame {
                seq_id: numbers.0,
                log_id: numbers.1,
                service: numbers.2,
                method: numbers.3,
                headers: headers.iter().map(|(key, value)| header(key, value)).collect(),
                payload_encoding: texts.0,
                payload_type: texts.1,
                payload,
                log_id_new: texts.2,
            }
        }
    }

    proptest! {
        #[test]
        fn garbage_is_an_error_or_a_frame_and_never_more(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            if let Ok(frame) = Frame::read(&bytes) {
                let _kind = frame.kind();
                let _config = frame.client_config();
                let ack = frame.into_ack(AckCode::Ok, None, 1);
                prop_assert_eq!(Frame::read(&ack.write()).unwrap(), ack);
            }
        }

        #[test]
        fn a_damaged_frame_is_an_error_or_a_frame_and_never_more(
            frame in frames(),
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut bytes = frame.write();
            let damaged = at.index(bytes.len());
            bytes[damaged] = byte;
            bytes.truncate(cut.index(bytes.len()) + 1);
            let _read = Frame::read(&bytes);
        }

        #[test]
        fn a_frame_is_read_as_it_was_written(frame in frames()) {
            prop_assert_eq!(Frame::read(&frame.write()).unwrap(), frame);
        }
    }
}
