//! Frames as bytes, by hand: strict where decoders of the platform are, so that what a client's
//! own encoder leaves out is found.

/// A frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) seq_id: u64,
    pub(crate) log_id: u64,
    pub(crate) service: i32,
    pub(crate) method: i32,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) payload_encoding: Option<String>,
    pub(crate) payload_type: Option<String>,
    pub(crate) payload: Option<Vec<u8>>,
    pub(crate) log_id_new: Option<String>,
}

impl Frame {
    /// Returns a header, if it is there.
    pub(crate) fn header(&self, key: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(it, _)| it == key)?;
        Some(value)
    }

    /// Returns it as bytes, required fields first.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_number(&mut out, 1, self.seq_id);
        put_number(&mut out, 2, self.log_id);
        // Negative int32 are ten bytes long.
        put_number(&mut out, 3, i64::from(self.service) as u64);
        put_number(&mut out, 4, i64::from(self.method) as u64);
        for (key, value) in &self.headers {
            let mut header = Vec::new();
            put_bytes(&mut header, 1, key.as_bytes());
            put_bytes(&mut header, 2, value.as_bytes());
            put_bytes(&mut out, 5, &header);
        }
        let texts = [(6, &self.payload_encoding), (7, &self.payload_type)];
        for (number, text) in texts {
            if let Some(text) = text {
                put_bytes(&mut out, number, text.as_bytes());
            }
        }
        if let Some(payload) = &self.payload {
            put_bytes(&mut out, 8, payload);
        }
        if let Some(text) = &self.log_id_new {
            put_bytes(&mut out, 9, text.as_bytes());
        }
        out
    }

    /// Reads a frame; a required field that is missing is an error, as is an unknown one.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, String> {
        let mut frame = Self::default();
        let mut seen = [false; 10];
        for (number, field) in fields(bytes)? {
            match (number, field) {
                (1, Field::Number(it)) => frame.seq_id = it,
                (2, Field::Number(it)) => frame.log_id = it,
                (3, Field::Number(it)) => frame.service = it as i32,
                (4, Field::Number(it)) => frame.method = it as i32,
                (5, Field::Bytes(it)) => frame.headers.push(header(it)?),
                (6, Field::Bytes(it)) => frame.payload_encoding = Some(text(it)?),
                (7, Field::Bytes(it)) => frame.payload_type = Some(text(it)?),
                (8, Field::Bytes(it)) => frame.payload = Some(it.to_vec()),
                (9, Field::Bytes(it)) => frame.log_id_new = Some(text(it)?),
                (number, _) => return Err(format!("field {number} is unknown or of another type")),
            }
            seen[number as usize] = true;
        }
        for (number, name) in [(1, "SeqID"), (2, "LogID"), (3, "service"), (4, "method")] {
            if !seen[number] {
                return Err(format!("the required field {name} is missing"));
            }
        }
        Ok(frame)
    }
}

/// Appends a field that is a number.
pub(crate) fn put_number(out: &mut Vec<u8>, number: u64, value: u64) {
    put_varint(out, number << 3);
    put_varint(out, value);
}

/// Appends a field that is bytes.
pub(crate) fn put_bytes(out: &mut Vec<u8>, number: u64, value: &[u8]) {
    put_varint(out, number << 3 | 2);
    put_varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

fn fields(mut bytes: &[u8]) -> Result<Vec<(u64, Field<'_>)>, String> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes)?;
        let value = varint(&mut bytes)?;
        let field = match tag & 7 {
            0 => Field::Number(value),
            2 => {
                let length = usize::try_from(value).map_err(|_| "a length beyond memory")?;
                let split = bytes.split_at_checked(length);
                let (field, rest) = split.ok_or("it ends within a field")?;
                bytes = rest;
                Field::Bytes(field)
            }
            other => return Err(format!("wire type {other}")),
        };
        fields.push((tag >> 3, field));
    }
    Ok(fields)
}

fn varint(bytes: &mut &[u8]) -> Result<u64, String> {
    let mut value = 0;
    for shift in (0..70).step_by(7) {
        let (byte, rest) = bytes.split_first().ok_or("it ends within a number")?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift.min(63);
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err("a number of more than ten bytes".to_owned())
}

fn header(bytes: &[u8]) -> Result<(String, String), String> {
    let (mut key, mut value) = (None, None);
    for (number, field) in fields(bytes)? {
        match (number, field) {
            (1, Field::Bytes(it)) => key = Some(text(it)?),
            (2, Field::Bytes(it)) => value = Some(text(it)?),
            _ => return Err("a header with an unknown field".to_owned()),
        }
    }
    key.zip(value)
        .ok_or_else(|| "a header without key or value".to_owned())
}

fn text(bytes: &[u8]) -> Result<String, String> {
    String::from_utf8(bytes.to_vec()).map_err(|_| "a text that is no UTF-8".to_owned())
}
