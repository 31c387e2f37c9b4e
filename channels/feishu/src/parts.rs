//! Payloads that come in parts.
//!
//! Feishu cuts a large event into `sum` frames of one `message_id`, in any order and perhaps twice.
//! Nothing is believed of what they announce: memory is taken for bytes that are here, never for
//! parts to come.
//!
//! **Architecture Invariant:** this module does no IO and knows no clock; what is held is bounded by
//! [`MAX_SETS`] and [`MAX_BYTES`] whatever comes in.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use thiserror::Error;

use crate::frame::Frame;

/// How many parts a payload may have.
const MAX_PARTS: u32 = 1024;

/// How many payloads may be incomplete at a time. With one more, the oldest is given up.
const MAX_SETS: usize = 64;

/// How many bytes incomplete payloads may have together, and each of them alone. With more, the
/// oldest ones are given up.
const MAX_BYTES: usize = 8 << 20;

/// How long the name of a payload may be; it is kept with the parts.
const MAX_NAME: usize = 256;

/// How long after its first part a payload is given up. Feishu delivers it again.
const EXPIRY: Duration = Duration::from_secs(10);

/// Where a frame's payload belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place<'a> {
    /// The name of the whole, the same in all parts.
    pub(crate) message_id: &'a str,
    /// How many parts there are.
    pub(crate) sum: u32,
    /// Which part this is, from 0.
    pub(crate) seq: u32,
}

/// Why a part was not taken. The connection goes on; Feishu delivers the event again.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum BadPart {
    /// A header is no number.
    #[error("the header `{name}` of a part is not a number")]
    NotANumber {
        /// The header.
        name: &'static str,
    },
    /// The number of parts makes no sense.
    #[error("an event in {sum} parts; from 1 to {MAX_PARTS} are taken")]
    Sum {
        /// How many there should be.
        sum: u32,
    },
    /// The part is not one of them.
    #[error("part {seq} of an event in {sum} parts")]
    Seq {
        /// Which one it is.
        seq: u32,
        /// How many there are.
        sum: u32,
    },
    /// One of several parts does not say of what, or says it at too great a length.
    #[error("a part without a `message_id`, or with one that is too long")]
    Nameless,
    /// The whole has too many bytes.
    #[error("an event in parts of more than {MAX_BYTES} bytes together")]
    TooLarge,
}

/// The payloads that are incomplete.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    sets: HashMap<String, Set>,
    bytes: usize,
}

#[derive(Debug)]
struct Set {
    sum: u32,
    parts: BTreeMap<u32, Vec<u8>>,
    bytes: usize,
    begun_at: Instant,
}

// === impl Place ===

impl<'a> Place<'a> {
    /// Reads where a frame's payload belongs. A frame that does not say is a whole.
    ///
    /// # Errors
    ///
    /// When it says something impossible.
    pub(crate) fn of(frame: &'a Frame) -> Result<Self, BadPart> {
        let place = Self {
            message_id: frame.header("message_id").unwrap_or_default(),
            sum: number(frame, "sum", 1)?,
            seq: number(frame, "seq", 0)?,
        };
        let Self {
            message_id,
            sum,
            seq,
        } = place;
        if !(1..=MAX_PARTS).contains(&sum) {
            return Err(BadPart::Sum { sum });
        }
        if seq >= sum {
            return Err(BadPart::Seq { seq, sum });
        }
        if sum > 1 && !(1..=MAX_NAME).contains(&message_id.len()) {
            return Err(BadPart::Nameless);
        }
        Ok(place)
    }
}

fn number(frame: &Frame, name: &'static str, default: u32) -> Result<u32, BadPart> {
    match frame.header(name) {
        None | Some("") => Ok(default),
        Some(text) => text.parse().map_err(|_| BadPart::NotANumber { name }),
    }
}

// === impl Parts ===

impl Parts {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Takes a part; returns the whole payload when this was the last one that was missing.
    ///
    /// # Errors
    ///
    /// When it makes its payload too large, which is then forgotten.
    pub(crate) fn add(
        &mut self,
        now: Instant,
        place: Place<'_>,
        payload: Vec<u8>,
    ) -> Result<Option<Vec<u8>>, BadPart> {
        self.expire(now);
        let Place {
            message_id,
            sum,
            seq,
        } = place;
        if sum <= 1 {
            return Ok(Some(payload));
        }
        // Another number of parts under the same name is another payload.
        if self.sets.get(message_id).is_some_and(|set| set.sum != sum) {
            self.remove(message_id);
        }
        let held = self.sets.get(message_id).map_or(0, |set| set.bytes);
        if held.saturating_add(payload.len()) > MAX_BYTES {
            self.remove(message_id);
            return Err(BadPart::TooLarge);
        }
        if !self.sets.contains_key(message_id) && self.sets.len() >= MAX_SETS {
            self.give_up_oldest(message_id);
        }
        let set = self
            .sets
            .entry(message_id.to_owned())
            .or_insert_with(|| Set::new(sum, now));
        self.bytes += set.insert(seq, payload);
        if set.is_complete() {
            return Ok(self.remove(message_id).map(Set::join));
        }
        while self.bytes > MAX_BYTES {
            self.give_up_oldest(message_id);
        }
        Ok(None)
    }

