//! The JSON Schema of the configuration file, judged by a validator of its own.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use approov_gateway::config::{Environment, load, schema};
use jsonschema::Validator;
use serde_json::Value;

fn validator() -> Validator {
    jsonschema::draft202012::new(&schema()).expect("the schema is one")
}

fn instance(file: &Path) -> Value {
    serde_yaml::from_str(&fs::read_to_string(file).expect("a file")).expect("YAML")
}

fn good_files() -> Vec<PathBuf> {
    let entries =
        fs::read_dir("tests/config/good").expect("a folder").map(|entry| entry.expect("an entry").path());
    let files = entries.filter(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files.chain(["conf/gateway.yaml", "conf/minimal.yaml"].map(PathBuf::from)).collect()
}

#[test]
fn good_files_validate() {
    let validator = validator();
    let files = good_files();
    assert!(files.len() >= 8, "{files:?}");
    for file in files {
        let errors: Vec<_> = validator.iter_errors(&instance(&file)).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{}: {errors:?}", file.display());
    }
}

/// The JSON pointer of a dotted key such as `approov.keys[0].id`.
fn pointer(key: &str) -> String {
    key.replace('[', ".").replace(']', "").split('.').map(|part| format!("/{part}")).collect()
}

/// Every unknown key and wrong type that the gateway reports is an error of the schema, too.
#[test]
fn unknown_keys_and_wrong_types_do_not_validate() {
    let validator = validator();
    let mut cases = 0;
    for name in ["unknown_keys", "wrong_types"] {
        let file = Path::new("tests/config/bad").join(name).with_extension("yaml");
        let instance = instance(&file);
        let places: BTreeSet<String> =
            validator.iter_errors(&instance).map(|error| error.instance_path().to_string()).collect();
        let problems = load(Some(&file), &Environment::default()).expect_err("the file is bad");
        for problem in problems.as_slice() {
            let Some(key) = &problem.key else { continue };
            let parent = match (problem.message.as_str(), key.rsplit_once('.')) {
                ("this key does not exist", Some((parent, _))) => pointer(parent),
                ("this key does not exist", None) => String::new(),
                (message, _) if message.starts_with("this must be") => pointer(key),
                _ => continue,
            };
            assert!(places.contains(&parent), "{key}: {} is not in {places:?}", parent);
            cases += 1;
        }
    }
    assert!(cases >= 25, "{cases}");
}

#[test]
fn the_schema_has_a_description_for_every_key() {
    fn check(path: &str, schema: &Value, keys: &mut usize) {
        if !schema.is_object() {
            return;
        }
        if let Some(properties) = schema["properties"].as_object() {
            for (key, property) in properties {
                let path = format!("{path}.{key}");
                let description = property["description"].as_str().unwrap_or_default();
                assert!(
                    description.split(' ').count() >= 2 && description.ends_with(['.', ')']),
                    "{path}: {description}"
                );
                *keys += 1;
                check(&path, property, keys);
            }
        }
        for part in ["items", "additionalProperties"] {
            check(path, &schema[part], keys);
        }
        for part in schema["anyOf"].as_array().into_iter().flatten() {
            check(path, part, keys);
        }
    }
    let mut keys = 0;
    check("", &schema(), &mut keys);
    assert!(keys >= 150, "{keys}");
}

/// The sample file has or explains every key of the schema.
#[test]
fn the_sample_file_shows_every_key() {
    fn keys(schema: &Value, found: &mut BTreeSet<String>) {
        if !schema.is_object() {
            return;
        }
        for (key, property) in schema["properties"].as_object().into_iter().flatten() {
            found.insert(key.clone());
            keys(property, found);
        }
        for part in ["items", "additionalProperties"] {
            keys(&schema[part], found);
        }
        for part in schema["anyOf"].as_array().into_iter().flatten() {
            keys(part, found);
        }
    }
    let sample = fs::read_to_string("conf/gateway.yaml").expect("the sample");
    let mut found = BTreeSet::new();
    keys(&schema(), &mut found);
    assert!(found.len() >= 100, "{}", found.len());
    let is_shown = |key: &String| {
        sample.match_indices(key).any(|(at, _)| {
            let before = sample[..at].chars().next_back();
            let after = &sample[at + key.len()..];
            before.is_some_and(|c| " {(\n".contains(c)) && after.starts_with([':', ' ', ',', ')'])
        })
    };
    let missing: Vec<_> = found.iter().filter(|key| !is_shown(key)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
