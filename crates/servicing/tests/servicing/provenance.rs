//! Verdicts on images that look like Microsoft's, like captured ones, and like neither.

use wimwright_format::regf::{Data, Hive};
use wimwright_format::wim::ImageInfo;
use wimwright_image::registry::HiveFile;
use wimwright_image::{Blobs, Image, Tree};
use wimwright_servicing::provenance::{Provenance, Verdict};
use wimwright_testkit::{oracles, run, test_data};

use crate::windows::{path_of, put, put_hive, set, windows, with_hive};

/// As Microsoft makes it: generalized with Microsoft's own sysprep on the day after the build.
fn factory() -> Image {
    let mut image = windows();
    put(&mut image, "/Windows/Setup/State/State.ini", b"[State]\r\nImageState=IMAGE_STATE_GENERALIZE_RESEAL_TO_OOBE\r\n");
    put(&mut image, "/Windows/bootstat.dat", &[0; 16]);
    put(&mut image, "/Windows/inf/setupapi.offline.log", b"[Boot Session: 0000/00/00]");
    put(&mut image, "/System Volume Information/WPSettings.dat", b"");
    put(
        &mut image,
        "/Windows/servicing/Sessions/Sessions.xml",
        b"<Sessions><Session client=\"DISM Package Manager Provider\"/></Sessions>",
    );
    with_hive(&mut image, HiveFile::Software, |hive| {
        set(hive, r"Microsoft\Windows NT\CurrentVersion", "BuildLabEx", &Data::Text("26100.1.amd64fre.ge_release.240331-1435".into()));
        set(
            hive,
            r"Microsoft\Windows\CurrentVersion\Setup\State",
            "ImageState",
            &Data::Text("IMAGE_STATE_GENERALIZE_RESEAL_TO_OOBE".into()),
        );
        set(hive, r"Microsoft\Windows\CurrentVersion\Uninstall\Edge", "DisplayName", &Data::Text("Microsoft Edge".into()));
        let hidden = r"Microsoft\Windows\CurrentVersion\Uninstall\Hidden";
        set(hive, hidden, "DisplayName", &Data::Text("Part of Windows".into()));
        set(hive, hidden, "SystemComponent", &Data::Dword(1));
    });
    with_hive(&mut image, HiveFile::System, |hive| {
        set(hive, r"Setup\Status\SysprepStatus", "GeneralizationState", &Data::Dword(7));
        set(hive, "Setup", "CloneTag", &Data::Texts(vec!["Mon Apr  1 05:02:11 2024".into()]));
        set(hive, "Setup", "SystemSetupInProgress", &Data::Dword(1));
        set(hive, "Setup", "SetupType", &Data::Dword(2));
        set(hive, r"ControlSet001\Control\ComputerName\ComputerName", "ComputerName", &Data::Text("MINWINPC".into()));
        set(hive, r"ControlSet001\Enum\ROOT\SYSTEM", "x", &Data::Dword(0));
    });
    image
}

/// What setting up and using Windows leaves.
fn used(image: &mut Image) {
    put(image, "/Windows/Panther/setupact.log", b"log");
    put(image, "/Users/Administrator/NTUSER.DAT", b"regf");
    put(image, "/Windows/Prefetch/CMD.EXE-0BD30981.pf", b"MAM");
    put(image, "/Windows/System32/winevt/Logs/System.evtx", b"ElfFile");
    image.info.remove("DISPLAYNAME");
    image.info.remove("DISPLAYDESCRIPTION");
    image.info.remove("FLAGS");
    with_hive(image, HiveFile::Software, |hive| {
        set(hive, r"Microsoft\Windows NT\CurrentVersion\ProfileList\S-1-5-21-1-2-3-500", "Flags", &Data::Dword(0));
        set(hive, r"Microsoft\Windows\CurrentVersion\Uninstall\Archiver", "DisplayName", &Data::Text("Contoso Archiver".into()));
    });
}