    /// Gives up what is incomplete for too long.
    pub(crate) fn expire(&mut self, now: Instant) {
        let bytes = &mut self.bytes;
        self.sets.retain(|_, set| {
            let fresh = now.saturating_duration_since(set.begun_at) < EXPIRY;
            if !fresh {
                *bytes -= set.bytes;
            }
            fresh
        });
    }

    fn remove(&mut self, message_id: &str) -> Option<Set> {
        let set = self.sets.remove(message_id)?;
        self.bytes -= set.bytes;
        Some(set)
    }

    fn give_up_oldest(&mut self, spared: &str) {
        let oldest = self
            .sets
            .iter()
            .filter(|(message_id, _)| *message_id != spared)
            .min_by_key(|(_, set)| set.begun_at)
            .map(|(message_id, _)| message_id.clone());
        if let Some(message_id) = oldest {
            self.remove(&message_id);
        }
    }
}

// === impl Set ===

impl Set {
    fn new(sum: u32, now: Instant) -> Self {
        Self {
            sum,
            parts: BTreeMap::new(),
            bytes: 0,
            begun_at: now,
        }
    }

    /// Keeps a part unless it is there; returns how many bytes that were.
    fn insert(&mut self, seq: u32, payload: Vec<u8>) -> usize {
        if self.parts.contains_key(&seq) {
            return 0;
        }
        let bytes = payload.len();
        self.bytes += bytes;
        self.parts.insert(seq, payload);
        bytes
    }

    fn is_complete(&self) -> bool {
        self.parts.len() == self.sum as usize
    }

    fn join(self) -> Vec<u8> {
        self.parts.into_values().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;
    use proptest::prelude::*;

    use super::*;
    use crate::frame::Header;

    fn place(message_id: &str, sum: u32, seq: u32) -> Place<'_> {
        Place {
            message_id,
            sum,
            seq,
        }
    }

    fn frame(headers: &[(&str, &str)]) -> Frame {
        Frame {
            headers: headers
                .iter()
                .map(|(key, value)| Header {
                    key: (*key).to_owned(),
                    value: (*value).to_owned(),
                })
                .collect(),
            ..Frame::default()
        }
    }

    #[test]
    fn the_place_of_a_part_is_read_or_refused() {
        let long = "m".repeat(MAX_NAME + 1);
        let table = [
            (vec![], Ok(place("", 1, 0))),
            (vec![("message_id", "m")], Ok(place("m", 1, 0))),
            (
                vec![("message_id", "m"), ("sum", "3"), ("seq", "2")],
                Ok(place("m", 3, 2)),
            ),
            (
                vec![("message_id", "m"), ("sum", "1024"), ("seq", "1023")],
                Ok(place("m", 1024, 1023)),
            ),
            (vec![("sum", "1"), ("seq", "0")], Ok(place("", 1, 0))),
            (vec![("sum", "2"), ("seq", "0")], Err(BadPart::Nameless)),
            (
                vec![("message_id", &long), ("sum", "2")],
                Err(BadPart::Nameless),
            ),
            (vec![("sum", "0")], Err(BadPart::Sum { sum: 0 })),
            (
                vec![("message_id", "m"), ("sum", "1025")],
                Err(BadPart::Sum { sum: 1025 }),
            ),
            (
                vec![("message_id", "m"), ("sum", "2000000000")],
                Err(BadPart::Sum { sum: 2_000_000_000 }),
            ),
            (
                vec![("sum", "99999999999")],
                Err(BadPart::NotANumber { name: "sum" }),
            ),
            (
                vec![("sum", "-1")],
                Err(BadPart::NotANumber { name: "sum" }),
            ),
            (
                vec![("seq", "two")],
                Err(BadPart::NotANumber { name: "seq" }),
            ),
            (
                vec![("message_id", "m"), ("sum", "2"), ("seq", "2")],
                Err(BadPart::Seq { seq: 2, sum: 2 }),
            ),
        ];
        for (headers, expected) in table {
            assert_eq!(Place::of(&frame(&headers)), expected, "{headers:?}");
        }
    }

    #[test]
    fn a_cut_inside_a_character_heals() {
        let text = "好".as_bytes();
        let mut parts = Parts::new();
        let now = Instant::now();
        let first = parts.add(now, place("m", 2, 1), text[1..].to_vec());
        assert_eq!(first, Ok(None));
        let whole = parts.add(now, place("m", 2, 0), text[..1].to_vec());
        assert_eq!(whole, Ok(Some(text.to_vec())));
        assert_eq!((parts.sets.len(), parts.bytes), (0, 0));
    }

