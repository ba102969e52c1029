//! The crate `sfv` as an independent judge of dictionaries.
//!
//! Where the two differ on purpose: ours refuses repeated keys and more parts than its limits.

use approov_gateway::http::structured::{DictionaryLimits, dictionary};
use proptest::prelude::*;

const LIMITS: DictionaryLimits = DictionaryLimits { members: 100, items: 100, parameters: 100 };

fn theirs(field: &str) -> Option<usize> {
    sfv::Parser::parse_dictionary(field.as_bytes()).ok().map(|found| found.len())
}

fn ours(field: &str) -> Option<usize> {
    dictionary(field.as_bytes(), &LIMITS).ok().map(|found| found.len())
}

/// Texts that are dictionaries or nearly so.
fn field() -> impl Strategy<Value = String> {
    let bare = prop_oneof![
        "-?[0-9]{0,16}",
        "[0-9]{1,13}\\.[0-9]{0,4}",
        "\"[a-z\\\\\" ]{0,4}\"?",
        "[a-zA-Z*][a-z:/*]{0,4}",
        ":([A-Za-z0-9+/]{4}){0,2}:",
        ":[AZ=]{0,6}:",
        "\\?[0-2]",
        "[@%]?[0-9]{1,3}",
    ];
    let parameters =
        proptest::collection::vec(("; ?[a-z*][a-z0-9_.]{0,3}", proptest::option::of(bare.clone())), 0..3)
            .prop_map(|list| {
                list.into_iter()
                    .map(|(key, value)| value.map_or(key.clone(), |value| format!("{key}={value}")))
                    .collect::<String>()
            });
    let item = (bare, parameters.clone()).prop_map(|(bare, parameters)| format!("{bare}{parameters}"));
    let list = (proptest::collection::vec(item.clone(), 0..4), "[ ]{1,2}", parameters)
        .prop_map(|(items, space, parameters)| format!("({}){parameters}", items.join(&space)));
    let value = prop_oneof![item, list];
    let member = ("[a-z*A]", proptest::option::of(value))
        .prop_map(|(key, value)| value.map_or(key.clone(), |value| format!("{key}={value}")));
    (proptest::collection::vec(member, 0..4), "[ \t]?,[ \t]{0,2}")
        .prop_map(|(members, comma)| members.join(&comma))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn what_is_accepted_here_is_accepted_there_with_as_many_members(field in field()) {
        if let Some(found) = ours(&field) {
            prop_assert_eq!(theirs(&field), Some(found), "{}", field);
        }
    }

    #[test]
    fn what_is_accepted_there_is_accepted_here_unless_a_key_repeats(field in field()) {
        if theirs(&field).is_some() && ours(&field).is_none() {
            let key = |part: &'_ str| part.trim().split(['=', ')', ' ']).next().unwrap_or_default().to_owned();
            let keys: Vec<String> = field.split([',', ';']).map(key).collect();
            let unique: std::collections::BTreeSet<_> = keys.iter().collect();
            prop_assert!(unique.len() < keys.len(), "{}", field);
        }
    }
}