fn state(hive: &mut Hive, state: &str) {
    set(hive, r"Microsoft\Windows\CurrentVersion\Setup\State", "ImageState", &Data::Text(state.into()));
}

fn captured() -> Image {
    let mut image = factory();
    used(&mut image);
    with_hive(&mut image, HiveFile::Software, |hive| state(hive, "IMAGE_STATE_COMPLETE"));
    put(&mut image, "/Windows/Setup/State/State.ini", b"[State]\r\nImageState=IMAGE_STATE_COMPLETE\r\n");
    with_hive(&mut image, HiveFile::System, |hive| {
        set(hive, "Setup", "SystemSetupInProgress", &Data::Dword(0));
        set(hive, "Setup", "SetupType", &Data::Dword(0));
        set(hive, r"ControlSet001\Enum\PCI\VEN_8086", "x", &Data::Dword(0));
    });
    image
}

fn sysprepped(image: &mut Image) {
    put(image, "/Windows/System32/Sysprep/Sysprep_succeeded.tag", b"");
    put(image, "/Windows/System32/Sysprep/Panther/setupact.log", b"log");
    with_hive(image, HiveFile::System, |hive| set(hive, "Setup", "CloneTag", &Data::Texts(vec!["Wed Nov 20 09:12:44 2024".into()])));
}

fn generalized() -> Image {
    let mut image = factory();
    used(&mut image);
    sysprepped(&mut image);
    image
}

fn weighed(mut image: Image) -> Provenance {
    Provenance::weigh(&mut image).unwrap()
}

