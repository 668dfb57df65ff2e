//! Tests of the effects: on manifests written here, on real ones, and against hives that Windows itself wrote.

mod corpus;
mod generated;
mod outputs;
mod real;

use wimwright_format::manifest::Component;
use wimwright_format::regf::Data;

use super::{EffectError, Effects, RegistryEffect, effects};

/// A component manifest with a body.
fn manifest(architecture: &str, body: &str) -> String {
    format!(
        "<assembly xmlns='urn:schemas-microsoft-com:asm.v3'><assemblyIdentity name='Practice' version='10.0.1.2' \
         processorArchitecture='{architecture}' language='neutral' publicKeyToken='31bf3856ad364e35' versionScope='nonSxS'/>{body}</assembly>"
    )
}

fn try_effects(architecture: &str, body: &str) -> Result<Effects, EffectError> {
    effects(&Component::parse(manifest(architecture, body).as_bytes()).unwrap(), "amd64")
}

/// The effects of a native component in a 64-bit image.
fn of(body: &str) -> Effects {
    try_effects("amd64", body).unwrap()
}

/// The first effect on a key.
fn key<'a>(effects: &'a Effects, path: &str) -> &'a RegistryEffect {
    effects.registry.iter().find(|key| key.path.key == path).unwrap_or_else(|| panic!("no {path} in {:#?}", effects.registry))
}

/// Names and data of the values of a key.
fn values(effects: &Effects, path: &str) -> Vec<(String, Data)> {
    key(effects, path).values.iter().map(|value| (value.name.clone(), Data::decode(value.kind, &value.data))).collect()
}

fn text(name: &str, text: &str) -> (String, Data) {
    (name.to_owned(), Data::Text(text.to_owned()))
}

fn expandable(name: &str, text: &str) -> (String, Data) {
    (name.to_owned(), Data::ExpandableText(text.to_owned()))
}

fn number(name: &str, number: u32) -> (String, Data) {
    (name.to_owned(), Data::Dword(number))
}

fn texts(name: &str, texts: &[&str]) -> (String, Data) {
    (name.to_owned(), Data::Texts(texts.iter().map(|text| (*text).to_owned()).collect()))
}
