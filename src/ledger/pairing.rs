//! One-time codes, and the people who were let in with them.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;
use tieline_channel::{ChannelId, Conversation, UserId};
use uuid::Uuid;

use crate::id::DispatcherId;
use crate::ledger::time;

/// How long a code is good.
pub const INVITATION_LIFE: Duration = Duration::from_secs(60 * 60);

/// How long a stranger who writes again is not told their code again.
pub const INVITATION_REPEAT: Duration = Duration::from_secs(10 * 60);

/// How many codes of a dispatcher can be open. Further strangers are refused in silence.
pub const MAX_INVITATIONS: usize = 50;

/// Letters and digits that nobody takes for one another.
const LETTERS: &[u8; 22] = b"ABCDEFGHJKMNPQRSTVWXYZ";
const DIGITS: &[u8; 8] = b"23456789";

/// How many letters a code has, and how many digits.
const HALF: usize = 4;

/// A one-time code: four letters and four digits, `ABCD-2345`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PairingCode(String);

/// What was given as a code is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a code is four letters and four digits, like ABCD-2345")]
pub struct NotACode;

impl PairingCode {
    /// Makes a random one.
    pub(super) fn random() -> Self {
        Self::from_random(Uuid::new_v4().as_u128())
    }

    /// Makes the one that a random number stands for. The number has fixed bits in the middle, so
    /// the letters are taken from its upper half and the digits from its lower.
    fn from_random(number: u128) -> Self {
        let mut code = String::with_capacity(2 * HALF + 1);
        let mut upper = number >> 80;
        for _ in 0..HALF {
            code.push(pick(LETTERS, &mut upper));
        }
        code.push('-');
        let mut lower = number & ((1 << 60) - 1);
        for _ in 0..HALF {
            code.push(pick(DIGITS, &mut lower));
        }
        Self(code)
    }
}

fn pick(alphabet: &[u8], number: &mut u128) -> char {
    let count = alphabet.len() as u128;
    let index = usize::try_from(*number % count).unwrap_or_default();
    *number /= count;
    char::from(alphabet[index])
}

impl FromStr for PairingCode {
    type Err = NotACode;

    /// Takes a code as people write it: in any case, with or without the dash.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain: Vec<u8> = text
            .bytes()
            .filter(|byte| *byte != b'-' && !byte.is_ascii_whitespace())
            .map(|byte| byte.to_ascii_uppercase())
            .collect();
        let (letters, digits) = plain.split_at_checked(HALF).ok_or(NotACode)?;
        let are_letters = letters.iter().all(|byte| LETTERS.contains(byte));
        let are_digits = digits.len() == HALF && digits.iter().all(|byte| DIGITS.contains(byte));
        if !are_letters || !are_digits {
            return Err(NotACode);
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Self(format!("{}-{}", text(letters), text(digits))))
    }
}

impl fmt::Display for PairingCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for PairingCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PairingCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

/// A one-time code that waits for an administrator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    /// The code.
    pub code: PairingCode,
    /// Who is to be let in, and where they asked.
    #[serde(flatten)]
    pub guest: Guest,
    /// When they first asked.
    #[serde(with = "time::millis")]
    pub made_at: SystemTime,
    /// When they were last told the code.
    #[serde(with = "time::millis")]
    pub told_at: SystemTime,
}

impl Invitation {
    /// Returns when the code stops being good.
    pub fn expires_at(&self) -> SystemTime {
        self.made_at + INVITATION_LIFE
    }

    /// Returns whether the code is good.
    pub(super) fn is_open(&self, now: SystemTime) -> bool {
        // A clock that was set back must not make it good for much longer than its life.
        self.made_at <= now + INVITATION_LIFE && now < self.expires_at()
    }

    /// Returns whether a stranger who writes again is to be told the code again.
    pub(super) fn is_due_again(&self, now: SystemTime) -> bool {
        now.duration_since(self.told_at)
            .is_ok_and(|silent| silent >= INVITATION_REPEAT)
    }
}

/// Somebody who asks to be let in, or was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guest {
    /// Whom they want to speak to.
    pub dispatcher: DispatcherId,
    /// Where.
    pub channel: ChannelId,
    /// Who they are.
    pub user: UserId,
    /// The name people see, if the platform tells.
    pub name: Option<String>,
    /// Where they asked.
    pub conversation: Conversation,
}

/// Somebody who was let in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paired {
    /// Who.
    #[serde(flatten)]
    pub guest: Guest,
    /// Who let them in.
    pub by: Host,
    /// When.
    #[serde(with = "time::millis")]
    pub at: SystemTime,
}

/// Who let somebody in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Host {
    /// The operator, on the machine.
    Operator,
    /// An administrator, in a chat.
    Admin {
        /// The channel.
        channel: ChannelId,
        /// The administrator.
        user: UserId,
    },
}

/// Which code lets in, by whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmation {
    /// The code.
    pub code: PairingCode,
    /// Only a code of this dispatcher counts; of any without.
    pub dispatcher: Option<DispatcherId>,
    /// Who lets in.
    pub by: Host,
}

/// Why nobody was let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PairingError {
    /// Nobody was given this code, or it was used.
    #[error("nobody was given this code, or it has been used")]
    Unknown,
    /// It is too old.
    #[error("this code is no longer good: codes live for an hour")]
    Expired,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_read_as_people_write_it() {
        let code: PairingCode = "ABCD-2345".parse().unwrap();
        for text in ["abcd-2345", "ABCD2345", " aBcD 2345 ", "AB-CD-23-45"] {
            assert_eq!(text.parse(), Ok(code.clone()), "{text}");
        }
        assert_eq!(code.to_string(), "ABCD-2345");
        for text in [
            "",
            "ABCD",
            "ABCD-234",
            "ABCD-23456",
            "ABCO-2345",
            "ABCD-2340",
            "2345-ABCD",
            "äBCD-2345",
        ] {
            assert_eq!(text.parse::<PairingCode>(), Err(NotACode), "{text}");
        }
    }

    #[test]
    fn code_lives_for_an_hour_and_is_told_again_after_ten_minutes() {
        let made_at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let invitation = Invitation {
            code: PairingCode::random(),
            guest: Guest {
                dispatcher: DispatcherId::new("flow"),
                channel: ChannelId::new("team"),
                user: UserId::new("U1"),
                name: None,
                conversation: Conversation {
                    chat: tieline_channel::ChatId::new("D1"),
                    thread: None,
                },
            },
            made_at,
            told_at: made_at,
        };
        let minutes = |n: u64| made_at + Duration::from_secs(n * 60);
        let table = [
            (minutes(0), true, false),
            (minutes(9), true, false),
            (minutes(10), true, true),
            (minutes(59), true, true),
            (minutes(60), false, true),
            // A clock that was set back, by a little and by much.
            (made_at - Duration::from_secs(60), true, false),
            (made_at - Duration::from_secs(7200), false, false),
        ];
        for (now, is_open, is_due_again) in table {
            assert_eq!(invitation.is_open(now), is_open, "{now:?}");
            assert_eq!(invitation.is_due_again(now), is_due_again, "{now:?}");
        }
    }

    #[test]
    fn random_codes_are_codes_and_use_every_letter_and_digit() {
        let mut used = std::collections::BTreeSet::new();
        for _ in 0..2000 {
            let code = PairingCode::random();
            assert_eq!(code.to_string().parse(), Ok(code.clone()));
            used.extend(code.to_string().bytes());
        }
        assert_eq!(used.len(), LETTERS.len() + DIGITS.len() + 1);
    }
}
