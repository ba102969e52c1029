//! Every configuration that a page shows is one that the gateway loads.

use std::collections::BTreeSet;
use std::fs;

use approov_gateway::config::{Environment, load};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_yaml::{Mapping, Value};
use sha2::{Digest, Sha512};

use super::page::{Block, Page, root};
use crate::harness::tls::{Authority, Identity};
use crate::harness::{Folder, tokens};

impl Block {
    /// Whether this block is a configuration of the gateway, or a part of one.
    pub fn is_configuration(&self) -> bool {
        self.language == "yaml" && self.note.is_empty()
    }
}

/// The files that configurations name, made in a folder.
pub struct Files<'f> {
    folder: &'f Folder,
    authority: Authority,
    identity: Identity,
}

impl<'f> Files<'f> {
    pub fn in_folder(folder: &'f Folder) -> Self {
        let authority = Authority::new();
        let names = ["api.example.com", "shop.example.com", "bank.example.com"];
        let identity = Identity::new(&authority, &names);
        Self { folder, authority, identity }
    }

    /// A configuration with what a block leaves out, and with the files that it names.
    pub fn complete(&self, block: &str) -> Result<Mapping, String> {
        let mut file: Mapping = serde_yaml::from_str(block).map_err(|error| error.to_string())?;
        self.provide(&mut file);
        if !file.contains_key("origins") {
            file.insert("origins".into(), serde_yaml::from_str("api: { domain: api.example.com }").unwrap());
        }
        Ok(file)
    }

    /// Makes each file that is named, and names it without its folder.
    fn provide(&self, section: &mut Mapping) {
        for (key, value) in section.iter_mut() {
            match value {
                Value::String(path) => {
                    let name = path.rsplit('/').next().unwrap().to_owned();
                    if let Some(content) = self.content(key.as_str().unwrap_or_default(), &name) {
                        self.folder.write(&name, content);
                        *path = name;
                    }
                }
                Value::Mapping(section) => self.provide(section),
                Value::Sequence(sections) => {
                    sections
                        .iter_mut()
                        .filter_map(Value::as_mapping_mut)
                        .for_each(|inner| self.provide(inner));
                }
                _ => {}
            }
        }
    }

    /// What the file of this name holds, if the key names a file that the gateway reads.
    fn content(&self, key: &str, name: &str) -> Option<String> {
        // Two keys with the same secret would be a problem of its own.
        let secret = STANDARD.encode(Sha512::digest(name));
        Some(match key {
            "ca_file" => self.authority.pem.clone(),
            "certificate_file" => self.identity.chain.clone(),
            "private_key_file" => self.identity.key.clone(),
            "public_key_file" => rcgen::KeyPair::generate().unwrap().public_key_pem(),
            "key_file" | "password_file" | "secret_base64_file" | "secret_file" | "token_file"
            | "value_file" => secret,
            _ => return None,
        })
    }
}

#[test]
fn every_configuration_that_is_shown_loads() {
    let environment = Environment::from_pairs([("APPROOV_SECRET_BASE64", tokens::SECRET_BASE64)]);
    let (mut shown, mut wrong) = (BTreeSet::new(), Vec::new());
    for page in Page::all() {
        for block in page.blocks.iter().filter(|block| block.is_configuration()) {
            let folder = Folder::new();
            let problems = match Files::in_folder(&folder).complete(&block.text) {
                Ok(file) => {
                    shown.extend(file.keys().map(|key| key.as_str().unwrap_or_default().to_owned()));
                    let path = folder.write("gateway.yaml", serde_yaml::to_string(&file).unwrap());
                    load(Some(&path), &environment).err().map(|problems| problems.to_string())
                }
                Err(error) => Some(error),
            };
            wrong.extend(
                problems.map(|text| format!("{}: {}", page.place(block), folder.without_path(&text))),
            );
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(shown.len() >= 5, "only these sections are shown: {shown:?}");
}

#[test]
fn every_file_for_another_program_is_well_formed() {
    for page in Page::all() {
        for block in &page.blocks {
            let error = match block.language.as_str() {
                "yaml" => serde_yaml::Deserializer::from_str(&block.text)
                    .find_map(|document| serde::Deserialize::deserialize(document).map(|_: Value| ()).err())
                    .map(|error| error.to_string()),
                "toml" => block.text.parse::<toml::Table>().err().map(|error| error.to_string()),
                _ => None,
            };
            assert!(error.is_none(), "{}: {}", page.place(block), error.unwrap_or_default());
        }
    }
}

#[test]
fn issue_forms_are_well_formed() {
    let mut forms = 0;
    for entry in fs::read_dir(root().join(".github/ISSUE_TEMPLATE")).unwrap() {
        let path = entry.unwrap().path();
        if !path.ends_with("config.yml") && path.extension().is_some_and(|extension| extension == "yml") {
            let form: Value = serde_yaml::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
            let is_text = |key: &str| form[key].as_str().is_some_and(|text| !text.is_empty());
            let asks =
                |field: &Value| field["type"] == "textarea" && field["attributes"]["label"].is_string();
            assert!(is_text("name") && is_text("description"), "{}", path.display());
            assert!(form["body"].as_sequence().unwrap().iter().any(asks), "{} asks nothing", path.display());
            forms += 1;
        }
    }
    assert!(forms > 0, "there are no forms");
}
