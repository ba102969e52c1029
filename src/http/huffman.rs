//! The Huffman code of HPACK (RFC 7541 Appendix B). The code is canonical: codes of one length are consecutive
//! numbers in the order of their symbols, so the lengths define it.

/// The length of the code of each byte, and of the end of string.
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28,
    28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6,
    6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7,
    8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7,
    15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24,
    23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23,
    23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26,
    26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20,
    21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27,
    27, 27, 26, 30,
];

const LONGEST: usize = 30;
const END: u16 = 256;

/// The codes of each length: the first code, the number of codes, and the position of the first symbol in
/// `SYMBOLS`.
const ROWS: [(u32, u32, usize); LONGEST + 1] = {
    let mut rows = [(0, 0, 0); LONGEST + 1];
    let (mut code, mut position, mut length) = (0, 0, 1);
    while length <= LONGEST {
        code <<= 1;
        let mut count = 0;
        let mut symbol = 0;
        while symbol < LENGTHS.len() {
            if LENGTHS[symbol] as usize == length {
                count += 1;
            }
            symbol += 1;
        }
        rows[length] = (code, count, position);
        code += count;
        position += count as usize;
        length += 1;
    }
    rows
};

/// All symbols, sorted by the length of their code.
const SYMBOLS: [u16; LENGTHS.len()] = {
    let mut symbols = [0; LENGTHS.len()];
    let (mut position, mut length) = (0, 1);
    while length <= LONGEST {
        let mut symbol = 0;
        while symbol < LENGTHS.len() {
            if LENGTHS[symbol] as usize == length {
                symbols[position] = symbol as u16;
                position += 1;
            }
            symbol += 1;
        }
        length += 1;
    }
    symbols
};

/// Hands every decoded byte to `take`. `None` if the text is malformed.
pub fn decode(bytes: &[u8], take: &mut impl FnMut(u8)) -> Option<()> {
    let (mut code, mut length) = (0_u32, 0);
    for bit in bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| u32::from(byte >> bit & 1))) {
        code = code << 1 | bit;
        length += 1;
        let (first, count, position) = ROWS[length];
        let Some(offset) = code.checked_sub(first).filter(|offset| *offset < count) else { continue };
        let symbol = SYMBOLS[position + offset as usize];
        take(u8::try_from(symbol).ok().filter(|_| symbol != END)?);
        (code, length) = (0, 0);
    }
    // The padding is the beginning of the end of string: at most seven bits, all of them set.
    (length < 8 && code == (1 << length) - 1).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(bytes: &[u8]) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        decode(bytes, &mut |byte| text.push(byte))?;
        Some(text)
    }

    #[test]
    fn the_examples_of_the_rfc_are_decoded() {
        // RFC 7541 Appendix C.4 and C.6.
        for (coded, text) in [
            ("f1e3c2e5f23a6ba0ab90f4ff", "www.example.com"),
            ("a8eb10649cbf", "no-cache"),
            ("25a849e95ba97d7f", "custom-key"),
            ("25a849e95bb8e8b4bf", "custom-value"),
            ("d07abe941054d444a8200595040b8166e082a62d1bff", "Mon, 21 Oct 2013 20:13:21 GMT"),
            ("9d29ad171863c78f0b97c8e9ae82ae43d3", "https://www.example.com"),
        ] {
            let digits = coded.as_bytes().chunks(2);
            let bytes: Vec<u8> = digits
                .map(|pair| {
                    u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16).expect("two digits")
                })
                .collect();
            assert_eq!(decoded(&bytes).as_deref(), Some(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn malformed_texts_are_refused() {
        // Padding of zeros, padding of eight bits, the end of string.
        for bytes in [&[0b0110_0000][..], &[0b0001_1111, 0xff], &[0xff, 0xff, 0xff, 0xff]] {
            assert_eq!(decoded(bytes), None, "{bytes:?}");
        }
        assert_eq!(decoded(&[]), Some(Vec::new()));
    }
}