#[test]
fn a_factory_image_with_every_mark() {
    let provenance = weighed(factory());
    let marks: Vec<_> = provenance.evidence.iter().map(|mark| format!("{:+} {}: {}", mark.weight, mark.mark, mark.found)).collect();
    insta::assert_snapshot!(marks.join("\n"), @r"
    -1 Sysprep success tag: none
    -1 Sysprep logs: none
    -2 Windows Setup logs: none
    -2 User profiles: none
    -2 Traces of a first start: none
    +0 Traces of an upgrade: none
    -1 Servicing sessions of a running Windows: none
    +0 Setup state file: IMAGE_STATE_GENERALIZE_RESEAL_TO_OOBE
    -1 Accounts with a profile: none
    +0 ImageState: IMAGE_STATE_GENERALIZE_RESEAL_TO_OOBE
    -1 Installed applications: none
    -1 Devices of a machine: none
    +0 Mounted volumes: none
    +0 Earlier Windows in the registry: none
    +0 GeneralizationState (7 is done): 7
    -1 CloneTag: Mon Apr  1 05:02:11 2024: 1 days after the build, Microsoft's own
    +0 Setup has finished: SystemSetupInProgress 1, SetupType 2
    +0 Computer name: MINWINPC
    -1 Fields that Microsoft's media have: DISPLAYNAME, DISPLAYDESCRIPTION, FLAGS
    ");
    assert_eq!(provenance.verdict, Verdict::Uncaptured);
}

#[test]
fn verdicts() {
    let with = |mut image: Image, change: &dyn Fn(&mut Image)| {
        change(&mut image);
        image
    };
    let cases = [
        ("factory", factory(), Verdict::Uncaptured),
        ("factory, exported without its fields", with(factory(), &|image| image.info = ImageInfo::named("x")), Verdict::Uncaptured),
        (
            "factory with an answer file",
            with(factory(), &|image| put(image, "/Windows/Panther/unattend.xml", b"<unattend/>")),
            Verdict::Uncaptured,
        ),
        ("captured", captured(), Verdict::Captured),
        ("captured and generalized", generalized(), Verdict::CapturedAndGeneralized),
        // The tags of sysprep stay in a Windows that was set up from a generalized image.
        ("captured from what was deployed from a generalized image", with(captured(), &sysprepped), Verdict::Captured),
        (
            "resealed without generalizing",
            with(generalized(), &|image| with_hive(image, HiveFile::Software, |hive| state(hive, "IMAGE_STATE_SPECIALIZE_RESEAL_TO_OOBE"))),
            Verdict::Captured,
        ),
        ("generalized and cleaned but for the marks of sysprep", with(factory(), &sysprepped), Verdict::CapturedAndGeneralized),
        (
            "factory with a profile: the marks contradict each other",
            with(factory(), &|image| put(image, "/Users/Anna/x", b"")),
            Verdict::Indeterminate,
        ),
        (
            "several files of one kind are one trace",
            with(factory(), &|image| {
                put(image, "/Windows/System32/winevt/Logs/System.evtx", b"ElfFile");
                put(image, "/Windows/System32/winevt/Logs/Application.evtx", b"ElfFile");
            }),
            Verdict::Indeterminate,
        ),
        ("no registry", with(factory(), &|image| image.tree.remove(&path_of(HiveFile::Software.path())).unwrap()), Verdict::Indeterminate),
        ("no Windows", Image::new(Tree::default(), ImageInfo::named("data"), Blobs::default()), Verdict::Indeterminate),
    ];
    for (case, image, verdict) in cases {
        let provenance = weighed(image);
        assert_eq!(provenance.verdict, verdict, "{case}: {:#?}", provenance.evidence);
        assert!(!provenance.evidence.is_empty(), "{case}");
    }
}

#[test]
fn a_state_in_utf_16_is_read() {
    let mut image = factory();
    let text: Vec<u8> = "\u{feff}[State]\r\nImageState=IMAGE_STATE_COMPLETE\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    put(&mut image, "/Windows/Setup/State/State.ini", &text);
    let mark = weighed(image).evidence.into_iter().find(|mark| mark.mark == "Setup state file").unwrap();
    assert_eq!((mark.found.as_str(), mark.weight), ("IMAGE_STATE_COMPLETE", 1));
}

/// SYSTEM hives of machines in use. Both were set up from factory images and carry Microsoft's clone tag and a finished
/// generalization: neither is evidence of a customer's sysprep.
#[test]
fn real_system_hives_of_machines_in_use() {
    for (name, build_lab) in
        [("SYSTEM_B", "16299.15.amd64fre.rs3_release.170928-1534"), ("SYSTEM_WIN_10_1709", "18362.1.amd64fre.19h1_release.190318-1202")]
    {
        let Some(path) = test_data(&format!("hives/regipy/{name}.xz")) else { return };
        if !oracles(&["xz"]) {
            return;
        }
        // Taken from running machines: what their logs hold does not matter here.
        let mut system = Hive::from_bytes(run(std::process::Command::new("xz").arg("-dc").arg(path)).stdout).unwrap();
        system.accept_dirty();
        let mut image = windows();
        put_hive(&mut image, HiveFile::System, system);
        let mut software = crate::windows::hive();
        set(&mut software, r"Microsoft\Windows NT\CurrentVersion", "BuildLabEx", &Data::Text(build_lab.into()));
        put_hive(&mut image, HiveFile::Software, software);
        let provenance = weighed(crate::windows::fresh(&image));
        let weight = |name: &str| provenance.evidence.iter().find(|mark| mark.mark.starts_with(name)).map(|mark| mark.weight);
        assert_eq!(weight("CloneTag"), Some(-1), "{name}");
        assert_eq!(weight("GeneralizationState"), Some(0), "{name}");
        assert_eq!(weight("Setup has finished"), Some(3), "{name}");
        assert_eq!(weight("Devices of a machine"), Some(3), "{name}");
        assert_eq!(weight("Mounted volumes"), Some(2), "{name}");
        let upgraded = name == "SYSTEM_WIN_10_1709";
        assert_eq!(weight("Earlier Windows in the registry"), Some(if upgraded { 4 } else { 0 }), "{name}");
        assert_ne!(provenance.verdict, Verdict::Uncaptured, "{name}");
        assert!(provenance.evidence.iter().all(|mark| !mark.generalized), "{name}");
    }
}
