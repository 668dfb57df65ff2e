//! Small unsigned packages, made from a few words, that tests can spoil.

use base64ct::{Base64, Encoding};
use wimwright_format::cab::{CabinetWriter, WriterCompression};
use wimwright_format::catalog::NewCatalog;
use wimwright_format::manifest::{Identity, Version};
use wimwright_servicing::cbs::step::Packages;
use wimwright_servicing::step::{Context, Step, StepError, StepReport};

use super::*;

const TOKEN: &str = "31bf3856ad364e35";

/// The members of a package's cabinet by name. [`sealed`] adds the catalog.
pub type Members = Vec<(String, Vec<u8>)>;

pub fn identity(name: &str, version: Version) -> Identity {
    Identity {
        name: name.into(),
        version,
        architecture: Some("amd64".into()),
        public_key_token: Some(TOKEN.into()),
        version_scope: Some("nonSxS".into()),
        ..Identity::default()
    }
}

pub fn element(identity: &Identity) -> String {
    let scope = identity.version_scope.as_ref().map_or(String::new(), |scope| format!(" versionScope=\"{scope}\""));
    let Identity { name, version, .. } = identity;
    format!(
        "<assemblyIdentity name=\"{name}\" version=\"{version}\" processorArchitecture=\"amd64\" language=\"neutral\" publicKeyToken=\"{TOKEN}\"{scope}/>"
    )
}

pub fn assembly(identity: &Identity, inner: &str) -> Vec<u8> {
    format!("<assembly xmlns=\"urn:schemas-microsoft-com:asm.v3\" manifestVersion=\"1.0\">{}{inner}</assembly>", element(identity)).into()
}

/// A component `name` with a program `name.exe` and a value `SOFTWARE\Example!name`, both of which say its version.
pub fn component(name: &str, version: Version) -> Members {
    let id = identity(name, version);
    let contents = format!("{name} {version}").into_bytes();
    let digest = Base64::encode_string(&Sha256::digest(&contents));
    let manifest = assembly(
        &id,
        &format!(
            "<file name=\"{name}.exe\" destinationPath=\"$(runtime.system32)\\\"><hash xmlns=\"urn:schemas-microsoft-com:asm.v2\" xmlns:d=\"http://www.w3.org/2000/09/xmldsig#\"><d:DigestMethod Algorithm=\"http://www.w3.org/2000/09/xmldsig#sha256\"/><d:DigestValue>{digest}</d:DigestValue></hash></file>\
<registryKeys><registryKey keyName=\"HKEY_LOCAL_MACHINE\\SOFTWARE\\Example\"><registryValue name=\"{name}\" valueType=\"REG_SZ\" value=\"{version}\"/></registryKey></registryKeys>"
        ),
    );
    let keyform = id.keyform();
    vec![(format!("{keyform}.manifest"), manifest), (format!("{keyform}\\{name}.exe"), contents)]
}

/// A deployment of components and other deployments.
pub fn deployment(name: &str, version: Version, of: &[Identity]) -> Members {
    let depends = |identity: &Identity| {
        format!("<dependency><dependentAssembly dependencyType=\"install\">{}</dependentAssembly></dependency>", element(identity))
    };
    let inner = format!("<deployment/>{}", of.iter().map(depends).collect::<String>());
    let id = identity(name, version);
    vec![(format!("{}.manifest", id.keyform()), assembly(&id, &inner))]
}

/// The manifest of a package with one update, which carries a deployment.
pub fn package(name: &str, version: Version, carried: &Identity) -> Members {
    let id = Identity { version_scope: None, ..identity(name, version) };
    let update = format!("<update name=\"{name}-Update\"><component>{}</component></update>", element(carried));
    vec![("update.mum".into(), assembly(&id, &format!("<package identifier=\"{name}\" releaseType=\"Update\">{update}</package>")))]
}

/// A package with a deployment of its own for components of these names and versions.
pub fn whole(name: &str, version: Version, components: &[(&str, Version)]) -> Members {
    let of: Vec<Identity> = components.iter().map(|(name, version)| identity(name, *version)).collect();
    let deployed = format!("{name}-Deployment");
    let mut members = package(name, version, &identity(&deployed, version));
    members.extend(deployment(&deployed, version, &of));
    components.iter().for_each(|(name, version)| members.extend(component(name, *version)));
    members
}

/// The members with a catalog that lists all manifests as they are now.
pub fn sealed(mut members: Members) -> Members {
    let mut catalog = NewCatalog::new([9; 16], "250101000000Z");
    let manifests = members.iter().filter(|(name, _)| name.ends_with(".mum") || name.ends_with(".manifest"));
    manifests.for_each(|(_, bytes)| catalog.add_file(bytes));
    members.push(("update.cat".into(), catalog.to_bytes()));
    members
}

pub fn cabinet(members: &Members) -> Vec<u8> {
    let mut writer = CabinetWriter::new(WriterCompression::Mszip);
    for (name, bytes) in members {
        writer.add(name, bytes, NOW, 0x20).unwrap();
    }
    let mut bytes = Vec::new();
    writer.finish(&mut bytes).unwrap();
    bytes
}

pub fn payload(name: &str, bytes: Vec<u8>) -> Payload {
    Payload { name: format!("{name}.cab"), sha256: Sha256::digest(&bytes).into(), source: Arc::new(bytes) }
}

/// The step as a recipe with these update files has it.
pub fn updates(files: Vec<Payload>) -> Packages {
    Packages { updates: files, allow_unsigned: true, ..Packages::default() }
}

pub fn apply(step: &Packages, image: &Image) -> Result<(Image, StepReport), StepError> {
    step.apply(image.clone(), &Context { time: NOW })
}

/// An image without any package of interest.
pub fn plain_image() -> Image {
    image_with("amd64", [10, 0, 26100, 1], &[])
}
