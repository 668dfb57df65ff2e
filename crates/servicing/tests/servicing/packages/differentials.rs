//! Cumulative updates bring differentials: from a base version (`f`), or from nothing (`n`). The deltas are Microsoft's own.

use flate2::Crc;
use wimwright_format::cab::{CabinetWriter, WriterCompression};
use wimwright_format::catalog::NewCatalog;
use wimwright_format::container_index::{Place, SourceKind};
use wimwright_format::manifest::Identity;
use wimwright_format::msu::{Layout, Update};
use wimwright_practice::store::ComponentSpec;
use wimwright_servicing::cbs::step::Packages;
use wimwright_servicing::step::{Context, Step};

use super::*;

const TOKEN: &str = "31bf3856ad364e35";

pub fn identity(name: &str, revision: u16) -> Identity {
    Identity {
        name: name.into(),
        version: Version([10, 0, 26100, revision]),
        architecture: Some("amd64".into()),
        public_key_token: Some(TOKEN.into()),
        version_scope: Some("nonSxS".into()),
        ..Identity::default()
    }
}

fn identity_element(identity: &Identity) -> String {
    let scope = identity.version_scope.as_ref().map_or(String::new(), |scope| format!(" versionScope=\"{scope}\""));
    format!(
        "<assemblyIdentity name=\"{}\" version=\"{}\" processorArchitecture=\"amd64\" language=\"neutral\" publicKeyToken=\"{TOKEN}\"{scope}/>",
        identity.name, identity.version
    )
}

fn assembly(identity: &Identity, inner: &str) -> Vec<u8> {
    format!("<assembly xmlns=\"urn:schemas-microsoft-com:asm.v3\" manifestVersion=\"1.0\">{}{inner}</assembly>", identity_element(identity))
        .into_bytes()
}

pub fn component(identity: &Identity, file: &str, bytes: &[u8]) -> Vec<u8> {
    use base64ct::{Base64, Encoding};
    let digest = Base64::encode_string(&Sha256::digest(bytes));
    assembly(
        identity,
        &format!(
            "<file name=\"{file}\" destinationPath=\"$(runtime.system32)\\\" sourceName=\"{file}\"><hash xmlns=\"urn:schemas-microsoft-com:asm.v2\" xmlns:d=\"http://www.w3.org/2000/09/xmldsig#\"><d:Transforms><d:Transform Algorithm=\"urn:schemas-microsoft-com:HashTransforms.Identity\"/></d:Transforms><d:DigestMethod Algorithm=\"http://www.w3.org/2000/09/xmldsig#sha256\"/><d:DigestValue>{digest}</d:DigestValue></hash></file>"
        ),
    )
}

/// A package of one component, whose file is delivered as a differential.
fn delivery(revision: u16, file: &str, target: &[u8], folder: &str, delta: &[u8]) -> Payload {
    let (component_id, deployment) = (identity("Example-Component", revision), identity("Example-Deployment", revision));
    let package = Identity { version_scope: None, ..identity("Example-Package", revision) };
    let carried = |name: &str| format!("<update name=\"example\"><component>{name}</component></update>");
    let manifest = assembly(
        &package,
        &format!("<package identifier=\"Example\" releaseType=\"Update\">{}</package>", carried(&identity_element(&deployment))),
    );
    let depends = format!(
        "<deployment/><dependency><dependentAssembly dependencyType=\"install\">{}</dependentAssembly></dependency>",
        identity_element(&component_id)
    );
    let mut crc = Crc::new();
    crc.update(delta);
    let differential = [&crc.sum().to_le_bytes()[..], delta].concat();
    let manifests = [
        ("update.mum".to_owned(), manifest),
        (format!("{}.manifest", deployment.keyform()), assembly(&deployment, &depends)),
        (format!("{}.manifest", component_id.keyform()), component(&component_id, file, target)),
    ];
    let mut catalog = NewCatalog::new([9; 16], "250101000000Z");
    manifests.iter().for_each(|(_, bytes)| catalog.add_file(bytes));
    let rest = [("update.cat".to_owned(), catalog.to_bytes()), (format!("{}\\{folder}\\{file}", component_id.keyform()), differential)];
    let mut writer = CabinetWriter::new(WriterCompression::Mszip);
    for (name, bytes) in manifests.iter().chain(&rest) {
        writer.add(name, bytes, NOW, 0x20).unwrap();
    }
    let mut bytes = Vec::new();
    writer.finish(&mut bytes).unwrap();
    Payload { name: "example.cab".into(), sha256: Sha256::digest(&bytes).into(), source: Arc::new(bytes) }
}

