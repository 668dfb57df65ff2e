//! Real and hostile files: what each one is.

use super::*;
use wimwright_testkit::test_data;

/// What a sample does when it is opened and verified.
enum Expected {
    /// Compression, chunk size, blobs, images; everything verifies. Last: metadata encode to the same bytes.
    Sound(Option<Compression>, u32, usize, u32, bool),
    /// Opens; verification fails with an error of which the debug form starts so.
    Damaged(&'static str),
}

use Compression::{Lzms, Lzx, Xpress};
use Expected::{Damaged, Sound};

const SAMPLES: [(&str, Expected); 26] = [
    ("TestData-uncompressed.wim", Sound(None, 0, 1, 1, true)),
    // A symbolic link as wimlib before 1.14.2 wrote it, to a directory.
    ("crate-wim/default-cpu-crash-original.wim", Sound(Some(Lzms), 131_072, 2, 1, true)),
    ("crate-wim/integrity-small-chunks.wim", Sound(None, 0, 1, 1, true)),
    // Its first images have no list for an empty root; we write one.
    ("crate-wim/orphan-solid.wim", Sound(Some(Xpress), 8192, 1, 4, false)),
    ("crate-wim/pipable-resource.wim", Sound(Some(Xpress), 32768, 1, 1, true)),
    ("dissect/basic32k.wim", Sound(Some(Xpress), 32768, 5, 1, true)),
    ("dissect/basic4k.wim", Sound(Some(Xpress), 4096, 5, 1, true)),
    ("managedwimlib/BootLZX.wim", Sound(Some(Lzx), 32768, 6, 1, true)),
    ("managedwimlib/LZMS.wim", Sound(Some(Lzms), 131_072, 6, 1, true)),
    ("managedwimlib/LZX.wim", Sound(Some(Lzx), 32768, 6, 1, true)),
    ("managedwimlib/MultiImage.wim", Sound(Some(Lzx), 32768, 2, 3, true)),
    ("managedwimlib/Split.swm", Sound(Some(Lzx), 32768, 1, 1, true)),
    ("managedwimlib/Split2.swm", Sound(Some(Lzx), 32768, 1, 1, true)),
    ("managedwimlib/VerifyFail.wim", Damaged("IntegrityMismatch { offset: 208, length: 1035 }")),
    ("pebakery/ToOptimize.wim", Sound(Some(Xpress), 32768, 2, 1, true)),
    ("ppkg/Invoke-OSDCloudDriverPack.ppkg", Sound(Some(Xpress), 32768, 12, 1, true)),
    ("ppkg/PPMSettings-8909Profiles.ppkg", Sound(Some(Xpress), 32768, 7, 1, true)),
    ("ppkg/setupspecialize.ppkg", Sound(Some(Xpress), 32768, 7, 1, true)),
    ("pywimparser/sample.wim", Sound(None, 0, 2, 1, true)),
    ("pywimparser/sample_lzms.wim", Sound(Some(Lzms), 131_072, 2, 1, true)),
    ("pywimparser/sample_lzx.wim", Sound(Some(Lzx), 32768, 2, 1, true)),
    ("wimlib/corrupted_file_1.wim", Damaged("BlobDamaged")),
    ("wimlib/cyclic.wim", Damaged("Metadata { index: 1, source: SharedDirectory { offset: 120 } }")),
    ("wimlib/duplicate_names.wim", Damaged("Metadata { index: 1, source: Name { name: \"1\", directory: \"\", problem: Duplicate } }")),
    ("wimlib/empty_dacl.wim", Sound(None, 0, 1, 1, true)),
    ("wimlib/longpaths.wim", Sound(Some(Xpress), 32768, 1, 1, true)),
];

#[test]
fn real_samples_open_and_verify_or_say_why_not() {
    for (name, expected) in SAMPLES {
        let Some(path) = test_data(&format!("wim/{name}")) else { return };
        let wim = open(&path);
        let verified = wim.verify(&mut |_| ());
        match expected {
            Sound(compression, chunk_size, blobs, images, identical) => {
                verified.unwrap_or_else(|error| panic!("{name}: {error:?}"));
                let header = wim.header();
                let found = (header.compression, header.chunk_size, wim.blobs().len(), wim.image_count());
                assert_eq!(found, (compression, chunk_size, blobs, images), "{name}");
                let same = (1..=images).filter_map(|index| wim.metadata_bytes(index).ok()).all(|bytes| {
                    let metadata = Metadata::decode(&bytes).unwrap();
                    let again = metadata.encode().unwrap();
                    assert_eq!(Metadata::decode(&again).unwrap(), metadata, "{name}");
                    again == bytes
                });
                assert_eq!(same, identical, "{name}");
            }
            Damaged(reason) => {
                let error = format!("{:?}", verified.unwrap_err());
                assert!(error.starts_with(reason), "{name}: {error}");
            }
        }
    }
}

#[test]
fn real_dism_capture_shows_every_field() {
    let Some(path) = test_data("wim/dissect/basic32k.wim") else { return };
    let wim = open(&path);
    let metadata = wim.metadata(1).unwrap();
    let names: Vec<_> = metadata.root.children.iter().map(|entry| entry.name.to_string_lossy()).collect();
    // DISM lists directories that have entries last.
    assert_eq!(names, ["ads.txt", "file.txt", "link.txt", "dir"]);
    let [ads, _, link, _] = &metadata.root.children[..] else { panic!() };
    assert_eq!(ads.named_streams[0].name, "spookystream".into());
    assert_eq!(wim.read_blob(&ads.named_streams[0].blob.unwrap(), 100).unwrap().len(), 38);
    let reparse = link.reparse.as_ref().unwrap();
    assert_eq!((reparse.tag, link.data), (0xa000_0003, None));
    assert_eq!(wim.read_blob(&reparse.data.unwrap(), 100).unwrap().len(), 92);
    // DISM's own counts.
    let counted = metadata.statistics(&|id| wim.blob(id).unwrap().size);
    assert_eq!(wim.images()[0].statistics(), counted);
    assert_eq!(counted, Statistics { directories: 1, files: 4, total_bytes: 160, hard_link_bytes: 0 });
    assert!(wim.images()[0].time("CREATIONTIME").is_some_and(|time| time > 133_000_000_000_000_000));
}

#[test]
fn real_split_set_joins() {
    let Some(path) = test_data("wim/managedwimlib/Split.swm") else { return };
    let (first, second) = (open(&path), open(&path.with_file_name("Split2.swm")));
    let set = WimSet::new(vec![Arc::clone(&second), Arc::clone(&first)], Vec::new()).unwrap();
    let mut found = 0;
    set.first().metadata(1).unwrap().for_each(|entry| {
        for id in entry.blobs() {
            let (_, blob) = set.find(&id).unwrap();
            assert_eq!(set.read_blob(&id, blob.size).unwrap().len() as u64, blob.size);
            found += 1;
        }
    });
    assert!(found >= 2);
    let missing = WimSet::new(vec![second], Vec::new()).unwrap_err();
    assert_eq!(missing.to_string(), "not one split WIM: part 1 of 2 is missing");
    let missing = WimSet::new(vec![Arc::clone(&first)], Vec::new()).unwrap_err();
    assert_eq!(missing.to_string(), "not one split WIM: part 2 of 2 is missing");
    let twice = WimSet::new(vec![Arc::clone(&first), first], Vec::new()).unwrap_err();
    assert_eq!(twice.to_string(), "not one split WIM: part 1 was given twice");
}

/// A solid LZMS resource that WIMGAPI 10.0.26100 wrote, put into a WIM.
#[test]
fn real_solid_resource_of_wimgapi_decodes() {
    let Some(path) = test_data("manifests/lzms/wim_solid_lzms_ms.resource") else { return };
    let stored = std::fs::read(path).unwrap();
    let resource = resource::Resource::read_solid(&stored, 0, stored.len() as u64).unwrap();
    let bytes = extract::read_resource(&stored, &resource).unwrap();
    assert_eq!(bytes.len(), 180_000);
    let text = b"The quick brown fox";
    assert!(bytes.starts_with(text) && bytes.windows(text.len()).filter(|window| window == text).count() > 1000);
}

/// The XML data of Microsoft's own media.
#[test]
fn real_microsoft_xml_data_are_understood() {
    let Some(path) = test_data("text/wimxml/server2019-eval-install.wim.xml") else { return };
    let text = xml::decode_text(&std::fs::read(path).unwrap()).unwrap();
    let root = xml::Element::parse(&text).unwrap();
    let images = image_info::images_of(&root);
    assert_eq!(images.len(), 4);
    let (index, image) = &images[1];
    let windows = image.windows().unwrap();
    assert_eq!((*index, windows.architecture, windows.version), (2, Some(9), [Some(10), Some(0), Some(17763), Some(737)]));
    assert_eq!(windows.edition_id.as_deref(), Some("ServerStandardEval"));
    assert_eq!(windows.product_name.as_deref(), Some("Microsoft® Windows® Operating System"));
    assert_eq!((windows.languages, windows.default_language.as_deref()), (vec!["en-US".to_owned()], Some("en-US")));
    assert_eq!(image.get("DISPLAYNAME").as_deref(), Some("Windows Server 2019 Standard Evaluation (Desktop Experience)"));
    assert_eq!(image.get("WINDOWS/SERVICINGDATA/IMAGESTATE").as_deref(), Some("IMAGE_STATE_GENERALIZE_RESEAL_TO_OOBE"));
    let again = xml::Element::parse(&root.to_xml()).unwrap();
    assert_eq!(again, root);
}
