//! Trace context: `traceparent` and `tracestate` (W3C Trace Context, level 1).

/// The parent of a request in a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    /// Identifies the whole trace. Never all zeros.
    pub trace_id: [u8; 16],
    /// Identifies the caller's span. Never all zeros.
    pub span_id: [u8; 8],
    /// Whether the caller may have recorded its span.
    pub is_sampled: bool,
}

/// The length of a `traceparent` of version 00.
const LENGTH: usize = 55;

/// A `tracestate` is cut to whole entries within these limits. W3C asks for 512 bytes at least (§3.3.1.5).
const MAX_STATE: usize = 512;
const MAX_ENTRIES: usize = 32;

impl TraceParent {
    /// The parent that a `traceparent` names; `None` if the value is not valid. Of a higher version only
    /// the parts that version 00 has are read (§4.3).
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (known, rest) = value.split_at_checked(LENGTH)?;
        let version: [u8; 1] = from_hex(&known[..2])?;
        let fits = match version[0] {
            0 => rest.is_empty(),
            0xff => false,
            _ => matches!(rest.first(), None | Some(b'-')),
        };
        if !fits || [known[2], known[35], known[52]] != [b'-'; 3] {
            return None;
        }
        let trace_id: [u8; 16] = from_hex(&known[3..35])?;
        let span_id: [u8; 8] = from_hex(&known[36..52])?;
        let flags: [u8; 1] = from_hex(&known[53..])?;
        let is_valid = trace_id != [0; 16] && span_id != [0; 8];
        is_valid.then_some(Self { trace_id, span_id, is_sampled: flags[0] & 1 == 1 })
    }

    /// The value of `traceparent`.
    pub fn to_value(self) -> [u8; LENGTH] {
        let mut value = *b"00-00000000000000000000000000000000-0000000000000000-00";
        value[3..35].copy_from_slice(hex(self.trace_id).as_flattened());
        value[36..52].copy_from_slice(hex(self.span_id).as_flattened());
        value[LENGTH - 1] += u8::from(self.is_sampled);
        value
    }
}

/// The valid entries of `tracestate`, as one value of limited length. `None` if there is none, or if an
/// entry is malformed: a receiver ignores such a field (§3.3.1.6).
pub fn trace_state<'v>(values: impl Iterator<Item = &'v [u8]>) -> Option<Vec<u8>> {
    let mut state = Vec::new();
    let mut count = 0;
    for entry in values.flat_map(|value| value.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii) {
        if entry.is_empty() {
            continue;
        }
        if !is_entry(entry) {
            return None;
        }
        if count == MAX_ENTRIES || state.len() + 1 + entry.len() > MAX_STATE {
            break;
        }
        if count > 0 {
            state.push(b',');
        }
        state.extend_from_slice(entry);
        count += 1;
    }
    (count > 0).then_some(state)
}

/// `key=value` (§3.3.1.3).
fn is_entry(entry: &[u8]) -> bool {
    let Some(equals) = memchr::memchr(b'=', entry) else { return false };
    let (key, value) = (&entry[..equals], &entry[equals + 1..]);
    let is_key_byte = |byte: &u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-' | b'*' | b'/' | b'@')
    };
    let is_value_byte = |byte: &u8| matches!(byte, b' '..=b'~') && *byte != b'=';
    (1..=256).contains(&key.len())
        && (1..=256).contains(&value.len())
        && (key[0].is_ascii_lowercase() || key[0].is_ascii_digit())
        && key.iter().all(is_key_byte)
        && value.iter().all(is_value_byte)
}

/// The digits of each byte in lower-case hex.
pub fn hex<const N: usize>(bytes: [u8; N]) -> [[u8; 2]; N] {
    // Without a table, the compiler computes many digits at once.
    let digit = |value: u8| value + if value < 10 { b'0' } else { b'a' - 10 };
    bytes.map(|byte| [digit(byte >> 4), digit(byte & 15)])
}

/// Bytes from lower-case hex, the only letter case that W3C allows.
fn from_hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_valid_parent_is_read_and_written_alike() {
        let parent = TraceParent::parse(GOOD.as_bytes()).expect("valid");
        assert!(parent.is_sampled);
        assert_eq!(parent.to_value(), GOOD.as_bytes());
        let silent = GOOD.replace("-01", "-00");
        let parent = TraceParent::parse(silent.as_bytes()).expect("valid");
        assert!(!parent.is_sampled);
        assert_eq!(parent.to_value(), silent.as_bytes());
        // Other flags are not passed on, and of a higher version the rest is ignored.
        for other in
            [GOOD.replace("-01", "-0b"), GOOD.replace("00-4", "cc-4"), GOOD.replace("00-4", "cc-4") + "-x"]
        {
            let parent = TraceParent::parse(other.as_bytes()).expect(&other);
            assert_eq!(parent.to_value(), GOOD.as_bytes());
        }
    }

    #[test]
    fn an_invalid_parent_is_none() {
        let zeros = |from: &str| GOOD.replace(from, &"0".repeat(from.len()));
        for bad in [
            String::new(),
            GOOD[..54].to_owned(),
            format!("{GOOD}-"),
            format!("{GOOD} "),
            GOOD.replace("00-4", "ff-4"),
            GOOD.replace("00-4", "cc-4") + "x",
            GOOD.to_ascii_uppercase(),
            GOOD.replace('-', "_"),
            GOOD.replace("4bf9", "4bg9"),
            zeros("4bf92f3577b34da6a3ce929d0e0e4736"),
            zeros("00f067aa0ba902b7"),
        ] {
            assert_eq!(TraceParent::parse(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn a_state_is_joined_cut_and_never_malformed() {
        let state = |values: &[&str]| {
            let found = trace_state(values.iter().map(|value| value.as_bytes()));
            found.map(|state| String::from_utf8(state).expect("ASCII"))
        };
        assert_eq!(state(&["a=1, b@c=2", "", ",d=x y"]).as_deref(), Some("a=1,b@c=2,d=x y"));
        for bad in ["", "a", "=1", "A=1", "a=", "a=1=2", "a=\u{e9}", "a b=1"] {
            assert_eq!(state(&[bad]), None, "{bad}");
        }
        let many: Vec<String> = (0..40).map(|number| format!("k{number}=v")).collect();
        assert_eq!(state(&[&many.join(",")]).expect("valid").split(',').count(), MAX_ENTRIES);
        let long: Vec<String> = (0..4).map(|number| format!("k{number}={}", "v".repeat(200))).collect();
        assert_eq!(state(&[&long.join(",")]).expect("valid").split(',').count(), 2);
    }
}