fn step(update: Payload) -> Packages {
    Packages { updates: vec![update], allow_unsigned: true, ..Packages::default() }
}

/// A store that has the first version of the component, installed.
fn image_of(file: &str, base: &[u8]) -> Image {
    let manifest = component(&identity("Example-Component", 1), file, base);
    let spec = StoreSpec {
        architecture: "amd64".into(),
        version: Version([10, 0, 26100, 1]),
        components: vec![ComponentSpec { manifest, stored_manifest: None, payload: vec![(file.into(), base.to_vec())] }],
        ..StoreSpec::default()
    };
    consistency::open(wimwright_practice::store::write(&spec).unwrap())
}

#[test]
fn real_forward_differentials_lead_from_the_base_to_the_new_version() {
    for sample in ["amd64_kbdwol", "amd64_provdiagnostics"] {
        let Some(folder) = wimwright_testkit::test_data(&format!("manifests/msdelta/pe-decode/{sample}")) else { return };
        let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
        let (base, delta, target) = (read("base.bin"), read("delta.pa30"), read("target.bin"));
        let image = image_of("example.dll", &base);
        let update = delivery(5000, "example.dll", &target, "f", &delta);
        let (after, _) = step(update.clone()).apply(image, &Context { time: NOW }).unwrap();
        check(&after, "amd64");
        assert!(*after.read("/Windows/System32/example.dll").unwrap() == *target, "{sample}");
        let keyform = identity("Example-Component", 5000).keyform();
        let kept = after.read(&format!("/Windows/WinSxS/{keyform}/f/example.dll")).unwrap();
        assert_eq!(kept.len(), delta.len() + 4, "the differential stays beside the file");

        // Without the base it is an error that names the component and the versions that were tried, before anything is written.
        let other = image_of("example.dll", b"another base");
        let error = step(update).apply(other, &Context { time: NOW }).err().unwrap();
        assert_eq!(
            error.to_string(),
            format!(
                "no base for the differential of example.dll of {keyform}: the image has versions [10.0.26100.1]; an earlier cumulative update (a checkpoint) is missing"
            )
        );
    }
}

#[test]
fn real_null_differentials_make_a_file_from_nothing() {
    let Some(path) = wimwright_testkit::test_data("msu_cab/Windows6.1-KB2465285-x64.msu") else { return };
    let update = Update::open(Arc::new(std::fs::read(path).unwrap())).unwrap();
    let package = &update.packages[0];
    let Layout::Deltas { index, .. } = &package.layout else { panic!("deltas") };
    let (name, member) = index
        .files
        .iter()
        .find_map(|file| match file.deltas.first()? {
            delta if delta.basis.is_none() => match delta.source.as_ref()? {
                source if source.kind == SourceKind::Pa30 => match &source.place {
                    Place::Member(member) => Some((file.name.clone(), member.clone())),
                    Place::Range { .. } => None,
                },
                _ => None,
            },
            _ => None,
        })
        .unwrap();
    let target = package.file(&name).unwrap();
    let mut delta = Vec::new();
    for source in package.open_members(&[&member]).unwrap() {
        std::io::Read::read_to_end(&mut wimwright_format::io::Reader::new(source), &mut delta).unwrap();
    }
    let update = delivery(5000, "made.dll", &target, "n", &delta);
    let (after, _) = step(update).apply(image_of("other.dll", b"x"), &Context { time: NOW }).unwrap();
    check(&after, "amd64");
    assert!(*after.read("/Windows/System32/made.dll").unwrap() == *target);
    // A flipped bit is found by the checksum, which Microsoft put there for this.
    delta[20] ^= 1;
    let mut broken = delivery(5000, "made.dll", &target, "n", &delta);
    broken.name = "broken.cab".into();
    let error = step(broken).apply(image_of("other.dll", b"x"), &Context { time: NOW }).err().unwrap();
    assert!(error.to_string().contains("made.dll"), "{error}");
}
