//! Texts of operators in messages: quoted, but never a secret; and names that were perhaps meant.

/// The longest text that a message repeats. Every secret is longer, so a secret in the wrong place
/// is not printed.
pub const MAX_QUOTED: usize = 40;

/// A text of the configuration, as a message shows it.
pub fn quoted(text: &str) -> String {
    let characters = text.chars().count();
    if characters > MAX_QUOTED {
        format!("this text of {characters} characters")
    } else {
        format!("`{}`", text.escape_debug())
    }
}

/// The most similar name in `known`; `None` if no name is similar.
pub fn nearest<'k>(text: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    known
        .into_iter()
        .map(|name| (strsim::normalized_damerau_levenshtein(text, name), name))
        .filter(|(likeness, _)| *likeness >= 0.5)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, name)| name)
}

/// The hint for a name that does not exist: the most similar name, or all names.
pub fn suggest<'k>(text: &str, known: impl IntoIterator<Item = &'k str> + Clone) -> String {
    match nearest(text, known.clone()) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("known here: {}", known.into_iter().collect::<Vec<_>>().join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_no_text_as_long_as_a_secret() {
        assert_eq!(quoted("HS257"), "`HS257`");
        assert_eq!(quoted("a\r\u{1b}"), "`a\\r\\u{1b}`");
        assert_eq!(quoted(&"s".repeat(43)), "this text of 43 characters");
    }

    #[test]
    fn suggests_what_is_near_and_lists_the_rest() {
        assert_eq!(suggest("lisseners", ["listeners", "admin"]), "did you mean `listeners`?");
        assert_eq!(suggest("qqq", ["listeners", "admin"]), "known here: listeners, admin");
    }
}