    #[test]
    fn what_stays_incomplete_is_forgotten_after_ten_seconds() {
        let mut parts = Parts::new();
        let begun = Instant::now();
        assert_eq!(parts.add(begun, place("m", 2, 0), vec![1]), Ok(None));
        parts.expire(begun + EXPIRY - Duration::from_millis(1));
        assert_eq!((parts.sets.len(), parts.bytes), (1, 1));
        // Its last part comes too late and begins it anew.
        let late = parts.add(begun + EXPIRY, place("m", 2, 1), vec![2]);
        assert_eq!(late, Ok(None));
        assert_eq!((parts.sets.len(), parts.bytes), (1, 1));
        parts.expire(begun + EXPIRY * 2);
        assert_eq!((parts.sets.len(), parts.bytes), (0, 0));
    }

    #[test]
    fn another_number_of_parts_begins_anew() {
        let mut parts = Parts::new();
        let now = Instant::now();
        assert_eq!(parts.add(now, place("m", 3, 0), vec![1, 1]), Ok(None));
        assert_eq!(parts.add(now, place("m", 2, 0), vec![2]), Ok(None));
        let whole = parts.add(now, place("m", 2, 1), vec![3]);
        assert_eq!(whole, Ok(Some(vec![2, 3])));
        assert_eq!(parts.bytes, 0);
    }

    #[test]
    fn with_too_many_payloads_the_oldest_is_given_up() {
        let mut parts = Parts::new();
        let begun = Instant::now();
        for n in 0..=MAX_SETS {
            let at = begun + Duration::from_millis(n as u64);
            let added = parts.add(at, place(&n.to_string(), 2, 0), vec![0]);
            assert_eq!(added, Ok(None));
        }
        assert_eq!(parts.sets.len(), MAX_SETS);
        assert!(!parts.sets.contains_key("0"));
    }

    #[test]
    fn too_many_bytes_push_out_the_oldest_payload_and_never_their_own() {
        let mut parts = Parts::new();
        let begun = Instant::now();
        let later = begun + Duration::from_millis(1);
        let half = vec![0; MAX_BYTES / 2 + 1];
        assert_eq!(parts.add(begun, place("old", 2, 0), half.clone()), Ok(None));
        assert_eq!(parts.add(later, place("new", 2, 0), half), Ok(None));
        assert_eq!(parts.sets.keys().collect::<Vec<_>>(), ["new"]);
        assert_eq!(parts.bytes, MAX_BYTES / 2 + 1);
    }

    #[test]
    fn a_payload_that_grows_too_large_is_forgotten() {
        let mut parts = Parts::new();
        let now = Instant::now();
        let half = vec![0; MAX_BYTES / 2];
        assert_eq!(parts.add(now, place("m", 4, 0), half.clone()), Ok(None));
        assert_eq!(parts.add(now, place("m", 4, 1), half), Ok(None));
        let third = parts.add(now, place("m", 4, 2), vec![0]);
        assert_eq!(third, Err(BadPart::TooLarge));
        assert_eq!((parts.sets.len(), parts.bytes), (0, 0));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn shuffled_and_repeated_parts_make_the_whole_once(
            whole in ".{2,200}",
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 1..20),
            repeats in prop::collection::vec(any::<prop::sample::Index>(), 0..10),
            seed in any::<prop::sample::Index>(),
        ) {
            let bytes = whole.as_bytes();
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<_> = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect();
            let sum = u32::try_from(pieces.len()).unwrap();
            let mut order: Vec<_> = (0..pieces.len()).collect();
            order.rotate_left(seed.index(pieces.len()));
            order.reverse();
            // Repeats come before the last part, after which the set is gone.
            for repeat in repeats {
                let n = order[repeat.index(order.len())];
                order.insert(order.len() - 1, n);
            }
            let last = *order.last().unwrap();
            prop_assume!(order.iter().filter(|n| **n == last).count() == 1);

            let mut parts = Parts::new();
            let now = Instant::now();
            let mut wholes = Vec::new();
            for n in order {
                let seq = u32::try_from(n).unwrap();
                wholes.extend(parts.add(now, place("m", sum, seq), pieces[n].to_vec()).unwrap());
            }
            prop_assert_eq!(wholes, vec![bytes.to_vec()]);
            prop_assert_eq!(parts.bytes, 0);
        }

        #[test]
        fn whatever_comes_in_the_bounds_hold_and_the_count_is_true(
            arrivals in prop::collection::vec(
                (0..200u32, 2..6u32, 0..6u32, 0..700_000usize, 0..400u64), 1..80,
            ),
        ) {
            let mut parts = Parts::new();
            let mut now = Instant::now();
            for (name, sum, seq, bytes, pause) in arrivals {
                now += Duration::from_millis(pause);
                let _added = parts.add(now, place(&name.to_string(), sum, seq % sum), vec![0; bytes]);
                prop_assert!(parts.sets.len() <= MAX_SETS);
                prop_assert!(parts.bytes <= MAX_BYTES);
                let counted: usize = parts.sets.values().map(|set| set.bytes).sum();
                prop_assert_eq!(parts.bytes, counted);
            }
        }
    }
}
