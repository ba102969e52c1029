//! Rust code as tokens, without comments, texts and numbers.

/// One token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// A name or a keyword.
    Word(String),
    /// Any other character.
    Mark(char),
}

/// The tokens of a file.
pub fn tokens(code: &str) -> Vec<Token> {
    let code: Vec<char> = code.chars().collect();
    let (mut tokens, mut at) = (Vec::new(), 0);
    while at < code.len() {
        at = match code[at..] {
            ['/', '/', ..] => find(&code, at, '\n'),
            ['/', '*', ..] => end_of_comment(&code, at),
            ['r' | 'b', 'r' | '"' | '#', ..] if is_raw(&code[at..]) => end_of_raw_text(&code, at),
            ['"', ..] => end_of_text(&code, at),
            ['\'', '\\', ..] => find(&code, at + 3, '\'') + 1,
            ['\'', _, '\'', ..] => at + 3,
            // A lifetime.
            ['\'', ..] => at + 1,
            [first, ..] if first.is_alphabetic() || first == '_' => {
                let is_end = |c: &char| !(c.is_alphanumeric() || *c == '_');
                let end = at + code[at..].iter().position(is_end).unwrap_or(code.len() - at);
                tokens.push(Token::Word(code[at..end].iter().collect()));
                end
            }
            [first, ..] if first.is_ascii_digit() => {
                let is_end = |c: &char| !(c.is_alphanumeric() || *c == '_');
                at + code[at..].iter().position(is_end).unwrap_or(code.len() - at)
            }
            [first, ..] => {
                if !first.is_whitespace() {
                    tokens.push(Token::Mark(first));
                }
                at + 1
            }
            [] => at + 1,
        };
    }
    tokens
}

/// Whether the code begins with a raw text such as `r#"…"#`.
fn is_raw(code: &[char]) -> bool {
    let code = code.strip_prefix(&['b']).unwrap_or(code);
    let Some(code) = code.strip_prefix(&['r']) else { return false };
    code.iter().find(|c| **c != '#') == Some(&'"')
}

fn end_of_raw_text(code: &[char], start: usize) -> usize {
    let open = find(code, start, '"');
    let marks = code[start..open].iter().filter(|c| **c == '#').count();
    let mut at = open + 1;
    loop {
        at = find(code, at, '"') + 1;
        if at >= code.len() || code[at..].iter().take_while(|c| **c == '#').count() >= marks {
            return at + marks;
        }
    }
}

fn end_of_text(code: &[char], start: usize) -> usize {
    let mut at = start + 1;
    while at < code.len() && code[at] != '"' {
        at += if code[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

fn end_of_comment(code: &[char], start: usize) -> usize {
    let end = code[start..].windows(2).position(|pair| pair == ['*', '/']);
    end.map_or(code.len(), |end| start + end + 2)
}

fn find(code: &[char], start: usize, wanted: char) -> usize {
    let start = start.min(code.len());
    code[start..].iter().position(|c| *c == wanted).map_or(code.len(), |found| start + found)
}

#[test]
fn comments_texts_and_characters_are_no_tokens() {
    let code = "a /* b */ \"c::d \\\" e\" 'f' '\\'' r#\"g \" h\"# b\"i\" <'j> 1.5 // k\nl";
    let found: Vec<_> = tokens(code).into_iter().filter(|token| matches!(token, Token::Word(_))).collect();
    assert_eq!(found, ["a", "b", "j", "l"].map(|word| Token::Word(word.into())));
}
