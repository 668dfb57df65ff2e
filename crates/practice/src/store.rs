//! The component store (WinSxS): components' folders and manifests, and the files' second names.

use sha2::{Digest, Sha256};
use wimwright_format::manifest::store_name::payload_value_name;
use wimwright_format::regf::Data;

use crate::contents::Contents;
use crate::data;
use crate::error::Error;
use crate::hives::HiveFile;
use crate::identity::{Component, PUBLIC_KEY_TOKEN};
use crate::security;
use crate::system::SystemFile;
use crate::tree::ImageTree;

/// Puts a file where it belongs: into its component's folder, and from there to its second name by a hard link.
pub(crate) fn add_file(tree: &mut ImageTree, contents: &mut Contents, components: &mut HiveFile, file: &SystemFile) -> Result<(), Error> {
    let key_form = file.component.key_form();
    let stored = format!("Windows/WinSxS/{key_form}/{}", file.name);
    tree.file(&stored, Some(file.blob))?;
    if let Some(directory) = file.directory {
        tree.link(&stored, &format!("{directory}/{}", file.name))?;
    }
    let manifest = manifest(file);
    let hash: [u8; 32] = Sha256::digest(manifest.as_bytes()).into();
    let blob = contents.add(manifest);
    tree.file(&format!("Windows/WinSxS/Manifests/{key_form}.manifest"), blob)?;

    let key = format!(r"DerivedData\Components\{key_form}");
    components.set(&key, "identity", &Data::Binary(file.component.identity().into_bytes()))?;
    components.set(&key, "S256H", &Data::Binary(hash.to_vec()))?;
    components.set(&key, &format!("c!{}", deployment_key()), &Data::Binary(Vec::new()))?;
    components.set(&key, &payload_value_name(&file.name), &Data::Dword(0x14))?;
    Ok(())
}

/// The deployment that all components belong to.
pub(crate) fn deployment() -> Component {
    Component {
        name: "Microsoft-Windows-Foundation-Deployment".to_owned(),
        architecture: "amd64",
        culture: "neutral",
        version: data::VERSION_TEXT.to_owned(),
    }
}

/// The name of the deployment's key: name with its ends only, token, version, hash.
pub(crate) fn deployment_key() -> String {
    deployment().deployment_key()
}

fn manifest(file: &SystemFile) -> String {
    let Component { name, architecture, culture, version } = &file.component;
    let destination = file.directory.map_or(String::new(), |directory| {
        let path = directory.strip_prefix("Windows/").unwrap_or(directory).replace('/', "\\");
        format!(" destinationPath=\"$(runtime.windows)\\{path}\\\"")
    });
    let sddl = security::spelled_out(security::SYSTEM_FILE);
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\" standalone=\"yes\"?>\r\n\
<assembly xmlns=\"urn:schemas-microsoft-com:asm.v3\" manifestVersion=\"1.0\" copyright=\"Wimwright practice media\">\r\n\
  <assemblyIdentity name=\"{name}\" version=\"{version}\" processorArchitecture=\"{architecture}\" language=\"{culture}\" buildType=\"release\" publicKeyToken=\"{PUBLIC_KEY_TOKEN}\" versionScope=\"nonSxS\"/>\r\n\
  <file name=\"{}\"{destination} sourceName=\"{0}\" importPath=\"$(build.nttree)\\\" sourcePath=\".\\\">\r\n\
    <securityDescriptor name=\"WRP_FILE_DEFAULT_SDDL\"/>\r\n\
  </file>\r\n\
  <trustInfo>\r\n    <security>\r\n      <accessControl>\r\n        <securityDescriptorDefinitions>\r\n\
          <securityDescriptorDefinition name=\"WRP_FILE_DEFAULT_SDDL\" sddl=\"{sddl}\" operationHint=\"replace\"/>\r\n\
        </securityDescriptorDefinitions>\r\n      </accessControl>\r\n    </security>\r\n  </trustInfo>\r\n\
</assembly>\r\n",
        file.name
    )
}
